"""Memory slopes, the bag read back, and the report of a walk that was cut short."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip('rclpy')
from make_agent_ros.control.admission import standing_state
from make_agent_ros.go2.wire import LowStateEncoder
from make_agent_ros.nodes.bench.figures import clean
from make_agent_ros.nodes.bench.soak import Walk, collect, read_back, table
from make_agent_ros.nodes.bench.usage import ProcessRecord, child_of, slope_per_minute
from make_agent_ros.recording.writer import BagWriter


@given(st.floats(-50.0, 50.0), st.floats(0.0, 500.0))
def test_the_slope_of_a_line_is_found_per_minute(per_minute, start):
    time_s = np.linspace(1000.0, 1300.0, 40)
    values = start + per_minute * (time_s - 1000.0) / 60.0
    assert slope_per_minute(time_s, values) == pytest.approx(per_minute, abs=1e-6)


def test_memory_that_fills_in_the_first_minute_counts_as_flat():
    record = ProcessRecord(1)
    for second in range(0, 301, 5):
        record.time_s.append(float(second))
        record.rss_mb.append(50.0 + min(second, 30))
        record.cpu_s.append(0.25 * second)
    figures = record.figures()
    assert figures['rss_mb_per_min'] == pytest.approx(0.0, abs=1e-9)
    assert (figures['rss_mb_start'], figures['rss_mb_end']) == (50.0, 80.0)
    assert figures['cpu_share'] == pytest.approx(0.25)


GROWS = "input(); ballast = b'x' * (64 << 20); print('grown', flush=True); input()"


def test_a_process_that_takes_memory_is_seen_to_grow_and_once_dead_is_left_as_it_was():
    """A fresh process has no freed memory that could take the ballast in."""
    child = subprocess.Popen(
        [sys.executable, '-c', GROWS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    record = ProcessRecord(child.pid)
    with child:
        record.look(0.0)
        print(file=child.stdin, flush=True)
        assert child.stdout.readline() == 'grown\n'
        record.look(1.0)
    assert record.rss_mb[1] - record.rss_mb[0] > 50.0
    before = record.figures()
    record.look(2.0)
    assert record.figures() == before


def test_a_child_process_is_found_by_its_module():
    child = subprocess.Popen(
        [sys.executable, '-m', 'http.server', '--bind', '127.0.0.1', '0'],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert child_of(os.getpid(), 'http.server') == child.pid
        assert child_of(os.getpid(), 'no.such.module') is None
    finally:
        child.kill()
        child.wait()


def bag(folder, ticks):
    state, encoder = standing_state(), LowStateEncoder()
    writer = BagWriter(folder)
    for i, tick in enumerate(ticks):
        state.tick = tick
        writer.write('/lowstate', encoder.encode(state), 1_000_000_000 + 2_000_000 * i)
    writer.close()
    return folder


def test_a_complete_bag_reads_back_without_a_lost_sample(tmp_path):
    figures = read_back(bag(tmp_path / 'whole', range(0, 400, 2)))
    assert (figures['readable'], figures['lowstate'], figures['lost']) == (1.0, 200.0, 0.0)


def test_samples_missing_in_the_bag_are_counted_by_tick(tmp_path):
    ticks = [tick for tick in range(0, 400, 2) if tick not in (200, 202, 300)]
    assert read_back(bag(tmp_path / 'holes', ticks))['lost'] == 3.0


def test_a_bag_that_is_none_is_reported_as_unreadable(tmp_path):
    assert read_back(tmp_path)['readable'] == 0.0


def test_the_report_of_a_walk_that_was_cut_short_says_so_and_leaves_gaps_open():
    walk = Walk(seconds=3.0, falls={'tilt': 2}, before={'lost': 4.0}, timing={'lost': 5.0})
    figures = clean(collect(walk))
    assert figures['complete'] == 0.0
    assert figures['faults'] == 2.0
    assert figures['lost_at_controller'] == 1.0
    assert figures['lowcmd_gap_ms_max'] is None
    assert table(collect(walk)).row_count == 0

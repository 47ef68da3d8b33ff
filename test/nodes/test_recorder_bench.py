from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('rclpy')

from make_agent_ros.go2.layout import LOWCMD_SIZE, LOWSTATE_SIZE
from make_agent_ros.nodes.recorder_bench import read_back, run_recorder
from make_agent_ros.nodes.recorder_traffic import NUMBER
from make_agent_ros.recording.writer import BagWriter


def sample(size, offset, number):
    data = bytearray(b'\0\1\0\0' + bytes(size - 4))
    data[offset : offset + 4] = number.to_bytes(4, 'little')
    return bytes(data)


def test_what_is_missing_or_out_of_order_in_a_bag_is_counted(tmp_path):
    with_holes = [n for n in range(1, 200) if n not in (50, 51, 120)]
    writer = BagWriter(tmp_path / 'bag', min_free_bytes=0)
    for n in with_holes:
        writer.write('/lowstate', sample(LOWSTATE_SIZE, 1100, 2 * n), 2_000_000 * n)
        if n != 60:
            writer.write('/lowcmd', sample(LOWCMD_SIZE, NUMBER, n), 2_000_000 * n - 5_000)
    writer.write('/lowstate', sample(LOWSTATE_SIZE, 1100, 400), 2_000_000 * 150)
    writer.close()
    contents = read_back(tmp_path / 'bag')
    assert contents.samples == {'/lowstate': len(with_holes) + 1, '/lowcmd': len(with_holes) - 1}
    assert contents.lost_lowstate == 3
    assert contents.lost_lowcmd == 4
    assert contents.disorder == 1
    assert contents.back_ns == 2_000_000 * 49
    assert contents.notes == ()


@pytest.mark.e2e
def test_real_recorder_loses_nothing_and_little_when_it_is_killed(tmp_path):
    figures = run_recorder(tmp_path / 'figures.json', minutes=0.05, kills=1)
    assert figures['lost_lowstate'] == figures['lost_lowcmd'] == figures['disorder'] == 0
    assert figures['dropped_by_recorder'] == 0 and figures['readable'] == 1
    assert figures['lowstate'] > 0.5 * 500 * figures['seconds']
    assert figures['cmd_vel'] > 0
    assert figures['kill_lost_inside'] == figures['kill_unreadable'] == 0
    assert figures['kill_lost_s_max'] < 1.0
    assert np.isfinite(figures['cpu_share'])

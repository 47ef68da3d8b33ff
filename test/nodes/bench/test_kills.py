"""How a kill is judged, and what is reported of a hundred."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip('rclpy')
from make_agent_ros.nodes.bench.figures import write
from make_agent_ros.nodes.bench.kills import Kill, bag_lost_s, collect, outcome_of
from make_agent_ros.recording.writer import BagWriter

from .wire import DAMP, HOLD, every, standing, window

KILLED_S = 0.1


def test_a_robot_that_goes_on_getting_fresh_commands_is_driven():
    wire = window(every(0.0, 1.0, HOLD), standing(100))
    assert outcome_of(wire, KILLED_S) == 'driven'


def test_a_command_that_is_left_standing_is_stale():
    wire = window(every(0.0, 0.12, HOLD), standing(100))
    assert outcome_of(wire, KILLED_S) == 'stale'


def test_damping_is_damped_whether_it_goes_on_or_is_the_last_that_was_said():
    going_on = every(0.0, 0.12, HOLD) + every(0.2, 1.0, DAMP)
    assert outcome_of(window(going_on), KILLED_S) == 'damped'
    assert outcome_of(window(going_on[:20]), KILLED_S) == 'damped'


def test_a_robot_that_was_damped_by_the_kill_must_not_be_driven_again():
    wire = window(every(0.0, 0.12, HOLD) + every(0.2, 0.5, DAMP) + every(0.5, 1.0, HOLD))
    assert outcome_of(wire, KILLED_S) == 'driven again'


def test_damping_before_the_kill_is_no_reaction_to_it():
    wire = window(every(0.0, 0.05, DAMP) + every(0.05, 1.0, HOLD), standing(100))
    assert outcome_of(wire, KILLED_S) == 'driven'


def test_a_tilted_robot_that_is_driven_has_fallen():
    lying = np.array([math.cos(0.6), math.sin(0.6), 0.0, 0.0])
    states = [(t, replace(state, quat_wxyz=lying)) for t, state in standing(100)]
    assert outcome_of(window(every(0.0, 1.0, HOLD), states), KILLED_S) == 'fallen'


def test_a_robot_that_nobody_ever_commanded_is_unpowered():
    assert outcome_of(window(states=standing()), KILLED_S) == 'unpowered'


FINE = Kill('controller', 'WALK', 'damped', 60.0, 70.0, True)


@pytest.mark.parametrize(
    'changes',
    [
        {'outcome': 'stale'},
        {'outcome': 'fallen'},
        {'outcome': 'driven again'},
        {'stale_ms': 400.0},
        {'survivors': False},
    ],
)
def test_only_damped_or_driven_with_fresh_commands_beside_living_nodes_is_safe(changes):
    assert FINE.safe
    assert not replace(FINE, **changes).safe


def test_the_report_counts_per_victim_and_outcome_and_is_flat(tmp_path):
    kills = [
        FINE,
        replace(FINE, outcome='stale', stale_ms=900.0, damped_ms=math.nan),
        Kill('recorder', 'STAND', 'driven', 3.0, math.nan, True, bag_lost_s=0.4),
    ]
    write(collect(kills), tmp_path / 'kills.json')
    figures = json.loads((tmp_path / 'kills.json').read_text())
    assert (figures['kills'], figures['kills_safe']) == (3, 2)
    assert figures['stale_ms_max'] == 900
    assert (figures['kills.controller.damped'], figures['kills.controller.stale']) == (1, 1)
    assert figures['kills.controller.damped_ms'] == 70
    assert figures['kills.recorder.damped_ms'] is None
    assert figures['bag_lost_s_max'] == 0.4
    assert (figures['kills_in.WALK'], figures['kills_in.STAND']) == (2, 1)


def test_what_a_killed_recorder_lost_is_told_by_the_last_message_of_its_newest_bag(tmp_path):
    writer = BagWriter(tmp_path / 'go2_1')
    for stamp_ns in (1_000_000_000, 3_000_000_000):
        writer.write('/marks', b'\0\1\0\0\2\0\0\0a\0', stamp_ns)
    writer.close()
    assert bag_lost_s(tmp_path, 3_500_000_000) == pytest.approx(0.5)
    (tmp_path / 'go2_2').mkdir()
    assert bag_lost_s(tmp_path, 3_500_000_000) == math.inf

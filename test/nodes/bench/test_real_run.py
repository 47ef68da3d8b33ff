"""The real graph, a real fault and a real kill; timing is the benchmark's own business."""

from __future__ import annotations

import json

import pytest

pytest.importorskip('rclpy')
from make_agent_ros.nodes.bench.faults import run_faults
from make_agent_ros.nodes.bench.kills import run_kills

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_a_nan_in_the_state_of_a_walking_robot_is_answered_by_damping(tmp_path):
    path = tmp_path / 'faults.json'
    run_faults(path, repeats=1, only=['state_nan'])
    figures = json.loads(path.read_text())
    assert figures['fault.state_nan.state'] == 'FAULT state_not_finite'
    assert figures['fault.state_nan.damped'] == 1.0
    assert figures['fault.state_nan.verdict'] != 'WRONG'
    assert figures['complete'] == 1.0


def test_after_kill_9_of_controller_and_guard_in_turn_the_robot_is_never_left_to_itself(tmp_path):
    figures = run_kills(tmp_path / 'kills.json', count=2, seed=1, victims=('guard', 'controller'))
    assert figures['kills.guard.driven'] == 1.0
    assert figures['kills.controller.damped'] == 1.0
    assert figures['survivors_lost'] == 0.0

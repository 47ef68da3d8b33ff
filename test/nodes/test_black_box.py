from __future__ import annotations

import numpy as np

from make_agent_ros.control import Controller, ControllerConfig
from make_agent_ros.control.admission import standing_state
from make_agent_ros.control.blackbox import BlackBox, save
from make_agent_ros.nodes.black_box import write_bag
from make_agent_ros.recording.bag import read_bag


def test_a_black_box_becomes_a_bag_that_reads_back_as_a_trajectory(tmp_path):
    box, controller = BlackBox(duration_s=3.0), Controller(ControllerConfig())
    rng = np.random.default_rng(0)
    angles = 0.01 * rng.normal(size=(1000, 12))
    for i in range(1000):
        state = standing_state()
        state.tick = 2 * i
        state.joint_pos = state.joint_pos + angles[i]
        box.record(50.0 + 0.002 * i, state, controller)
    path = tmp_path / 'box.npz'
    save({**box.snapshot(), 'wall_offset_s': np.array(1.7e9)}, path)
    trajectory = read_bag(write_bag(path))
    assert len(trajectory) == 1000
    np.testing.assert_allclose(
        trajectory.joint_pos, standing_state().joint_pos + angles, atol=1e-6
    )
    np.testing.assert_allclose(trajectory.duration_s, 1.998, atol=0.01)

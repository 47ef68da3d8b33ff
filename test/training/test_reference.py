from __future__ import annotations

import numpy as np
import pytest

from make_agent_ros.go2.constants import FOOT_RADIUS_M
from make_agent_ros.go2.kinematics import foot_positions
from make_agent_ros.recording.gait import describe_gait
from make_agent_ros.simulation.batch import BatchSimulation
from make_agent_ros.simulation.model import WorldRanges, randomised_worlds
from make_agent_ros.training.behaviour import sample_styles
from make_agent_ros.training.reference import (
    pitched,
    reference_joint_pos,
    stance,
    swing_height,
)

DT = 0.02


@pytest.fixture
def styles():
    return sample_styles(np.random.default_rng(3), 16, np.arange(16) % 6)


def stance_share(styles):
    """Share of the cycle in which at least two feet stand."""
    command = np.tile([0.3, 0.0, 0.0], (16, 1))
    return np.mean(
        [stance(styles, np.full(16, c), command).sum(axis=1) >= 2 for c in np.linspace(0, 1, 50)],
        axis=0,
    )


def test_the_scripted_gait_has_the_style_that_was_asked_for(styles, monkeypatch):
    monkeypatch.setattr('make_agent_ros.training.reference.MAX_FEED_FORWARD_RAD', 0.0)
    command = np.tile([0.3, 0.0, 0.0], (16, 1))
    time = np.arange(200) * DT
    joints = np.stack(
        [reference_joint_pos(styles, styles.frequency_hz * t, command) for t in time], axis=1
    )
    down = np.stack((np.sin(styles.pitch_rad), np.zeros(16), -np.cos(styles.pitch_rad)), axis=-1)
    gravity = np.repeat(down[:, None], 200, axis=1)
    gait = describe_gait(joints, gravity, 1 / DT)
    np.testing.assert_allclose(gait.frequency_hz, styles.frequency_hz, rtol=0.02)
    off = np.abs((gait.phase_offset - styles.gait().phase_offset + 0.5) % 1.0 - 0.5)
    assert off.max() < 0.05
    np.testing.assert_allclose(gait.pitch_rad, styles.pitch_rad, atol=1e-6)
    np.testing.assert_allclose(gait.body_height_m, styles.body_height_m, atol=0.012)
    # On fewer than two feet nothing but the script keeps the trunk from falling, and the
    # description, which knows that trunks fall, reads another swing.
    grounded = stance_share(styles) > 0.99
    assert grounded.sum() > 4
    swing_off = np.abs(gait.swing_height_m - styles.swing_height_m.mean(axis=1))[grounded]
    assert np.median(swing_off) < 0.003
    assert np.quantile(swing_off, 0.85) < 0.01


def test_feet_swing_only_when_out_of_stance(styles):
    command = np.tile([0.5, 0.0, 0.0], (16, 1))
    for cycles in np.linspace(0, 1, 11):
        at = np.full(16, cycles)
        lifted = swing_height(styles, at, command) > 1e-9
        assert not np.any(lifted & stance(styles, at, command))


def test_zero_command_stands_with_all_feet_below_the_hips(styles, monkeypatch):
    monkeypatch.setattr('make_agent_ros.training.reference.MAX_FEED_FORWARD_RAD', 0.0)
    joints = reference_joint_pos(styles, np.linspace(0, 1, 16), np.zeros((16, 3)))
    feet = pitched(foot_positions(joints), -styles.pitch_rad)
    expected = np.broadcast_to(-(styles.body_height_m - FOOT_RADIUS_M)[:, None], (16, 4))
    np.testing.assert_allclose(feet[..., 2], expected, atol=1e-6)
    width = feet[:, 0, 1] - feet[:, 1, 1]
    np.testing.assert_allclose(width, styles.stance_width_m, atol=1e-6)


def test_gravity_feed_forward_makes_the_robot_stand_at_the_height_of_its_style(styles):
    worlds = randomised_worlds(1, 0, WorldRanges.nominal())
    sim = BatchSimulation(worlds, np.zeros(16, dtype=int))
    target = reference_joint_pos(styles, np.zeros(16), np.zeros((16, 3)))
    sim.reset(np.arange(16), target, styles.body_height_m + 0.01, np.zeros(16))
    for _ in range(100):
        sim.step(target)
    assert not sim.fallen().any()
    np.testing.assert_allclose(sim.base_height, styles.body_height_m, atol=0.02)

"""The gait by the load on the legs, on walks whose contacts the simulator knows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from make_agent_ros.go2.constants import NOMINAL_JOINT_POS
from make_agent_ros.go2.state import projected_gravity
from make_agent_ros.policy.bundle import load
from make_agent_ros.recording.gait import gait_distance
from make_agent_ros.recording.loads import (
    LOAD_N,
    foot_load,
    gait_by_load,
    gait_of_trajectory,
    leg_torque,
    loaded_feet,
)
from make_agent_ros.resources import resource_path
from make_agent_ros.simulation.model import WorldRanges, randomised_worlds
from make_agent_ros.simulation.rollout import rollout
from make_agent_ros.training.prompts import prompt_from_log, walked_gait

GAITS = ('trot', 'pace', 'bound', 'pronk', 'walk', 'canter')


@pytest.fixture(scope='module')
def log():
    bundles = [load(resource_path(f'models/{name}.onnx')) for name in GAITS]
    worlds = randomised_worlds(2, 3, WorldRanges())
    return rollout(bundles, worlds, np.stack([b.default_command for b in bundles]), 7.0, seed=3)


def test_loads_tell_the_gaits_that_true_contacts_tell(log):
    true = walked_gait(log, 2.0, 4.0)
    part = slice(100, 300)
    found = gait_by_load(
        log.joint_pos[:, :, part],
        log.joint_vel[:, :, part],
        log.joint_torque[:, :, part],
        log.quat_wxyz[:, :, part],
        50.0,
    )
    apart = gait_distance(found, true)
    assert np.median(apart['phase_cycles']) < 0.03
    assert (apart['phase_cycles'] < 0.1).mean() > 0.9
    assert np.median(apart['height_m']) < 0.004


def test_friction_and_damping_of_the_joints_are_told_from_load(log):
    """Raw torques no longer tell which feet stand where the drives are stiff."""
    part = np.s_[:, :, 100:300]
    pos, vel, gravity = (
        log.joint_pos[part],
        log.joint_vel[part],
        projected_gravity(log.quat_wxyz[part]),
    )
    torque = log.joint_torque[part] + 1.5 * vel + 0.4 * np.sign(vel)
    true = log.foot_contact[part]
    raw = foot_load(pos, torque, gravity) > LOAD_N
    told = loaded_feet(pos, vel, torque, gravity, 50.0)
    assert (told == true).mean() > 0.88
    assert (raw == true).mean() < 0.78
    found = gait_by_load(pos, vel, torque, log.quat_wxyz[part], 50.0)
    apart = gait_distance(found, walked_gait(log, 2.0, 4.0))
    assert (apart['phase_cycles'] < 0.1).mean() > 0.9


def test_legs_that_never_leave_the_ground_have_no_torque_of_their_own():
    pos = np.tile(NOMINAL_JOINT_POS, (100, 1))
    gravity = np.tile([0.0, 0.0, -1.0], (100, 1))
    own = leg_torque(pos, np.zeros_like(pos), np.ones_like(pos), gravity, 50.0)
    np.testing.assert_array_equal(own, 0.0)
    assert leg_torque(pos[:1], pos[:1], pos[:1], gravity[:1], 50.0).shape == (1, 12)


def test_a_recording_is_described_by_its_torques_and_without_them_by_its_joints(log):
    prompt = prompt_from_log(log, GAITS.index('trot'), 0, 2.0, 4.0)
    with_torque = gait_of_trajectory(prompt)
    bare = gait_of_trajectory(replace(prompt, joint_torque=np.zeros_like(prompt.joint_torque)))
    true = walked_gait(log, 2.0, 4.0)[GAITS.index('trot'), 0]
    assert gait_distance(with_torque, true)['phase_cycles'] < 0.05
    assert gait_distance(bare, true)['phase_cycles'] < 0.1
    assert with_torque.duty_factor[0] != bare.duty_factor[0]

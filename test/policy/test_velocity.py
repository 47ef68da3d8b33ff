from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from make_agent_ros.go2.constants import NOMINAL_JOINT_POS
from make_agent_ros.go2.state import RobotState
from make_agent_ros.policy import Bundle, BundleError, from_bytes, load, to_bytes
from make_agent_ros.policy.checked import policy_digest
from make_agent_ros.policy.velocity import (
    INPUTS,
    LARGEST,
    LARGEST_SHARE,
    LEAST,
    WARM_UP_STEPS,
    VelocityLoop,
    VelocityNet,
    shipped_velocity_net,
)
from make_agent_ros.resources import resource_path
from make_agent_ros.simulation.model import WorldRanges, randomised_worlds
from make_agent_ros.simulation.rollout import rollout

LEVEL = RobotState(np.array([1.0, 0, 0, 0]), np.zeros(3), NOMINAL_JOINT_POS.copy(), np.zeros(12))


def says(vx: float, vy: float = 0.0) -> VelocityNet:
    """A net that always tells one velocity."""
    zeros = np.zeros
    return VelocityNet(
        zeros((6, INPUTS)), zeros((6, 2)), zeros(6), zeros(6), zeros((2, 2)), np.array([vx, vy])
    )


def told_after(loop: VelocityLoop, command: np.ndarray, steps: int) -> np.ndarray:
    for _ in range(steps):
        told = loop(LEVEL, NOMINAL_JOINT_POS, command)
    return told


def test_what_is_missing_is_added_within_seconds():
    loop = VelocityLoop(0.5, net=says(0.4, 0.1))
    command = np.array([0.5, 0.0, 0.0])
    np.testing.assert_array_equal(told_after(loop, command, WARM_UP_STEPS), command)
    told = told_after(loop, command, 50)
    np.testing.assert_allclose(told - command, [0.05, -0.05, 0.0], atol=1e-9)


@given(
    st.tuples(st.floats(-0.6, 1.2), st.floats(-0.4, 0.4), st.floats(-1.0, 1.0)),
    st.tuples(st.floats(-2.0, 2.0), st.floats(-2.0, 2.0)),
)
def test_never_more_than_the_limits_and_standing_stays_standing(command, velocity):
    loop = VelocityLoop(2.0, net=says(*velocity))
    command = np.array(command)
    added = told_after(loop, command, 400) - command
    assert np.all(np.abs(added) <= LARGEST + 1e-12)
    speed = np.hypot(*command[:2])
    assert np.abs(added[:2]).max() <= max(LARGEST_SHARE * speed, LEAST) + 1e-12
    if np.hypot(speed, 0.3 * command[2]) <= 0.05:
        np.testing.assert_array_equal(added, 0.0)


def test_a_stop_forgets_and_so_does_a_start():
    loop = VelocityLoop(0.5, net=says(0.0))
    command = np.array([0.5, 0.0, 0.0])
    assert told_after(loop, command, 200)[0] > 0.6
    told_after(loop, np.zeros(3), 1)
    assert told_after(loop, command, 1)[0] < 0.51
    told_after(loop, command, 200)
    loop.start()
    np.testing.assert_array_equal(told_after(loop, command, WARM_UP_STEPS), command)


def test_each_robot_of_a_batch_has_its_own_gain_and_its_own_misfortune():
    loop = VelocityLoop(np.array([0.5, 0.0, 0.5]), (3,))
    state = RobotState(
        np.tile(LEVEL.quat_wxyz, (3, 1)), np.zeros((3, 3)), np.tile(NOMINAL_JOINT_POS, (3, 1)),
        np.zeros((3, 12)),
    )  # fmt: skip
    state.joint_vel[2] = np.nan
    command, target = np.tile([0.5, 0.0, 0.0], (3, 1)), np.tile(NOMINAL_JOINT_POS, (3, 1))
    for _ in range(100):
        told = loop(state, target, command)
    single = told_after(VelocityLoop(0.5), command[0], 100)
    np.testing.assert_allclose(told[0], single, atol=1e-5)
    np.testing.assert_array_equal(told[1], command[1])
    assert np.isfinite(told).all()


def test_the_gain_travels_in_the_bundle_and_counts_for_its_check():
    plain = Bundle(layers=load(resource_path('models/trot.onnx')).layers, gait_frequency_hz=2.0)
    held = replace(plain, velocity_gain=0.5)
    assert from_bytes(to_bytes(held)).velocity_gain == 0.5
    assert b'velocity_gain' not in to_bytes(plain)
    assert policy_digest(held) != policy_digest(plain)


@pytest.mark.parametrize(
    ('changes', 'sentence'),
    [
        ({'velocity_gain': 9.0}, 'outside 0 .. 2'),
        ({'velocity_gain': float('nan')}, 'outside 0 .. 2'),
        ({'velocity_gain': 0.5, 'control_dt': 0.01}, 'control_dt 0.01 s'),
    ],
)
def test_gains_that_make_no_sense_are_refused(changes, sentence):
    with pytest.raises(BundleError, match=sentence):
        Bundle(
            layers=load(resource_path('models/trot.onnx')).layers, gait_frequency_hz=2.0, **changes
        )


def test_another_net_is_refused(tmp_path):
    net = shipped_velocity_net()
    replace(net, weight_ih=net.weight_ih[:, :50]).save(tmp_path / 'other.npz')
    with pytest.raises(ValueError, match='54 inputs'):
        VelocityNet.load(tmp_path / 'other.npz')
    with pytest.raises(FileNotFoundError, match='train velocity'):
        VelocityNet.load(tmp_path / 'none.npz')


def test_policies_keep_closer_to_the_velocity_asked_for_in_worlds_that_bias_them():
    """Held-out policies on slippery ground: the error of their mean velocity."""
    names = ('trot', 'pace', 'walk', 'canter', 'pronk', 'bound')
    plain = [
        replace(load(resource_path(f'models/{name}.onnx')), velocity_gain=0.0) for name in names
    ]
    held = [replace(bundle, velocity_gain=0.5) for bundle in plain]
    worlds = randomised_worlds(4, 5, WorldRanges(friction=(0.4, 0.5)))
    command = np.stack([bundle.default_command for bundle in plain])
    log = rollout(plain + held, worlds, np.concatenate((command, command)), 12.0, seed=1)
    error = (log.planar_velocity - log.command)[:, :, 250:, :2].mean(axis=2)
    without, with_loop = np.split(np.linalg.norm(error, axis=-1), 2)
    both = ~np.logical_or(*np.split(log.fell, 2))
    assert both.mean() > 0.7
    assert np.sqrt((with_loop[both] ** 2).mean()) < 0.7 * np.sqrt((without[both] ** 2).mean())

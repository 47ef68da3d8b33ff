from __future__ import annotations

import numpy as np
import pytest

from make_agent_ros.go2 import ObservationBuilder, RobotState, projected_gravity
from make_agent_ros.go2.constants import JOINT_NAMES, NOMINAL_JOINT_POS, joint_index_map
from make_agent_ros.go2.observation import POLICY_SCALES, POLICY_TERMS
from make_agent_ros.go2.state import roll_pitch, yaw


def state(rng, *lead):
    quat = rng.standard_normal((*lead, 4))
    quat /= np.linalg.norm(quat, axis=-1, keepdims=True)
    return RobotState(
        quat,
        rng.standard_normal((*lead, 3)),
        rng.standard_normal((*lead, 12)),
        rng.standard_normal((*lead, 12)),
    )


def quaternion(axis, angle):
    return np.array([np.cos(angle / 2), *(np.sin(angle / 2) * np.eye(3)[axis])])


def test_level_robot_feels_gravity_straight_down():
    np.testing.assert_allclose(projected_gravity(np.array([1.0, 0, 0, 0])), [0, 0, -1])


@pytest.mark.parametrize('angle', [-1.2, -0.3, 0.0, 0.4, 1.1])
def test_roll_pitch_and_yaw_come_back_from_the_attitude(angle):
    assert roll_pitch(projected_gravity(quaternion(0, angle)))[0] == pytest.approx(angle)
    assert roll_pitch(projected_gravity(quaternion(1, angle)))[1] == pytest.approx(angle)
    assert yaw(quaternion(2, angle)) == pytest.approx(angle)


def test_a_batch_gives_the_same_rows_as_single_robots():
    rng = np.random.default_rng(0)
    builder = ObservationBuilder(POLICY_TERMS, POLICY_SCALES, NOMINAL_JOINT_POS)
    batch = state(rng, 5)
    command, action, phase = rng.random((5, 3)), rng.random((5, 12)), rng.random(5)
    rows = builder.build(batch, command, action, phase)
    for i in range(5):
        one = RobotState(
            batch.quat_wxyz[i], batch.base_ang_vel[i], batch.joint_pos[i], batch.joint_vel[i]
        )
        np.testing.assert_array_equal(builder.build(one, command[i], action[i], phase[i]), rows[i])


def test_terms_stand_where_their_slices_say_with_their_scales():
    rng = np.random.default_rng(1)
    robot = state(rng)
    scales = (0.25, 1.0, 2.0, 1.0, 0.05, 0.5, 3.0)
    builder = ObservationBuilder(POLICY_TERMS, scales, NOMINAL_JOINT_POS)
    command, action = rng.random(3), rng.random(12)
    obs = builder.build(robot, command, action, 0.25)
    cut = {term: obs[place] for term, place in builder.slices.items()}
    np.testing.assert_allclose(cut['base_ang_vel'], 0.25 * robot.base_ang_vel, rtol=1e-6)
    np.testing.assert_allclose(cut['command'], 2.0 * command, rtol=1e-6)
    np.testing.assert_allclose(cut['joint_pos'], robot.joint_pos - NOMINAL_JOINT_POS, rtol=1e-5)
    np.testing.assert_allclose(cut['joint_vel'], 0.05 * robot.joint_vel, rtol=1e-6)
    np.testing.assert_allclose(cut['actions'], 0.5 * action, rtol=1e-6)
    np.testing.assert_allclose(cut['gait_clock'], [3.0, 0.0], atol=1e-6)


def test_another_joint_order_is_mapped_by_name():
    rng = np.random.default_rng(2)
    robot = state(rng)
    order = list(reversed(JOINT_NAMES))
    builder = ObservationBuilder(
        ('joint_pos',), (1.0,), np.zeros(12), joint_index_map(JOINT_NAMES, order)
    )
    obs = builder.build(robot, np.zeros(3), np.zeros(12), 0.0)
    np.testing.assert_allclose(obs, robot.joint_pos[::-1], rtol=1e-6)


@pytest.mark.parametrize(
    ('terms', 'scales', 'message'),
    [
        (('base_lin_vel',), (1.0,), 'base_lin_vel'),
        (('command', 'command'), (1.0, 1.0), 'twice'),
        (('command',), (1.0, 2.0), '2 observation scales for 1'),
    ],
)
def test_a_layout_that_cannot_be_is_refused(terms, scales, message):
    with pytest.raises(ValueError, match=message):
        ObservationBuilder(terms, scales, np.zeros(12))

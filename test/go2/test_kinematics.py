from __future__ import annotations

import mujoco
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from make_agent_ros.go2.constants import FOOT_RADIUS_M
from make_agent_ros.go2.kinematics import (
    foot_jacobian,
    foot_positions,
    joint_positions,
    level_velocities,
)
from make_agent_ros.go2.state import projected_gravity
from make_agent_ros.simulation.model import load_model

LEG = st.tuples(st.floats(-0.8, 0.8), st.floats(-0.5, 2.0), st.floats(-2.5, -0.9))
POSES = st.lists(LEG, min_size=4, max_size=4).map(lambda legs: np.array(legs).ravel())


@given(POSES)
def test_feet_are_where_mujoco_puts_them(pose):
    model = load_model()
    data = mujoco.MjData(model)
    data.qpos[:3], data.qpos[3:7], data.qpos[7:] = 0.0, (1.0, 0.0, 0.0, 0.0), pose
    mujoco.mj_kinematics(model, data)
    feet = np.array([data.body(f'{leg}_foot').xpos for leg in ('FL', 'FR', 'RL', 'RR')])
    np.testing.assert_allclose(foot_positions(pose), feet, atol=1e-9)


@given(POSES)
def test_inverse_kinematics_returns_to_the_same_feet(pose):
    feet = foot_positions(pose)
    np.testing.assert_allclose(foot_positions(joint_positions(feet)), feet, atol=2e-3)


@given(POSES)
def test_jacobian_is_the_derivative_of_the_feet(pose):
    jacobian, step = foot_jacobian(pose), 1e-6
    for joint in range(3):
        delta = np.zeros(12)
        delta[joint::3] = step
        numeric = (foot_positions(pose + delta) - foot_positions(pose - delta)) / (2 * step)
        np.testing.assert_allclose(jacobian[..., joint], numeric, atol=1e-7)


@given(
    POSES,
    arrays(float, 12, elements=st.floats(-8, 8)),
    arrays(float, 6, elements=st.floats(-2, 2)),
    arrays(float, 2, elements=st.floats(-0.5, 0.5)),
)
def test_level_velocities_are_those_that_hold_the_contact_points_still(pose, rates, twist, tilt):
    """By MuJoCo: at the base velocity told by a foot, its lowest point moves only up or down."""
    model = load_model()
    data = mujoco.MjData(model)
    quat = np.array([1.0, *tilt, 0.0])
    quat /= np.linalg.norm(quat)
    data.qpos[:3], data.qpos[3:7], data.qpos[7:] = 0.0, quat, pose
    data.qvel[3:6], data.qvel[6:] = twist[3:], rates
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    told = level_velocities(pose, rates, twist[3:], projected_gravity(quat))
    forward = np.zeros(9)
    mujoco.mju_quat2Mat(forward, quat)
    heading = forward.reshape(3, 3)[:2, 0] / np.linalg.norm(forward.reshape(3, 3)[:2, 0])
    axes = np.array([heading, [-heading[1], heading[0]]])
    for i, leg in enumerate(('FL', 'FR', 'RL', 'RR')):
        jacobian = np.zeros((3, model.nv))
        body = model.body(f'{leg}_foot').id
        lowest = data.xpos[body] - [0.0, 0.0, FOOT_RADIUS_M]
        mujoco.mj_jac(model, data, jacobian, None, lowest, body)
        data.qvel[:3] = [*(told[i] @ axes), 0.0]
        np.testing.assert_allclose((jacobian @ data.qvel)[:2], 0.0, atol=1e-6)


@given(arrays(float, (4, 3), elements=st.floats(-3, 3)))
def test_points_out_of_reach_still_give_finite_angles(feet):
    assert np.all(np.isfinite(joint_positions(feet)))

from __future__ import annotations

import mujoco
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from make_agent_ros.go2.kinematics import foot_jacobian, foot_positions, joint_positions
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


@given(arrays(float, (4, 3), elements=st.floats(-3, 3)))
def test_points_out_of_reach_still_give_finite_angles(feet):
    assert np.all(np.isfinite(joint_positions(feet)))

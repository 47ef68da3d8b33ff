from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from make_agent_ros.control.clamp import MAX_DAMPING, MAX_STIFFNESS, clamp_command, is_finite
from make_agent_ros.go2.command import JointCommand
from make_agent_ros.go2.constants import (
    JOINT_LOWER_RAD,
    JOINT_UPPER_RAD,
    NOMINAL_JOINT_POS,
    TORQUE_LIMIT_NM,
)


def twelve(bound: float, low: float | None = None):
    lower = -bound if low is None else low
    return arrays(np.float64, 12, elements=st.floats(lower, bound))


commands = st.builds(
    JointCommand, twelve(10.0), twelve(40.0), twelve(500.0, -5.0), twelve(50.0, -5.0), twelve(100)
)


@settings(max_examples=500, deadline=None)
@given(commands, twelve(4.6), twelve(40.0))
def test_no_command_leaves_the_joint_or_torque_limits(command, q, dq):
    clamp_command(command, q, dq)
    torque = (
        command.torque
        + command.stiffness * (command.joint_pos - q)
        + command.damping * (command.joint_vel - dq)
    )
    assert (np.abs(torque) <= TORQUE_LIMIT_NM * (1.0 + 1e-9)).all()
    assert (command.joint_pos >= JOINT_LOWER_RAD).all()
    assert (command.joint_pos <= JOINT_UPPER_RAD).all()
    assert (command.stiffness >= 0.0).all()
    assert (command.stiffness <= MAX_STIFFNESS).all()
    assert (command.damping >= 0.0).all()
    assert (command.damping <= MAX_DAMPING).all()
    assert is_finite(command)


def test_a_command_within_the_limits_passes_unchanged():
    command = JointCommand(
        joint_pos=NOMINAL_JOINT_POS + 0.2,
        stiffness=np.full(12, 25.0),
        damping=np.full(12, 0.6),
    )
    moved = clamp_command(command, NOMINAL_JOINT_POS.copy(), np.full(12, 3.0))
    np.testing.assert_array_equal(command.joint_pos, NOMINAL_JOINT_POS + 0.2)
    np.testing.assert_array_equal(command.stiffness, 25.0)
    np.testing.assert_array_equal(moved, 0.0)


def test_a_far_target_is_moved_to_exactly_the_torque_limit():
    command = JointCommand(joint_pos=NOMINAL_JOINT_POS.copy(), stiffness=np.full(12, 60.0))
    q = NOMINAL_JOINT_POS.copy()
    q[1] -= 1.0
    moved = clamp_command(command, q, np.zeros(12))
    torque = command.stiffness[1] * (command.joint_pos[1] - q[1])
    np.testing.assert_allclose(torque, TORQUE_LIMIT_NM[1])
    np.testing.assert_allclose(moved[1], 1.0 - TORQUE_LIMIT_NM[1] / 60.0)


def test_limits_have_the_right_sign_at_every_joint():
    for target, expected in ((10.0, JOINT_UPPER_RAD), (-10.0, JOINT_LOWER_RAD)):
        command = JointCommand(joint_pos=np.full(12, target), stiffness=np.full(12, 1.0))
        clamp_command(command, expected.copy(), np.zeros(12))
        np.testing.assert_allclose(command.joint_pos, expected)


def test_nan_in_a_command_is_seen():
    for name in ('joint_pos', 'joint_vel', 'stiffness', 'damping', 'torque'):
        command = JointCommand()
        getattr(command, name)[7] = np.nan
        assert not is_finite(command)

"""The last gate before the wire: no command asks for more than the joints can or may do."""

from __future__ import annotations

import math

import numpy as np

from make_agent_ros.go2.command import JointCommand
from make_agent_ros.go2.constants import JOINT_LOWER_RAD, JOINT_UPPER_RAD, TORQUE_LIMIT_NM

MAX_STIFFNESS = 100.0
"""Highest kp that leaves the controller, N m/rad (fielded stacks use up to 80)."""
MAX_DAMPING = 10.0
"""Highest kd that leaves the controller, N m s/rad."""

_LOWEST = np.stack((JOINT_LOWER_RAD, np.zeros(12), np.zeros(12), -TORQUE_LIMIT_NM))
_HIGHEST = np.stack(
    (JOINT_UPPER_RAD, np.full(12, MAX_STIFFNESS), np.full(12, MAX_DAMPING), TORQUE_LIMIT_NM)
)
"""Bounds of the first four rows of `JointCommand.values`."""


def clamp_command(
    command: JointCommand, joint_pos: np.ndarray, joint_vel: np.ndarray
) -> np.ndarray:
    """Bound a command in place so that the torque it asks for now is within the limits.

    The motors compute tau + kp (q_t - q) + kd (dq_t - dq). Gains and targets are bounded first. If
    the sum still exceeds a limit, kd is lowered where tau + kd (dq_t - dq) alone does, then the
    target moves towards q until the sum fits. If q is so far outside the joint's range that this
    would take the target outside too, kp is lowered instead.

    Args:
        command: changed in place; every field has shape (12,) and is finite.
        joint_pos: measured angles, package order, rad, shape (12,).
        joint_vel: measured velocities, rad/s, shape (12,).

    Returns:
        How far each target was moved, rad, shape (12,); zero where nothing was clamped.
    """
    kp, kd, target, tau = command.stiffness, command.damping, command.joint_pos, command.torque
    asked = target.copy()
    bounded = command.values[:4]
    # np.clip takes five times as long on so few values.
    np.maximum(bounded, _LOWEST, out=bounded)
    np.minimum(bounded, _HIGHEST, out=bounded)
    slip = command.joint_vel - joint_vel
    error = target - joint_pos
    if (np.abs(kp * error + kd * slip + tau) > TORQUE_LIMIT_NM).any():
        _fit_torque(command, joint_pos, error, slip)
    moved: np.ndarray = np.abs(target - asked)
    return moved


def _fit_torque(
    command: JointCommand, joint_pos: np.ndarray, error: np.ndarray, slip: np.ndarray
) -> None:
    limit = TORQUE_LIMIT_NM
    kp, kd, target, tau = command.stiffness, command.damping, command.joint_pos, command.torque
    room = np.where(slip > 0.0, limit - tau, limit + tau)
    np.minimum(kd, room / np.maximum(np.abs(slip), 1e-9), out=kd)
    base = tau + kd * slip
    reach = np.maximum(np.where(error > 0.0, limit - base, limit + base), 0.0)
    excess = kp * np.abs(error) > reach
    closest = joint_pos + np.sign(error) * reach / np.maximum(kp, 1e-9)
    inside = (closest >= JOINT_LOWER_RAD) & (closest <= JOINT_UPPER_RAD)
    np.copyto(target, closest, where=excess & inside)
    softer = reach / np.maximum(np.abs(error), 1e-9)
    np.copyto(kp, softer, where=excess & ~inside)


def is_finite(command: JointCommand) -> bool:
    """Whether every number of the command is finite."""
    return math.isfinite(np.add.reduce(command.values, axis=None))

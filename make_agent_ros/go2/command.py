"""What the controller asks of the twelve motors, in package order and SI units."""

from __future__ import annotations

from typing import Final

import numpy as np

DAMPING_KD = 3.0
"""Velocity gain of the damping command, N m s/rad (fielded stacks use 2-5)."""


class JointCommand:
    """One low-level command: torque = tau + kp (q - q_measured) + kd (dq - dq_measured).

    Change the arrays in place; they are rows of one block, which the control loop treats as one.
    """

    __slots__ = ('damping', 'enabled', 'joint_pos', 'joint_vel', 'stiffness', 'torque', 'values')

    def __init__(
        self,
        joint_pos: np.ndarray | None = None,
        joint_vel: np.ndarray | None = None,
        stiffness: np.ndarray | None = None,
        damping: np.ndarray | None = None,
        torque: np.ndarray | None = None,
        enabled: bool = True,
    ) -> None:
        """Copy what is given, shape (12,) each; zero where nothing is."""
        self.values: Final = np.zeros((5, 12))
        """Target angles, kp, kd, feed-forward torques, target velocities, shape (5, 12)."""
        for row, given in zip(
            self.values, (joint_pos, stiffness, damping, torque, joint_vel), strict=True
        ):
            if given is not None:
                row[:] = given
        self.joint_pos: Final = self.values[0]
        """Target angles, package order, rad."""
        self.stiffness: Final = self.values[1]
        """kp, N m/rad."""
        self.damping: Final = self.values[2]
        """kd, N m s/rad."""
        self.torque: Final = self.values[3]
        """Feed-forward torque, N m."""
        self.joint_vel: Final = self.values[4]
        """Target velocities, rad/s."""
        self.enabled = enabled
        """Motor mode on the wire: 0x01 when enabled, 0x00 (motors off) when not."""

    def __deepcopy__(self, memo: dict[int, object]) -> JointCommand:
        """Copy the block; a copy of each row would not be a row of it."""
        copy = JointCommand(enabled=self.enabled)
        copy.values[:] = self.values
        return copy

    def __copy__(self) -> JointCommand:
        """Copy the block too: nobody wants to share half a command."""
        return self.__deepcopy__({})


def damping_command(kd: float = DAMPING_KD) -> JointCommand:
    """Return the command that lets the robot sink: kp 0, kd > 0, no target."""
    return JointCommand(damping=np.full(12, kd))

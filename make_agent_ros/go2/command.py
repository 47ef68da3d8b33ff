"""What the controller asks of the twelve motors, in package order and SI units."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

DAMPING_KD = 3.0
"""Velocity gain of the damping command, N m s/rad (fielded stacks use 2-5)."""


@dataclass
class JointCommand:
    """One low-level command: torque = tau + kp (q - q_measured) + kd (dq - dq_measured)."""

    joint_pos: np.ndarray = field(default_factory=lambda: np.zeros(12))
    """Target angles, package order, rad."""
    joint_vel: np.ndarray = field(default_factory=lambda: np.zeros(12))
    """Target velocities, rad/s."""
    stiffness: np.ndarray = field(default_factory=lambda: np.zeros(12))
    """kp, N m/rad."""
    damping: np.ndarray = field(default_factory=lambda: np.zeros(12))
    """kd, N m s/rad."""
    torque: np.ndarray = field(default_factory=lambda: np.zeros(12))
    """Feed-forward torque, N m."""
    enabled: bool = True
    """Motor mode on the wire: 0x01 when enabled, 0x00 (motors off) when not."""


def damping_command(kd: float = DAMPING_KD) -> JointCommand:
    """Return the command that lets the robot sink: kp 0, kd > 0, no target."""
    return JointCommand(damping=np.full(12, kd))

"""What the robot tells about itself, in package order and SI units."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class RobotState:
    """Proprioception at one instant, or of a batch with any leading shape (...,).

    Nothing here needs a simulator: every field is in the LowState message of a real Go2.
    """

    quat_wxyz: np.ndarray
    """Body attitude, body to world, w first, shape (..., 4)."""
    base_ang_vel: np.ndarray
    """Angular velocity in the body frame, rad/s, shape (..., 3)."""
    joint_pos: np.ndarray
    """Joint angles, package order, rad, shape (..., 12)."""
    joint_vel: np.ndarray
    """Joint velocities, package order, rad/s, shape (..., 12)."""
    stamp_s: float = 0.0
    """Monotonic receive time, s."""
    tick: int = 0
    """The robot's own counter, ms on a Go2; gaps tell lost samples."""
    base_lin_acc: np.ndarray = field(default_factory=lambda: np.zeros(3))
    """Accelerometer, body frame, m/s^2, shape (..., 3)."""
    joint_torque: np.ndarray = field(default_factory=lambda: np.zeros(12))
    """Estimated torque, package order, N m, shape (..., 12)."""
    motor_temperature_c: np.ndarray = field(default_factory=lambda: np.zeros(12))
    """Motor temperature, package order, deg C."""
    foot_force: np.ndarray = field(default_factory=lambda: np.zeros(4))
    """Raw foot sensors, package leg order, shape (4,)."""
    battery_soc: float = 100.0
    """State of charge, percent."""
    battery_v: float = 0.0
    """Pack voltage, V."""
    wireless_remote: bytes = b''
    """The remote's 40 bytes, empty where there is none."""


def projected_gravity(quat_wxyz: np.ndarray) -> np.ndarray:
    """Direction of gravity in the body frame, unit length.

    Args:
        quat_wxyz: body-to-world attitude, shape (..., 4).

    Returns:
        Shape (..., 3); (0, 0, -1) when level.
    """
    if np.ndim(quat_wxyz) == 1:  # one robot, in the control loop: plain floats are quicker
        w, x, y, z = np.asarray(quat_wxyz).tolist()
        return np.array(
            (2.0 * (w * y - x * z), -2.0 * (y * z + w * x), 2.0 * (x * x + y * y) - 1.0)
        )
    w, x, y, z = np.moveaxis(np.asarray(quat_wxyz), -1, 0)
    return np.stack(
        (2.0 * (w * y - x * z), -2.0 * (y * z + w * x), 2.0 * (x * x + y * y) - 1.0), axis=-1
    )


def roll_pitch(gravity_b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Roll and pitch from projected gravity (REP-103 signs), rad, each of shape (...)."""
    gx, gy, gz = np.moveaxis(np.asarray(gravity_b), -1, 0)
    return np.arctan2(-gy, -gz), np.arctan2(gx, np.hypot(gy, gz))


def yaw(quat_wxyz: np.ndarray) -> np.ndarray:
    """Heading from a body-to-world quaternion, rad, shape (...)."""
    w, x, y, z = np.moveaxis(np.asarray(quat_wxyz), -1, 0)
    return np.asarray(np.arctan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z)))

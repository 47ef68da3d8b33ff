"""Leg kinematics of the Go2, closed form and batched.

A leg is a hip (about x), a thigh and a calf (about y); positions are in the base frame with the
hip joint's origin subtracted, so that one formula serves four legs. Link lengths: `constants`.
"""

from __future__ import annotations

import numpy as np

from make_agent_ros.go2.constants import ABDUCTION_M, CALF_M, HIP_OFFSET_M, SIDE_SIGN, THIGH_M


def foot_positions(joint_pos: np.ndarray) -> np.ndarray:
    """Foot centres in the base frame.

    Args:
        joint_pos: package order, rad, shape (..., 12).

    Returns:
        Shape (..., 4, 3), m, legs in package order.
    """
    q = np.asarray(joint_pos).reshape(*np.shape(joint_pos)[:-1], 4, 3)
    hip, thigh, calf = q[..., 0], q[..., 1], q[..., 2]
    x = -THIGH_M * np.sin(thigh) - CALF_M * np.sin(thigh + calf)
    down = THIGH_M * np.cos(thigh) + CALF_M * np.cos(thigh + calf)
    side = SIDE_SIGN * ABDUCTION_M
    y = np.cos(hip) * side + np.sin(hip) * down
    z = np.sin(hip) * side - np.cos(hip) * down
    return np.asarray(np.stack((x, y, z), axis=-1) + HIP_OFFSET_M)


def joint_positions(foot_b: np.ndarray) -> np.ndarray:
    """Joint angles that put the feet at `foot_b`; out of reach, the nearest stretched leg.

    Args:
        foot_b: foot centres in the base frame, m, shape (..., 4, 3).

    Returns:
        Shape (..., 12), package order, rad, with the knee bent backwards (calf < 0).
    """
    p = np.asarray(foot_b) - HIP_OFFSET_M
    x, y, z = p[..., 0], p[..., 1], p[..., 2]
    side = SIDE_SIGN * ABDUCTION_M
    down = np.sqrt(np.maximum(y * y + z * z - ABDUCTION_M**2, 1e-6))
    hip = np.arctan2(y * down + z * side, y * side - z * down)
    reach2 = np.clip(x * x + down * down, 0.1**2, (0.99 * (THIGH_M + CALF_M)) ** 2)
    calf = -np.arccos(
        np.clip((reach2 - THIGH_M**2 - CALF_M**2) / (2.0 * THIGH_M * CALF_M), -1.0, 1.0)
    )
    knee = np.arctan2(CALF_M * np.sin(calf), THIGH_M + CALF_M * np.cos(calf))
    thigh = np.arctan2(-x, down) - knee
    return np.stack((hip, thigh, calf), axis=-1).reshape(*p.shape[:-2], 12)


def foot_jacobian(joint_pos: np.ndarray) -> np.ndarray:
    """Derivative of each foot's position by its own three joints.

    Args:
        joint_pos: package order, rad, shape (..., 12).

    Returns:
        Shape (..., 4, 3, 3): d(x, y, z) / d(hip, thigh, calf), m/rad.
    """
    q = np.asarray(joint_pos).reshape(*np.shape(joint_pos)[:-1], 4, 3)
    hip, thigh, calf = q[..., 0], q[..., 1], q[..., 2]
    s1, c1 = np.sin(hip), np.cos(hip)
    down = THIGH_M * np.cos(thigh) + CALF_M * np.cos(thigh + calf)
    dx_thigh, dx_calf = -down, -CALF_M * np.cos(thigh + calf)
    ddown_calf = -CALF_M * np.sin(thigh + calf)
    ddown_thigh = -THIGH_M * np.sin(thigh) + ddown_calf
    side = SIDE_SIGN * ABDUCTION_M
    zero = np.zeros_like(hip)
    return np.stack(
        (
            np.stack((zero, dx_thigh, dx_calf), axis=-1),
            np.stack((-s1 * side + c1 * down, s1 * ddown_thigh, s1 * ddown_calf), axis=-1),
            np.stack((c1 * side + s1 * down, -c1 * ddown_thigh, -c1 * ddown_calf), axis=-1),
        ),
        axis=-2,
    )

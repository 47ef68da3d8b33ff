"""Leg kinematics of the Go2, closed form and batched.

A leg is a hip (about x), a thigh and a calf (about y); positions are in the base frame with the
hip joint's origin subtracted, so that one formula serves four legs. Link lengths: `constants`.
"""

from __future__ import annotations

import numpy as np

from make_agent_ros.go2.constants import (
    ABDUCTION_M,
    CALF_M,
    FOOT_RADIUS_M,
    HIP_OFFSET_M,
    SIDE_SIGN,
    THIGH_M,
)


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


def level_velocities(
    joint_pos: np.ndarray,
    joint_vel: np.ndarray,
    base_ang_vel: np.ndarray,
    gravity_b: np.ndarray,
    foot_radius_m: float = FOOT_RADIUS_M,
) -> np.ndarray:
    """Velocity of the base that each foot would tell if it stood on the ground.

    The contact point is the lowest point of the foot sphere, which rolls: relative to the base it
    moves at v_i = J_i qd_i + omega x r_i + omega_calf x (R g), where g points down; a standing
    foot's does not move, so the base moves at -v_i.

    Args:
        joint_pos: package order, rad, shape (..., 12).
        joint_vel: rad/s, shape (..., 12).
        base_ang_vel: body frame, rad/s, shape (..., 3).
        gravity_b: projected gravity, shape (..., 3).
        foot_radius_m: radius of the sphere; 0 for a point.

    Returns:
        vx, vy in the level heading frame, m/s, shape (..., 4, 2).
    """
    lead = np.shape(joint_pos)[:-1]
    q, rate = np.reshape(joint_pos, (*lead, 4, 3)), np.reshape(joint_vel, (*lead, 4, 3))
    # Components, each (..., 4) or (..., 1): the control loop has no time for small products.
    thigh, knee = q[..., 1], q[..., 1] + q[..., 2]
    d_hip, d_thigh, d_knee = rate[..., 0], rate[..., 1], rate[..., 1] + rate[..., 2]
    sin_h, cos_h = np.sin(q[..., 0]), np.cos(q[..., 0])
    tx, tz = THIGH_M * np.sin(thigh), THIGH_M * np.cos(thigh)
    cx, cz = CALF_M * np.sin(knee), CALF_M * np.cos(knee)
    side, down = SIDE_SIGN * ABDUCTION_M, tz + cz
    y, z = cos_h * side + sin_h * down, sin_h * side - cos_h * down
    d_down = -(tx * d_thigh + cx * d_knee)
    px, py = HIP_OFFSET_M[:, 0] - tx - cx, HIP_OFFSET_M[:, 1] + y
    wx, wy, wz = (base_ang_vel[..., i : i + 1] for i in range(3))
    gx, gy, gz = (gravity_b[..., i : i + 1] for i in range(3))
    kx, ky, kz = wx + d_hip, wy + d_knee * cos_h, wz + d_knee * sin_h
    r = foot_radius_m
    vx = -(tz * d_thigh + cz * d_knee) + wy * z - wz * py + r * (ky * gz - kz * gy)
    vy = sin_h * d_down - d_hip * z + wz * px - wx * z + r * (kz * gx - kx * gz)
    vz = d_hip * y - cos_h * d_down + wx * py - wy * px + r * (kx * gy - ky * gx)
    fx, fy, fz = 1.0 - gx * gx, -gx * gy, -gx * gz
    scale = 1.0 / np.maximum(np.sqrt(fx * fx + fy * fy + fz * fz), 1e-6)
    forward = fx * vx + fy * vy + fz * vz
    left = (fy * gz - fz * gy) * vx + (fz * gx - fx * gz) * vy + (fx * gy - fy * gx) * vz
    return np.asarray(np.stack((forward, left), axis=-1) * -scale[..., None])

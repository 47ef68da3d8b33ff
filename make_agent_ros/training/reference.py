"""The scripted gait that the teacher corrects: foot paths from the style, joint angles by IK.

A residual on this reference is what makes a teacher trainable in minutes: open loop it already
trots for seconds, so exploration starts from walking.
"""

from __future__ import annotations

import numpy as np

from make_agent_ros.go2.constants import (
    FOOT_RADIUS_M,
    HIP_OFFSET_M,
    NOMINAL_JOINT_POS,
    POLICY_STIFFNESS,
    SIDE_SIGN,
)
from make_agent_ros.go2.kinematics import foot_jacobian, joint_positions
from make_agent_ros.training.behaviour import Styles, longest_stride_m, moving

GRAVITY_N = 15.02 * 9.81
MAX_FEED_FORWARD_RAD = 0.5


def foot_home(styles: Styles) -> np.ndarray:
    """Return where the feet stand in the level frame of the base, height apart, m, (n, 4, 3)."""
    home = np.zeros((len(styles), 4, 3))
    home[..., 0] = HIP_OFFSET_M[:, 0]
    home[..., 1] = SIDE_SIGN * styles.stance_width_m[:, None] / 2
    return home


def pitched(vectors: np.ndarray, pitch_rad: np.ndarray) -> np.ndarray:
    """Express vectors (n, k, 3) of the level frame in base frames that pitch by (n,)."""
    c, s = np.cos(pitch_rad)[:, None], np.sin(pitch_rad)[:, None]
    x, y, z = np.moveaxis(vectors, -1, 0)
    return np.stack((c * x - s * z, y, s * x + c * z), axis=-1)


def leg_phases(styles: Styles, cycles: np.ndarray) -> np.ndarray:
    """Return each leg's phase in [0, 1), shape (n, 4), at `cycles` = f t, shape (n,)."""
    return (cycles[:, None] + styles.offsets) % 1.0


def stance(styles: Styles, cycles: np.ndarray, command: np.ndarray) -> np.ndarray:
    """Return which feet the style wants on the ground, bool, shape (n, 4)."""
    on_ground = leg_phases(styles, cycles) < styles.duty
    return on_ground | (moving(command) < 0.5)[:, None]


def swing_height(styles: Styles, cycles: np.ndarray, command: np.ndarray) -> np.ndarray:
    """Return how high each foot should be above the ground, m, shape (n, 4)."""
    phase, duty = leg_phases(styles, cycles), styles.duty
    s = np.clip((phase - duty) / (1.0 - duty), 0.0, 1.0)
    amount = styles.swing_height_m * moving(command)[:, None]
    return amount * 0.5 * (1.0 - np.cos(2.0 * np.pi * s))


def reference_joint_pos(styles: Styles, cycles: np.ndarray, command: np.ndarray) -> np.ndarray:
    """Return joint targets of the scripted gait with gravity feed-forward.

    Args:
        styles: n styles.
        cycles: gait cycles since the start, f t, shape (n,).
        command: vx, vy, wz, shape (n, 3).

    Returns:
        Joint targets, package order, rad, shape (n, 12).
    """
    phase, duty = leg_phases(styles, cycles), styles.duty
    on_ground = phase < duty
    along = np.where(
        on_ground,
        0.5 - phase / duty,
        -0.5 * np.cos(np.pi * np.clip((phase - duty) / (1.0 - duty), 0.0, 1.0)),
    )
    fade = moving(command)
    foot = foot_home(styles)
    velocity = command[:, None, :2] + command[:, 2, None, None] * np.stack(
        (-foot[..., 1], foot[..., 0]), axis=-1
    )
    stride = velocity * (duty * (fade / styles.frequency_hz)[:, None])[..., None]
    length = np.linalg.norm(stride, axis=-1, keepdims=True)
    longest = longest_stride_m(styles)[:, None, None]
    stride *= np.minimum(1.0, longest / np.maximum(length, 1e-6))
    foot[..., :2] += stride * along[..., None]
    foot[..., 2] = -(styles.body_height_m[:, None] - FOOT_RADIUS_M)
    foot[..., 2] += swing_height(styles, cycles, command)
    joint_pos = joint_positions(pitched(foot, styles.pitch_rad))
    # A leg that stands for a shorter time carries less: one impulse per second of stance.
    load_walk = np.where(on_ground, np.pi / 2 * np.sin(np.pi * phase / duty), 0.0)
    load_walk /= duty.mean(axis=1, keepdims=True)
    load = fade[:, None] * load_walk + (1.0 - fade[:, None])
    force = GRAVITY_N / 4 * load
    torque = -foot_jacobian(joint_pos)[..., 2, :] * force[..., None]
    feed_forward = np.clip(torque / POLICY_STIFFNESS, -MAX_FEED_FORWARD_RAD, MAX_FEED_FORWARD_RAD)
    return joint_pos + feed_forward.reshape(-1, 12)


def reference_action(joint_pos: np.ndarray, action_scale: float) -> np.ndarray:
    """Return the raw action whose target is `joint_pos`."""
    return (joint_pos - NOMINAL_JOINT_POS) / action_scale

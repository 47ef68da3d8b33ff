"""Figures of merit of walking robots: batched, numpy only, one formula each.

The Isaac Gym runner imports this file in Python 3.8: nothing newer is used here.
All arrays have leading shape (...), then time T where they have one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

VELOCITY_WINDOW_S = 0.5
"""Velocity is judged on means over this time: a trunk bobs at every step, a walk does not."""
GRAVITY_M_S2 = 9.81
NEAR_LIMIT = 0.98
"""Torque above this share of the limit counts as saturated."""
NEAR_LIMIT_RAD = 0.02
"""A joint closer than this to its limit counts as on it."""
RECOVERED_M_S = 0.25
RECOVERED_TILT_RAD = 0.35
STYLE_TOLERANCE = {
    'frequency_rel': 0.10,
    'phase_cycles': 0.10,
    'duty': 0.12,
    'height_m': 0.025,
    'swing_m': 0.025,
    'pitch_rad': 0.08,
}
"""Distance to the prompt on each axis up to which a style counts as reproduced."""


def window_means(values: np.ndarray, dt_s: float, window_s: float) -> np.ndarray:
    """Means over consecutive windows; an incomplete last one is dropped.

    Args:
        values: shape (..., T, C).
        dt_s: spacing of the samples.
        window_s: length of a window.

    Returns:
        Shape (..., T // n, C) with n samples per window.
    """
    values = np.asarray(values)
    n = max(1, round(window_s / dt_s))
    count = values.shape[-2] // n
    kept = values[..., : count * n, :]
    return kept.reshape(*values.shape[:-2], count, n, values.shape[-1]).mean(axis=-2)


def velocity_rmse(
    planar_velocity: np.ndarray,
    command: np.ndarray,
    dt_s: float,
    *,
    steps_alive: np.ndarray | None = None,
    skip_s: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Root of the mean squared error of windowed velocity against the windowed command.

    Args:
        planar_velocity: vx, vy in the heading frame (m/s) and yaw rate (rad/s), (..., T, 3).
        command: the same quantities asked for, (..., T, 3).
        dt_s: control period.
        steps_alive: control steps before a fall, (...); all when omitted. Windows that reach
            into the fall do not count.
        skip_s: time at the start that does not count.

    Returns:
        Planar RMSE in m/s and yaw-rate RMSE in rad/s, each (...); NaN without a whole window.
    """
    skip = round(skip_s / dt_s)
    n = max(1, round(VELOCITY_WINDOW_S / dt_s))
    error = window_means(planar_velocity[..., skip:, :] - command[..., skip:, :], dt_s,
                         VELOCITY_WINDOW_S)  # fmt: skip
    weight = np.ones(error.shape[:-1])
    if steps_alive is not None:
        ends = skip + n * (1 + np.arange(error.shape[-2]))
        weight = (ends <= np.asarray(steps_alive)[..., None]).astype(float)
    count = weight.sum(axis=-1)
    with np.errstate(invalid='ignore', divide='ignore'):
        planar = np.sqrt(((error[..., :2] ** 2).sum(axis=-1) * weight).sum(axis=-1) / count)
        turn = np.sqrt((error[..., 2] ** 2 * weight).sum(axis=-1) / count)
    return planar, turn


def heading_velocity(quat_wxyz: np.ndarray, lin_vel_w: np.ndarray) -> np.ndarray:
    """Planar velocity in the heading frame from a world velocity, m/s, shape (..., 2)."""
    w, x, y, z = (quat_wxyz[..., i] for i in range(4))  # np.moveaxis takes longer than the sum
    angle = np.arctan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))
    c, s = np.cos(angle), np.sin(angle)
    vx, vy = lin_vel_w[..., 0], lin_vel_w[..., 1]
    return np.stack((c * vx + s * vy, c * vy - s * vx), axis=-1)


def torque_saturation(torque: np.ndarray, limit: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Share of samples and joints at the torque limit.

    Args:
        torque: N m, (..., T, 12).
        limit: N m, (12,), or (..., 1, 12) where it differs from robot to robot.
        mask: samples that count, bool, (..., T).
    """
    at_limit = (np.abs(torque) >= NEAR_LIMIT * limit).mean(axis=-1)
    return masked_mean(at_limit, mask)


def joint_limit_share(
    joint_pos: np.ndarray, lower: np.ndarray, upper: np.ndarray, mask: np.ndarray
) -> np.ndarray:
    """Share of samples in which any joint is on or beyond its limit.

    Args:
        joint_pos: rad, (..., T, 12).
        lower: rad, (12,).
        upper: rad, (12,).
        mask: samples that count, bool, (..., T).
    """
    near = (joint_pos < lower + NEAR_LIMIT_RAD) | (joint_pos > upper - NEAR_LIMIT_RAD)
    return masked_mean(near.any(axis=-1).astype(float), mask)


def cost_of_transport(
    torque: np.ndarray,
    joint_vel: np.ndarray,
    base_position: np.ndarray,
    mass_kg: np.ndarray,
    dt_s: float,
    mask: np.ndarray,
) -> np.ndarray:
    """Mechanical energy sum |torque x velocity| dt over m g d, as in Seok et al. (2013).

    Args:
        torque: N m, (..., T, 12).
        joint_vel: rad/s, (..., T, 12).
        base_position: world, m, (..., T, 3).
        mass_kg: of the robot with its load, (...).
        dt_s: control period.
        mask: samples that count, bool, (..., T); one run of True.

    Returns:
        Shape (...); NaN where the robot travelled under 0.3 m.
    """
    power = np.abs(torque * joint_vel).sum(axis=-1)
    energy = (power * mask).sum(axis=-1) * dt_s
    # path length of the smoothed track: a trunk that sways does not travel
    track = window_means(base_position[..., :2], dt_s, VELOCITY_WINDOW_S)
    n = max(1, round(VELOCITY_WINDOW_S / dt_s))
    legs = np.linalg.norm(np.diff(track, axis=-2), axis=-1)
    whole = mask[..., : track.shape[-2] * n].reshape(*mask.shape[:-1], -1, n).all(axis=-1)
    distance = (legs * (whole[..., 1:] & whole[..., :-1])).sum(axis=-1)
    samples = np.maximum((whole[..., 1:] & whole[..., :-1]).sum(axis=-1) * n, 1)
    distance = distance * mask.sum(axis=-1) / samples  # energy counts windows that are cut off
    with np.errstate(invalid='ignore', divide='ignore'):
        cost = energy / (mass_kg * GRAVITY_M_S2 * distance)
    return np.where(distance >= 0.3, cost, np.nan)


def action_roughness(target: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Root mean square of the second difference of joint targets, rad per step squared.

    Args:
        target: joint targets, rad, (..., T, 12).
        mask: samples that count, bool, (..., T).
    """
    second = target[..., 2:, :] - 2.0 * target[..., 1:-1, :] + target[..., :-2, :]
    return np.sqrt(masked_mean((second**2).mean(axis=-1), mask[..., 2:]))


def recovery_time(
    velocity_error: np.ndarray, tilt_rad: np.ndarray, push_step: int, dt_s: float
) -> np.ndarray:
    """Time from a push until velocity and attitude are back and stay back.

    Args:
        velocity_error: norm of the smoothed planar velocity error, m/s, (..., T).
        tilt_rad: angle between the trunk's and the world's vertical, (..., T).
        push_step: control step of the push.
        dt_s: control period.

    Returns:
        Shape (...), s; the time left after the push where it never came back.
    """
    off = (velocity_error > RECOVERED_M_S) | (tilt_rad > RECOVERED_TILT_RAD)
    after = off[..., push_step:]
    last = after.shape[-1] - np.argmax(after[..., ::-1], axis=-1)
    return np.where(after.any(axis=-1), last, 0) * dt_s


def masked_mean(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Mean over the last axis of the samples in `mask`; NaN where there are none."""
    count = mask.sum(axis=-1)
    with np.errstate(invalid='ignore', divide='ignore'):
        return np.where(mask, values, 0.0).sum(axis=-1) / count


def wilson_interval(hits: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a share from `hits` of `count` (Wilson 1927)."""
    if count == 0:
        return 0.0, 1.0
    p = hits / count
    centre = p + z * z / (2 * count)
    spread = z * float(np.sqrt(p * (1 - p) / count + z * z / (4 * count * count)))
    scale = 1 + z * z / count
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def bootstrap_interval(
    values: np.ndarray,
    seed: int = 0,
    resamples: int = 1000,
    centre: Callable[..., np.ndarray] = np.mean,
) -> tuple[float, float, float]:
    """Mean (or another centre) and its 95 % interval by resampling; NaN entries are left out.

    Args:
        values: one per trial, (N,).
        seed: of the resampling.
        resamples: number of resamples.
        centre: `np.mean` or `np.median`.

    Returns:
        centre, low, high; all NaN when nothing is left.
    """
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return float('nan'), float('nan'), float('nan')
    rng = np.random.default_rng(seed)
    drawn = centre(values[rng.integers(0, len(values), (resamples, len(values)))], axis=1)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(centre(values)), float(low), float(high)

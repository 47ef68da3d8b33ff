"""How fast a robot moved, from its legs and its gyroscope alone.

A foot on the ground stands still, so the base moves against it (`go2.kinematics`). Feet count
while they carry load (leg torques through the Jacobian, where torques are known) and while they
are in the middle of stance. Turn rate: the gyroscope about the vertical.

Bloesch et al., "State Estimation for Legged Robots" (RSS 2012), filter the same measurement with
an IMU; for the mean velocity of a few seconds of steady walking the mean over stances does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from make_agent_ros.go2.constants import FOOT_RADIUS_M
from make_agent_ros.go2.kinematics import foot_positions, level_velocities
from make_agent_ros.go2.state import projected_gravity
from make_agent_ros.recording.loads import foot_load
from make_agent_ros.recording.trajectory import Trajectory

LOAD_N = 25.0
"""Upward force from which a foot counts half: a sixth of the robot's weight."""
FLOOR_STD = np.array([0.035, 0.012, 0.015])
"""Error that averaging does not remove (slip, compliance, gyroscope bias), m/s and rad/s."""
SCATTER_SHARE = np.array([1.0, 0.5, 0.5])
"""How much of the scatter over legs and time is error of the mean; the sway of a steady gait
scatters too, and averages out. Both were set on walks of training behaviours, with `bench
prompts` telling how often the truth lies within one and two standard errors."""
RATE_SPAN_S = 0.04
"""Joint rates are differences of angles over this time: less noise than measured velocities."""
PARTS = 4


@dataclass(frozen=True)
class Velocity:
    """Mean velocity over windows; fields have leading shape (...)."""

    mean: np.ndarray
    """vx, vy in the level heading frame, m/s, and turn rate, rad/s, shape (..., 3)."""
    std: np.ndarray
    """Standard error of `mean`, shape (..., 3)."""
    support: np.ndarray
    """Share of samples with at least one foot that counted, shape (...)."""


def estimate_velocity(trajectory: Trajectory) -> Velocity:
    """Return the mean velocity of a recording, e.g. of a prompt."""
    return base_velocity(
        trajectory.joint_pos,
        trajectory.joint_vel,
        trajectory.base_ang_vel,
        projected_gravity(trajectory.quat_wxyz),
        joint_torque=trajectory.joint_torque if trajectory.joint_torque.any() else None,
        rate_hz=trajectory.rate_hz,
    )


def base_velocity(
    joint_pos: np.ndarray,
    joint_vel: np.ndarray,
    base_ang_vel: np.ndarray,
    gravity_b: np.ndarray,
    *,
    joint_torque: np.ndarray | None = None,
    contact: np.ndarray | None = None,
    foot_radius_m: float = FOOT_RADIUS_M,
    rate_hz: float | None = None,
) -> Velocity:
    """Return the mean velocity of windows of motion, at any uniform rate.

    Args:
        joint_pos: package order, rad, shape (..., T, 12).
        joint_vel: rad/s, shape (..., T, 12).
        base_ang_vel: body frame, rad/s, shape (..., T, 3).
        gravity_b: projected gravity, shape (..., T, 3).
        joint_torque: measured or estimated, N m, shape (..., T, 12); tells which feet carry load.
        contact: bool, shape (..., T, 4), where it is known; wins over `joint_torque`. Without
            both, the feet that are lowest and agree with each other count.
        foot_radius_m: radius of the sphere that rolls on the ground; 0 for a point.
        rate_hz: samples per second; with it the angles are differentiated, and the measured joint
            velocities, which are noisier, are left alone.
    """
    if rate_hz and joint_pos.shape[-2] > 2:
        joint_vel = joint_rates(joint_pos, rate_hz)
    level = level_velocities(joint_pos, joint_vel, base_ang_vel, gravity_b, foot_radius_m)
    if contact is not None:
        weight = np.asarray(contact, dtype=np.float64)
    elif joint_torque is not None:
        weight = 1.0 / (
            1.0 + np.exp((LOAD_N - foot_load(joint_pos, joint_torque, gravity_b)) / 5.0)
        )
    else:
        weight = _lowest_feet(joint_pos, gravity_b)
    weight = weight * _inner(weight)
    weight = weight * _agreement(level, weight)
    turn = -(base_ang_vel * gravity_b).sum(axis=-1)
    return _average(level, weight, turn)


def joint_rates(joint_pos: np.ndarray, rate_hz: float) -> np.ndarray:
    """Return the rates of joint angles (..., T, 12) at a uniform rate, over `RATE_SPAN_S`."""
    steps = joint_pos.shape[-2]
    reach = max(1, round(0.5 * RATE_SPAN_S * rate_hz))
    before = np.maximum(np.arange(steps) - reach, 0)
    after = np.minimum(np.arange(steps) + reach, steps - 1)
    moved = joint_pos[..., after, :] - joint_pos[..., before, :]
    return np.asarray(moved * (rate_hz / (after - before))[:, None])


def _lowest_feet(joint_pos: np.ndarray, gravity_b: np.ndarray) -> np.ndarray:
    depth = np.einsum('...fi,...i->...f', foot_positions(joint_pos), gravity_b)
    return np.asarray(np.exp(-(depth.max(axis=-1, keepdims=True) - depth) / 0.01))


def _inner(weight: np.ndarray) -> np.ndarray:
    """Less for samples beside a touch-down or lift-off: their neighbours carry no load."""
    before, after = np.roll(weight, 1, axis=-2), np.roll(weight, -1, axis=-2)
    return np.asarray(np.minimum(before, after))


def _agreement(level: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Less for feet that tell another velocity than the window's weighted median."""
    flat = level.reshape(*level.shape[:-3], -1, 2)
    w = weight.reshape(*weight.shape[:-2], -1)
    order = np.argsort(flat, axis=-2)
    ranked = np.take_along_axis(np.broadcast_to(w[..., None], flat.shape), order, axis=-2)
    share = np.cumsum(ranked, axis=-2) / np.maximum(ranked.sum(axis=-2, keepdims=True), 1e-9)
    at = np.argmax(share >= 0.5, axis=-2)[..., None, :]
    centre = np.take_along_axis(np.take_along_axis(flat, order, axis=-2), at, axis=-2)
    off = np.linalg.norm(level - centre[..., None, :, :], axis=-1)
    return np.asarray(1.0 / (1.0 + (off / 0.4) ** 2))


def _average(level: np.ndarray, weight: np.ndarray, turn: np.ndarray) -> Velocity:
    """Weighted means and their standard errors from the scatter over legs and over time."""
    weighted = level * weight[..., None]
    total = weight.sum(axis=(-2, -1))
    mean = weighted.sum(axis=(-3, -2)) / np.maximum(total, 1e-9)[..., None]
    of_legs = weighted.sum(axis=-3) / np.maximum(weight.sum(axis=-2), 1e-9)[..., None]
    cuts = np.array_split(np.arange(level.shape[-3]), PARTS)
    of_parts = np.stack(
        [
            weighted[..., ids, :, :].sum(axis=(-3, -2))
            / np.maximum(weight[..., ids, :].sum(axis=(-2, -1)), 1e-9)[..., None]
            for ids in cuts
        ],
        axis=-2,
    )
    variance = of_legs.var(axis=-2) / 4.0 + of_parts.var(axis=-2) / PARTS
    turns = np.stack([turn[..., ids].mean(axis=-1) for ids in cuts], axis=-1)
    variance = np.concatenate((variance, turns.var(axis=-1, keepdims=True) / PARTS), axis=-1)
    return Velocity(
        mean=np.concatenate((mean, turn.mean(axis=-1)[..., None]), axis=-1),
        std=np.sqrt(SCATTER_SHARE**2 * variance + FLOOR_STD**2),
        support=(weight.max(axis=-1) > 0.3).mean(axis=-1),
    )

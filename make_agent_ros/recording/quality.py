"""How good a recording is as a prompt: length, holes, rate, saturation, posture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from make_agent_ros.go2.constants import JOINT_LOWER_RAD, JOINT_UPPER_RAD, TORQUE_LIMIT_NM
from make_agent_ros.go2.state import projected_gravity
from make_agent_ros.recording.resample import finite_rows
from make_agent_ros.recording.timebase import MAX_GAP_S
from make_agent_ros.recording.trajectory import Trajectory


@dataclass(frozen=True)
class Quality:
    """Figures of one recording."""

    duration_s: float
    samples: int
    rate_hz: float
    jitter_s: float
    """99th percentile of the deviation of the sample spacing from its median."""
    gaps: int
    """Holes longer than interpolation may bridge."""
    longest_gap_s: float
    unusable: int
    """Samples with NaN, Inf or no attitude."""
    torque_saturation: float
    """Share of samples with a joint within 2 % of its torque limit."""
    joint_limit: float
    """Share of samples with a joint within 0.02 rad of its end stop."""
    largest_tilt_rad: float


def measure_quality(trajectory: Trajectory) -> Quality:
    """Return the figures of a recording; one without samples gives zeros."""
    if len(trajectory) < 2:
        return Quality(0.0, len(trajectory), 0.0, 0.0, 0, 0.0, 0, 0.0, 0.0, 0.0)
    fine = finite_rows(trajectory)
    good = trajectory.rows(np.flatnonzero(fine))
    step = np.diff(good.time_s) if len(good) > 1 else np.zeros(1)
    tilt = np.arccos(np.clip(-projected_gravity(good.quat_wxyz)[:, 2], -1.0, 1.0))
    full = (np.abs(good.joint_torque) > 0.98 * TORQUE_LIMIT_NM).any(axis=1)
    low, high = JOINT_LOWER_RAD + 0.02, JOINT_UPPER_RAD - 0.02
    stopped = ((good.joint_pos < low) | (good.joint_pos > high)).any(axis=1)
    return Quality(
        duration_s=trajectory.duration_s,
        samples=len(trajectory),
        rate_hz=trajectory.rate_hz,
        jitter_s=float(np.percentile(np.abs(step - np.median(step)), 99)),
        gaps=int((step > MAX_GAP_S).sum()),
        longest_gap_s=float(step.max()),
        unusable=int((~fine).sum()),
        torque_saturation=float(full.mean()) if len(good) else 0.0,
        joint_limit=float(stopped.mean()) if len(good) else 0.0,
        largest_tilt_rad=float(tilt.max()) if len(good) else 0.0,
    )

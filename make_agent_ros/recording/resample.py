"""Samples at uniform times: what a policy at 50 Hz would have seen."""

from __future__ import annotations

import numpy as np

from make_agent_ros.recording.errors import RecordingError
from make_agent_ros.recording.timebase import MAX_GAP_S
from make_agent_ros.recording.trajectory import COLUMNS, Trajectory

LARGEST = 1e6
"""Numbers beyond it are garbage: no time, angle, speed, torque or raw force reaches it."""
_LINEAR = tuple(name for name in COLUMNS if name not in ('time_s', 'quat_wxyz'))


def finite_rows(trajectory: Trajectory) -> np.ndarray:
    """Return which samples hold only plausible numbers and an attitude, bool, (T,)."""
    fine = np.linalg.norm(trajectory.quat_wxyz, axis=1) > 0.5
    for name in COLUMNS:
        values = getattr(trajectory, name).reshape(len(trajectory), -1)
        # NaN fails the comparison too
        fine &= (np.abs(values) < LARGEST).all(axis=1)
    return np.asarray(fine)


def split_at_gaps(trajectory: Trajectory, max_gap_s: float = MAX_GAP_S) -> list[Trajectory]:
    """Return the pieces without unusable samples and without holes over `max_gap_s`."""
    good = trajectory.rows(np.flatnonzero(finite_rows(trajectory)))
    cuts = np.flatnonzero(np.diff(good.time_s) > max_gap_s) + 1
    edges = [0, *cuts.tolist(), len(good)]
    # no itertools.pairwise: Isaac Gym's interpreter, which imports this, is Python 3.8
    ends = edges[1:]
    return [good.rows(slice(a, ends[i])) for i, a in enumerate(edges[:-1]) if ends[i] > a]


def resample(
    trajectory: Trajectory, rate_hz: float = 50.0, max_gap_s: float = MAX_GAP_S
) -> Trajectory:
    """Interpolate to uniform times that begin at the first sample.

    Values are interpolated between neighbouring samples, not averaged: a policy that runs at
    `rate_hz` sees single samples, noise included. Stamps may jitter but must increase.

    Args:
        trajectory: samples at any times.
        rate_hz: samples per second wanted.
        max_gap_s: longest hole that is bridged.

    Raises:
        RecordingError: fewer than two samples, NaN, times that do not increase, or a longer hole.
    """
    if len(trajectory) < 2:
        raise RecordingError(
            f'{_name(trajectory)}: {len(trajectory)} samples; nothing to resample'
        )
    time_s = trajectory.time_s
    bad = ~finite_rows(trajectory)
    if bad.any():
        raise RecordingError(
            f'{_name(trajectory)}: {int(bad.sum())} of {len(trajectory)} samples hold NaN, Inf or '
            f'no attitude, the first at {time_s[np.argmax(bad)]:.2f} s; cut them out'
        )
    step = np.diff(time_s)
    if (step <= 0).any():
        raise RecordingError(
            f'{_name(trajectory)}: times do not increase at {time_s[np.argmin(step)]:.3f} s'
        )
    worst = int(np.argmax(step))
    if step[worst] > max_gap_s:
        raise RecordingError(
            f'{_name(trajectory)}: a gap of {step[worst]:.2f} s at {time_s[worst]:.2f} s; '
            f'at most {max_gap_s:g} s can be bridged. Use a part without gaps'
        )
    count = int(np.floor((time_s[-1] - time_s[0]) * rate_hz + 1e-6)) + 1
    grid = time_s[0] + np.arange(count) / rate_hz
    above = np.clip(np.searchsorted(time_s, grid, side='right'), 1, len(time_s) - 1)
    below = above - 1
    part = np.clip((grid - time_s[below]) / step[below], 0.0, 1.0)[:, None]
    columns = {
        name: (1.0 - part) * getattr(trajectory, name)[below]
        + part * getattr(trajectory, name)[above]
        for name in _LINEAR
    }
    a, b = trajectory.quat_wxyz[below], trajectory.quat_wxyz[above]
    # q and -q are one attitude; between neighbours 2 ms apart a straight line is an arc
    b = b * np.where((a * b).sum(axis=1, keepdims=True) < 0.0, -1.0, 1.0)
    quat = (1.0 - part) * a + part * b
    quat /= np.linalg.norm(quat, axis=1, keepdims=True)
    return Trajectory(time_s=grid, quat_wxyz=quat, source=trajectory.source, **columns)


def _name(trajectory: Trajectory) -> str:
    return trajectory.source or 'trajectory'

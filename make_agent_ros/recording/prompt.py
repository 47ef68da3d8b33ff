"""Where in a recording the robot moves steadily, and the few seconds of it that make a prompt."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from make_agent_ros.go2.state import projected_gravity
from make_agent_ros.recording.errors import RecordingError
from make_agent_ros.recording.gait import (
    MIN_WINDOW_S,
    Gait,
    describe_gait,
    gait_distance,
    level_feet,
)
from make_agent_ros.recording.loads import known_contact
from make_agent_ros.recording.odometry import base_velocity
from make_agent_ros.recording.resample import finite_rows, resample, split_at_gaps
from make_agent_ros.recording.timebase import MAX_GAP_S
from make_agent_ros.recording.trajectory import Trajectory

PROMPT_RATE_HZ = 50.0
WINDOW_S = 2.0
"""Steadiness is judged in windows of this length, three cycles of the slowest gait, or of that of
the prompt where it is shorter."""
HOP_S = 0.2
MIN_PERIODICITY = 0.6
"""Below it, motion does not repeat: starting, stopping, stumbling, hand-guided legs."""
MAX_TILT_RAD = 0.8
STANDING_M = 0.008
"""Feet that move less than this (rms) relative to the base belong to a robot that stands."""
SAME_GAIT = {'frequency_rel': 0.08, 'phase_cycles': 0.12, 'height_m': 0.03, 'swing_m': 0.03}
"""How much neighbouring windows of one steady segment may differ."""


@dataclass(frozen=True)
class Segment:
    """A stretch of steady motion; times are the recording's."""

    start_s: float
    end_s: float
    gait: Gait
    """Median over the windows of the segment (phases: circular mean); fields without batch."""
    velocity: np.ndarray
    """Median of vx, vy (m/s) and turn rate (rad/s) by odometry, shape (3,)."""
    frequency_spread: float
    """Standard deviation of the step frequency over the windows, relative to its mean."""

    @property
    def duration_s(self) -> float:
        """Length, s."""
        return self.end_s - self.start_s


@dataclass(frozen=True)
class _Windows:
    """Gait of every window of one gap-free piece at 50 Hz."""

    piece: Trajectory
    length_s: float
    """Of each window."""
    start: np.ndarray
    """First sample of each window, (W,)."""
    gait: Gait
    velocity: np.ndarray
    """vx, vy (m/s) and turn rate (rad/s) by odometry, (W, 3)."""
    tilt: np.ndarray
    """Largest tilt in each window, rad, (W,)."""
    motion: np.ndarray
    """Root mean square motion of the feet about their mean, m, (W,)."""

    @property
    def steady(self) -> np.ndarray:
        """Which windows show upright, repeating motion, (W,)."""
        moves = (self.tilt < MAX_TILT_RAD) & (self.motion > STANDING_M)
        return np.asarray(moves & (self.gait.periodicity >= MIN_PERIODICITY))


def find_segments(trajectory: Trajectory) -> list[Segment]:
    """Return the steady segments of at least 2 s, in order of time.

    Within a segment the robot is upright, its motion repeats, and neighbouring windows show the
    same gait. Samples with NaN and holes in the recording end a segment.
    """
    found = []
    for windows in _all_windows(trajectory):
        for low, high in _runs(windows):
            found.append(_segment(windows, low, high))
    return found


def cut_prompt(trajectory: Trajectory, duration_s: float = 4.0) -> Trajectory:
    """Return the steadiest `duration_s` seconds at 50 Hz; times stay the recording's.

    Args:
        trajectory: a recording at any rate, at least `duration_s` long.
        duration_s: length of the prompt, at least 1 s.

    Raises:
        RecordingError: no steady stretch that long; the message says what the recording shows
            instead (too short, gaps, NaN, standing still, falling, unsteady motion).
    """
    if not MIN_WINDOW_S <= duration_s < np.inf:
        raise RecordingError(f'a prompt of {duration_s:g} s; it takes at least {MIN_WINDOW_S:g} s')
    size = round(duration_s * PROMPT_RATE_HZ)
    window_s = min(WINDOW_S, duration_s)
    best: tuple[float, Trajectory, int] | None = None
    everything = _all_windows(trajectory, window_s)
    for windows in everything:
        width = round((duration_s - window_s) / HOP_S) + 1
        for low, high in _runs(windows):
            for first in range(low, high - width + 2):
                start = int(windows.start[first])
                if start + size > len(windows.piece):
                    continue
                span = slice(first, first + width)
                score = _steadiness(windows.gait[span], windows.velocity[span])
                if best is None or score > best[0]:
                    best = score, windows.piece, start
    if best is None:
        raise RecordingError(_why_not(trajectory, everything, duration_s))
    _, piece, start = best
    return piece.rows(slice(start, start + size))


def _all_windows(trajectory: Trajectory, window_s: float = WINDOW_S) -> list[_Windows]:
    size, hop = round(window_s * PROMPT_RATE_HZ), round(HOP_S * PROMPT_RATE_HZ)
    found = []
    for raw in split_at_gaps(trajectory):
        if len(raw) < 2 or raw.duration_s < window_s - 0.5 / PROMPT_RATE_HZ:
            continue
        piece = resample(raw, PROMPT_RATE_HZ)
        if len(piece) < size:
            continue
        start = np.arange(0, len(piece) - size + 1, hop)
        ids = start[:, None] + np.arange(size)
        gravity = projected_gravity(piece.quat_wxyz)
        contact = known_contact(piece)
        tilt = np.arccos(np.clip(-gravity[:, 2], -1.0, 1.0))
        feet = np.stack(level_feet(piece.joint_pos, gravity), axis=-1)[ids]
        spread = feet - feet.mean(axis=1, keepdims=True)
        found.append(
            _Windows(
                piece=piece,
                length_s=window_s,
                start=start,
                gait=describe_gait(
                    piece.joint_pos[ids],
                    gravity[ids],
                    PROMPT_RATE_HZ,
                    contact=None if contact is None else contact[ids],
                ),
                velocity=_velocities(piece, gravity, ids),
                tilt=tilt[ids].max(axis=1),
                motion=np.sqrt((spread**2).sum(axis=-1).mean(axis=(1, 2))),
            )
        )
    return found


def _velocities(piece: Trajectory, gravity: np.ndarray, ids: np.ndarray) -> np.ndarray:
    torque = piece.joint_torque[ids] if piece.joint_torque.any() else None
    return base_velocity(
        piece.joint_pos[ids],
        piece.joint_vel[ids],
        piece.base_ang_vel[ids],
        gravity[ids],
        joint_torque=torque,
        rate_hz=PROMPT_RATE_HZ,
    ).mean


def _runs(windows: _Windows) -> list[tuple[int, int]]:
    """Return (first, last) window of each run of steady windows that show one gait."""
    steady = windows.steady
    step = gait_distance(windows.gait[1:], windows.gait[:-1])
    same = np.ones(max(len(steady) - 1, 0), dtype=bool)
    for name, most in SAME_GAIT.items():
        same &= step[name] < most
    linked = steady[1:] & steady[:-1] & same
    runs, first = [], None
    for i in range(len(steady)):
        if first is None and steady[i]:
            first = i
        if first is not None and (i == len(steady) - 1 or not linked[i]):
            runs.append((first, i))
            first = i + 1 if i + 1 < len(steady) and steady[i + 1] else None
    return runs


def _segment(windows: _Windows, low: int, high: int) -> Segment:
    gait = windows.gait[low : high + 1]
    values = {f.name: np.median(getattr(gait, f.name), axis=0) for f in fields(Gait)}
    turn = np.exp(2j * np.pi * gait.phase_offset).mean(axis=0)
    values['phase_offset'] = np.angle(turn) / (2.0 * np.pi) % 1.0
    time_s = windows.piece.time_s
    last = int(windows.start[high]) + round(windows.length_s * PROMPT_RATE_HZ) - 1
    return Segment(
        start_s=float(time_s[windows.start[low]]),
        end_s=float(time_s[last]),
        gait=Gait(**values),
        velocity=np.median(windows.velocity[low : high + 1], axis=0),
        frequency_spread=float(np.std(gait.frequency_hz) / np.mean(gait.frequency_hz)),
    )


def _steadiness(gait: Gait, velocity: np.ndarray) -> float:
    """High when the motion repeats and frequency, height, swing and speed stay what they are."""
    drift = np.std(gait.frequency_hz) / np.mean(gait.frequency_hz)
    wander = np.std(gait.body_height_m) / 0.05 + np.std(gait.swing_height_m) / 0.05
    change = float(np.linalg.norm(np.std(velocity, axis=0)))
    return float(np.mean(gait.periodicity) - 4.0 * drift - 0.5 * wander - 2.0 * change)


def _why_not(trajectory: Trajectory, everything: list[_Windows], duration_s: float) -> str:
    """Say why no prompt can be cut, and what to record instead."""
    name = trajectory.source or 'the recording'
    bad = ~finite_rows(trajectory)
    if len(trajectory) and bad.mean() > 0.5:
        return (
            f'{name}: {int(bad.sum())} of {len(trajectory)} samples hold NaN, Inf or no attitude'
        )
    if trajectory.duration_s < duration_s:
        return (
            f'{name}: {trajectory.duration_s:.1f} s long; a prompt takes {duration_s:g} s of '
            'steady motion, record 10 s'
        )
    pieces = split_at_gaps(trajectory)
    longest = max((piece.duration_s for piece in pieces), default=0.0)
    if longest < duration_s:
        why = f'{int(bad.sum())} samples hold NaN' if bad.any() else 'samples are missing'
        return (
            f'{name}: {len(pieces)} pieces with gaps over {MAX_GAP_S:g} s ({why}); the longest '
            f'piece is {longest:.1f} s, a prompt takes {duration_s:g} s without a gap'
        )
    tilt = np.concatenate([w.tilt for w in everything])
    motion = np.concatenate([w.motion for w in everything])
    periodicity = np.concatenate([w.gait.periodicity for w in everything])
    if (motion < STANDING_M).mean() > 0.5:
        return (
            f'{name}: the robot stands still (feet move {1e3 * np.median(motion):.0f} mm); a '
            'prompt must show it moving'
        )
    if (tilt >= MAX_TILT_RAD).any() and not (tilt < MAX_TILT_RAD)[periodicity > 0.6].any():
        return f'{name}: the robot falls or lies (tilt {tilt.max():.1f} rad); show it walking'
    segments = [_segment(w, *run) for w in everything for run in _runs(w)]
    steady = max((s.duration_s for s in segments), default=0.0)
    fell = f', tilt up to {tilt.max():.1f} rad' if tilt.max() >= MAX_TILT_RAD else ''
    return (
        f'{name}: steady for {steady:.1f} s at most (best periodicity {periodicity.max():.2f}'
        f'{fell}), a prompt takes {duration_s:g} s; walk straight on at one speed for longer'
    )

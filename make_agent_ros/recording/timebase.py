"""When samples happened: from counters and stamps that jitter, repeat, jump and lie.

A LowState sample has up to three times: the robot's own tick (ms), the stamp of its publisher and
the stamp of whoever recorded it. The tick is best: it knows nothing of networks and clocks. Stamps
of the receiver come in bursts; stamps of a robot without network time may jump when it gets one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from make_agent_ros.go2.ticks import missing_samples

TICK_S = 1e-3
MAX_GAP_S = 0.1
"""Longest hole that interpolation may bridge: a quarter of the fastest gait cycle is 0.06 s."""


@dataclass(frozen=True)
class TimeBase:
    """Times of the samples of a recording, in their order of arrival."""

    time_s: np.ndarray
    """Strictly increasing where `keep`, from 0, shape (T,)."""
    keep: np.ndarray
    """Samples that are not repetitions of the one before, bool, shape (T,)."""
    lost: int
    """Samples missing by the robot's own count; 0 where there is no count."""
    notes: tuple[str, ...]


def time_base(tick: np.ndarray | None, publish_ns: np.ndarray, log_ns: np.ndarray) -> TimeBase:
    """Choose and mend the times of a recording.

    Args:
        tick: the robot's counter in ms, shape (T,), or None.
        publish_ns: publisher's stamps, ns, shape (T,).
        log_ns: receiver's stamps, ns, shape (T,).
    """
    log_s = (log_ns - log_ns[0]).astype(np.float64) * 1e-9
    if tick is not None and _usable(tick, log_s):
        return _from_tick(tick.astype(np.int64), log_s)
    publish_s = (publish_ns - publish_ns[0]).astype(np.float64) * 1e-9
    stamps = publish_s if _irregularity(publish_s) < _irregularity(log_s) else log_s
    return _from_stamps(stamps)


def _usable(tick: np.ndarray, log_s: np.ndarray) -> bool:
    """Whether the tick counts milliseconds, of the robot or of a slow or fast simulator."""
    if len(tick) < 10:
        return False
    step = np.diff(tick.astype(np.int64))
    forward = (step >= 0) & (step < 1000)
    if forward.mean() < 0.95 or (step[forward] > 0).mean() < 0.2:
        return False
    every = max(1, len(tick) // 200)
    elapsed = float(np.median(np.diff(log_s[::every])))
    ticked = float(np.median(np.diff(tick[::every].astype(np.int64)))) * TICK_S
    if elapsed <= 0.0 or 0.8 < ticked / elapsed < 1.25:
        return True
    # a counter of samples goes up by one; a simulator's milliseconds by two and more
    return float(np.median(step[step > 0])) >= 2.0 and 0.05 < ticked / elapsed < 20.0


def _from_tick(tick: np.ndarray, log_s: np.ndarray) -> TimeBase:
    step = np.diff(tick)
    nominal = int(np.median(step[step > 0]))
    notes = []
    restarts = np.flatnonzero((step < 0) | (step > 3_600_000))
    if len(restarts):
        # the receiver's clock says how long the counter was away
        away = np.maximum(np.diff(log_s)[restarts] / TICK_S, nominal)
        step[restarts] = np.minimum(away, 3_600_000).astype(np.int64)
        notes.append(f"the robot's counter started anew {len(restarts)} times")
    lost = int(missing_samples(step, nominal).sum())
    if lost:
        notes.append(f"{lost} samples are missing by the robot's own count")
    keep = np.concatenate(([True], step > 0))
    time_s = np.concatenate(([0], np.cumsum(step))) * TICK_S
    return TimeBase(time_s, keep, lost, tuple(notes))


def _irregularity(time_s: np.ndarray) -> float:
    """Share of steps that are far from the usual one."""
    step = np.diff(time_s)
    usual = float(np.median(step[step > 0])) if (step > 0).any() else 0.0
    return float((np.abs(step - usual) > 0.5 * usual).mean()) if usual > 0.0 else 1.0


def _from_stamps(stamps: np.ndarray) -> TimeBase:
    """Mend stamps: bursts are spread, backward jumps continue at the usual step."""
    notes = []
    step = np.diff(stamps)
    if not (step > 0).any():
        # no clock at all: the caller sees a recording of no length
        return TimeBase(np.zeros(len(stamps)), np.arange(len(stamps)) == 0, 0, ('no stamp moves',))
    span = float(step[step > 0].sum())
    usual = span / max(int((step >= 0).sum()), 1)
    back = step < -usual
    if back.any():
        notes.append(f'the clock jumped back {int(back.sum())} times')
        step = np.where(back, usual, step)
    time_s = np.maximum.accumulate(np.concatenate(([0.0], np.cumsum(step))))
    first = np.concatenate(([True], np.diff(time_s) > 1e-9))
    if (~first).mean() > 0.2:
        # samples were stamped in batches when they were read: spread each batch evenly
        ids = np.flatnonzero(first)
        ends = np.append(ids[1:], len(time_s)) - 1
        time_s = np.interp(np.arange(len(time_s)), ends, time_s[ids])
        low = np.arange(len(time_s)) < ends[0]
        time_s[low] = time_s[ends[0]] - usual * (ends[0] - np.flatnonzero(low))
        time_s -= time_s[0]
        notes.append('samples were stamped in batches; each batch was spread evenly')
        first = np.concatenate(([True], np.diff(time_s) > 1e-9))
    return TimeBase(time_s, first, 0, tuple(notes))

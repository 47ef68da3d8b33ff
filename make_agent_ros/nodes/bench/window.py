"""What was on the wire during some seconds, and what it says: pure, no DDS.

Every judgement of `bench faults`, `bench kills` and `bench soak` is made here, from the raw
samples that a third process heard; nothing comes from the controller's own books.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from make_agent_ros.control.safety import SafetyLimits
from make_agent_ros.go2.layout import LOWCMD, LOWCMD_LAYOUT, LOWSTATE
from make_agent_ros.go2.state import projected_gravity, roll_pitch
from make_agent_ros.go2.wire import MODE_SERVO, decode_lowstates, lowstate_crc

PERIOD_S = 0.002
"""LowCmd and LowState at 500 Hz."""
SILENCE_S = 0.02
"""A pause in LowState that is no jitter any more; the controller warns from here on."""
JUMP_RAD = 0.15
"""More than a joint moves in one period: its largest speed, 30.1 rad/s, makes 0.06 rad."""
_MOTORS = slice(0, 12)
_LIMITS = SafetyLimits()


@dataclass(frozen=True)
class Window:
    """Samples in order of arrival; times are monotonic seconds, the same in every process."""

    start_s: float
    end_s: float
    command_s: np.ndarray
    """Arrival of each LowCmd, shape (N,)."""
    sent_s: np.ndarray
    """When the writer's DDS sent each LowCmd, its own clock, s, shape (N,): tells a command that
    was sent late from one that the network or this instrument kept."""
    commands: np.ndarray
    """CDR bytes of each LowCmd, uint8, shape (N, 812)."""
    state_s: np.ndarray
    """Arrival of each LowState, shape (M,)."""
    states: np.ndarray
    """CDR bytes of each LowState, uint8, shape (M, 1180)."""

    def save(self, path: Path) -> None:
        """Write a plain .npz."""
        np.savez(path, allow_pickle=False, **{f: getattr(self, f) for f in _FIELDS})

    @classmethod
    def load(cls, path: Path) -> Window:
        """Read a file written by `save`."""
        with np.load(path, allow_pickle=False) as archive:
            values = {name: archive[name] for name in _FIELDS}
        values['start_s'], values['end_s'] = float(values['start_s']), float(values['end_s'])
        return cls(**values)

    # -- commands ------------------------------------------------------------------------------

    @cached_property
    def _motors(self) -> np.ndarray:
        raw = np.ascontiguousarray(self.commands).view(LOWCMD)[:, 0]
        motors: np.ndarray = raw['motor'][:, _MOTORS]
        return motors

    @cached_property
    def _servo(self) -> np.ndarray:
        modes = self.commands[:, LOWCMD_LAYOUT.mode_bytes[_MOTORS]]
        return np.asarray(modes == MODE_SERVO)

    @cached_property
    def active(self) -> np.ndarray:
        """Whether each LowCmd holds or moves a joint (kp or torque, in servo mode), shape (N,)."""
        drives = (self._motors['kp'] != 0.0) | (self._motors['tau'] != 0.0)
        return np.asarray((drives & self._servo).any(axis=1))

    @cached_property
    def damping(self) -> np.ndarray:
        """Whether each LowCmd brakes every joint and holds none (kp 0, kd > 0), shape (N,)."""
        brakes = ((self._motors['kd'] > 0.0) & self._servo).all(axis=1)
        return np.asarray(brakes & ~self.active)

    def first_damping_s(self, after_s: float) -> float:
        """Return when the first damping LowCmd after `after_s` arrived; NaN when none did."""
        return _first(self.command_s, self.damping & (self.command_s >= after_s))

    def active_after(self, time_s: float) -> int:
        """Return how many active LowCmds arrived after a moment."""
        return int((self.active & (self.command_s > time_s)).sum())

    def gap_s_max(self, after_s: float, until_s: float | None = None) -> float:
        """Return the longest pause in LowCmd from the last one before `after_s` on.

        Args:
            after_s: pauses that end before this moment do not count.
            until_s: the pause up to this moment counts; without it, pauses between two LowCmds.

        Returns:
            Seconds; inf when there was no LowCmd at all, 0 when there was nothing to pause from.
        """
        times = self.command_s
        if not len(times):
            return math.inf
        first = max(int(np.searchsorted(times, after_s, 'right')) - 1, 0)
        times = times[first:]
        if until_s is not None:
            times = np.append(times, max(until_s, times[-1]))
        return float(np.diff(times).max()) if len(times) > 1 else 0.0

    def sent_gap_s_max(self, after_s: float, until_s: float | None = None) -> float:
        """Return `gap_s_max` between LowCmds as they were sent.

        The pause that is still open at `until_s` is told by arrival.
        """
        if not len(self.command_s):
            return math.inf
        first = max(int(np.searchsorted(self.command_s, after_s, 'right')) - 1, 0)
        pauses = np.diff(self.sent_s[first:])
        if until_s is not None:
            pauses = np.append(pauses, max(until_s - float(self.command_s[-1]), 0.0))
        return float(pauses.max()) if len(pauses) else 0.0

    def stale_s_max(self) -> float:
        """Return how long an active LowCmd stood at most without a newer one after it."""
        if not self.active.any():
            return 0.0
        ages = np.diff(np.append(self.command_s, max(self.end_s, float(self.command_s[-1]))))
        return float(ages[self.active].max())

    # -- states --------------------------------------------------------------------------------

    @cached_property
    def measured(self) -> np.ndarray:
        """The states decoded, `STATE_RECORD`, shape (M,)."""
        return decode_lowstates([row.tobytes() for row in self.states])

    def first_bad_s(self, sign: str, after_s: float) -> float:
        """Return when the first LowState with a sign of trouble arrived.

        Args:
            sign: one of `SIGNS`; `silence` gives the last LowState before the pause.
            after_s: when the trouble was ordered.

        Returns:
            Monotonic s; NaN when there is no such LowState.
        """
        if sign == 'silence':
            return self._silent_since_s(after_s)
        bad = SIGNS[sign](self)
        return _first(self.state_s, bad & (self.state_s >= after_s))

    def _silent_since_s(self, after_s: float) -> float:
        times = np.append(self.state_s, self.end_s)
        pauses = np.diff(times) > SILENCE_S
        # The pause may have begun a sample before the order was known to be given.
        return _first(times[:-1], pauses & (times[1:] >= after_s))


_FIELDS = ('start_s', 'end_s', 'command_s', 'sent_s', 'commands', 'state_s', 'states')


def _first(times: np.ndarray, mask: np.ndarray) -> float:
    where = np.flatnonzero(mask)
    return float(times[where[0]]) if len(where) else math.nan


def _nan(window: Window) -> np.ndarray:
    return np.asarray(~np.isfinite(window.measured['joint_pos']).all(axis=1))


def _crc(window: Window) -> np.ndarray:
    carried = np.ascontiguousarray(window.states).view(LOWSTATE)['crc'][:, 0]
    right = np.array([lowstate_crc(row.tobytes()) for row in window.states], dtype=np.uint32)
    return np.asarray(carried != right)


def _repeated(window: Window) -> np.ndarray:
    values = window.measured
    same = np.zeros(len(values), dtype=bool)
    for name in ('joint_pos', 'base_ang_vel'):
        same[1:] |= (values[name][1:] == values[name][:-1]).all(axis=1)
    return same


def _jump(window: Window) -> np.ndarray:
    moved = np.zeros(len(window.states), dtype=bool)
    moved[1:] = np.abs(np.diff(window.measured['joint_pos'], axis=0)).max(axis=1) > JUMP_RAD
    return moved


def _tilt(window: Window) -> np.ndarray:
    gravity = projected_gravity(window.measured['quat_wxyz'].astype(np.float64))
    roll, pitch = roll_pitch(gravity)
    over = (np.abs(roll) > _LIMITS.roll_max_rad) | (np.abs(pitch) > _LIMITS.pitch_max_rad)
    return np.asarray(over)


def _battery(window: Window) -> np.ndarray:
    return np.asarray(window.measured['battery_soc'] < _LIMITS.battery_min_percent)


def _hot(window: Window) -> np.ndarray:
    hottest = window.measured['motor_temperature_c'].max(axis=1)
    return np.asarray(hottest > _LIMITS.motor_temperature_max_c)


def _remote(window: Window) -> np.ndarray:
    remote = np.ascontiguousarray(window.states).view(LOWSTATE)['wireless_remote'][:, 0]
    return np.asarray(remote.any(axis=1))


SIGNS: dict[str, Callable[[Window], np.ndarray]] = {
    'nan': _nan,
    'crc': _crc,
    'repeated': _repeated,
    'jump': _jump,
    'tilt': _tilt,
    'battery': _battery,
    'hot': _hot,
    'remote': _remote,
}
"""Sign of trouble -> which states carry it, shape (M,); `silence` is the one without a state."""

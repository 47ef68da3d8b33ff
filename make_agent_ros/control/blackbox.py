"""The black box: the last seconds of everything that went in and out of the controller."""

from __future__ import annotations

import time
import zipfile
from pathlib import Path

import numpy as np

from make_agent_ros.control.controller import Controller
from make_agent_ros.control.machine import Mode
from make_agent_ros.go2.state import RobotState

MODES: tuple[Mode, ...] = tuple(Mode)
_MODE_NUMBER = {mode: i for i, mode in enumerate(MODES)}
MAX_OBSERVATION = 64
"""Longest observation kept; the contract's terms add up to 47."""
PIECE = 250
"""Ticks that are copied or written at once: well under a millisecond."""

FIELDS: dict[str, int] = {
    'quat_wxyz': 4, 'base_ang_vel': 3, 'base_lin_acc': 3, 'joint_pos': 12, 'joint_vel': 12,
    'joint_torque': 12, 'target_pos': 12, 'stiffness': 12, 'damping': 12, 'velocity_command': 3,
    'action': 12, 'observation': MAX_OBSERVATION,
}  # fmt: skip
"""Column groups and their widths; joints in package order, actions in the policy's own."""


class BlackBox:
    """A ring of ticks in preallocated memory; the loop records, another thread takes copies."""

    def __init__(self, rate_hz: float = 500.0, duration_s: float = 30.0) -> None:
        self._rate_hz = rate_hz
        self.size = int(rate_hz * duration_s)
        self._rows = np.full((self.size, sum(FIELDS.values())), np.nan, dtype=np.float32)
        self._time_s = np.zeros(self.size)
        self._tick = np.zeros(self.size, dtype=np.int64)
        self._mode = np.zeros(self.size, dtype=np.uint8)
        self._armed = np.zeros(self.size, dtype=np.bool_)
        self._policy = np.zeros(self.size, dtype=np.uint16)
        self._policies = ['']
        self._policy_number = {'': 0}
        self._slices: dict[str, slice] = {}
        start = 0
        for name, width in FIELDS.items():
            self._slices[name] = slice(start, start + width)
            start += width
        self.count = 0
        """Ticks recorded since the start."""

    def record(self, now_s: float, state: RobotState | None, controller: Controller) -> None:
        """Keep one tick; called by the loop right after the command was sent."""
        i = self.count % self.size
        row, part = self._rows[i], self._slices
        if state is not None:
            row[part['quat_wxyz']] = state.quat_wxyz
            row[part['base_ang_vel']] = state.base_ang_vel
            row[part['base_lin_acc']] = state.base_lin_acc
            row[part['joint_pos']] = state.joint_pos
            row[part['joint_vel']] = state.joint_vel
            row[part['joint_torque']] = state.joint_torque
            self._tick[i] = state.tick
        command = controller.command
        row[part['target_pos']] = command.joint_pos
        row[part['stiffness']] = command.stiffness
        row[part['damping']] = command.damping
        row[part['velocity_command']] = controller.velocity
        runner = controller.walker.current
        digest = ''
        if runner is not None:
            digest = runner.digest
            row[part['action']] = runner.action
            start = part['observation'].start
            row[start : start + len(runner.observation)] = runner.observation
        number = self._policy_number.get(digest)
        if number is None:
            number = self._policy_number[digest] = len(self._policies)
            self._policies.append(digest)
        self._policy[i] = number
        self._time_s[i] = now_s
        self._mode[i] = _MODE_NUMBER[controller.mode]
        self._armed[i] = controller.machine.armed
        self.count += 1

    def snapshot(self) -> dict[str, np.ndarray]:
        """Return a copy, oldest tick first.

        Copies in small pieces, so that the loop never waits long for the interpreter. Ticks that
        were overwritten meanwhile are left out.

        Returns:
            One array per field of `FIELDS`, plus `time_s`, `tick`, `mode` (names), `armed` and
            `policy` (digests); the first axis is the tick.
        """
        end = self.count
        begin = max(end - self.size, 0)
        names = np.array([m.value for m in MODES])
        policies = np.array(self._policies)
        shape = (end - begin,)
        result: dict[str, np.ndarray] = {
            name: np.empty((*shape, n), np.float32) for name, n in FIELDS.items()
        }
        result.update(
            time_s=np.empty(shape), tick=np.empty(shape, self._tick.dtype),
            mode=np.empty(shape, names.dtype), armed=np.empty(shape, np.bool_),
            policy=np.empty(shape, policies.dtype),
        )  # fmt: skip
        for start in range(0, end - begin, PIECE):
            into = slice(start, min(start + PIECE, end - begin))
            index = np.arange(begin + into.start, begin + into.stop) % self.size
            rows = self._rows[index]
            for name, part in self._slices.items():
                result[name][into] = rows[:, part]
            result['time_s'][into] = self._time_s[index]
            result['tick'][into] = self._tick[index]
            result['mode'][into] = names[self._mode[index]]
            result['armed'][into] = self._armed[index]
            result['policy'][into] = policies[np.minimum(self._policy[index], len(policies) - 1)]
            time.sleep(0)
        # What the loop recorded meanwhile replaced the oldest ticks.
        stale = max(self.count - self.size - begin, 0)
        return {name: values[stale:] for name, values in result.items()}

    def recent_states(self, duration_s: float, step: int) -> list[RobotState]:
        """Return every `step`-th measurement of the last seconds spent in STAND or WALK."""
        end = self.count
        ticks = range(max(end - min(int(duration_s * self._rate_hz), self.size), 0), end, step)
        states = []
        for tick in ticks:
            i = tick % self.size
            row, part = self._rows[i].astype(np.float64), self._slices
            if MODES[self._mode[i]] in (Mode.STAND, Mode.WALK) and np.isfinite(row[:34]).all():
                states.append(
                    RobotState(
                        quat_wxyz=row[part['quat_wxyz']],
                        base_ang_vel=row[part['base_ang_vel']],
                        joint_pos=row[part['joint_pos']],
                        joint_vel=row[part['joint_vel']],
                        stamp_s=float(self._time_s[i]),
                    )
                )
        return states


def save(snapshot: dict[str, np.ndarray], path: Path) -> None:
    """Write a snapshot as a plain .npz (no pickles inside): the whole file or none.

    Piece by piece, for the same reason as `BlackBox.snapshot`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + '.part')
    with zipfile.ZipFile(temporary, 'w') as archive:
        for name, values in snapshot.items():
            rows = np.ascontiguousarray(np.atleast_1d(values))
            header = np.lib.format.header_data_from_array_1_0(values)
            with archive.open(f'{name}.npy', 'w', force_zip64=True) as entry:
                np.lib.format.write_array_header_1_0(entry, header)
                for start in range(0, len(rows), PIECE):
                    entry.write(rows[start : start + PIECE].tobytes())
                    time.sleep(0)
    temporary.replace(path)


def load(path: Path) -> dict[str, np.ndarray]:
    """Read a file written by `save`."""
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}

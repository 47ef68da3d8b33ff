"""Any recording of a Go2 as a trajectory: bags of ours, of `ros2 bag record`, and tables."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from make_agent_ros.go2.wire import STATE_RECORD, WireError, decode_lowstates
from make_agent_ros.recording.errors import RecordingError
from make_agent_ros.recording.joint_state import IMU_TYPE, JOINT_STATE_TYPE, JointStateReader
from make_agent_ros.recording.messages import LOWSTATE_TYPE
from make_agent_ros.recording.resample import resample
from make_agent_ros.recording.storage import Findings, iter_messages
from make_agent_ros.recording.tables import read_csv, read_npz
from make_agent_ros.recording.timebase import time_base
from make_agent_ros.recording.trajectory import MAX_SAMPLES, Trajectory

__all__ = ['Recording', 'open_recording', 'read_bag', 'resample']

_LOG = logging.getLogger(__name__)
_BLOCK = 4096


@dataclass(frozen=True)
class Recording:
    """A trajectory and what is known about where it came from."""

    trajectory: Trajectory
    topics: dict[str, str] = field(default_factory=dict)
    """Topics of the bag -> their types."""
    metadata: dict[str, str] = field(default_factory=dict)
    """The recorder's own notes: robot, versions, policy digest."""
    notes: tuple[str, ...] = ()
    """Sentences on what is missing or odd."""
    lost: int = 0
    """Samples missing by the robot's own count."""


def read_bag(path: str | Path) -> Trajectory:
    """Return the samples of a recording at their own times; oddities are logged as warnings.

    Args:
        path: a rosbag2 folder, one .mcap or .db3 file, a .csv or a .npz.

    Raises:
        RecordingError: not readable as motion of a Go2; the message says why and what to do.
    """
    recording = open_recording(path)
    for note in recording.notes:
        _LOG.warning('%s: %s', path, note)
    return recording.trajectory


def open_recording(path: str | Path) -> Recording:
    """Read a recording with everything that was noticed on the way; errors as `read_bag`."""
    path = Path(path).expanduser()
    if path.suffix == '.npz':
        return Recording(read_npz(path))
    if path.suffix == '.csv':
        return Recording(read_csv(path))
    findings = Findings()
    states: dict[str, _LowStates] = {}
    joints = JointStateReader()
    types = (LOWSTATE_TYPE, JOINT_STATE_TYPE, IMU_TYPE)
    for message in iter_messages(path, lambda kind: kind in types, findings):
        if message.type == LOWSTATE_TYPE:
            topic = states.setdefault(message.topic, _LowStates(path, message.topic))
            topic.add(message.data, message.publish_ns, message.log_ns)
        else:
            joints.add(message)
    if states:
        best = max(states.values(), key=lambda topic: topic.count)
        others = sorted(set(states) - {best.topic})
        if others:
            findings.notes.append(f'{best.topic} is read; {", ".join(others)} is left out')
        return _finish(best, findings)
    if joints.count:
        trajectory, notes = joints.trajectory(path.name)
        return Recording(trajectory, findings.topics, findings.metadata, (*findings.notes, *notes))
    raise RecordingError(f'{path}: {_nothing(findings)}')


def _nothing(findings: Findings) -> str:
    """Why there is no motion in the bag."""
    trouble = ''.join(f' ({note})' for note in findings.notes)
    if not findings.topics:
        return f'the bag is empty{trouble}; record while the robot is on'
    if LOWSTATE_TYPE in findings.topics.values():
        return f'the bag has /lowstate but no sample of it{trouble}; is the robot connected?'
    if any(kind.startswith('unitree_hg/') for kind in findings.topics.values()):
        return 'the bag is of a humanoid (unitree_hg messages); a Go2 sends unitree_go messages'
    listed = ', '.join(f'{topic} ({kind})' for topic, kind in list(findings.topics.items())[:8])
    return (
        f'no topic of type {LOWSTATE_TYPE}, nor {JOINT_STATE_TYPE} with {IMU_TYPE}{trouble}; '
        f'the bag holds {listed}. Record /lowstate'
    )


class _LowStates:
    """The samples of one lowstate topic, decoded in blocks so that the bytes can go."""

    def __init__(self, path: Path, topic: str) -> None:
        self._path, self.topic = path, topic
        self._raw: list[bytes] = []
        self._blocks: list[np.ndarray] = []
        self._stamps: list[tuple[int, int]] = []

    @property
    def count(self) -> int:
        """Samples so far."""
        return len(self._stamps)

    def add(self, data: bytes, publish_ns: int, log_ns: int) -> None:
        """Take one sample."""
        if self.count >= MAX_SAMPLES:
            raise RecordingError(f'{self._path}: over {MAX_SAMPLES} samples; cut the bag first')
        self._raw.append(data)
        self._stamps.append((publish_ns, log_ns))
        if len(self._raw) >= _BLOCK:
            self._decode()

    def _decode(self) -> None:
        try:
            self._blocks.append(decode_lowstates(self._raw))
        except WireError as error:
            raise RecordingError(f'{self._path}, {self.topic}: {error}') from error
        self._raw = []

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the decoded samples and their stamps (publisher, receiver) in ns, (T, 2)."""
        if self._raw:
            self._decode()
        # stamps beyond 2^62 ns (year 2116) are garbage and would overflow differences
        stamps = np.clip(np.array(self._stamps, dtype=object), 0, 2**62).astype(np.int64)
        return np.concatenate(self._blocks), stamps


def _finish(states: _LowStates, findings: Findings) -> Recording:
    rows, stamps = states.finish()
    base = time_base(rows['tick'], stamps[:, 0], stamps[:, 1])
    rows, time_s = rows[base.keep], base.time_s[base.keep]
    trajectory = Trajectory(
        time_s=time_s,
        source=states._path.name,
        **{name: rows[name] for name in _shared(STATE_RECORD.names or ())},
    )
    notes = [*findings.notes, *base.notes]
    return Recording(trajectory, findings.topics, findings.metadata, tuple(notes), base.lost)


def _shared(names: Sequence[str]) -> list[str]:
    """Fields of a decoded row that a trajectory has as well."""
    return [name for name in names if name in Trajectory.__dataclass_fields__]

"""A recording as arrays: proprioception in package joint order and SI units, nothing else."""

from __future__ import annotations

import builtins
import hashlib
import zipfile
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from make_agent_ros.recording.errors import RecordingError

COLUMNS: dict[str, tuple[int, ...]] = {
    'time_s': (),
    'quat_wxyz': (4,),
    'base_ang_vel': (3,),
    'joint_pos': (12,),
    'joint_vel': (12,),
    'base_lin_acc': (3,),
    'joint_torque': (12,),
    'foot_force': (4,),
}
"""Array fields of a trajectory and the shape of one sample."""

MAX_SAMPLES = 2_000_000
"""Refused above: 66 minutes at 500 Hz, 0.9 GB in memory; cut the recording first."""


@dataclass(frozen=True)
class Trajectory:
    """What the robot told about itself over time; every array has one row per sample.

    Samples are as they came (a bag's own stamps) or at a uniform rate (after `resample`).
    """

    time_s: np.ndarray
    """Time since the first sample, strictly increasing, s, shape (T,)."""
    quat_wxyz: np.ndarray
    """Body-to-world attitude, shape (T, 4)."""
    base_ang_vel: np.ndarray
    """Angular velocity in the body frame, rad/s, shape (T, 3)."""
    joint_pos: np.ndarray
    """Joint angles, package order, rad, shape (T, 12)."""
    joint_vel: np.ndarray
    """Joint velocities, package order, rad/s, shape (T, 12)."""
    base_lin_acc: np.ndarray
    """Accelerometer, body frame, m/s^2, shape (T, 3); zero where the source has none."""
    joint_torque: np.ndarray
    """Estimated torque, package order, N m, shape (T, 12); zero where the source has none."""
    foot_force: np.ndarray
    """Raw foot sensors, package leg order, shape (T, 4); zero where the source has none."""
    source: str = ''
    """Where the samples came from, for messages and reports."""

    def __post_init__(self) -> None:
        """Check the shapes.

        Raises:
            RecordingError: a field's shape does not fit; the message names it.
        """
        for name, shape in COLUMNS.items():
            # a float32 may hold a signalling NaN, of which the cast makes an ordinary one
            with np.errstate(invalid='ignore'):
                array = np.asarray(getattr(self, name), dtype=np.float64)
            if array.shape != (len(self), *shape):
                raise RecordingError(
                    f'{name} has shape {array.shape}, expected {(len(self), *shape)}: '
                    'one row per sample, joints in package order'
                )
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.time_s)

    @property
    def duration_s(self) -> float:
        """Time from the first sample to the last, s."""
        return float(self.time_s[-1] - self.time_s[0]) if len(self) else 0.0

    @property
    def rate_hz(self) -> float:
        """Samples per second, from the median spacing; 0 with fewer than two samples."""
        return float(1.0 / np.median(np.diff(self.time_s))) if len(self) > 1 else 0.0

    def slice(self, start_s: float, end_s: float) -> Trajectory:
        """Return the samples with start_s <= time_s < end_s; their times are kept."""
        low, high = np.searchsorted(self.time_s, (start_s - 1e-9, end_s - 1e-9))
        return self.rows(builtins.slice(int(low), int(high)))

    def rows(self, ids: builtins.slice | np.ndarray) -> Trajectory:
        """Return a selection of samples."""
        return replace(self, **{name: getattr(self, name)[ids] for name in COLUMNS})

    def digest(self) -> str:
        """Return the SHA-256 of the contents (times from the first sample on, in us), as hex."""
        sha = hashlib.sha256()
        for name in COLUMNS:
            values = getattr(self, name)
            if name == 'time_s':
                values = np.round((values - values[:1]) * 1e6)
            sha.update(name.encode())
            sha.update(np.ascontiguousarray(values, dtype='<f8').tobytes())
        return sha.hexdigest()

    def save(self, path: str | Path) -> None:
        """Write a compressed NPZ with one array per field."""
        arrays = {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}
        with Path(path).open('wb') as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: str | Path) -> Trajectory:
        """Read what `save` wrote; nothing in the file is executed.

        Raises:
            RecordingError: no such file, not an NPZ, too large, or fields missing or misshapen.
        """
        arrays = load_npz(path)
        missing = [name for name in COLUMNS if name not in arrays]
        if missing:
            raise RecordingError(f'{path}: lacks {", ".join(missing)}; not a saved trajectory')
        try:
            columns = {name: np.asarray(arrays[name], dtype=np.float64) for name in COLUMNS}
            return cls(**columns, source=str(arrays.get('source', '')))
        except (TypeError, ValueError, IndexError) as error:
            raise RecordingError(f'{path}: {error}') from error


def load_npz(path: str | Path) -> dict[str, np.ndarray]:
    """Read the arrays of an NPZ without pickle, after checking the declared sizes.

    Raises:
        RecordingError: the file is missing, damaged or would unpack to more than the limit.
    """
    limit = MAX_SAMPLES * 8 * 55
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(info.file_size for info in archive.infolist())
        if size > limit:
            raise RecordingError(f'{path}: unpacks to {size} bytes, more than the limit {limit}')
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except RecordingError:
        raise
    except OSError as error:
        raise RecordingError(f'{path}: {error.strerror or error}') from error
    except Exception as error:
        # numpy and zipfile raise a dozen types on damaged archives
        raise RecordingError(f'{path}: not a readable NPZ archive ({error})') from error

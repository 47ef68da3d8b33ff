"""Tables: CSV with a header and NPZ of named arrays.

| column | CSV | NPZ array | unit |
|---|---|---|---|
| time | `time_s` | `time_s` (T,) | s |
| attitude, body to world | `quat_w quat_x quat_y quat_z` | `quat_wxyz` (T, 4) | - |
| angular velocity, body frame | `ang_vel_x` ... | `base_ang_vel` (T, 3) | rad/s |
| joint angles | `FL_hip_joint` ... (any order) | `joint_pos` (T, 12) | rad |
| joint velocities (optional) | `FL_hip_joint_vel` ... | `joint_vel` (T, 12) | rad/s |
| torques (optional) | `FL_hip_joint_torque` ... | `joint_torque` (T, 12) | N m |
| accelerometer (optional) | `lin_acc_x` ... | `base_lin_acc` (T, 3) | m/s^2 |

In an NPZ, `joint_names` (12 strings) tells another joint order than the package's. Without
velocities the angles are differentiated.
"""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import numpy as np

from make_agent_ros.go2.constants import JOINT_NAMES, joint_index_map
from make_agent_ros.recording.errors import RecordingError
from make_agent_ros.recording.joint_state import package_name
from make_agent_ros.recording.trajectory import COLUMNS, MAX_SAMPLES, Trajectory, load_npz

MAX_CSV_COLUMNS = 1000
LARGEST_TIME_S = 1e11
"""Three thousand years: larger stamps are garbage, beside which seconds would vanish."""
_AXES = ('x', 'y', 'z')


def read_npz(path: str | Path) -> Trajectory:
    """Read what `Trajectory.save` wrote, or any NPZ with the arrays above.

    Raises:
        RecordingError: arrays missing or misshapen; the message names them.
    """
    arrays = load_npz(path)
    return _build(Path(path), arrays, arrays.get('joint_names'))


def read_csv(path: str | Path) -> Trajectory:
    """Read a CSV file with the columns above; others are ignored.

    Raises:
        RecordingError: columns missing, cells that are no numbers, or too many rows.
    """
    path = Path(path)
    try:
        with path.open(newline='', encoding='utf-8', errors='replace') as file:
            rows = csv.reader(file)
            header = [cell.strip() for cell in next(rows, [])]
            if len(header) > MAX_CSV_COLUMNS:
                raise RecordingError(f'{path}: {len(header)} columns; at most {MAX_CSV_COLUMNS}')
            table = _numbers(path, itertools.islice(rows, MAX_SAMPLES + 1), len(header))
    except OSError as error:
        raise RecordingError(f'{path}: {error.strerror or error}') from error
    except csv.Error as error:
        raise RecordingError(f'{path}: not a CSV file ({error})') from error
    columns = {_column(name): values for name, values in zip(header, table.T, strict=True)}

    def group(names: list[str]) -> np.ndarray | None:
        if not any(name in columns for name in names):
            return None
        missing = [name for name in names if name not in columns]
        if missing:
            raise RecordingError(f'{path}: columns missing: {", ".join(missing)}')
        return np.stack([columns[name] for name in names], axis=-1)

    groups = {
        'quat_wxyz': [f'quat_{axis}' for axis in ('w', *_AXES)],
        'base_ang_vel': [f'ang_vel_{axis}' for axis in _AXES],
        'joint_pos': list(JOINT_NAMES),
        'joint_vel': [f'{name}_vel' for name in JOINT_NAMES],
        'joint_torque': [f'{name}_torque' for name in JOINT_NAMES],
        'base_lin_acc': [f'lin_acc_{axis}' for axis in _AXES],
    }
    arrays = {
        name: values for name, names in groups.items() if (values := group(names)) is not None
    }
    if 'time_s' in columns:
        arrays['time_s'] = columns['time_s']
    return _build(path, arrays, None)


def _column(name: str) -> str:
    for ending in ('_vel', '_torque', '_pos'):
        joint = package_name(name.removesuffix(ending))
        if name.endswith(ending) and joint in JOINT_NAMES:
            return joint if ending == '_pos' else joint + ending
    return package_name(name)


def _numbers(path: Path, rows: itertools.islice[list[str]], width: int) -> np.ndarray:
    table: list[np.ndarray] = []
    for number, row in enumerate(rows, start=2):
        if not row:
            continue
        if len(row) != width:
            raise RecordingError(f'{path}, line {number}: {len(row)} cells, expected {width}')
        try:
            table.append(np.array(row, dtype=np.float64))
        except ValueError as error:
            raise RecordingError(f'{path}, line {number}: {error}') from error
    if not table:
        raise RecordingError(f'{path}: no data; expected a header line and one line per sample')
    if len(table) > MAX_SAMPLES:
        raise RecordingError(f'{path}: over {MAX_SAMPLES} samples; cut the file first')
    return np.stack(table)


def _build(path: Path, arrays: dict[str, np.ndarray], names: np.ndarray | None) -> Trajectory:
    required = ('time_s', 'quat_wxyz', 'base_ang_vel', 'joint_pos')
    missing = [name for name in required if name not in arrays]
    if missing:
        raise RecordingError(
            f'{path}: lacks {", ".join(missing)}; needed are time, attitude, angular velocity and '
            'the twelve joint angles (docs: recording/tables.py)'
        )
    try:
        data = {
            name: np.asarray(arrays[name], dtype=np.float64) for name in COLUMNS if name in arrays
        }
        count = len(data['time_s'])
        if count > MAX_SAMPLES:
            raise RecordingError(f'over {MAX_SAMPLES} samples; cut the file first')
        if names is not None:
            index = joint_index_map([package_name(str(n)) for n in names.ravel()], JOINT_NAMES)
            for name in ('joint_pos', 'joint_vel', 'joint_torque'):
                if name in data:
                    data[name] = data[name][:, index]
        if count < 3:
            raise RecordingError(f'{count} samples; a recording needs at least 3')
        if 'joint_vel' not in data:
            data['joint_vel'] = np.gradient(data['joint_pos'], data['time_s'], axis=0)
        for name, shape in COLUMNS.items():
            data.setdefault(name, np.zeros((count, *shape)))
        data['time_s'], keep = _increasing(data['time_s'])
        return Trajectory(**data, source=path.name).rows(np.flatnonzero(keep))
    except (TypeError, ValueError, IndexError) as error:
        raise RecordingError(f'{path}: {error}') from error


def _increasing(time_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return times from the first usable one on, and which samples are later than all before."""
    usable = np.abs(time_s) < LARGEST_TIME_S  # NaN is not
    if not usable.any():
        return np.zeros_like(time_s), usable
    since = np.where(usable, time_s, -np.inf) - time_s[np.argmax(usable)]
    newest = np.maximum.accumulate(since)
    return since, usable & np.concatenate(([True], since[1:] > newest[:-1]))

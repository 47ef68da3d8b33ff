"""Bags of `sensor_msgs/JointState` and `sensor_msgs/Imu`: any simulator, any joint order."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from make_agent_ros.go2.constants import JOINT_NAMES, joint_index_map
from make_agent_ros.recording.errors import RecordingError
from make_agent_ros.recording.storage import RawMessage
from make_agent_ros.recording.timebase import time_base
from make_agent_ros.recording.trajectory import MAX_SAMPLES, Trajectory

JOINT_STATE_TYPE = 'sensor_msgs/msg/JointState'
IMU_TYPE = 'sensor_msgs/msg/Imu'
MAX_MESSAGE_BYTES = 64 << 10
_JOINT = re.compile(r'(FL|FR|RL|RR)_(hip|thigh|calf)(_joint)?', re.IGNORECASE)


def package_name(name: str) -> str:
    """Return the URDF name of a joint: prefixes and a missing `_joint` are forgiven."""
    match = _JOINT.fullmatch(name.rsplit('/', 1)[-1].strip())
    if match is None:
        return name
    return f'{match[1].upper()}_{match[2].lower()}_joint'


@cache
def _decoder() -> Callable[[bytes, str], Any]:
    # 0.1 s to import, and only such bags need it
    from rosbags.typesys import Stores, get_typestore

    return get_typestore(Stores.ROS2_HUMBLE).deserialize_cdr


class JointStateReader:
    """Collects the messages of the two types and joins them into one trajectory."""

    def __init__(self) -> None:
        self._joints: dict[str, list[tuple[int, int, np.ndarray]]] = {}
        self._imus: dict[str, list[tuple[int, int, np.ndarray]]] = {}
        self._maps: dict[tuple[str, ...], np.ndarray] = {}

    @property
    def count(self) -> int:
        """Messages so far."""
        return sum(len(rows) for rows in (*self._joints.values(), *self._imus.values()))

    def add(self, message: RawMessage) -> None:
        """Take one message.

        Raises:
            RecordingError: not the message it claims to be, a wrong set of joints, or too many.
        """
        if self.count >= MAX_SAMPLES:
            raise RecordingError(f'over {MAX_SAMPLES} samples; cut the bag first')
        if len(message.data) > MAX_MESSAGE_BYTES:
            raise RecordingError(f'{message.topic}: a message of {len(message.data)} bytes')
        try:
            sample = _decoder()(message.data, message.type)
            stamp = sample.header.stamp
            stamp_ns = int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
            if message.type == IMU_TYPE:
                row, rows = _imu_row(sample), self._imus
            else:
                row, rows = self._joint_row(sample), self._joints
        except RecordingError:
            raise
        except Exception as error:
            # the deserialiser raises whatever numpy, struct and str do on garbage
            raise RecordingError(
                f'{message.topic}: a sample is not a {message.type} ({error})'
            ) from error
        rows.setdefault(message.topic, []).append((stamp_ns, message.log_ns, row))

    def _joint_row(self, sample: Any) -> np.ndarray:
        """Position, velocity (NaN where absent) and effort (0 where absent), shape (36,)."""
        names = tuple(sample.name)
        if names not in self._maps:
            try:
                known = [package_name(name) for name in names]
                self._maps[names] = joint_index_map(known, JOINT_NAMES)
            except ValueError as error:
                raise RecordingError(f'{len(names)} joints: {error}') from error
        index = self._maps[names]

        def column(values: np.ndarray, absent: float) -> np.ndarray:
            return values[index] if len(values) == len(names) else np.full(12, absent)

        return np.concatenate(
            (
                column(sample.position, np.nan),
                column(sample.velocity, np.nan),
                column(sample.effort, 0.0),
            )
        )

    def trajectory(self, source: str) -> tuple[Trajectory, Sequence[str]]:
        """Join joints and IMU, the IMU interpolated to the times of the joints.

        Raises:
            RecordingError: one of the two is missing, or they do not overlap in time.
        """
        for rows, kind in ((self._joints, JOINT_STATE_TYPE), (self._imus, IMU_TYPE)):
            if not rows:
                raise RecordingError(
                    f'{source}: no {kind}; a prompt needs joints and IMU, record both'
                )
        joints = max(self._joints.values(), key=len)
        imus = max(self._imus.values(), key=len)
        use_header = all(row[0] > 0 for row in (*joints, *imus))
        joint_ns, imu_ns = (
            np.array([row[0] if use_header else row[1] for row in rows], dtype=np.int64)
            for rows in (joints, imus)
        )
        base = time_base(None, joint_ns, joint_ns)
        values = np.stack([row[2] for row in joints])[base.keep]
        time_s = base.time_s[base.keep]
        imu_s = (imu_ns - joint_ns[0]) * 1e-9
        order = np.argsort(imu_s, kind='stable')
        imu_s, imu = imu_s[order], np.stack([row[2] for row in imus])[order]
        if imu_s[0] > time_s[-1] or imu_s[-1] < time_s[0]:
            raise RecordingError(f'{source}: joints and IMU do not overlap in time')
        flips = np.where((imu[1:, :4] * imu[:-1, :4]).sum(axis=1) < 0.0, -1.0, 1.0)
        imu[1:, :4] *= np.cumprod(flips)[:, None]
        inside = (time_s >= imu_s[0] - 0.05) & (time_s <= imu_s[-1] + 0.05)
        time_s, values = time_s[inside], values[inside]
        at = np.stack([np.interp(time_s, imu_s, column) for column in imu.T], axis=1)
        velocity = values[:, 12:24]
        if np.isnan(velocity).all() and len(time_s) > 2:
            velocity = np.gradient(values[:, :12], time_s, axis=0)
        length = np.linalg.norm(at[:, :4], axis=1, keepdims=True)
        return Trajectory(
            time_s=time_s,
            quat_wxyz=at[:, :4] / np.maximum(length, 1e-9),
            base_ang_vel=at[:, 4:7],
            joint_pos=values[:, :12],
            joint_vel=velocity,
            base_lin_acc=at[:, 7:10],
            joint_torque=values[:, 24:],
            foot_force=np.zeros((len(time_s), 4)),
            source=source,
        ), base.notes


def _imu_row(sample: Any) -> np.ndarray:
    """Attitude wxyz, angular velocity, acceleration, shape (10,)."""
    q, w, a = sample.orientation, sample.angular_velocity, sample.linear_acceleration
    return np.array([q.w, q.x, q.y, q.z, w.x, w.y, w.z, a.x, a.y, a.z], dtype=np.float64)

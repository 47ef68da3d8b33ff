"""Motions with known answers: scripted foot paths, joint angles by inverse kinematics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from make_agent_ros.go2.constants import ABDUCTION_M, FOOT_RADIUS_M, HIP_OFFSET_M, SIDE_SIGN
from make_agent_ros.go2.kinematics import joint_positions
from make_agent_ros.go2.state import projected_gravity
from make_agent_ros.recording.trajectory import Trajectory

OFFSETS = {
    'trot': (0.0, 0.5, 0.5, 0.0),
    'pace': (0.0, 0.5, 0.0, 0.5),
    'bound': (0.0, 0.0, 0.5, 0.5),
    'pronk': (0.0, 0.0, 0.0, 0.0),
    'walk': (0.0, 0.5, 0.75, 0.25),
}


@dataclass(frozen=True)
class Walk:
    """A robot that moves over flat ground; stance feet stay where they are on the ground."""

    offsets: tuple[float, float, float, float] = OFFSETS['trot']
    frequency_hz: float = 2.5
    duty: float = 0.5
    height_m: float = 0.28
    swing_m: float = 0.06
    vx: float = 0.5
    vy: float = 0.0
    wz: float = 0.0
    roll: float = 0.0
    pitch: float = 0.0
    pitch_sway: float = 0.0
    phase: float = 0.3
    leap: bool = False
    """All feet in phase leave the ground together; between, the base flies freely."""

    @property
    def share_below_8mm(self):
        """What `describe_gait` calls the duty factor: feet under 8 mm in a raised-cosine swing."""
        low = 2.0 / np.pi * np.arcsin(np.sqrt(min(0.008 / self.swing_m, 1.0)))
        return self.duty + (1.0 - self.duty) * low

    def base_rise(self, cycles):
        """Base height over its mean while leaping, m: free fall, then constant push."""
        if not self.leap:
            return np.zeros(len(cycles))
        flight, push = (1.0 - self.duty) / self.frequency_hz, self.duty / self.frequency_hz
        phase = (cycles + self.offsets[0] + self.phase) % 1.0
        since_top = (phase - self.duty) / self.frequency_hz - flight / 2.0
        since_low = phase / self.frequency_hz - push / 2.0
        rise = 9.81 / 2.0 * ((flight / 2.0) ** 2 - since_top**2)
        sink = -9.81 / 2.0 * flight / push * ((push / 2.0) ** 2 - since_low**2)
        return np.where(phase < self.duty, sink, rise)


def quaternion(roll, pitch, yaw):
    """wxyz from roll, pitch, yaw (REP-103)."""
    cr, sr, cp, sp = np.cos(roll / 2), np.sin(roll / 2), np.cos(pitch / 2), np.sin(pitch / 2)
    cy, sy = np.cos(yaw / 2), np.sin(yaw / 2)
    return np.stack(
        np.broadcast_arrays(
            cr * cp * cy + sr * sp * sy,
            sr * cp * cy - cr * sp * sy,
            cr * sp * cy + sr * cp * sy,
            cr * cp * sy - sr * sp * cy,
        ),
        axis=-1,
    )


def rotation(quat):
    """Rotation matrices (..., 3, 3), body to world."""
    w, x, y, z = np.moveaxis(quat, -1, 0)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def make_walk(walk: Walk, duration_s=4.0, rate_hz=50.0, noise_rad=0.0, seed=0):
    """Return (Trajectory, contact (T, 4)) of `walk`."""
    fine = 20
    count = round(duration_s * rate_hz)
    # central differences at 20 times the rate give exact-enough velocities
    time = (np.arange(count * fine + 1) - fine / 2) / (rate_hz * fine)
    pitch = walk.pitch + walk.pitch_sway * np.sin(2 * np.pi * walk.frequency_hz * time)
    quat = quaternion(walk.roll, pitch, walk.wz * time)
    rot = rotation(quat)
    home = HIP_OFFSET_M + np.stack((np.zeros(4), SIDE_SIGN * ABDUCTION_M, np.zeros(4)), -1)
    phase = (walk.frequency_hz * time[:, None] + np.array(walk.offsets) + walk.phase) % 1.0
    contact = phase < walk.duty
    s = np.clip((phase - walk.duty) / (1 - walk.duty), 0, 1)
    # time since mid-stance; in stance the ground moves backwards under the base
    since = np.where(contact, phase - walk.duty / 2, walk.duty / 2 * np.cos(np.pi * s))
    since = since / walk.frequency_hz
    turn = -walk.wz * since
    x0 = home[:, 0] - walk.vx * since
    y0 = home[:, 1] - walk.vy * since
    level = np.stack(
        (
            np.cos(turn) * x0 - np.sin(turn) * y0,
            np.sin(turn) * x0 + np.cos(turn) * y0,
            FOOT_RADIUS_M
            - walk.height_m
            - walk.base_rise(walk.frequency_hz * time)[:, None]
            + walk.swing_m * 0.5 * (1 - np.cos(2 * np.pi * s)),
        ),
        axis=-1,
    )
    heading = rotation(quaternion(0.0, 0.0, walk.wz * time))
    to_body = np.swapaxes(rot, -1, -2) @ heading
    q = joint_positions(level @ np.swapaxes(to_body, -1, -2))
    dt = 1.0 / (rate_hz * fine)
    omega = np.swapaxes(rot[:-1], -1, -2) @ rot[1:]
    rate = np.stack((omega[:, 2, 1], omega[:, 0, 2], omega[:, 1, 0]), -1) / dt
    ids = np.arange(count) * fine + fine // 2
    rng = np.random.default_rng(seed)
    trajectory = Trajectory(
        time_s=np.arange(count) / rate_hz,
        quat_wxyz=quat[ids],
        base_ang_vel=(rate[ids] + rate[ids - 1]) / 2,
        joint_pos=q[ids] + noise_rad * rng.standard_normal((count, 12)),
        joint_vel=(q[ids + 1] - q[ids - 1]) / (2 * dt),
        base_lin_acc=-9.81 * projected_gravity(quat[ids]),
        joint_torque=np.zeros((count, 12)),
        foot_force=np.where(contact[ids], 70.0, 0.0),
        source='synthetic',
    )
    return trajectory, contact[ids]

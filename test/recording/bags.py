"""Bags made for tests: lowstate samples of synthetic walks, written by us or by rosbags."""

from __future__ import annotations

import numpy as np

from make_agent_ros.go2.state import RobotState
from make_agent_ros.go2.wire import LowStateEncoder
from make_agent_ros.recording.writer import BagWriter

START_NS = 1_700_000_000_000_000_000


def lowstates(trajectory, first_tick=1000):
    """Return (stamp ns, CDR bytes) of every sample of a trajectory at 500 Hz."""
    encoder = LowStateEncoder()
    samples = []
    for i in range(len(trajectory)):
        time_s = float(trajectory.time_s[i])
        state = RobotState(
            quat_wxyz=trajectory.quat_wxyz[i],
            base_ang_vel=trajectory.base_ang_vel[i],
            joint_pos=trajectory.joint_pos[i],
            joint_vel=trajectory.joint_vel[i],
            base_lin_acc=trajectory.base_lin_acc[i],
            foot_force=trajectory.foot_force[i],
            tick=first_tick + round(time_s * 1000),
            battery_soc=80.0,
            battery_v=28.5,
        )
        samples.append((START_NS + round(time_s * 1e9), encoder.encode(state)))
    return samples


def write_bag(path, trajectory, **options):
    """Write a trajectory as our own bag; return its samples."""
    samples = lowstates(trajectory)
    writer = BagWriter(path, min_free_bytes=0, **options)
    for stamp_ns, data in samples:
        writer.write('/lowstate', data, stamp_ns)
    writer.close()
    return samples


def damaged(samples, rng, share=0.01):
    """Drop a share of the samples."""
    return [sample for sample in samples if rng.random() > share]


def assert_same_motion(a, b, atol=1e-5):
    np.testing.assert_allclose(a.joint_pos, b.joint_pos, atol=atol)
    np.testing.assert_allclose(a.joint_vel, b.joint_vel, atol=1e-4)
    np.testing.assert_allclose(a.quat_wxyz, b.quat_wxyz, atol=atol)
    np.testing.assert_allclose(a.base_ang_vel, b.base_ang_vel, atol=1e-4)
    np.testing.assert_allclose(a.time_s - a.time_s[0], b.time_s - b.time_s[0], atol=1.1e-3)

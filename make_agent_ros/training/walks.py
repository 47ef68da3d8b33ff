"""Walks of many policies in randomised worlds, as a robot would record them, with the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from make_agent_ros.generator.embedding import RATE_HZ
from make_agent_ros.go2.state import yaw
from make_agent_ros.policy.bundle import Bundle
from make_agent_ros.recording.trajectory import Trajectory
from make_agent_ros.simulation.batch import SensorNoise
from make_agent_ros.simulation.model import WorldRanges, randomised_worlds
from make_agent_ros.simulation.rollout import RolloutLog, rollout
from make_agent_ros.training.behaviour import BehaviourSet, moving, sample_commands

SHARE = 16
"""Policies per randomised world."""
MAX_TILT_RAD = 1.0
"""A robot that tilted further has fallen, whatever the ground."""


@dataclass(frozen=True)
class Walks:
    """n walks of T samples at 50 Hz, without sensor noise."""

    behaviour: np.ndarray
    """Index of the behaviour that each walk shows, (n,)."""
    quat_wxyz: np.ndarray
    """(n, T, 4)."""
    base_ang_vel: np.ndarray
    """(n, T, 3)."""
    joint_pos: np.ndarray
    """(n, T, 12)."""
    joint_vel: np.ndarray
    joint_torque: np.ndarray
    planar_velocity: np.ndarray
    """True vx, vy in the heading frame, m/s, and body yaw rate, rad/s, (n, T, 3)."""
    base_position: np.ndarray
    """True, in the world, m, (n, T, 3)."""
    foot_contact: np.ndarray
    """Which feet touch the ground, bool, (n, T, 4)."""

    def __len__(self) -> int:
        """Number of walks."""
        return len(self.behaviour)

    def __getitem__(self, ids: np.ndarray | slice) -> Walks:
        """Return some of the walks."""
        return Walks(*(getattr(self, f.name)[ids] for f in fields(self)))

    @classmethod
    def from_log(cls, log: RolloutLog, world: int = 0) -> Walks:
        """Take one world's column of a rollout."""
        names = [f.name for f in fields(cls)][1:]
        arrays = [np.asarray(getattr(log, name)[:, world]) for name in names]
        return cls(np.arange(len(arrays[0])), *arrays)

    @classmethod
    def join(cls, parts: Sequence[Walks]) -> Walks:
        """Return all walks of the parts, which have equal lengths."""
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))

    @property
    def tilt_rad(self) -> np.ndarray:
        """Tilt of the trunk, (n, T)."""
        x, y = self.quat_wxyz[..., 1], self.quat_wxyz[..., 2]
        return np.asarray(np.arccos(np.clip(1.0 - 2.0 * (x * x + y * y), -1.0, 1.0)))

    def steady(self, skip_s: float) -> Walks:
        """Return the walks that stayed upright, less the time at the start."""
        upright = np.flatnonzero((self.tilt_rad < MAX_TILT_RAD).all(axis=1))
        return self[upright].after(skip_s)

    def after(self, skip_s: float) -> Walks:
        """Return the walks less the time at the start."""
        rows = slice(round(skip_s * RATE_HZ), None)
        arrays = [getattr(self, f.name)[:, rows] for f in fields(self)[1:]]
        return Walks(self.behaviour, *arrays)

    def velocity(self, i: int, start_s: float, end_s: float) -> np.ndarray:
        """Return the true mean vx, vy (m/s) and rate of heading (rad/s) of a stretch, (3,)."""
        low, high = round(start_s * RATE_HZ), round(end_s * RATE_HZ)
        heading = np.unwrap(yaw(self.quat_wxyz[i, low : high + 1]))
        turn = (heading[-1] - heading[0]) / (len(heading) - 1) * RATE_HZ
        return np.append(self.planar_velocity[i, low : high + 1, :2].mean(axis=0), turn)

    def recordings(self, noise: SensorNoise | None = None, seed: int = 0) -> list[Trajectory]:
        """Return the walks as recordings of proprioception, with noise of the sensors."""
        noise = noise or SensorNoise()
        rng = np.random.default_rng([seed, 51])
        steps = self.joint_pos.shape[1]

        def noisy(values: np.ndarray, width: float) -> np.ndarray:
            exact = values.astype(np.float64)
            return exact + rng.uniform(-width, width, exact.shape)

        return [
            Trajectory(
                time_s=np.arange(steps) / RATE_HZ,
                quat_wxyz=self.quat_wxyz[i],
                base_ang_vel=noisy(self.base_ang_vel[i], noise.gyro_rad_s),
                joint_pos=noisy(self.joint_pos[i], noise.joint_pos_rad),
                joint_vel=noisy(self.joint_vel[i], noise.joint_vel_rad_s),
                base_lin_acc=np.zeros((steps, 3)),
                joint_torque=self.joint_torque[i],
                foot_force=np.zeros((steps, 4)),
                source='simulation',
            )
            for i in range(len(self))
        ]


def record_walks(
    bundles: Sequence[Bundle],
    behaviours: BehaviourSet,
    seconds: float,
    seed: int,
    *,
    ranges: WorldRanges | None = None,
    push_m_s: float = 0.0,
) -> Walks:
    """Walk every policy once at its behaviour's velocity; `SHARE` of them share a world.

    Args:
        bundles: policy of each behaviour.
        behaviours: as many.
        seconds: of each walk, from standing.
        seed: of worlds, observation noise and kicks.
        ranges: of the worlds; the usual when omitted.
        push_m_s: largest kick per axis.
    """
    parts = []
    for start in range(0, len(bundles), SHARE):
        rows = slice(start, start + SHARE)
        log = rollout(
            bundles[rows],
            randomised_worlds(1, seed * 1009 + start, ranges),
            behaviours.default_command[rows],
            seconds,
            push_m_s=push_m_s,
            seed=seed * 7 + start,
        )
        parts.append(Walks.from_log(log))
    walks = Walks.join(parts)
    return Walks(np.arange(len(bundles)), *(getattr(walks, f.name) for f in fields(walks)[1:]))


def walking_commands(rng: np.random.Generator, n: int) -> np.ndarray:
    """Draw commands (n, 3) that make the robot step at full stride."""
    command = sample_commands(rng, n)
    while (still := moving(command) < 1.0).any():
        command[still] = sample_commands(rng, int(still.sum()))
    return command

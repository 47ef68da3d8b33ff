"""One policy in a batch of trials: the loop that every physics engine shares.

Observation, network, noise, latency, pushes, commands and the log are here; an engine only moves
bodies. The Isaac Gym runner imports this file in Python 3.8: nothing newer is used here.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Protocol

import numpy as np

from make_agent_ros.checking.metrics import heading_velocity
from make_agent_ros.checking.terrain import Grounds
from make_agent_ros.checking.trials import Trials
from make_agent_ros.go2.constants import (
    FOOT_RADIUS_M,
    JOINT_NAMES,
    LYING_JOINT_POS,
    joint_index_map,
)
from make_agent_ros.go2.kinematics import foot_positions
from make_agent_ros.go2.state import RobotState, yaw
from make_agent_ros.policy.bundle import Bundle
from make_agent_ros.policy.mlp import elu
from make_agent_ros.policy.velocity import velocity_loop

GYRO_NOISE_RAD_S, TILT_NOISE_RAD, JOINT_POS_NOISE_RAD, JOINT_VEL_NOISE_RAD_S = (
    0.15,
    0.03,
    0.01,
    1.0,
)
"""Half-widths of the usual uniform sensor noise, those of `simulation.batch.SensorNoise`."""
FALL_TILT_RAD = 1.0
FALL_HEIGHT_M = 0.13
"""A robot on its belly has its origin at 0.08-0.11 m in all engines; the lowest gait at 0.20 m."""
STAND_UP_S = 2.0
STAND_STIFFNESS, STAND_DAMPING = 60.0, 3.0
"""Gains of standing up, as in the controller (fielded stacks use 60-80 and 3-5)."""
TRUNK_BELOW_M = 0.115
"""How far the head reaches below the base origin; a lying robot rests on it."""
ACTION_LIMIT = 100.0
TAIL_S = 1.0
"""An episode ends so long after its last robot fell: nothing after that is judged."""


@dataclass(frozen=True)
class Truth:
    """What only a simulator knows, for B robots."""

    position_w: np.ndarray
    """Base origin, m, (B, 3)."""
    lin_vel_w: np.ndarray
    """m/s, (B, 3)."""
    foot_contact: np.ndarray
    """bool, package leg order, (B, 4)."""
    joint_torque: np.ndarray
    """N m, package order, (B, 12)."""


class Engine(Protocol):
    """B robots in some physics engine. All arrays are in package order and SI units."""

    control_dt_s: float
    mass_kg: np.ndarray
    """Of each robot with its load, (B,)."""

    def reset(self, joint_pos: np.ndarray, position_w: np.ndarray, quat_wxyz: np.ndarray) -> None:
        """Place the robots at rest."""

    def set_gains(self, stiffness: np.ndarray, damping: np.ndarray) -> None:
        """Set the motors' gains, (B, 12); the trial's factors come on top."""

    def step(self, target: np.ndarray) -> None:
        """Advance one control step with joint targets (B, 12), late by `latency_s`."""

    def push(self, velocity_w: np.ndarray) -> None:
        """Add to the trunks' velocities, m/s, (B, 2)."""

    def observe(self) -> RobotState:
        """Return perfect proprioception."""

    def truth(self) -> Truth:
        """Return what only the simulator knows."""


@dataclass(frozen=True)
class EpisodeLog:
    """What B robots did over T control steps. Rows after `steps_alive` mean nothing.

    Where all robots fell, the rows repeat from `TAIL_S` after the last fall.
    """

    control_dt_s: float
    start_step: int
    """Control step at which the policy took over."""
    quat_wxyz: np.ndarray
    """(B, T, 4)."""
    joint_pos: np.ndarray
    """(B, T, 12)."""
    joint_vel: np.ndarray
    joint_torque: np.ndarray
    target: np.ndarray
    """Joint targets as asked for by the policy, rad, (B, T, 12)."""
    command: np.ndarray
    """(B, T, 3)."""
    planar_velocity: np.ndarray
    """vx, vy in the heading frame, m/s, and yaw rate, rad/s, (B, T, 3)."""
    position_w: np.ndarray
    """(B, T, 3)."""
    height: np.ndarray
    """Base origin above the ground, m, (B, T)."""
    foot_contact: np.ndarray
    """bool, (B, T, 4)."""
    steps_alive: np.ndarray
    """Control steps before a fall, T without one, (B,)."""
    mass_kg: np.ndarray
    """(B,)."""

    @property
    def fell(self) -> np.ndarray:
        """bool, (B,)."""
        return self.steps_alive < self.joint_pos.shape[1]

    def trial(self, index: int) -> EpisodeLog:
        """Return one trial, still with a leading axis of 1."""
        arrays = {f.name: getattr(self, f.name)[index : index + 1] for f in fields(self)[2:]}
        return replace(self, **arrays)


def command_schedule(bundle: Bundle, trials: Trials, steps: int, start_step: int) -> np.ndarray:
    """Return the command of each control step, shape (T, 3); zero until the policy takes over."""
    command = np.zeros((steps, 3))
    times = np.arange(steps - start_step) * bundle.control_dt
    command[start_step:] = bundle.default_command
    for row in trials.scenario.commands:
        command[start_step:][times >= row[0] - 1e-9] = row[1:]
    return command


def start_poses(bundle: Bundle, trials: Trials) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return joint angles (B, 12), positions (B, 3) and attitudes (B, 4) to start from."""
    count = len(trials)
    index = joint_index_map(bundle.joint_names, JOINT_NAMES)
    lying = trials.scenario.start == 'lying'
    default = LYING_JOINT_POS if lying else bundle.default_joint_pos[index]
    joint_pos = default + trials.pose_offset
    half = np.concatenate((trials.tilt / 2.0, np.zeros((count, 1))), axis=1)
    quat = np.concatenate((np.ones((count, 1)), half), axis=1)
    quat /= np.linalg.norm(quat, axis=1, keepdims=True)
    feet = rotate(quat[:, None], foot_positions(joint_pos))
    position = np.zeros((count, 3))
    for i, terrain in enumerate(trials.terrains):
        ground = terrain.height(feet[i, :, :2])
        position[i, 2] = (ground - feet[i, :, 2]).max() + FOOT_RADIUS_M + trials.drop_m[i]
        if lying:
            position[i, 2] = max(position[i, 2], TRUNK_BELOW_M + trials.drop_m[i])
    return joint_pos, position, quat


def rotate(quat_wxyz: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Turn body vectors (..., 3) into the world by attitudes (..., 4)."""
    w, q = quat_wxyz[..., :1], quat_wxyz[..., 1:]
    t = 2.0 * cross(q, vector)
    return vector + w * t + cross(q, t)


def cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cross product of vectors (..., 3); numpy's own takes several times as long for a batch."""
    ax, ay, az = a[..., 0], a[..., 1], a[..., 2]
    bx, by, bz = b[..., 0], b[..., 1], b[..., 2]
    return np.stack((ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx), axis=-1)


class _Sensors:
    """Adds noise and constant offsets to perfect proprioception."""

    def __init__(self, trials: Trials) -> None:
        # one stream per trial, so that a trial played alone hears the same noise
        self._streams = [np.random.default_rng([int(seed), 7]) for seed in trials.seeds]
        self._noise = trials.noise[:, None]
        self._bias = trials.bias

    def __call__(self, state: RobotState) -> RobotState:
        jitter = np.stack([rng.uniform(-1.0, 1.0, 29) for rng in self._streams]) * self._noise
        gyro = jitter[:, :3] + self._bias[:, :3]
        tilt = np.zeros_like(gyro)
        tilt[:, :2] = (jitter[:, 3:5] + self._bias[:, 3:5]) * TILT_NOISE_RAD / 2.0
        joint_pos = jitter[:, 5:17] + self._bias[:, 5:17]
        w, v = state.quat_wxyz[:, :1], state.quat_wxyz[:, 1:]
        turn = np.concatenate(
            (-(v * tilt).sum(axis=1, keepdims=True), w * tilt + cross(v, tilt)), axis=1
        )
        quat = state.quat_wxyz + turn
        return RobotState(
            quat_wxyz=quat / np.linalg.norm(quat, axis=1, keepdims=True),
            base_ang_vel=state.base_ang_vel + GYRO_NOISE_RAD_S * gyro,
            joint_pos=state.joint_pos + JOINT_POS_NOISE_RAD * joint_pos,
            joint_vel=state.joint_vel + JOINT_VEL_NOISE_RAD_S * jitter[:, 17:29],
        )


def run_episode(engine: Engine, bundle: Bundle, trials: Trials) -> EpisodeLog:
    """Run the policy in all trials at once.

    Args:
        engine: holds one robot per trial, with the trial's mass, friction and terrain.
        bundle: the policy.
        trials: what happens to each robot.
    """
    return _Episode(engine, bundle, trials).run()


class _Episode:
    """The state of one `run_episode` call."""

    def __init__(self, engine: Engine, bundle: Bundle, trials: Trials) -> None:
        self.engine, self.bundle, self.trials = engine, bundle, trials
        self.dt = bundle.control_dt
        self.count = len(trials)
        self.start = round(STAND_UP_S / self.dt) if trials.scenario.start == 'lying' else 0
        self.steps = self.start + round(trials.scenario.seconds / self.dt)
        self.ground = Grounds(trials.terrains)
        self.builder = bundle.observation_builder()
        self.index = joint_index_map(bundle.joint_names, JOINT_NAMES)
        self.default = bundle.default_joint_pos[self.index]
        self.scale = bundle.action_scale[self.index]
        self.action = np.zeros((self.count, 12))
        self.loop = velocity_loop(bundle.velocity_gain, (self.count,))
        self.target = np.tile(self.default, (self.count, 1))
        self.sensors = _Sensors(trials)
        self.delay = np.floor(trials.latency_s / self.dt + 1e-9).astype(int)
        self.sent: list[np.ndarray] = []

    def run(self) -> EpisodeLog:
        command = command_schedule(self.bundle, self.trials, self.steps, self.start)
        pose, position, quat = start_poses(self.bundle, self.trials)
        self.engine.reset(pose, position, quat)
        self.state = self.engine.observe()
        self.log = self._empty_log()
        alive = np.full(self.count, self.steps)
        push_step = self.start + round(self.trials.scenario.push_at_s / self.dt)
        tail = round(TAIL_S / self.dt)
        for t in range(self.steps):
            target = self._target(t, command[t], pose)
            self.engine.step(self._late(target))
            if t == push_step and self.trials.push_w.any():
                self.engine.push(self._push())
            down = self._record(t, target, command[t])
            if t >= self.start:
                alive = np.where(down, np.minimum(alive, t), alive)
            if t - alive.max() >= tail:
                for rows in self.log.values():
                    rows[:, t + 1 :] = rows[:, t : t + 1]
                break
        return EpisodeLog(
            control_dt_s=self.dt,
            start_step=self.start,
            steps_alive=alive,
            mass_kg=np.asarray(self.engine.mass_kg, dtype=float),
            **self.log,
        )

    def _gains(self, stiffness: np.ndarray, damping: np.ndarray) -> None:
        self.engine.set_gains(
            stiffness * self.trials.stiffness_factor[:, None],
            damping * self.trials.damping_factor[:, None],
        )

    def _target(self, t: int, command: np.ndarray, pose: np.ndarray) -> np.ndarray:
        """Joint targets of this control step, (B, 12)."""
        if t < self.start:
            if t == 0:
                self._gains(np.full(12, STAND_STIFFNESS), np.full(12, STAND_DAMPING))
            share = min(1.0, 1.25 * t / self.start)
            return pose + share * (self.default - pose)
        if t == self.start:
            self._gains(
                self.bundle.joint_stiffness[self.index], self.bundle.joint_damping[self.index]
            )
        cycles = self.bundle.gait_frequency_hz * (t - self.start) * self.dt
        state, told = self.sensors(self.state), np.broadcast_to(command, (self.count, 3))
        if self.loop is not None:
            told = self.loop(state, self.target, told)
        obs = self.builder.build(
            state,
            told,
            self.action,
            np.full(self.count, cycles),
        )
        raw = forward(self.bundle, obs)
        # a network that diverges makes no finite action: its robot is to fall, alone
        self.action = np.clip(np.nan_to_num(raw), -ACTION_LIMIT, ACTION_LIMIT)
        self.target = np.clip(self.default + self.scale * self.action[:, self.index], -6.0, 6.0)
        return self.target

    def _late(self, target: np.ndarray) -> np.ndarray:
        """Targets that the motors get now: whole control periods of latency are applied here."""
        self.sent.append(target)
        del self.sent[: -int(self.delay.max()) - 1]
        late = np.array(target)
        for robot in np.flatnonzero(self.delay):
            late[robot] = self.sent[max(0, len(self.sent) - 1 - self.delay[robot])][robot]
        return late

    def _push(self) -> np.ndarray:
        """The trials' kicks, drawn in the body frame, in the world frame, (B, 2)."""
        angle = yaw(self.engine.observe().quat_wxyz)
        c, s = np.cos(angle), np.sin(angle)
        x, y = self.trials.push_w.T
        return np.stack((c * x - s * y, s * x + c * y), axis=-1)

    def _empty_log(self) -> dict[str, np.ndarray]:
        sizes = {'quat_wxyz': 4, 'joint_pos': 12, 'joint_vel': 12, 'joint_torque': 12,
                 'target': 12, 'command': 3, 'planar_velocity': 3, 'position_w': 3}  # fmt: skip
        shape = (self.count, self.steps)
        log = {name: np.zeros((*shape, size), np.float32) for name, size in sizes.items()}
        log['height'] = np.zeros(shape, np.float32)
        log['foot_contact'] = np.zeros((*shape, 4), bool)
        return log

    def _record(self, t: int, target: np.ndarray, command: np.ndarray) -> np.ndarray:
        """Write one row of the log; return who is down, bool, (B,)."""
        self.state = state = self.engine.observe()
        truth, log = self.engine.truth(), self.log
        height = truth.position_w[:, 2] - self.ground.height(truth.position_w[:, :2])
        log['quat_wxyz'][:, t] = state.quat_wxyz
        log['joint_pos'][:, t] = state.joint_pos
        log['joint_vel'][:, t] = state.joint_vel
        log['joint_torque'][:, t] = truth.joint_torque
        log['target'][:, t] = target
        log['command'][:, t] = command
        log['planar_velocity'][:, t, :2] = heading_velocity(state.quat_wxyz, truth.lin_vel_w)
        log['planar_velocity'][:, t, 2] = state.base_ang_vel[:, 2]
        log['position_w'][:, t] = truth.position_w
        log['height'][:, t] = height
        log['foot_contact'][:, t] = truth.foot_contact
        up = 1.0 - 2.0 * (state.quat_wxyz[:, 1] ** 2 + state.quat_wxyz[:, 2] ** 2)
        return ~(up >= np.cos(FALL_TILT_RAD)) | ~(height >= FALL_HEIGHT_M)


def forward(bundle: Bundle, obs: np.ndarray) -> np.ndarray:
    """Evaluate the bundle's network on rows of observations, (B, n) -> (B, 12)."""
    x = obs
    with np.errstate(over='ignore', invalid='ignore'):
        for i, (weight, bias) in enumerate(bundle.layers):
            x = x @ weight.T + bias
            if i < len(bundle.layers) - 1:
                x = elu(x)
    return x

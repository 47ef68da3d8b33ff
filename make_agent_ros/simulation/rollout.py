"""Many policies in many worlds at once: the rollouts behind ranking, check and benchmark."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from make_agent_ros.go2.constants import (
    JOINT_NAMES,
    POLICY_DAMPING,
    POLICY_STIFFNESS,
    joint_index_map,
)
from make_agent_ros.go2.state import RobotState
from make_agent_ros.policy.bundle import Bundle
from make_agent_ros.policy.mlp import MlpBatch, MlpShape
from make_agent_ros.policy.velocity import velocity_loop
from make_agent_ros.simulation.batch import BatchSimulation, SensorNoise
from make_agent_ros.simulation.model import Worlds, set_gains

START_HEIGHT_M = 0.30


@dataclass(frozen=True)
class RolloutLog:
    """What P policies did in W worlds over T control steps. Package joint order, SI units.

    A robot that fell is kept as it was: rows after `steps_alive` repeat no truth, mask them.
    """

    control_dt_s: float
    quat_wxyz: np.ndarray
    """(P, W, T, 4), true attitude, body to world."""
    base_ang_vel: np.ndarray
    """(P, W, T, 3), body frame, rad/s."""
    joint_pos: np.ndarray
    """(P, W, T, 12), rad."""
    joint_vel: np.ndarray
    """(P, W, T, 12), rad/s."""
    joint_torque: np.ndarray
    """(P, W, T, 12), N m."""
    action: np.ndarray
    """(P, W, T, 12), joint targets, rad."""
    command: np.ndarray
    """(P, W, T, 3), vx, vy m/s, wz rad/s."""
    planar_velocity: np.ndarray
    """(P, W, T, 3): vx, vy in the heading frame, m/s, and yaw rate, rad/s; truth."""
    base_height: np.ndarray
    """(P, W, T), m above the ground."""
    base_position: np.ndarray
    """(P, W, T, 3), world, m."""
    foot_contact: np.ndarray
    """(P, W, T, 4), bool, legs in package order."""
    steps_alive: np.ndarray
    """(P, W), control steps before the fall; T when it never fell."""

    @property
    def fell(self) -> np.ndarray:
        """Which robots fell, bool, shape (P, W)."""
        return self.steps_alive < self.joint_pos.shape[2]

    def __getitem__(self, ids: np.ndarray | slice | list[int]) -> RolloutLog:
        """Return the rows of some policies."""
        arrays = {f.name: getattr(self, f.name)[ids] for f in fields(self)[1:]}
        return replace(self, **arrays)


class Logbook:
    """Writes a `RolloutLog` while a batch runs: P x W robots over T steps."""

    def __init__(self, sim: BatchSimulation, steps: int) -> None:
        """Reserve T = `steps` rows for every robot of the batch."""
        self._sim, self._dt, self._t = sim, sim.control_dt_s, 0
        sizes = {
            'quat_wxyz': 4, 'base_ang_vel': 3, 'joint_pos': 12, 'joint_vel': 12,
            'joint_torque': 12, 'action': 12, 'command': 3, 'planar_velocity': 3,
            'base_position': 3,
        }  # fmt: skip
        n = sim.size
        self._log = {name: np.zeros((n, steps, size), np.float32) for name, size in sizes.items()}
        self._log['base_height'] = np.zeros((n, steps), np.float32)
        self._log['foot_contact'] = np.zeros((n, steps, 4), bool)
        self._alive = np.full(n, steps)

    def write(self, target: np.ndarray, command: np.ndarray, fallen: np.ndarray) -> None:
        """Note one control step: joint targets (B, 12), commands (B, 3), fallen (B,) bool."""
        sim, log, t = self._sim, self._log, self._t
        self._alive = np.where(fallen, np.minimum(self._alive, t), self._alive)
        log['quat_wxyz'][:, t] = sim.qpos[:, 3:7]
        log['base_ang_vel'][:, t] = sim.qvel[:, 3:6]
        log['joint_pos'][:, t] = sim.qpos[:, 7:]
        log['joint_vel'][:, t] = sim.qvel[:, 6:]
        log['joint_torque'][:, t] = sim.last_torque
        log['action'][:, t] = target
        log['command'][:, t] = command
        log['planar_velocity'][:, t, :2] = sim.yaw_frame_velocity
        log['planar_velocity'][:, t, 2] = sim.qvel[:, 5]
        log['base_position'][:, t] = sim.qpos[:, :3]
        log['base_height'][:, t] = sim.base_height
        log['foot_contact'][:, t] = sim.foot_contact
        self._t += 1

    def finish(self, grid: tuple[int, int]) -> RolloutLog:
        """Return the log with the batch folded to (P, W)."""
        shaped = {name: a.reshape(*grid, *a.shape[1:]) for name, a in self._log.items()}
        return RolloutLog(self._dt, steps_alive=self._alive.reshape(grid), **shaped)


class _Group:
    """Policies of one MLP shape and one observation layout, evaluated together."""

    def __init__(self, bundles: Sequence[Bundle], rows: np.ndarray) -> None:
        first = bundles[0]
        self.rows = rows
        self.shape = mlp_shape(first)
        self.builder = first.observation_builder()
        self.mlp = MlpBatch(self.shape, np.stack([MlpShape.flatten(b.layers) for b in bundles]))
        self.to_package = joint_index_map(first.joint_names, JOINT_NAMES)
        self.default = first.default_joint_pos[self.to_package]
        self.scale = first.action_scale[self.to_package]
        self.policies = len(bundles)

    def __call__(
        self, state: RobotState, command: np.ndarray, action: np.ndarray, cycles: np.ndarray
    ) -> np.ndarray:
        obs = self.builder.build(state, command, action, cycles)
        return self.mlp(obs.reshape(self.policies, -1, self.builder.size)).reshape(-1, 12)


def mlp_shape(bundle: Bundle) -> MlpShape:
    """Return the sizes of the bundle's network."""
    outs = [len(bias) for _, bias in bundle.layers]
    return MlpShape(bundle.layers[0][0].shape[1], tuple(outs[:-1]), outs[-1])


def _group_key(bundle: Bundle) -> tuple[object, ...]:
    return (
        mlp_shape(bundle),
        bundle.observation_names,
        bundle.observation_scales,
        bundle.joint_names,
        bundle.default_joint_pos.tobytes(),
        bundle.action_scale.tobytes(),
    )


def _worlds_with_gains(bundles: Sequence[Bundle], worlds: Worlds) -> tuple[Worlds, np.ndarray]:
    """Return one set of worlds per set of gains, and each bundle's set, shape (P,)."""
    sets: dict[bytes, int] = {}
    which = []
    models = []
    for bundle in bundles:
        index = joint_index_map(bundle.joint_names, JOINT_NAMES)
        kp, kd = bundle.joint_stiffness[index], bundle.joint_damping[index]
        key = kp.tobytes() + kd.tobytes()
        if key not in sets:
            sets[key] = len(sets)
            usual = np.all(kp == POLICY_STIFFNESS) and np.all(kd == POLICY_DAMPING)
            for model, factor in zip(worlds.models, worlds.gain_factor, strict=True):
                if not usual:
                    model = copy.deepcopy(model)
                    set_gains(model, kp * factor, kd * factor)
                models.append(model)
        which.append(sets[key])
    tiled = {f.name: np.tile(getattr(worlds, f.name), len(sets)) for f in fields(worlds)[1:]}
    return Worlds(models, **tiled), np.array(which)


def rollout(
    bundles: Sequence[Bundle],
    worlds: Worlds,
    commands: np.ndarray,
    seconds: float,
    *,
    noise: SensorNoise | None = None,
    push_m_s: float = 0.0,
    push_period_s: float = 4.0,
    seed: int = 0,
    threads: int | None = None,
) -> RolloutLog:
    """Walk every policy in every world, from standing in its default pose.

    Args:
        bundles: P policies; any mix of gains, joint orders and observation layouts, with one
            `control_dt` that is a whole number of physics steps.
        worlds: W worlds.
        commands: (P, 3) held, or (P, T, 3), vx m/s, vy m/s, wz rad/s.
        seconds: duration.
        noise: of the sensors; the usual `SensorNoise` when omitted.
        push_m_s: largest velocity kick per axis, at random times every `push_period_s`.
        push_period_s: mean time between kicks.
        seed: of noise, kicks and start poses. Worlds see the same kicks for every policy.
        threads: of the simulation; all cores when omitted.

    Raises:
        ValueError: policies of different control periods, or one that the physics step does not
            divide.
    """
    periods = sorted({b.control_dt for b in bundles})
    timestep = worlds.models[0].opt.timestep
    decimation = round(periods[0] / timestep)
    if len(periods) > 1 or abs(decimation * timestep - periods[0]) > 1e-9 or decimation < 1:
        raise ValueError(
            f'control periods {periods} s with physics steps of {timestep} s; use policies of one '
            'control_dt that is a multiple of the step'
        )
    n_policies, n_worlds = len(bundles), len(worlds)
    steps = round(seconds / periods[0])
    commands = np.asarray(commands, dtype=np.float64)
    if commands.ndim == 2:
        commands = np.broadcast_to(commands[:, None], (n_policies, steps, 3))
    all_worlds, gain_set = _worlds_with_gains(bundles, worlds)
    world_index = (gain_set[:, None] * n_worlds + np.arange(n_worlds)).ravel()
    sim = BatchSimulation(
        all_worlds,
        world_index,
        decimation=decimation,
        threads=threads,
        noise=noise if noise is not None else SensorNoise(),
        seed=seed,
    )
    return _Roller(bundles, sim, commands, n_worlds, seed).run(steps, push_m_s, push_period_s)


class _Roller:
    """The state of one `rollout` call."""

    def __init__(
        self,
        bundles: Sequence[Bundle],
        sim: BatchSimulation,
        commands: np.ndarray,
        n_worlds: int,
        seed: int,
    ) -> None:
        self.sim, self.commands, self.n_worlds = sim, commands, n_worlds
        self.n_policies = len(bundles)
        self.rng = np.random.default_rng(seed)
        groups: dict[tuple[object, ...], list[int]] = {}
        for i, bundle in enumerate(bundles):
            groups.setdefault(_group_key(bundle), []).append(i)
        self.groups = [
            _Group(
                [bundles[i] for i in members],
                (np.array(members)[:, None] * n_worlds + np.arange(n_worlds)).ravel(),
            )
            for members in groups.values()
        ]
        self.frequency = np.repeat([b.gait_frequency_hz for b in bundles], n_worlds)
        gain = np.repeat([b.velocity_gain for b in bundles], n_worlds)
        self.loop = velocity_loop(gain, (sim.size,))
        self.action = np.zeros((sim.size, 12))
        self.pose = np.zeros((sim.size, 12))
        for group in self.groups:
            self.pose[group.rows] = group.default
        sim.reset(
            np.arange(sim.size), self.pose, np.full(sim.size, START_HEIGHT_M), np.zeros(sim.size)
        )

    def run(self, steps: int, push_m_s: float, push_period_s: float) -> RolloutLog:
        sim = self.sim
        logbook = Logbook(sim, steps)
        dt = sim.control_dt_s
        cycles = np.zeros(sim.size)
        target = self.pose.copy()
        for t in range(steps):
            state = sim.observe()
            command = np.repeat(self.commands[:, t], self.n_worlds, axis=0)
            told = command if self.loop is None else self.loop(state, target, command)
            for group in self.groups:
                rows = group.rows
                mine = RobotState(
                    state.quat_wxyz[rows], state.base_ang_vel[rows], state.joint_pos[rows],
                    state.joint_vel[rows],
                )  # fmt: skip
                with np.errstate(over='ignore', invalid='ignore'):
                    raw = group(mine, told[rows], self.action[rows], cycles[rows])
                # a network that diverges makes no finite action: its robot is to fall, alone
                raw = np.clip(np.nan_to_num(raw), -100.0, 100.0)
                self.action[rows] = raw
                target[rows] = group.default + group.scale * raw[:, group.to_package]
            sim.step(np.clip(target, -6.0, 6.0))
            cycles += self.frequency * dt
            self._push(push_m_s, dt / push_period_s)
            logbook.write(target, command, sim.fallen())
        return logbook.finish((self.n_policies, self.n_worlds))

    def _push(self, push_m_s: float, probability: float) -> None:
        if push_m_s <= 0.0:
            return
        hit = np.flatnonzero(self.rng.random(self.n_worlds) < probability)
        kick = self.rng.uniform(-push_m_s, push_m_s, (len(hit), 3))
        kick[:, 2] = 0.0
        ids = (np.arange(self.n_policies)[:, None] * self.n_worlds + hit).ravel()
        if len(ids):
            self.sim.push(ids, np.tile(kick, (self.n_policies, 1)))

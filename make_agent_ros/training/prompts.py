"""Prompts for training and measuring: windows of policies walking in randomised worlds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from make_agent_ros.generator.embedding import RATE_HZ, features
from make_agent_ros.generator.style import walked_style
from make_agent_ros.go2.state import projected_gravity
from make_agent_ros.policy.bundle import Bundle
from make_agent_ros.recording.gait import Gait, describe_gait
from make_agent_ros.recording.trajectory import Trajectory
from make_agent_ros.simulation.batch import SensorNoise
from make_agent_ros.simulation.model import WorldRanges, randomised_worlds
from make_agent_ros.simulation.rollout import RolloutLog, rollout
from make_agent_ros.training.behaviour import BehaviourSet, feasible, moving, sample_commands
from make_agent_ros.training.zoo import Zoo

SETTLE_S = 1.5
"""Left out at the start: the step from standing to walking is no steady gait."""
PROMPT_WORLDS = WorldRanges(friction=(0.3, 1.25), payload_kg=(-1.0, 4.0))
"""Wider than the worlds that policies are trained for: a prompt shows a style, whatever the load
and the floor."""
SHARE = 32
"""Policies per randomised world: few enough for many worlds, enough for a batch to pay."""


@dataclass(frozen=True)
class PromptData:
    """Sequences of n behaviours, k each, T samples at 50 Hz."""

    features: np.ndarray
    """(n, k, T, 30) float16, channels of `generator.embedding`."""
    velocity: np.ndarray
    """(n, k, T, 3) float16: true vx, vy m/s and yaw rate rad/s."""
    valid: np.ndarray
    """(n, k) bool: the robot walked to the end."""
    style: np.ndarray
    """(n, k, 18) float32: the styles that were walked, by true contacts (`walked_style`)."""


def stored_prompts(folder: Path, side: str, seconds: float, seed: int, takes: int) -> PromptData:
    """Return the prompts of one side of a run's zoo, recorded once and then read.

    Args:
        folder: of the run, with `zoo_<side>.safetensors`; receives `prompts_<side>.safetensors`.
        side: of the split.
        seconds: of steady walking per take.
        seed: of worlds, commands and noise.
        takes: sequences per behaviour.
    """
    path = folder / f'prompts_{side}.safetensors'
    zoo = Zoo.load(folder / f'zoo_{side}.safetensors')
    digest = hashlib.sha256(zoo.weights.tobytes()).hexdigest()[:16]
    made_with = f'{digest} {seconds:g} {seed} {takes} with styles'
    if path.exists():
        with safe_open(path, 'np') as file:
            if (file.metadata() or {}).get('made_with') == made_with:
                return PromptData(*(file.get_tensor(f.name) for f in fields(PromptData)))
    prompts = record_prompts(zoo.bundles(), zoo.behaviours, seconds, seed, takes)
    arrays = {f.name: np.ascontiguousarray(getattr(prompts, f.name)) for f in fields(prompts)}
    part = path.with_suffix('.part')
    save_file(arrays, part, {'made_with': made_with})
    part.replace(path)
    return prompts


def join_prompts(parts: Sequence[PromptData]) -> PromptData:
    """Return the prompts of all parts, which have equal takes and lengths."""
    columns = ([getattr(p, f.name) for p in parts] for f in fields(PromptData))
    return PromptData(*(np.concatenate(column) for column in columns))


def record_prompts(
    bundles: Sequence[Bundle], behaviours: BehaviourSet, seconds: float, seed: int, takes: int = 4
) -> PromptData:
    """Walk every policy `takes` times, each take in another world and at another velocity.

    Args:
        bundles: policy of each behaviour.
        behaviours: as many; the first take moves at the behaviour's own velocity.
        seconds: of steady walking per take.
        seed: of worlds, commands and noise.
        takes: sequences per behaviour, k.
    """
    rng = np.random.default_rng([seed, 21])
    n = len(bundles)
    parts = []
    for take in range(takes):
        command = behaviours.default_command
        if take > 0:
            command = feasible(_walking_commands(rng, n), behaviours.styles)
        styles = behaviours.styles.vector()
        parts.append(_walk(bundles, styles, command, seconds, seed * 97 + take))
    return PromptData(*(np.stack(column, axis=1) for column in zip(*parts, strict=True)))


def _walking_commands(rng: np.random.Generator, n: int) -> np.ndarray:
    """Draw commands (n, 3) that make the robot step: one that stands shows no style."""
    command = sample_commands(rng, n)
    while (still := moving(command) < 1.0).any():
        command[still] = sample_commands(rng, int(still.sum()))
    return command


def _walk(
    bundles: Sequence[Bundle], told: np.ndarray, command: np.ndarray, seconds: float, seed: int
) -> tuple[np.ndarray, ...]:
    """One take of every policy; each `SHARE` of them share one randomised world.

    Args:
        bundles: n policies.
        told: style vectors, (n, 18).
        command: (n, 3).
        seconds: after settling.
        seed: of worlds and kicks.

    Returns:
        Rows of the fields of `PromptData`.
    """
    skip = round(SETTLE_S * RATE_HZ)
    found = []
    for start in range(0, len(bundles), SHARE):
        rows = slice(start, start + SHARE)
        worlds = randomised_worlds(1, seed * 1009 + start, PROMPT_WORLDS)
        log = rollout(
            bundles[rows], worlds, command[rows], seconds + SETTLE_S, seed=seed, push_m_s=0.3
        )
        found.append(
            (
                features(
                    log.quat_wxyz[:, 0, skip:],
                    log.base_ang_vel[:, 0, skip:],
                    log.joint_pos[:, 0, skip:],
                    log.joint_vel[:, 0, skip:],
                ).astype(np.float16),
                log.planar_velocity[:, 0, skip:].astype(np.float16),
                ~log.fell[:, 0],
                walked_style(told[rows], walked_gait(log, SETTLE_S, seconds)[:, 0]),
            )
        )
    return tuple(np.concatenate(column) for column in zip(*found, strict=True))


def walked_gait(log: RolloutLog, start_s: float, duration_s: float) -> Gait:
    """Describe the gaits of P policies in W worlds over a part of their walks, (P, W).

    By true contacts: joints and attitude alone leave it open whether legs fold or the base leaps
    (`recording.ground`), and told one gait in ten more than 0.1 cycle from itself in other worlds.
    """
    start = round(start_s / log.control_dt_s)
    part = slice(start, start + round(duration_s / log.control_dt_s))
    return describe_gait(
        log.joint_pos[:, :, part],
        projected_gravity(log.quat_wxyz[:, :, part]),
        1.0 / log.control_dt_s,
        contact=log.foot_contact[:, :, part],
    )


def prompt_from_log(
    log: RolloutLog,
    policy: int,
    world: int,
    start_s: float,
    duration_s: float,
    noise: SensorNoise | None = None,
    seed: int = 0,
) -> Trajectory:
    """Cut a prompt out of a rollout: proprioception only, with sensor noise.

    Args:
        log: of a rollout at 50 Hz.
        policy: row of the log.
        world: column of the log.
        start_s: of the cut.
        duration_s: of the cut.
        noise: of the sensors; the usual when omitted.
        seed: of the noise.
    """
    noise = noise or SensorNoise()
    rng = np.random.default_rng([seed, policy, world])
    rate = 1.0 / log.control_dt_s
    rows = slice(round(start_s * rate), round((start_s + duration_s) * rate))

    def noisy(values: np.ndarray, width: float) -> np.ndarray:
        cut = values[policy, world, rows].astype(np.float64)
        return cut + rng.uniform(-width, width, cut.shape)

    steps = rows.stop - rows.start
    return Trajectory(
        time_s=np.arange(steps) * log.control_dt_s,
        quat_wxyz=log.quat_wxyz[policy, world, rows],
        base_ang_vel=noisy(log.base_ang_vel, noise.gyro_rad_s),
        joint_pos=noisy(log.joint_pos, noise.joint_pos_rad),
        joint_vel=noisy(log.joint_vel, noise.joint_vel_rad_s),
        base_lin_acc=np.zeros((steps, 3)),
        joint_torque=log.joint_torque[policy, world, rows],
        foot_force=np.zeros((steps, 4)),
        source='simulation',
    )

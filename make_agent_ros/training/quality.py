"""How good generated policies are on behaviours that no training has seen.

The ladder: held-out policy itself -> codec ceiling -> regression -> first sample -> best of N,
beside the nearest zoo policy. All methods get the same prompts, worlds, kicks and noise; the
ranking's worlds are drawn from another seed than the worlds that measure.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch

from make_agent_ros.checking.metrics import velocity_rmse, wilson_interval
from make_agent_ros.checking.ranking import rank
from make_agent_ros.generator.model import Generator
from make_agent_ros.go2.state import projected_gravity
from make_agent_ros.policy.bundle import Bundle
from make_agent_ros.recording.gait import Gait, describe_gait, gait_distance
from make_agent_ros.recording.trajectory import Trajectory
from make_agent_ros.simulation.model import randomised_worlds
from make_agent_ros.simulation.rollout import RolloutLog, rollout
from make_agent_ros.training.behaviour import GAITS, BehaviourSet
from make_agent_ros.training.oracle import teacher_rollout
from make_agent_ros.training.progress import Report
from make_agent_ros.training.prompts import SETTLE_S, prompt_from_log
from make_agent_ros.training.teacher import Teacher
from make_agent_ros.training.zoo import Zoo


@dataclass(frozen=True)
class QualityConfig:
    """Sizes of the benchmark."""

    prompts: int = 100
    worlds: int = 10
    seconds: float = 20.0
    candidates: int = 16
    prompt_s: float = 4.0
    push_m_s: float = 0.0
    """Largest kick per axis while measuring, m/s."""
    seed: int = 1234


@dataclass(frozen=True)
class Limits:
    """When a policy counts as walking and as the prompt's style in one world."""

    velocity_rmse_m_s: float = 0.2
    yaw_rate_rmse_rad_s: float = 0.3
    frequency_rel: float = 0.1
    phase_cycles: float = 0.1
    height_m: float = 0.02


@dataclass(frozen=True)
class Figures:
    """What P policies did in W worlds; arrays have shape (P, W)."""

    fell: np.ndarray
    velocity_rmse: np.ndarray
    """Planar, against the command, m/s."""
    yaw_rate_rmse: np.ndarray
    """rad/s."""
    frequency_rel: np.ndarray
    """|f - f_prompt| / f_prompt."""
    phase_cycles: np.ndarray
    height_m: np.ndarray
    swing_m: np.ndarray

    def walks(self, limits: Limits) -> np.ndarray:
        """No fall, velocity and step frequency within limits, (P, W)."""
        return (
            ~self.fell
            & (self.velocity_rmse < limits.velocity_rmse_m_s)
            & (self.frequency_rel < limits.frequency_rel)
        )

    def matches(self, limits: Limits) -> np.ndarray:
        """Walks, turns as told, and has the prompt's phases and height, (P, W)."""
        return (
            self.walks(limits)
            & (self.yaw_rate_rmse < limits.yaw_rate_rmse_rad_s)
            & (self.phase_cycles < limits.phase_cycles)
            & (self.height_m < limits.height_m)
        )


def measure(
    bundles: Sequence[Bundle],
    commands: np.ndarray,
    prompts: Gait,
    config: QualityConfig,
    progress: Callable[[float], None] | None = None,
) -> Figures:
    """Walk policies at `commands` (P, 3) in the measuring worlds and compare with `prompts` (P,).

    Policies are walked in groups, so that memory stays small.
    """
    worlds = randomised_worlds(config.worlds, config.seed)
    rows: list[Figures] = []
    group = max(1, 512 // config.worlds)
    for start in range(0, len(bundles), group):
        ids = slice(start, start + group)
        log = rollout(
            bundles[ids],
            worlds,
            commands[ids],
            config.seconds,
            push_m_s=config.push_m_s,
            seed=config.seed,
        )
        rows.append(judge(log, prompts[ids]))
        if progress:
            progress(min(1.0, (start + group) / len(bundles)))
    return Figures(*(np.concatenate([getattr(r, f.name) for r in rows]) for f in fields(Figures)))


def judge(log: RolloutLog, prompts: Gait) -> Figures:
    """Compare P policies in W worlds with the gaits that their prompts (P,) show."""
    planar, turning = velocity_rmse(
        log.planar_velocity,
        log.command,
        log.control_dt_s,
        steps_alive=log.steps_alive,
        skip_s=SETTLE_S,
    )
    skip = round(SETTLE_S / log.control_dt_s)
    steady = slice(skip, skip + round(8.0 / log.control_dt_s))
    gait = describe_gait(
        log.joint_pos[:, :, steady],
        projected_gravity(log.quat_wxyz[:, :, steady]),
        1.0 / log.control_dt_s,
    )
    distance = gait_distance(gait, prompts[:, None])
    names = ('frequency_rel', 'phase_cycles', 'height_m', 'swing_m')
    return Figures(log.fell, planar, turning, *(distance[name] for name in names))


def summarise(figures: Figures, name: str, limits: Limits, family: np.ndarray) -> dict[str, float]:
    """Return flat figures `<what>.<name>`; a prompt counts when 9 of 10 worlds do.

    Args:
        figures: of P policies in W worlds.
        name: of the method.
        limits: of what counts.
        family: index into `GAITS` of each prompt, shape (P,); shares are given for each too.
    """
    n = len(figures.fell)
    result: dict[str, float] = {}
    for what, ok in (
        ('no_fall', ~figures.fell),
        ('walks', figures.walks(limits)),
        ('matches', figures.matches(limits)),
    ):
        share = ok.mean(axis=1) >= 0.9 - 1e-9
        low, high = wilson_interval(int(share.sum()), n)
        result |= {
            f'{what}.{name}': float(share.mean()),
            f'{what}.{name}.low': low,
            f'{what}.{name}.high': high,
            f'{what}_rollouts.{name}': float(ok.mean()),
        }
        for k in np.unique(family):
            result[f'{what}.{name}.{list(GAITS)[k]}'] = float(share[family == k].mean())
    alive = ~figures.fell
    for what in ('velocity_rmse', 'yaw_rate_rmse', 'frequency_rel', 'phase_cycles', 'height_m'):
        values = getattr(figures, what)[alive]
        result[f'{what}.{name}'] = float(np.median(values)) if values.size else float('nan')
    return result


class HeldOut:
    """Held-out behaviours with their policies, prompts and the prompts' gaits."""

    def __init__(self, folder: Path, config: QualityConfig, zoo: Zoo | None = None) -> None:
        """Record one prompt per held-out behaviour that its own policy can walk.

        Args:
            folder: of a training run with `zoo_held_out.safetensors`.
            config: sizes.
            zoo: held-out policies, read from `folder` when omitted.
        """
        zoo = zoo or Zoo.load(folder / 'zoo_held_out.safetensors')
        n = min(config.prompts, len(zoo))
        self.config = config
        self.bundles = zoo.bundles(list(range(n)))
        self.behaviours = BehaviourSet(
            zoo.behaviours.styles[:n], zoo.behaviours.default_command[:n]
        )
        self.commands = self.behaviours.default_command
        worlds = randomised_worlds(4, config.seed + 1)
        log = rollout(
            self.bundles, worlds, self.commands, SETTLE_S + config.prompt_s + 0.5,
            seed=config.seed + 1,
        )  # fmt: skip
        # A demonstrator whose robot fell would be demonstrated again, in another world.
        world = log.fell.argmin(axis=1)
        self.prompts = [
            prompt_from_log(log, i, int(world[i]), SETTLE_S, config.prompt_s, seed=config.seed)
            for i in range(n)
        ]
        self.fell = log.fell.all(axis=1)
        self.gait = gait_of(self.prompts)


def gait_of(prompts: Sequence[Trajectory]) -> Gait:
    """Describe prompts of equal length at 50 Hz, as one batch."""
    return describe_gait(
        np.stack([p.joint_pos for p in prompts]),
        np.stack([projected_gravity(p.quat_wxyz) for p in prompts]),
        50.0,
    )


@torch.no_grad()
def candidates(
    generator: Generator, held_out: HeldOut, training: Zoo, held_out_zoo: Zoo
) -> dict[str, list[Bundle]]:
    """Return one policy per prompt for every method that needs no ranking."""
    first, regression, nearest, codec = [], [], [], []
    zoo_bundles = training.bundles()
    known = generator.known
    for i, prompt in enumerate(held_out.prompts):
        embedding, velocity = generator.embed(prompt)
        first += generator.sample(prompt, 1, seed=i, allow_novel=True)
        regression += generator.decode(generator.to_latent(embedding)[None], velocity, {})
        index = int((known - embedding).square().sum(1).argmin())
        nearest.append(replace(zoo_bundles[index], default_command=velocity))
        latent = generator.codec.encode(
            torch.from_numpy(held_out_zoo.weights[i : i + 1]),
            torch.tensor([held_out.bundles[i].gait_frequency_hz]),
        )
        codec += generator.decode(latent, velocity, {})
    return {
        'demonstrator': list(held_out.bundles),
        'codec': codec,
        'regression': regression,
        'first_sample': first,
        'nearest_zoo': nearest,
    }


def bench_quality(
    folder: Path,
    generator: Generator,
    config: QualityConfig | None = None,
    progress: Report | None = None,
) -> dict[str, float]:
    """Measure the ladder on held-out behaviours.

    Args:
        folder: of the training run, with both zoos.
        generator: to measure.
        config: sizes.
        progress: called with (steps done, steps, what).

    Returns:
        Flat figures, `<what>.<method>`; see `summarise`. Velocities are judged against the
        demonstrator's command, which no method is told.
    """
    config = config or QualityConfig()
    limits = Limits()
    say = progress or (lambda done, total, what: None)
    held_out_zoo = Zoo.load(folder / 'zoo_held_out.safetensors')
    held_out = HeldOut(folder, config, held_out_zoo)
    n = len(held_out.prompts)
    methods = candidates(
        generator, held_out, Zoo.load(folder / 'zoo_training.safetensors'), held_out_zoo
    )
    total = n + len(methods) + 2
    best = []
    for i, prompt in enumerate(held_out.prompts):
        pool = generator.sample(prompt, config.candidates, seed=i, allow_novel=True)
        ranking = rank(pool, prompt, seed=i)
        best.append(replace(pool[ranking.best], default_command=ranking.command[ranking.best]))
        say(i + 1, total, 'ranking')
    methods[f'best_of_{config.candidates}'] = best
    result: dict[str, float] = {'prompts': n, 'worlds': config.worlds, 'seconds': config.seconds}
    for k, (name, bundles) in enumerate(methods.items()):
        # Every policy is told its own default command: what it took from the prompt.
        commands = np.stack([b.default_command for b in bundles])
        figures = measure(bundles, commands, held_out.gait, config)
        result |= summarise(figures, name, limits, held_out.behaviours.styles.family)
        say(n + k + 1, total, name)
        off = np.linalg.norm((commands - held_out.commands)[:, :2], axis=1)
        result[f'prompt_velocity_error.{name}'] = float(np.median(off))
    log = teacher_rollout(
        Teacher.load(folder), held_out.behaviours, config.worlds, config.seconds, config.seed,
        config.push_m_s,
    )  # fmt: skip
    figures = judge(log, held_out.gait)
    result |= summarise(figures, 'teacher', limits, held_out.behaviours.styles.family)
    say(total, total, 'teacher')
    return result


def write_json(figures: dict[str, float], path: Path) -> None:
    """Write figures as one flat JSON object."""
    path.write_text(json.dumps(figures, indent=1, sort_keys=True) + '\n')

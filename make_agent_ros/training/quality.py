"""How good generated policies are on behaviours that no training has seen.

The ladder: teacher told the true style -> held-out policy itself -> codec ceiling -> regression ->
first sample -> median and best of N, beside the nearest zoo policy. All methods get the same
prompts, worlds, kicks and noise; the ranking's worlds are drawn from another seed than the worlds
that measure. Splits: `interpolation` between training behaviours, and the two withheld regions
`corner` and `gait_out`, which the measured generator has not seen (`training.split`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from make_agent_ros.checking.metrics import velocity_rmse, wilson_interval
from make_agent_ros.generator.model import Generator
from make_agent_ros.go2.state import projected_gravity
from make_agent_ros.policy.bundle import Bundle
from make_agent_ros.recording.gait import Gait, describe_gait, gait_distance
from make_agent_ros.simulation.model import randomised_worlds
from make_agent_ros.simulation.rollout import RolloutLog, rollout
from make_agent_ros.training.baselines import NAMES
from make_agent_ros.training.held_out import SPLITS, HeldOut, QualityConfig
from make_agent_ros.training.methods import DIRECT, NEAREST, Methods
from make_agent_ros.training.oracle import teacher_rollout
from make_agent_ros.training.progress import Report
from make_agent_ros.training.prompts import SETTLE_S
from make_agent_ros.training.teacher import Teacher
from make_agent_ros.training.zoo import Zoo


@dataclass(frozen=True)
class Limits:
    """When a policy counts as walking, and as qualified, in one world."""

    walking_rmse_m_s: float = 0.2
    velocity_rmse_m_s: float = 0.15
    yaw_rate_rmse_rad_s: float = 0.2
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
            & (self.velocity_rmse < limits.walking_rmse_m_s)
            & (self.frequency_rel < limits.frequency_rel)
        )

    def qualified(self, limits: Limits) -> np.ndarray:
        """Walks as fast and turns as told, with the prompt's phases and height, (P, W)."""
        return (
            self.walks(limits)
            & (self.velocity_rmse < limits.velocity_rmse_m_s)
            & (self.yaw_rate_rmse < limits.yaw_rate_rmse_rad_s)
            & (self.phase_cycles < limits.phase_cycles)
            & (self.height_m < limits.height_m)
        )


def measure(
    bundles: Sequence[Bundle],
    commands: np.ndarray,
    prompts: Gait,
    config: QualityConfig,
    asked: np.ndarray | None = None,
) -> Figures:
    """Walk policies in the measuring worlds, in groups, so that memory stays small.

    Args:
        bundles: P policies.
        commands: told to them, (P, 3).
        prompts: gaits that they are compared with, (P,).
        config: sizes.
        asked: velocities that they are to move at, (P, 3), where that is not what they are told:
            ranking takes a policy's bias off its command.
    """
    asked = commands if asked is None else asked
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
        rows.append(judge(log, prompts[ids], asked[ids]))
    return Figures(*(np.concatenate([getattr(r, f.name) for r in rows]) for f in fields(Figures)))


def judge(log: RolloutLog, prompts: Gait, asked: np.ndarray) -> Figures:
    """Compare P policies in W worlds with their prompts' gaits (P,) and velocities (P, 3)."""
    planar, turning = velocity_rmse(
        log.planar_velocity,
        np.broadcast_to(asked[:, None, None], log.command.shape),
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


def summarise(figures: Figures, name: str, limits: Limits) -> dict[str, float]:
    """Return flat figures `<what>.<name>`; a prompt counts when 9 of 10 worlds do.

    Args:
        figures: of P policies in W worlds.
        name: `<split>.<method>`.
        limits: of what counts.
    """
    n = len(figures.fell)
    result: dict[str, float] = {}
    for what, ok in (
        ('no_fall', ~figures.fell),
        ('walks', figures.walks(limits)),
        ('qualified', figures.qualified(limits)),
    ):
        share = ok.mean(axis=1) >= 0.9 - 1e-9
        low, high = wilson_interval(int(share.sum()), n)
        result |= {
            f'{what}.{name}': float(share.mean()),
            f'{what}.{name}.low': low,
            f'{what}.{name}.high': high,
            f'{what}_rollouts.{name}': float(ok.mean()),
        }
    alive = ~figures.fell
    for what in ('velocity_rmse', 'yaw_rate_rmse', 'frequency_rel', 'phase_cycles', 'height_m'):
        values = getattr(figures, what)[alive]
        result[f'{what}.{name}'] = float(np.median(values)) if values.size else float('nan')
    return result


def bench_quality(
    folder: Path,
    generator: Generator,
    config: QualityConfig | None = None,
    progress: Report | None = None,
) -> dict[str, float]:
    """Measure the ladder on held-out behaviours.

    Args:
        folder: of the training run, with all zoos.
        generator: to measure.
        config: sizes.
        progress: called with (steps done, steps, what).

    Returns:
        Flat figures, `<what>.<split>.<method>`; see `summarise`. Every policy is told its own
        default command and judged against the velocity that was read off the prompt;
        `prompt_velocity_error` tells how far that is from the demonstrator's command.
    """
    config = config or QualityConfig()
    if unknown := [split for split in config.splits if split not in SPLITS]:
        raise ValueError(f'unknown splits {unknown}; choose from {", ".join(SPLITS)}')
    n = config.candidates
    known = ('teacher', *DIRECT, f'median_of_{n}', f'best_of_{n}', *NAMES)
    if unknown := [name for name in config.methods if name not in known]:
        raise ValueError(f'unknown methods {unknown}; choose from {", ".join(known)}')
    training = Zoo.load(folder / 'zoo_training.safetensors')
    result = {
        'worlds': float(config.worlds),
        'seconds': config.seconds,
        'push_m_s': config.push_m_s,
    }
    for k, split in enumerate(config.splits):

        def say(share: float, what: str, k: int = k, split: str = split) -> None:
            if progress:
                progress(round(100 * (k + share)), 100 * len(config.splits), f'{split}: {what}')

        result |= _bench_split(folder, split, generator, training, config, say)
    return result


def _bench_split(
    folder: Path,
    split: str,
    generator: Generator,
    training: Zoo,
    config: QualityConfig,
    say: Callable[[float, str], None],
) -> dict[str, float]:
    say(0.0, 'prompts')
    held_out = HeldOut(folder, config, SPLITS[split])
    methods = Methods(held_out, generator, training, config)
    limits, n = Limits(), config.candidates
    wanted = config.methods or ('teacher', *DIRECT, *NEAREST, f'median_of_{n}', f'best_of_{n}')
    result = {f'prompts.{split}': float(len(held_out.prompts))}
    ranked: dict[str, list[Bundle]] = {}
    if any(name.endswith(f'_of_{n}') for name in wanted):
        ranked = methods.ranked(lambda share: say(0.3 * share, 'ranking'))
    for k, name in enumerate(wanted):
        say(0.3 + 0.7 * k / len(wanted), name)
        if name == 'teacher':
            log = teacher_rollout(
                Teacher.load(folder), held_out.behaviours, config.worlds, config.seconds,
                config.seed, config.push_m_s,
            )  # fmt: skip
            figures = judge(log, held_out.gait, held_out.commands)
            result |= summarise(figures, f'{split}.teacher', limits)
            continue
        if name in ranked:
            bundles = ranked[name]
        else:
            bundles = (
                getattr(methods, name)() if name in DIRECT else methods.baseline(name, folder)
            )
        commands = np.stack([b.default_command for b in bundles])
        asked = commands
        if name in ranked:
            asked = np.stack([velocity for _, velocity in methods.embedded])
        figures = measure(bundles, commands, held_out.gait, config, asked)
        result |= summarise(figures, f'{split}.{name}', limits)
        off = np.linalg.norm((asked - held_out.commands)[:, :2], axis=1)
        result[f'prompt_velocity_error.{split}.{name}'] = float(np.median(off))
    say(1.0, 'done')
    return result


def write_json(figures: dict[str, float], path: Path) -> None:
    """Write figures as one flat JSON object."""
    path.write_text(json.dumps(figures, indent=1, sort_keys=True) + '\n')

"""How well the teacher covers the behaviour space: `make-agent bench teacher`.

Styles are drawn from the whole space; falls, and walks whose phases are not those that the style
has in other worlds, are told by gait and by what physics asks of the style (`training.demand`),
which is where the limits of that module come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from make_agent_ros.checking.metrics import wilson_interval
from make_agent_ros.simulation.rollout import RolloutLog
from make_agent_ros.training.behaviour import (
    ANYWHERE,
    GAITS,
    BehaviourSet,
    demand_share,
    sample_styles,
    shown_commands,
    toppling_s,
)
from make_agent_ros.training.demand import FEASIBLE_SHARE, TOPPLING_LIMIT_S
from make_agent_ros.training.oracle import teacher_rollout
from make_agent_ros.training.prompts import SETTLE_S, walked_gait
from make_agent_ros.training.quality import GAIT_S, Figures, judge
from make_agent_ros.training.split import feasible_style
from make_agent_ros.training.teacher import Teacher

DEMAND_BINS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Edges of the shares of the demand limits by which falls are told."""
TOPPLING_BINS_S = (0.0, 0.1, 0.15, 0.2, 0.25, 0.3, 0.7)
"""Edges of that share times the time of a gait cycle."""
STANCE_BINS = (0.3, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8)
"""Edges of duty factors, of styles within both limits above."""
UNSTEADY_CYCLES = 0.1
"""A walk is unsteady in which a leg is this far from where it is in other worlds."""


@dataclass(frozen=True)
class TeacherBench:
    """Walk the teacher over styles of the whole space."""

    folder: Path = Path('runs/training')
    """Run with a teacher."""
    styles: int = 420
    """Half of them anywhere on the torus, the others near the named gaits in equal shares."""
    worlds: int = 4
    """Randomised worlds per style."""
    seconds: float = 20.0
    push_m_s: float = 0.4
    """Largest kick per axis."""
    seed: int = 77


def run_teacher_bench(arguments: Sequence[str]) -> dict[str, float]:
    """Run `bench teacher`, print its table and return the figures."""
    options = tyro.cli(TeacherBench, args=list(arguments), prog='make-agent bench teacher')
    figures = bench_teacher(Teacher.load(options.folder), options)
    table = Table(
        title=f'{options.styles} styles x {options.worlds} worlds x {options.seconds:g} s'
    )
    for heading in (
        'styles', 'walks', 'fall', 'unsteady', 'velocity RMSE, m/s', 'height error, m',
    ):  # fmt: skip
        table.add_column(heading, justify='left' if heading == 'styles' else 'right')
    for name in [key.removeprefix('walks.') for key in figures if key.startswith('walks.')]:
        low, high = figures[f'falls.{name}.low'], figures[f'falls.{name}.high']
        table.add_row(
            name,
            f'{figures[f"walks.{name}"]:.0f}',
            f'{figures[f"falls.{name}"]:.1%} [{low:.1%}, {high:.1%}]',
            f'{figures[f"unsteady.{name}"]:.1%}',
            f'{figures[f"velocity_rmse.{name}"]:.3f}',
            f'{figures[f"height_m.{name}"]:.3f}',
        )
    Console().print(table)
    return figures


def bench_teacher(teacher: Teacher, config: TeacherBench) -> dict[str, float]:
    """Return flat figures `<what>.<group>`: falls with 95 % interval, and medians of errors.

    Groups: `all`, `feasible`, each named gait, `anywhere`, `demand <low>-<high>`,
    `toppling <low>-<high>`, and `stance <low>-<high>`.
    """
    rng = np.random.default_rng(config.seed)
    n = config.styles
    named = np.arange(n) // 2 % len(GAITS)
    gaits = np.where(np.arange(n) % 2, ANYWHERE, named)
    styles = sample_styles(rng, n, gaits)
    behaviours = BehaviourSet(styles, shown_commands(rng, styles))
    log = teacher_rollout(
        teacher, behaviours, config.worlds, config.seconds, config.seed, config.push_m_s
    )
    # What was asked for stands in for a prompt: errors are against the style itself.
    figures = judge(log, styles.gait(), behaviours.default_command)
    unsteady = unsteady_walks(log)
    share, toppling = demand_share(styles), toppling_s(styles)
    groups = {'all': np.ones(n, bool), 'feasible': feasible_style(styles)}
    groups['anywhere'] = gaits == ANYWHERE
    groups |= {name: gaits == k for k, name in enumerate(GAITS)}
    for low, high in pairwise(DEMAND_BINS):
        groups[f'demand {low:.1f}-{high:.1f}'] = (share >= low) & (share <= high)
    for low, high in pairwise(TOPPLING_BINS_S):
        groups[f'toppling {low:.2f}-{high:.2f} s'] = (toppling >= low) & (toppling < high)
    duty = styles.duty.max(axis=1)
    level = (share <= FEASIBLE_SHARE) & (toppling <= TOPPLING_LIMIT_S)
    for low, high in pairwise(STANCE_BINS):
        groups[f'stance {low:.2f}-{high:.2f}'] = level & (duty >= low) & (duty < high)
    result: dict[str, float] = {}
    for name, mine in groups.items():
        if mine.any():
            result |= _group(figures, mine, name)
            result[f'unsteady.{name}'] = float(unsteady[mine].mean())
    return result


def unsteady_walks(log: RolloutLog) -> np.ndarray:
    """Return which walks of P styles in W worlds keep other phases than the others, (P, W)."""
    phase = np.exp(2j * np.pi * walked_gait(log, SETTLE_S, GAIT_S).phase_offset)
    mean = np.where(log.fell[..., None], 0.0, phase).sum(axis=1, keepdims=True)
    off = np.abs(np.angle(phase * mean.conj())) / (2.0 * np.pi)
    return np.asarray((off.max(axis=-1) > UNSTEADY_CYCLES) & ~log.fell)


def _group(figures: Figures, mine: np.ndarray, name: str) -> dict[str, float]:
    fell = figures.fell[mine]
    low, high = wilson_interval(int(fell.sum()), fell.size)
    result = {
        f'walks.{name}': float(fell.size),
        f'falls.{name}': float(fell.mean()),
        f'falls.{name}.low': low,
        f'falls.{name}.high': high,
    }
    for what in ('velocity_rmse', 'yaw_rate_rmse', 'frequency_rel', 'phase_cycles', 'height_m'):
        values = getattr(figures, what)[mine][~fell]
        result[f'{what}.{name}'] = float(np.median(values)) if values.size else float('nan')
    return result

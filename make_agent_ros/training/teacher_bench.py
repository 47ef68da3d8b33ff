"""How well the teacher covers the behaviour space: `make-agent bench teacher`.

Styles are drawn from the whole space; falls are told by gait and by what physics asks of the style
(`training.demand`), which is where the limits of that module come from.
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
from make_agent_ros.training.behaviour import (
    ANYWHERE,
    GAITS,
    BehaviourSet,
    demand_share,
    feasible,
    sample_default_commands,
    sample_styles,
)
from make_agent_ros.training.demand import FEASIBLE_SHARE
from make_agent_ros.training.oracle import teacher_rollout
from make_agent_ros.training.quality import Figures, judge
from make_agent_ros.training.teacher import Teacher

DEMAND_BINS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Edges of the shares of the demand limits by which falls are told."""


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
    for heading in ('styles', 'walks', 'fall', 'velocity RMSE, m/s', 'height error, m'):
        table.add_column(heading, justify='left' if heading == 'styles' else 'right')
    for name in [key.removeprefix('walks.') for key in figures if key.startswith('walks.')]:
        low, high = figures[f'falls.{name}.low'], figures[f'falls.{name}.high']
        table.add_row(
            name,
            f'{figures[f"walks.{name}"]:.0f}',
            f'{figures[f"falls.{name}"]:.1%} [{low:.1%}, {high:.1%}]',
            f'{figures[f"velocity_rmse.{name}"]:.3f}',
            f'{figures[f"height_m.{name}"]:.3f}',
        )
    Console().print(table)
    return figures


def bench_teacher(teacher: Teacher, config: TeacherBench) -> dict[str, float]:
    """Return flat figures `<what>.<group>`: falls with 95 % interval, and medians of errors.

    Groups: `all`, `feasible`, each named gait, `anywhere`, and `demand <low>-<high>`.
    """
    rng = np.random.default_rng(config.seed)
    n = config.styles
    named = np.arange(n) // 2 % len(GAITS)
    gaits = np.where(np.arange(n) % 2, ANYWHERE, named)
    styles = sample_styles(rng, n, gaits)
    behaviours = BehaviourSet(styles, feasible(sample_default_commands(rng, n), styles))
    log = teacher_rollout(
        teacher, behaviours, config.worlds, config.seconds, config.seed, config.push_m_s
    )
    # What was asked for stands in for a prompt: errors are against the style itself.
    figures = judge(log, styles.gait(), behaviours.default_command)
    share = demand_share(styles)
    groups = {'all': np.ones(n, bool), 'feasible': share <= FEASIBLE_SHARE}
    groups['anywhere'] = gaits == ANYWHERE
    groups |= {name: gaits == k for k, name in enumerate(GAITS)}
    for low, high in pairwise(DEMAND_BINS):
        groups[f'demand {low:.1f}-{high:.1f}'] = (share >= low) & (share <= high)
    result: dict[str, float] = {}
    for name, mine in groups.items():
        if mine.any():
            result |= _group(figures, mine, name)
    return result


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

"""`make-agent bench quality` and `make-agent bench generator`: options are these dataclasses."""

from __future__ import annotations

import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from make_agent_ros.checking.ranking import rank
from make_agent_ros.generator.model import Generator
from make_agent_ros.training.held_out import HeldOut, QualityConfig
from make_agent_ros.training.progress import with_progress
from make_agent_ros.training.quality import bench_quality

COLUMNS = {
    'no_fall': 'no fall',
    'walks': 'walks',
    'qualified': 'qualified',
    'velocity_rmse': 'velocity RMSE, m/s',
    'frequency_rel': 'step frequency error',
    'phase_cycles': 'phase error, cycles',
    'height_m': 'height error, m',
}
"""Figures of the printed table and their headings."""


@dataclass(frozen=True)
class QualityBench:
    """Measure generated policies on held-out behaviours beside their baselines."""

    folder: Path = Path('runs/training')
    """Run with both zoos (`make-agent train zoo`)."""
    generator: Path | None = None
    """Folder of the generator; the run's `generator_measured` (`make-agent train measured`) when
    omitted, which has seen no withheld behaviour."""
    quick: bool = False
    """A sixth of the prompts and half the worlds."""
    config: QualityConfig = field(default_factory=QualityConfig)


@dataclass(frozen=True)
class GeneratorBench:
    """Time loading, generating and ranking."""

    folder: Path = Path('runs/training')
    """Run with the held-out zoo, for prompts."""
    generator: Path | None = None
    """Folder of the generator; the shipped one when omitted."""
    candidates: int = 16
    repeats: int = 20


def run_quality(arguments: Sequence[str]) -> dict[str, float]:
    """Run `bench quality`, print its table and return the figures."""
    options = tyro.cli(QualityBench, args=list(arguments), prog='make-agent bench quality')
    config = options.config
    if options.quick:
        config = replace(config, prompts=16, worlds=5)
    generator = Generator.load(options.generator or options.folder / 'generator_measured')
    figures = with_progress(
        'quality', lambda report: bench_quality(options.folder, generator, config, report)
    )
    for split in config.splits:
        Console().print(quality_table(figures, split))
    return figures


def quality_table(figures: dict[str, float], split: str) -> Table:
    """Return the ladder on one split as a table: one row per method."""
    table = Table(
        title=f'{split}: {figures[f"prompts.{split}"]:.0f} held-out behaviours, '
        f'{figures["worlds"]:.0f} worlds of {figures["seconds"]:.0f} s each, kicks up to '
        f'{figures["push_m_s"]:g} m/s per axis'
    )
    table.add_column('method')
    for heading in COLUMNS.values():
        table.add_column(heading, justify='right')
    first = f'velocity_rmse.{split}.'
    for method in [k.removeprefix(first) for k in figures if k.startswith(first)]:
        cells = []
        for name in COLUMNS:
            key = f'{name}.{split}.{method}'
            value = figures[key]
            if f'{key}.low' in figures:
                low, high = figures[f'{key}.low'], figures[f'{key}.high']
                cells.append(f'{value:.0%} [{low:.0%}, {high:.0%}]')
            else:
                cells.append(f'{value:.1%}' if name == 'frequency_rel' else f'{value:.3f}')
        table.add_row(method, *cells)
    return table


def run_generator(arguments: Sequence[str]) -> dict[str, float]:
    """Run `bench generator` and return its figures: seconds, megabytes."""
    options = tyro.cli(GeneratorBench, args=list(arguments), prog='make-agent bench generator')
    started = time.perf_counter()
    generator = Generator.load(options.generator)
    load_s = time.perf_counter() - started
    prompt = HeldOut(options.folder, QualityConfig(prompts=1)).prompts[0]
    spent = []
    for seed in range(options.repeats):
        started = time.perf_counter()
        bundles = generator.sample(prompt, options.candidates, seed, allow_novel=True)
        spent.append(time.perf_counter() - started)
    ranking = [rank(bundles, prompt, seed=seed).seconds for seed in range(3)]
    figures = {
        'candidates': float(options.candidates),
        'load_s': load_s,
        'seconds_16_first': spent[0],
        'seconds_16': float(np.median(spent[1:])),
        'seconds_16_p95': float(np.percentile(spent[1:], 95)),
        'ranking_s': float(np.median(ranking)),
        'peak_rss_mb': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    for name, value in figures.items():
        Console().print(f'{name:>18} {value:.4g}')
    return figures

"""`make-agent bench quality`: its options are this dataclass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table

from make_agent_ros.generator.model import Generator
from make_agent_ros.training.held_out import Material, QualityConfig
from make_agent_ros.training.ladder import bench_quality
from make_agent_ros.training.methods import OF_POLICY
from make_agent_ros.training.progress import with_progress
from make_agent_ros.training.split import Split

COLUMNS = {
    'first_sample_survival': 'no fall, of all walks',
    'walks': 'walks',
    'qualified': 'qualified',
    'velocity_rmse': 'velocity RMSE, m/s',
    'frequency_rel': 'step frequency error',
    'phase_cycles': 'phase error, cycles',
    'height_m': 'height error, m',
}
"""Figures of the printed table and their headings."""
QUICK = QualityConfig(
    splits=('interpolation',),
    methods=('teacher', 'regression', 'first_sample', 'best_of_16'),
    prompts=20,
    worlds=5,
    seconds=10.0,
)
"""What `--quick` measures unless told otherwise."""


@dataclass(frozen=True)
class QualityBench:
    """Measure generated policies on held-out behaviours beside their baselines."""

    folder: Path = Path('runs/training')
    """Run with all zoos (`make-agent train zoo`)."""
    generator: Path | None = None
    """Folder of the generator; the run's `generator_measured` (`make-agent train measured`) when
    omitted, which has seen no withheld behaviour."""
    split: Path | None = None
    """YAML of the behaviour split; the package's config/behaviours.yaml when omitted."""
    quick: bool = False
    """Minutes, and no training run: the shipped generator, on prompts that the shipped teacher
    shows of held-out styles. It guards what is shipped; other splits and baselines need a run."""
    html: Path | None = None
    """Write a page with figures, definitions and tables."""
    config: QualityConfig = field(default_factory=QualityConfig)


def run_quality(arguments: Sequence[str]) -> dict[str, float]:
    """Run `bench quality`, print its tables and return the figures."""
    default = QualityBench(config=QUICK if '--quick' in arguments else QualityConfig())
    options = tyro.cli(
        QualityBench, args=list(arguments), prog='make-agent bench quality', default=default
    )
    split = Split.load(options.split)
    if options.quick:
        material = Material.shipped(split)
        generator = Generator.load(options.generator)
    else:
        material = Material.of_run(options.folder, split)
        generator = Generator.load(options.generator or options.folder / 'generator_measured')
    figures = with_progress(
        'quality', lambda report: bench_quality(material, generator, options.config, report)
    )
    for name in options.config.splits:
        Console().print(quality_table(figures, name))
    if options.html:
        from make_agent_ros.training.quality_page import Origin, quality_page

        origin = Origin.of(arguments, material, generator, options.config)
        options.html.write_text(quality_page(figures, origin), encoding='utf-8')
    return figures


def methods_of(figures: Mapping[str, float], split: str) -> list[str]:
    """Return the methods that were measured on a split, in order."""
    first = f'velocity_rmse.{split}.'
    return [key.removeprefix(first) for key in figures if key.startswith(first)]


def cell(figures: Mapping[str, float], name: str, split: str, method: str) -> str:
    """Return one figure of a method as text, with its interval where it has one."""
    key = f'{name}.{split}.{method}'
    value = figures.get(key, float('nan'))
    if value != value:
        return '-'
    if f'{key}.low' in figures:
        low, high = figures[f'{key}.low'], figures[f'{key}.high']
        return f'{value:.0%} [{low:.0%}, {high:.0%}]'
    return f'{value:.1%}' if name == 'frequency_rel' else f'{value:.3f}'


def quality_table(figures: Mapping[str, float], split: str) -> Table:
    """Return the ladder on one split as a table: one row per method."""
    shown, tried = figures[f'prompts.{split}'], figures[f'prompts_tried.{split}']
    table = Table(
        title=f'{split}: {shown:.0f} held-out behaviours (of {tried:.0f} tried), '
        f'{figures["worlds"]:.0f} worlds of {figures["seconds"]:.0f} s each, kicks up to '
        f'{figures["push_m_s"]:g} m/s per axis',
        caption=missing_policies(figures, split),
    )
    table.add_column('method')
    for heading in COLUMNS.values():
        table.add_column(heading, justify='right')
    for method in methods_of(figures, split):
        table.add_row(method, *(cell(figures, name, split, method) for name in COLUMNS))
    return table


def missing_policies(figures: Mapping[str, float], split: str) -> str:
    """Say which rungs a split cannot have, or nothing."""
    if figures[f'held_out_policies.{split}']:
        return ''
    return (
        f'{" and ".join(OF_POLICY)} do not apply: these prompts are shown by no policy of the run'
    )

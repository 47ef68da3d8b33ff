"""`make-agent bench check`: does the check tell the truth, and how long does it take?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table
from safetensors.numpy import load_file

from make_agent_ros.checking.scenario import load_config
from make_agent_ros.checking.specimens import TITLES, make_specimens
from make_agent_ros.checking.truth import Trial, confusion, run_truth
from make_agent_ros.policy.bundle import Bundle, load
from make_agent_ros.training.progress import with_progress
from make_agent_ros.training.zoo import POLICY_SHAPE, Zoo


@dataclass(frozen=True)
class CheckBench:
    """Hold the check's verdicts against falls in physics that it did not see."""

    folder: Path = Path('runs/training')
    """Run with a held-out zoo (`make-agent train zoo`), or a folder of policy bundles (.onnx)."""
    policies: int = 100
    """How many of mixed quality."""
    mix_seed: int = 0
    """Of the choice of policies, and of what is done to them."""
    jobs: int = -1
    """Processes; one per core when -1."""
    cache: Path | None = None
    """Folder of what was simulated already; `check_truth` in the run's folder when omitted."""
    gate: Path | None = None
    """Scenario file of the check; the package's config/check.yaml when omitted."""
    walks: Path | None = None
    """Scenario file of the walks that decide; the package's config/truth.yaml when omitted."""
    html: Path | None = None
    """Write a page with table and figures."""
    speed: bool = False
    """Only time the ranking of 16 candidates and the default check."""


def good_policies(folder: Path) -> tuple[list[Bundle], list[np.ndarray] | None]:
    """Return the good policies of a run, or of a folder of bundles, and the net they began as.

    Raises:
        FileNotFoundError: the folder holds neither.
    """
    zoo = folder / 'zoo_held_out.safetensors'
    files = sorted(folder.glob('*.onnx'))
    if files and not zoo.exists():
        return [load(file) for file in files], None
    bundles = Zoo.load(zoo).bundles()
    base = load_file(folder / 'base.safetensors')['base']
    return bundles, [part for layer in POLICY_SHAPE.unflatten(base) for part in layer]


def run_check_bench(arguments: Sequence[str]) -> dict[str, float]:
    """Run `bench check`, print its tables and return the figures."""
    options = tyro.cli(CheckBench, args=list(arguments), prog='make-agent bench check')
    good, base = good_policies(options.folder)
    if options.speed:
        from make_agent_ros.training.check_speed import bench_speed

        gate = load_config(options.gate) if options.gate else None
        figures = bench_speed(good, jobs=options.jobs, config=gate)
        Console().print('\n'.join(f'{name:>28} {value:.4g}' for name, value in figures.items()))
        return figures
    specimens = make_specimens(good, options.policies, options.mix_seed, base)
    cache = options.cache or options.folder / 'check_truth'
    figures, trials = with_progress(
        'check',
        lambda report: run_truth(
            specimens, cache, jobs=options.jobs,
            gate=load_config(options.gate) if options.gate else None,
            walks=load_config(options.walks) if options.walks else None,
            progress=lambda done, one: report(done, len(specimens), one.name),
        ),
    )  # fmt: skip
    console = Console()
    for table in (confusion_table(trials), kind_table(trials)):
        console.print(table)
    console.print(summary(figures))
    if options.html:
        from make_agent_ros.checking.truth_page import truth_page

        options.html.write_text(truth_page(figures, trials), encoding='utf-8')
    return figures


def confusion_table(trials: Sequence[Trial]) -> Table:
    """Return verdict against what happened outside."""
    counts = confusion(trials)
    table = Table(title='Verdict in our MuJoCo world, and what happened in the others')
    table.add_column('verdict')
    for heading in next(iter(counts.values())):
        table.add_column(heading, justify='right')
    for verdict, row in counts.items():
        table.add_row(verdict, *map(str, row.values()))
    return table


def kind_table(trials: Sequence[Trial]) -> Table:
    """Return, kind by kind, how many were refused and how many fell."""
    table = Table(title='By kind of policy')
    for heading in ('kind', 'policies', 'refused', 'fall in A', 'fall in B', 'fall in C'):
        table.add_column(heading, justify='left' if heading == 'kind' else 'right')
    for kind, title in TITLES.items():
        mine = [trial for trial in trials if trial.kind == kind]
        fell = [str(sum(trial.falls_in(world) for trial in mine)) for world in 'abc']
        table.add_row(title, str(len(mine)), str(sum(not t.passed for t in mine)), *fell)
    return table


def summary(figures: dict[str, float]) -> str:
    """Return the figures that matter in words."""
    lines = []
    for name, words in (
        ('spearman_ab', 'rank correlation A-B'),
        ('spearman_ac', 'rank correlation A-C'),
        ('spearman_bc', 'rank correlation B-C'),
        ('spearman_gate_b', 'rank correlation check-B'),
        ('spearman_gate_c', 'rank correlation check-C'),
    ):
        low, high = figures[f'{name}_low'], figures[f'{name}_high']
        lines.append(f'{words:>40}  {figures[name]:.2f}  ({low:.2f} to {high:.2f})')
    for name, words in (
        ('passed_that_fall', 'passed the check, fall in B or C'),
        ('falling_let_through', 'fall in B or C, passed the check'),
        ('walking_refused', 'walk in B and C, refused by the check'),
        ('walking_well_refused', 'the same, following their command'),
    ):
        low, high = figures[f'{name}_low'], figures[f'{name}_high']
        count = f'{figures[f"{name}_count"]:.0f} of {figures[f"{name}_of"]:.0f}'
        lines.append(f'{words:>40}  {count} = {figures[name]:.1%}  ({low:.1%} to {high:.1%})')
    return '\n'.join(lines)

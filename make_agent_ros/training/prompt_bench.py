"""`make-agent bench prompts`: is what a prompt says true, and are the right prompts refused?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console, Group
from rich.table import Table

from make_agent_ros.checking.metrics import wilson_interval
from make_agent_ros.policy.bundle import Bundle
from make_agent_ros.recording.familiar import WALKS_FILE, FamiliarWalks, shipped_walks
from make_agent_ros.recording.trajectory import Trajectory
from make_agent_ros.training.behaviour import BehaviourSet
from make_agent_ros.training.odd_prompts import OUTSIDE, OddSources, odd_recordings
from make_agent_ros.training.progress import Report, with_progress
from make_agent_ros.training.prompt_truth import (
    CONDITIONS,
    Shown,
    gait_figures,
    judge,
    record,
    show,
    together_figures,
    velocity_figures,
    walk_under,
)
from make_agent_ros.training.zoo import Zoo

NOMINAL_SHARES = (0.01, 0.05, 0.1, 0.25, 0.5)
GAIT_CONDITIONS = ('usual', 'noise_x3', 'payload_5_kg', 'another_controller')
TOGETHER = ('usual', 'noise_x3', 'payload_5_kg', 'friction_0.3')
"""Recordings of one style that are read together."""


@dataclass(frozen=True)
class PromptsBench:
    """Hold what prompts say against what the simulation knows; refuse the bad, keep the good."""

    folder: Path = Path('runs/training')
    """Run with a held-out zoo (`make-agent train zoo`) and `walks.npz` (`train familiar`)."""
    walks: Path | None = None
    """Statistics of walks; the folder's `walks.npz` when omitted, else the shipped one."""
    behaviours: int = 0
    """Held-out behaviours, evenly spread; 0: all."""
    seconds: float = 8.0
    """Of each recording."""
    prompt_s: float = 4.0
    seed: int = 77
    odd: int = 40
    """Recordings of each bad kind; 0: none are made."""


def run_prompts(arguments: Sequence[str]) -> dict[str, float]:
    """Run `bench prompts`, print its tables and return the figures."""
    options = tyro.cli(PromptsBench, args=list(arguments), prog='make-agent bench prompts')
    figures = with_progress('prompts', lambda report: bench_prompts(options, report))
    Console().print(tables(figures))
    return figures


def bench_prompts(options: PromptsBench, report: Report | None = None) -> dict[str, float]:
    """Measure on the held-out zoo of a run and return one flat object of figures."""
    zoo = Zoo.load(options.folder / 'zoo_held_out.safetensors')
    ids = np.arange(len(zoo))
    if 0 < options.behaviours < len(zoo):
        ids = np.linspace(0, len(zoo) - 1, options.behaviours).round().astype(int)
    behaviours = BehaviourSet(zoo.behaviours.styles[ids], zoo.behaviours.default_command[ids])
    own = options.walks or options.folder / WALKS_FILE
    familiar = FamiliarWalks.load(own) if own.is_file() or options.walks else shipped_walks()
    known = Zoo.load(options.folder / 'zoo_training.safetensors').behaviours
    return measure(zoo.bundles(ids), behaviours, known, familiar, options, report)


def measure(
    bundles: Sequence[Bundle],
    behaviours: BehaviourSet,
    known: BehaviourSet,
    familiar: FamiliarWalks | None,
    options: PromptsBench,
    report: Report | None = None,
) -> dict[str, float]:
    """Measure on held-out policies.

    Args:
        bundles: the policies.
        behaviours: what they show.
        known: behaviours of the training side.
        familiar: statistics of walks.
        options: sizes and seed.
        report: called with (conditions done, conditions, what).
    """
    say = report or (lambda done, steps, what: None)
    steps = len(CONDITIONS) + 1
    figures: dict[str, float] = {'behaviours': float(len(bundles)), 'prompt_s': options.prompt_s}
    clock = np.array([bundle.gait_frequency_hz for bundle in bundles])
    everything: dict[str, list[Shown]] = {}
    sources: list[Trajectory] = []
    for done, (name, condition) in enumerate(CONDITIONS.items()):
        say(done, steps, name)
        seed = options.seed + done
        walks = walk_under(condition, bundles, behaviours, options.seconds, seed)
        shown = show(walks, condition, clock, options.prompt_s, familiar, seed)
        everything[name] = shown
        figures |= _named(f'velocity.{name}', velocity_figures(shown))
        figures |= _refused(f'refused.{name}', shown)
        if name in GAIT_CONDITIONS:
            figures |= _named(f'gait.{name}', gait_figures(shown))
        if name == 'usual':
            recorded = record(walks, condition, options.seed)
            sources = [r for r, s in zip(recorded, shown, strict=True) if not s.refusal]
    usual = everything['usual']
    figures |= calibration([s.rarity for s in usual if s.prompt is not None])
    figures |= together_figures([everything[name] for name in TOGETHER])
    if options.odd and sources:
        fine = [s.behaviour for s in usual if not s.refusal]
        chosen = np.linspace(0, len(fine) - 1, options.odd).round().astype(int)
        rows = np.array(fine)[chosen]
        odd = OddSources(
            walks=[sources[i] for i in chosen],
            bundles=[bundles[i] for i in rows],
            behaviours=BehaviourSet(behaviours.styles[rows], behaviours.default_command[rows]),
            known=known, seconds=options.seconds, seed=options.seed,
        )  # fmt: skip
        kinds = odd_recordings(odd, lambda what: say(steps - 1, steps, f'the bad set: {what}'))
        figures |= missed(kinds, options.prompt_s, familiar)
    return figures


def _named(prefix: str, figures: dict[str, float]) -> dict[str, float]:
    return {f'{prefix}.{name}': value for name, value in figures.items()}


def _share(name: str, hits: int, count: int) -> dict[str, float]:
    low, high = wilson_interval(hits, count)
    return {
        name: hits / count if count else float('nan'), f'{name}.low': low, f'{name}.high': high,
        f'{name}.count': float(hits), f'{name}.of': float(count),
    }  # fmt: skip


def _refused(name: str, shown: Sequence[Shown]) -> dict[str, float]:
    """Return the share of good recordings that are refused, and what for."""
    reasons = Counter(s.refusal for s in shown if s.refusal)
    return _share(name, sum(reasons.values()), len(shown)) | {
        f'{name}.for.{reason}': float(count) for reason, count in reasons.items()
    }


def calibration(rarity: Sequence[float]) -> dict[str, float]:
    """Return how many held-out walks are as rare as a share of the training side's is.

    A calibrated score has `calibration.0.05` at 0.05.
    """
    values = np.array(rarity)
    return {
        f'calibration.{share:g}': float((values <= share).mean()) for share in NOMINAL_SHARES
    } | {'calibration.prompts': float(len(values))}


def missed(
    kinds: dict[str, list[Trajectory]], prompt_s: float, familiar: FamiliarWalks | None
) -> dict[str, float]:
    """Return, kind by kind and for all, the share of bad recordings that are not refused."""
    figures: dict[str, float] = {}
    totals = {'missed': [0, 0], 'missed_outside': [0, 0]}
    for kind, recordings in kinds.items():
        outcomes = [judge(recording, prompt_s, familiar)[1] for recording in recordings]
        passed = sum(not outcome for outcome in outcomes)
        group = 'missed_outside' if kind in OUTSIDE else 'missed'
        figures |= _share(f'{group}.{kind}', passed, len(outcomes))
        common = Counter(outcome for outcome in outcomes if outcome).most_common(1)
        if common:
            figures[f'{group}.{kind}.for.{common[0][0]}'] = float(common[0][1])
        totals[group][0] += passed
        totals[group][1] += len(outcomes)
    for group, (passed, count) in totals.items():
        figures |= _share(group, passed, count)
    return figures


def tables(figures: dict[str, float]) -> Group:
    """Return all figures for people."""
    return Group(
        _velocity_table(figures), _gait_table(figures), _refusal_table(figures),
        _missed_table(figures), *_lines(figures),
    )  # fmt: skip


def _velocity_table(figures: dict[str, float]) -> Table:
    table = Table(title='velocity from proprioception alone, against the simulation')
    headings = ('condition', 'prompts', 'vx m/s', 'vy m/s', 'wz rad/s', 'in 1 std', 'in 2 std')
    for heading in headings:
        table.add_column(heading, justify='left' if heading == 'condition' else 'right')
    for name in CONDITIONS:
        key = f'velocity.{name}'
        if f'{key}.vx.rmse' not in figures:
            continue
        error = [
            f'{figures[f"{key}.{axis}.rmse"]:.3f} ({figures[f"{key}.{axis}.bias"]:+.3f})'
            for axis in ('vx', 'vy', 'wz')
        ]
        within = [
            ' '.join(
                f'{figures[f"{key}.{axis}.within_{k}_std"]:.0%}' for axis in ('vx', 'vy', 'wz')
            )
            for k in (1, 2)
        ]
        table.add_row(name, f'{figures[f"{key}.prompts"]:.0f}', *error, *within)
    table.caption = 'rms error (mean error); uncertainty is right with 68 % and 95 % inside'
    return table


def _gait_table(figures: dict[str, float]) -> Table:
    columns = {
        'frequency_rel': ('step frequency', '{:.2%}'), 'phase_cycles': ('phase, cycles', '{:.3f}'),
        'duty': ('duty factor', '{:.3f}'), 'body_height_m': ('body height, m', '{:.4f}'),
        'swing_height_m': ('swing height, m', '{:.4f}'),
    }  # fmt: skip
    table = Table(title='gait descriptors: median (95 %) of the error')
    table.add_column('condition')
    for heading, _ in columns.values():
        table.add_column(heading, justify='right')
    for name in GAIT_CONDITIONS:
        if f'gait.{name}.duty.p95' in figures:
            cells = [
                f'{form.format(figures[f"gait.{name}.{key}.median"])} '
                f'({form.format(figures[f"gait.{name}.{key}.p95"])})'
                for key, (_, form) in columns.items()
            ]
            table.add_row(name, *cells)
    return table


def _cells(figures: dict[str, float], key: str) -> tuple[str, str, str]:
    reasons = [
        f'{name.rsplit(".for.", 1)[1]} {count:.0f}'
        for name, count in figures.items()
        if name.startswith(f'{key}.for.')
    ]
    low, high = figures[f'{key}.low'], figures[f'{key}.high']
    return (
        f'{figures[f"{key}.count"]:.0f} of {figures[f"{key}.of"]:.0f}',
        f'{figures[key]:.1%} [{low:.1%}, {high:.1%}]',
        ', '.join(reasons),
    )


def _refusal_table(figures: dict[str, float]) -> Table:
    table = Table(title='held-out walks that are refused, wrongly')
    for heading in ('condition', 'refused', 'share', 'for'):
        table.add_column(heading)
    for name in CONDITIONS:
        table.add_row(name, *_cells(figures, f'refused.{name}'))
    return table


def _missed_table(figures: dict[str, float]) -> Table:
    table = Table(title='bad recordings that are not refused')
    for heading in ('kind', 'missed', 'share', 'refused most for'):
        table.add_column(heading)
    for group in ('missed', 'missed_outside'):
        kinds = [k for k in figures if k.startswith(f'{group}.') and k.endswith('.of')]
        for key in (k.removesuffix('.of') for k in kinds if k != f'{group}.of'):
            table.add_row(key.split('.', 1)[1], *_cells(figures, key))
        if f'{group}.of' in figures:
            title = 'all' if group == 'missed' else 'gaits outside the training set'
            table.add_row(title, *_cells(figures, group), end_section=True)
    return table


def _lines(figures: dict[str, float]) -> list[str]:
    shares = ', '.join(
        f'{share:.0%}: {figures[f"calibration.{share:g}"]:.1%}' for share in NOMINAL_SHARES
    )
    lines = [f'held-out walks as rare as this share of the training side: {shares}']
    for name in [k.removesuffix('.one') for k in figures if k.endswith('.one')]:
        one, all_ = figures[f'{name}.one'], figures[f'{name}.all']
        what = name.removeprefix('together.')
        lines.append(
            f'rms error of {what}: {one:.4f} from one prompt, {all_:.4f} from {len(TOGETHER)} of '
            'one style'
        )
    return lines

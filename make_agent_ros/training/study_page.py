"""The page of `make-agent bench study`: all that was measured about a generator."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from matplotlib.figure import Figure

from make_agent_ros.checking.page import Html, Section, escape, figure, html_page, table
from make_agent_ros.checking.plots import FELL_COLOUR, POLICY_COLOUR, tidy
from make_agent_ros.training.bench import cell, methods_of
from make_agent_ros.training.held_out import QualityConfig
from make_agent_ros.training.quality_page import (
    beyond_section,
    definitions,
    headline,
    split_section,
    title_of,
    two_lines,
)
from make_agent_ros.training.study import USUAL, Part

BASE = 'interpolation'
"""Split on which one thing at a time is changed."""
WORDS = {
    'without_action_loss': 'weights matched in place of actions',
    'without_layer_scale': 'one scale for all weights in place of one per layer',
    'without_clock': 'policies see no gait clock',
    'without_shared_start': 'every policy of the zoo starts from random weights of its own',
}
SHOWN = {
    'noisy': 'prompt with three times the noise',
    'loaded': 'prompt with a load of 3-4 kg',
    'slippery': 'prompt on friction 0.40-0.45',
    'pushed': 'prompt with kicks',
    'resampled': 'prompt recorded at 33 Hz',
    'several': 'up to three prompts at once',
}
COLUMNS = {'walks': 'walks', 'qualified': 'qualified'}
Results = Mapping[str, Mapping[str, Any]]


def study_page(parts: Sequence[Part], results: Results, arguments: Sequence[str]) -> str:
    """Return the page.

    Args:
        parts: that have been measured.
        results: of each by name; see `study.read_part`.
        arguments: of the command.
    """
    flat: dict[str, float] = {}
    for part in parts:
        if part.kind == 'split':
            flat |= results[part.name]['figures']
    splits = [part.name for part in parts if part.kind == 'split']
    sections = [split_section(flat, split, splits[0]) for split in splits]
    if splits:
        sections.append(beyond_section(flat, splits))
    sections += [
        section
        for section in (
            _scaling(parts, results),
            _ablations(parts, results),
            _changes(parts, results),
        )
        if section
    ]
    if flat:
        sections.append(definitions(flat))
    sections.append(_origin(parts, results, arguments))
    return html_page(
        'A generator of walking policies, measured',
        sections,
        lead=headline(flat, splits[0]) if splits else '',
        facts={'parts': f'{len(parts)}', **_facts(flat)},
    )


def _facts(figures: Mapping[str, float]) -> dict[str, str]:
    if 'worlds' not in figures:
        return {}
    return {
        'worlds per policy': f'{figures["worlds"]:.0f}',
        'walk': f'{figures["seconds"]:.0f} s',
        'kicks per axis': f'{figures["push_m_s"]:g} m/s',
    }


def _row(label: str, figures: Mapping[str, float], methods: Sequence[str]) -> list[object]:
    """Return a row: label, then every column of every method."""
    cells = [two_lines(cell(figures, name, BASE, m)) for m in methods for name in COLUMNS]
    return [label, *cells]


def _headers(what: str, methods: Sequence[str]) -> list[str]:
    return [what, *(f'{title_of(m)}: {name}' for m in methods for name in COLUMNS.values())]


def _scaling(parts: Sequence[Part], results: Results) -> Section | None:
    mine = [part for part in parts if part.kind == 'scaling']
    if not mine:
        return None
    methods = methods_of(results[mine[0].name]['figures'], BASE)
    counts = [results[part.name]['info']['zoo']['policies'] for part in mine]
    drawn = Figure(figsize=(9.2, 3.2), layout='constrained')
    for axes, what in zip(drawn.subplots(1, 2, sharey=True), COLUMNS, strict=True):
        for method, colour in zip(methods, (FELL_COLOUR, POLICY_COLOUR), strict=False):
            rows = [results[part.name]['figures'] for part in mine]
            share, low, high = (
                [100 * f[f'{what}.{BASE}.{method}{end}'] for f in rows]
                for end in ('', '.low', '.high')
            )
            axes.fill_between(counts, low, high, color=colour, alpha=0.15, lw=0)
            axes.plot(counts, share, 'o-', color=colour, ms=5, label=title_of(method))
        axes.set_xscale('log')
        axes.set_xticks(counts, [f'{n}' for n in counts])
        axes.minorticks_off()
        axes.set_ylim(0, 100)
        axes.set_xlabel('behaviours that train')
        axes.set_title(what, loc='left', fontsize=10)
        axes.grid(color='#e3e7ec', lw=0.8)
        axes.set_axisbelow(True)
        tidy(axes)
    left = drawn.axes[0]
    left.set_ylabel('share of prompts (%)')
    left.legend(frameon=False, fontsize=9)
    rows = [
        _row(f'{n}', results[part.name]['figures'], methods)
        for n, part in zip(counts, mine, strict=True)
    ]
    updates = results[mine[0].name]['info']['config']
    return Section(
        'How many behaviours it takes',
        figure(drawn, 'Bands: 95 % intervals over the prompts.')
        + table(_headers('behaviours', methods), rows),
        f'Generators trained on the first so many behaviours, all in {updates["codec_updates"]:,} '
        f'+ {updates["flow_updates"]:,} updates; the usual one has more.'
        + _apart(mine, parts, results),
    )


def _ablations(parts: Sequence[Part], results: Results) -> Section | None:
    """One thing left out, beside the point of the curve with as many behaviours and updates."""
    mine = [part for part in parts if part.kind == 'ablation']
    if not mine:
        return None
    methods = methods_of(results[mine[0].name]['figures'], BASE)
    rows: list[list[object]] = []
    for of_zoo in (False, True):
        some = [part for part in mine if bool(part.without) == of_zoo]
        if not some:
            continue
        count = results[some[0].name]['info']['zoo']['policies']
        same = [
            part
            for part in parts
            if part.kind == 'scaling'
            and abs(results[part.name]['info']['zoo']['policies'] - count) < 0.1 * count
        ]
        rows += [
            _row(f'nothing left out, {count} behaviours', results[part.name]['figures'], methods)
            for part in same
        ]
        rows += [
            _row(WORDS.get(part.name, part.name), results[part.name]['figures'], methods)
            for part in some
        ]
    return Section(
        'What each part is worth',
        table(_headers('trained with', methods), rows),
        'One thing left out at a time, with the updates of the curve above.'
        + _apart(mine, parts, results),
    )


def _changes(parts: Sequence[Part], results: Results) -> Section | None:
    """Sampler and length of the prompt, beside the usual ones."""
    mine = [part for part in parts if part.kind in ('sampler', 'prompt')]
    if not mine:
        return None
    methods = ('regression', 'first_sample')
    rows = [_row(_change(part.name), results[part.name]['figures'], methods) for part in mine]
    usual = QualityConfig()
    return Section(
        'Sampler and prompt',
        table(_headers('change', methods), rows),
        f'As usual: {usual.steps} steps, guidance {usual.guidance:g}, prompt of '
        f'{usual.prompt_s:g} s. {mine[0].config.prompts} prompts; the regression has no sampler.'
        + _apart(mine, parts, results),
    )


def _apart(mine: Sequence[Part], parts: Sequence[Part], results: Results) -> str:
    """Say so where parts were not measured in the circumstances of the splits."""
    same = ('policies', 'velocity')
    usual = [results[part.name] for part in parts if part.kind == 'split']
    if not usual or all(
        results[part.name].get(name) == usual[0].get(name) for part in mine for name in same
    ):
        return ''
    return (
        ' Some of these were measured on another zoo or with another velocity loop than the '
        'splits above: compare them with each other, not with the splits.'
    )


def _change(name: str) -> str:
    """Say what a part changes."""
    what, _, value = name.partition('_')
    if what == 'shown':
        return SHOWN[value]
    return {
        USUAL: 'as usual',
        'open': 'commands as they are, without the velocity loop',
        'steps': f'{value} step{"s" * (value != "1")} of the integrator',
        'guidance': f'guidance {value}',
        'prompt': f'prompt of {value} s',
    }[what]


def _origin(parts: Sequence[Part], results: Results, arguments: Sequence[str]) -> Section:
    command = shlex.join(('make-agent', 'bench', 'study', *arguments))
    rows: list[list[object]] = []
    for part in parts:
        found = results[part.name]
        zoo = found['info'].get('zoo', {})
        rows.append(
            [part.name, str(found['generator']), f'{zoo.get("policies", "?")}',
             f'{found["seconds"] / 60:.1f}']
        )  # fmt: skip
    versions = ', '.join(f'{name} {version(name)}' for name in ('mujoco', 'torch', 'numpy'))
    return Section(
        'How to run it again',
        Html(f'<p><code>{escape(command)}</code></p>')
        + table(['part', 'generator', 'trained on', 'minutes'], rows),
        f'{versions}. Minutes are without training.',
    )

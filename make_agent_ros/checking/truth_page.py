"""The page of `make-agent bench check`: does the check tell the truth?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from make_agent_ros.checking.page import (
    Section,
    columns,
    figure,
    html_page,
    pill,
    table,
)
from make_agent_ros.checking.plots import FELL_COLOUR, LEG_COLOURS, tidy
from make_agent_ros.checking.specimens import TITLES
from make_agent_ros.checking.truth import FALLS_SHARE, OFF_COMMAND, Trial, confusion

NAMES = {'a': 'A: MuJoCo, our model', 'b': 'B: MuJoCo, Menagerie model', 'c': 'C: PhysX'}
CORRELATIONS = (
    ('spearman_ab', 'A and B, the same walks'),
    ('spearman_ac', 'A and C, the same walks'),
    ('spearman_bc', 'B and C, the same walks'),
    ('spearman_gate_b', 'the check in A, and walks in B'),
    ('spearman_gate_c', 'the check in A, and walks in C'),
)
SHARES = (
    ('passed_that_fall', 'passed the check, but fall in B or C'),
    ('falling_let_through', 'fall in B or C, but passed the check'),
    ('walking_refused', 'walk in B and C, but refused by the check'),
    ('walking_well_refused', 'walk there as they are told, but refused by the check'),
)


def truth_page(figures: Mapping[str, float], trials: Sequence[Trial]) -> str:
    """Return the page.

    Args:
        figures: of `truth_figures`.
        trials: what they were made from.
    """
    through = f'{figures["passed_that_fall_count"]:.0f} of {figures["passed_that_fall_of"]:.0f}'
    return html_page(
        'Does the sim-to-real check tell the truth?',
        [
            _shares(figures),
            _table(trials),
            _ranks(figures, trials),
            _kinds(trials),
            _slips(trials),
        ],
        facts={
            'policies': len(trials),
            'let through by the check that fall elsewhere': through,
            'rank correlation A-B': figures['spearman_ab'],
            'rank correlation A-C': figures['spearman_ac'],
        },
    )


def _shares(figures: Mapping[str, float]) -> Section:
    rows = [
        [words, f'{figures[f"{key}_count"]:.0f} of {figures[f"{key}_of"]:.0f}',
         f'{figures[key]:.1%}', f'{figures[f"{key}_low"]:.1%} – {figures[f"{key}_high"]:.1%}']
        for key, words in SHARES
    ]  # fmt: skip
    return Section(
        'Wrong verdicts',
        table(['policies that', 'count', 'share', '95 % interval'], rows),
        'Policies of mixed quality get a verdict in world A alone, where they were trained: '
        'MuJoCo with our model. Then they walk in worlds that neither training nor verdict saw: '
        'B, a Go2 that other people modelled and measured, and C, another physics engine. A '
        f'policy falls in a world when more than {FALLS_SHARE:.0%} of its robots do. It walks as '
        f'told when its velocity error there is also up to {OFF_COMMAND} m/s on average. PASS and '
        'WARN are let through, FAIL is refused.',
    )


def _table(trials: Sequence[Trial]) -> Section:
    counts = confusion(trials)
    headers = ['verdict in A', *next(iter(counts.values()))]
    rows = [[pill(verdict), *row.values()] for verdict, row in counts.items()]
    return Section('Verdict against what happened', table(headers, rows), 'Number of policies.')


def _ranks(figures: Mapping[str, float], trials: Sequence[Trial]) -> Section:
    rows = [
        [words, figures[key], f'{figures[f"{key}_low"]:.2f} – {figures[f"{key}_high"]:.2f}']
        for key, words in CORRELATIONS
    ]
    plots = [
        figure(cost_scatter(trials, 'a', world), f'{NAMES["a"]} against {NAMES[world]}.')
        for world in 'bc'
    ]
    return Section(
        'Ranks',
        columns(*plots) + table(['worlds', 'Spearman', '95 % interval'], rows),
        'Each point is a policy. Its cost is the mean over its robots: the velocity error in m/s '
        'of one that walks, between 1 (fell at the end) and 2 (fell at once) of one that falls.',
    )


def cost_scatter(trials: Sequence[Trial], x: str, y: str) -> Figure:
    """Draw the policies' costs in two worlds; refused ones are crosses."""
    drawn = Figure(figsize=(4.6, 4.0), layout='constrained')
    axes = drawn.add_subplot()
    for passed, colour, marker, label in (
        (True, LEG_COLOURS[0], 'o', 'let through'),
        (False, FELL_COLOUR, 'x', 'refused'),
    ):
        mine = [trial for trial in trials if trial.passed is passed]
        axes.scatter(
            [t.cost[x] for t in mine], [t.cost[y] for t in mine], c=colour, marker=marker, s=26,
            label=label, alpha=0.8,
        )  # fmt: skip
    axes.set_xlim(0.0, 2.0)
    axes.set_ylim(0.0, 2.0)
    axes.set_xlabel(f'cost in {NAMES[x]}')
    axes.set_ylabel(f'cost in {NAMES[y]}')
    axes.legend(frameon=False, fontsize=8, loc='lower right')
    tidy(axes)
    return drawn


def _kinds(trials: Sequence[Trial]) -> Section:
    rows = []
    for kind, title in TITLES.items():
        mine = [trial for trial in trials if trial.kind == kind]
        if mine:
            fell = [sum(trial.falls_in(world) for trial in mine) for world in 'abc']
            rows.append([title, len(mine), sum(not t.passed for t in mine), *fell])
    headers = ['policies', 'number', 'refused', 'fall in A', 'fall in B', 'fall in C']
    return Section('What was wrong with them', table(headers, rows))


def _slips(trials: Sequence[Trial]) -> Section:
    wrong = [t for t in trials if t.passed == t.falls_in('b', 'c')]
    rows = [
        [t.specimen, pill(t.verdict), *(f'{t.falls[world]:.0%}' for world in 'abc'), t.reason]
        for t in sorted(wrong, key=lambda t: (not t.passed, -max(t.falls['b'], t.falls['c'])))
    ]
    headers = ['policy', 'verdict', 'fell in A', 'fell in B', 'fell in C', 'reason of the verdict']
    return Section(
        'Where verdict and walks disagree',
        table(headers, rows),
        'Share of robots that fell. First those let through that fall, then those refused that '
        'walk: a check that also asks for pushes, slopes and the command may refuse a walker.',
    )

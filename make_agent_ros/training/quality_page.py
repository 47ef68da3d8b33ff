"""The page of `make-agent bench quality`: a result as one would put it into a paper."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from importlib.metadata import version

from matplotlib.figure import Figure

from make_agent_ros.checking.page import Html, Section, escape, figure, html_page, paragraph, table
from make_agent_ros.checking.plots import FELL_COLOUR, POLICY_COLOUR, PROMPT_COLOUR, tidy
from make_agent_ros.generator.model import Generator
from make_agent_ros.training.bench import COLUMNS, cell, methods_of, missing_policies
from make_agent_ros.training.held_out import Material, QualityConfig
from make_agent_ros.training.ladder import RUNGS, lost_at
from make_agent_ros.training.methods import OF_POLICY, REFINED, TEACHER
from make_agent_ros.training.quality import GAIT_S, MOST, Limits

TITLES = {
    TEACHER: 'teacher, told the true style',
    'demonstrator': 'held-out policy itself',
    'codec': 'held-out policy, encoded and decoded',
    'by_embedding': 'regression, by what the embedding says alone',
    'regression': 'regression alone, without the flow',
    'regression_corrected': 'regression alone, command corrected as in ranking',
    'hypernetwork_corrected': 'hypernetwork, command corrected as in ranking',
    'first_sample': 'generated, first sample',
    'refined': 'generated, best of 16 and of steered ones',
    'nearest_embedding': 'nearest training policy, by embedding',
    'nearest_style': 'nearest training policy, by true style',
    'mean_of_two_embedding': 'mean of the two nearest, by embedding',
    'mean_of_two_style': 'mean of the two nearest, by true style',
    'noisy_embedding': 'nearest with noise, by embedding',
    'noisy_style': 'nearest with noise, by true style',
    'base': 'the net that all policies began as',
    'cloning_scratch': 'cloning of the prompt, from scratch',
    'cloning_base': 'cloning of the prompt, from the common start',
    'hypernetwork': 'hypernetwork, prompt to weights',
    'conditioned_concat': 'one policy told the prompt (concatenated)',
    'conditioned_film': 'one policy told the prompt (FiLM)',
    'official': 'Make-An-Agent, official architecture',
    'official_small': 'Make-An-Agent, official architecture, U-Net of 13 M',
}
SPLIT_TITLES = {
    'interpolation': 'Interpolation: held-out behaviours between those of training',
    'corner': 'Corner: fast, low gaits, withheld from all training',
    'gait_out': 'Gait out: one whole gait withheld from all training',
    'foreign': 'Foreign: other controllers, in other physics',
}
GROUPS = {'script': 'a script', 'other_seed': 'a teacher of another seed'}
"""Who shows the prompts of `training.foreign`."""
BEYOND = {
    'prompt_swap': 'prompt decides: of two prompts, each policy is nearer to its own',
    'prompt_swap_nearest': 'the same, each prompt and the one most like it',
    'spread_gait': 'spread of the samples’ gaits, in tolerances',
    'spread_world': 'what another world does to one sample, in tolerances',
    'spread_weights': 'spread of the samples’ weights, in spacings of the decoded zoo',
    'nearest_weights': 'weights to the nearest training policy, in spacings of the zoo',
    'nearest_reencoded': 'the same, of training policies encoded and decoded',
    'nearest_decoded': 'the same among decoded training policies, in their spacings',
    'novel': 'no copy of a training policy',
    'novel_and_qualified': 'no copy, and qualified',
}
"""Figures of `training.beyond` and what they say."""


@dataclass(frozen=True)
class Origin:
    """Where the figures come from."""

    command: str
    generator: str
    """Digest of the generator."""
    policies: str
    """What it was trained on."""
    config: QualityConfig

    @classmethod
    def of(
        cls,
        arguments: Sequence[str],
        material: Material,
        generator: Generator,
        config: QualityConfig,
    ) -> Origin:
        """Take a run of the bench."""
        info = generator.info
        sides = ' + '.join(info.get('config', {}).get('sides', ('unknown',)))
        return cls(
            shlex.join(('make-agent', 'bench', 'quality', *arguments)),
            str(info.get('digest', 'unknown')),
            f'{info.get("zoo", {}).get("policies", "?")} policies, sides {sides}; split seed '
            f'{material.split.seed}',
            config,
        )


def quality_page(figures: Mapping[str, float], origin: Origin) -> str:
    """Return the page.

    Args:
        figures: of `ladder.bench_quality`.
        origin: for the reader who wants to run it again.
    """
    splits = [key.removeprefix('prompts.') for key in figures if key.startswith('prompts.')]
    return html_page(
        'Generated policies on behaviours that no training has seen',
        [
            *(split_section(figures, split, splits[0]) for split in splits),
            beyond_section(figures, splits),
            definitions(figures),
            _origin(figures, origin),
        ],
        lead=headline(figures, splits[0]) if splits else '',
        facts={
            'prompts': ', '.join(f'{figures[f"prompts.{s}"]:.0f} {s}' for s in splits),
            'worlds per policy': f'{figures["worlds"]:.0f}',
            'walk': f'{figures["seconds"]:.0f} s',
            'kicks per axis': f'{figures["push_m_s"]:g} m/s',
            'generator': origin.generator,
        },
    )


def title_of(method: str) -> str:
    """Return a method's name in words."""
    what, _, count = method.partition('_of_')
    if what in ('best', 'median') and count.isdigit():
        return f'generated, {what} of {count}'
    return TITLES.get(method, method)


def headline(figures: Mapping[str, float], split: str) -> str:
    """Return the result of a split in one sentence."""
    methods = methods_of(figures, split)
    ours = [m for m in methods if m.startswith('best_of_') or m in ('first_sample', REFINED)][::-1]
    rivals = [m for m in methods if m not in ours and m not in (*OF_POLICY, TEACHER)]
    rivals = [m for m in rivals if not m.startswith('median_of_')]
    told = [f'{title_of(m)}: {_share(figures, "qualified", split, m)}' for m in ours]
    if rivals:
        best = max(rivals, key=lambda m: figures[f'qualified.{split}.{m}'])
        told.append(
            f'the best of {len(rivals)} other ways ({title_of(best)}): '
            f'{_share(figures, "qualified", split, best)}'
        )
    if TEACHER in methods:
        told.append(f'{title_of(TEACHER)}: {_share(figures, "qualified", split, TEACHER)}')
    count = figures[f'prompts.{split}']
    return f'{split}, {count:.0f} prompts, qualified: {"; ".join(told)}.'


def _share(figures: Mapping[str, float], what: str, split: str, method: str) -> str:
    return cell(figures, what, split, method).replace('[', '(').replace(']', ')')


def reading(figures: Mapping[str, float], split: str) -> str:
    """Say in words where quality is lost on a split."""
    rungs = [name for name in RUNGS if f'qualified.{split}.{name}' in figures]
    if len(rungs) < 2:
        return 'Too few rungs of the ladder were measured to say where quality is lost.'
    steps = [
        f'{title_of(name)} {100 * figures[f"step.{split}.{name}"]:+.0f} '
        f'({100 * figures[f"step.{split}.{name}.low"]:+.0f} to '
        f'{100 * figures[f"step.{split}.{name}.high"]:+.0f})'
        for name in rungs[1:]
    ]
    lost = lost_at(figures, split)
    where = (
        f'Quality is first lost at: {title_of(lost)}.'
        if lost
        else 'No rung lies below the one before it with all of its interval.'
    )
    return (
        f'{where} From {title_of(rungs[0])} down, points of all walks that qualify, each against '
        f'the rung before on the same prompts: {"; ".join(steps)}.'
    )


def split_section(figures: Mapping[str, float], split: str, first: str) -> Section:
    """Tell of one split; the headline of split `first` is the page's."""
    methods = methods_of(figures, split)
    leads = any(f'lead.{split}.{m}' in figures for m in methods)
    best = next((m for m in methods if m.startswith('best_of_')), '')
    best = REFINED if REFINED in methods else best
    headers = ['policy', *COLUMNS.values()]
    rows = [
        [title_of(m), *(two_lines(cell(figures, name, split, m)) for name in COLUMNS)]
        for m in methods
    ]
    if leads:
        headers.append(f'{title_of(best)} is ahead by, points of walks')
        for row, method in zip(rows, methods, strict=True):
            row.append(_lead(figures, split, method))
    shown, tried = figures[f'prompts.{split}'], figures[f'prompts_tried.{split}']
    notes = [
        f'{tried:.0f} behaviours were walked for {shown:.0f} prompts.',
        f'{figures[f"prompts_novel.{split}"]:.0%} of the prompts are farther from training than '
        'the generator accepts unasked; they count all the same.',
    ]
    if missing := missing_policies(figures, split):
        notes.append(f'{missing[0].upper()}{missing[1:]}.')
    caption = (
        'Share of prompts, with 95 % intervals. Blue: generated policies. Grey: what a teacher or '
        'a policy of its own does, which a prompt does not hold. Red: other ways from the prompt.'
    )
    body = figure(interval_plot(figures, split), caption) + table(headers, rows)
    body += _groups(figures, split)
    body += paragraph(reading(figures, split)) + paragraph(' '.join(notes))
    lead = '' if split == first else headline(figures, split)
    return Section(SPLIT_TITLES.get(split, split), body, lead)


def _groups(figures: Mapping[str, float], split: str) -> str:
    """Tell apart who shows the prompts, where they are of several kinds."""
    first = f'group.{split}.'
    groups = [key.removeprefix(first) for key in figures if key.startswith(first)]
    if not groups:
        return ''
    headers = ['qualified, of prompts shown by']
    headers += [f'{GROUPS.get(g, g)} ({figures[first + g]:.0f})' for g in groups]
    rows = [
        [
            title_of(method),
            *(two_lines(cell(figures, 'qualified', f'{split}_{g}', method)) for g in groups),
        ]
        for method in methods_of(figures, split)
    ]
    return table(headers, rows)


def two_lines(text: str) -> Html:
    """Set an interval small, below its share."""
    share, bracket, interval = text.partition(' [')
    below = f'<br><small>{escape(bracket.strip() + interval)}</small>' if bracket else ''
    return Html(f'{escape(share)}{below}')


def _lead(figures: Mapping[str, float], split: str, method: str) -> Html:
    key = f'lead.{split}.{method}'
    if key not in figures:
        return Html('')
    lead, low, high = (100 * figures[f'{key}{end}'] for end in ('', '.low', '.high'))
    return two_lines(f'{lead:+.0f} [{low:+.0f}, {high:+.0f}]')


def interval_plot(figures: Mapping[str, float], split: str) -> Figure:
    """Draw each method's share of prompts that walk and that qualify, with intervals."""
    methods = methods_of(figures, split)[::-1]
    drawn = Figure(figsize=(9.2, 0.34 * len(methods) + 1.0), layout='constrained')
    for axes, what in zip(drawn.subplots(1, 2, sharey=True), ('walks', 'qualified'), strict=True):
        for row, method in enumerate(methods):
            share, low, high = (
                100 * figures[f'{what}.{split}.{method}{end}'] for end in ('', '.low', '.high')
            )
            colour = _colour(method)
            axes.plot([low, high], [row, row], color=colour, lw=2.0, solid_capstyle='butt')
            axes.plot(share, row, 'o', color=colour, ms=6.0)
        axes.set_xlim(-2.0, 102.0)
        axes.set_ylim(-0.6, len(methods) - 0.4)
        axes.set_yticks(range(len(methods)), [title_of(m) for m in methods])
        axes.set_xlabel('share of prompts (%)')
        axes.set_title(what, loc='left', fontsize=10)
        axes.grid(axis='x', color='#e3e7ec', lw=0.8)
        axes.set_axisbelow(True)
        tidy(axes)
    return drawn


def _colour(method: str) -> str:
    """Generated policies, what they could be at best, and their rivals."""
    if title_of(method).startswith('generated'):
        return POLICY_COLOUR
    return PROMPT_COLOUR if method in (*OF_POLICY, TEACHER) else FELL_COLOUR


def beyond_section(figures: Mapping[str, float], splits: Iterable[str]) -> Section:
    """Tell what the share of good walks does not: `training.beyond`."""
    known = [s for s in splits if any(f'{name}.{s}' in figures for name in BEYOND)]
    rows = [
        [words, *(two_lines(plain(figures, f'{name}.{split}')) for split in known)]
        for name, words in BEYOND.items()
        if any(f'{name}.{split}' in figures for split in known)
    ]
    return Section(
        'Is it generation?',
        table(['figure', *known], rows),
        'A generator that ignores its prompt or gives back what it was trained on may still walk. '
        'A policy counts as a copy when its weights lie nearer to those of a decoded training '
        'policy than 95 % of these lie to each other.',
    )


def plain(figures: Mapping[str, float], key: str) -> str:
    """Return one figure as text, a share with its interval."""
    if key not in figures:
        return '-'
    if f'{key}.low' in figures:
        low, high = figures[f'{key}.low'], figures[f'{key}.high']
        return f'{figures[key]:.0%} [{low:.0%}, {high:.0%}]'
    return f'{figures[key]:.2f}'


def definitions(figures: Mapping[str, float]) -> Section:
    """Say what the words of the tables mean."""
    limits = Limits()
    rows = [
        ['walks', f'no fall in {figures["seconds"]:.0f} s, velocity RMSE over 0.5 s windows under '
         f'{limits.walking_rmse_m_s:g} m/s, step frequency within {limits.frequency_rel:.0%} of '
         'the prompt’s'],
        ['qualified', f'walks; velocity RMSE under {limits.velocity_rmse_m_s:g} m/s and yaw rate '
         f'under {limits.yaw_rate_rmse_rad_s:g} rad/s; phases of all legs within '
         f'{limits.phase_cycles:g} cycle and body height within {100 * limits.height_m:.0f} cm of '
         'the prompt’s'],
        ['a prompt counts', f'when its policy does so in {MOST:.0%} of the worlds'],
        ['no fall, of all walks', 'share of all walks, prompts x worlds, in which the robot does '
         'not fall to the end, with the policy that the method makes first'],
        ['velocity', 'asked for is the one that was read off the prompt; the teacher and the '
         'held-out policy are asked for the one that was walked'],
        ['gait', f'read off joints, attitude and true contacts in {GAIT_S:.0f} s after settling, '
         'in the same way for what the prompts show'],
        ['worlds', 'friction 0.4-1.25, payload -1..+3 kg, motor gains ±10 %, latency 0-16 ms, '
         f'sensor noise, kicks up to {figures["push_m_s"]:g} m/s per axis every 4 s; the same for '
         'all, and others than those of the ranking'],
        ['intervals', '95 %: Wilson for shares of prompts; resampling of the prompts for '
         'differences, which compare methods prompt by prompt'],
        ['errors', 'medians over the walks without a fall'],
    ]  # fmt: skip
    return Section('Definitions', table(['word', 'meaning'], rows))


def _origin(figures: Mapping[str, float], origin: Origin) -> Section:
    rows: list[list[object]] = [
        ['command', Html(f'<code>{escape(origin.command)}</code>')],
        ['generator', f'{origin.generator}, trained on {origin.policies}'],
    ]
    for one in fields(QualityConfig):
        value = getattr(origin.config, one.name)
        text = ' '.join(value) if isinstance(value, tuple) else str(value)
        rows.append([one.name, text or 'all of the ladder'])
    rows.append(
        ['versions', ', '.join(f'{name} {version(name)}' for name in ('mujoco', 'torch', 'numpy'))]
    )
    return Section('How to run it again', table(['what', 'value'], rows))

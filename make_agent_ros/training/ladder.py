"""`bench quality`: how good generated policies are on behaviours that no training has seen.

The ladder: teacher told the true style -> held-out policy itself -> codec ceiling -> regression ->
first sample -> median and best of N -> the best after steering, beside the nearest zoo policy. All
methods get the same prompts, worlds, kicks and noise; the ranking's worlds are drawn from another
seed than the worlds that measure. Splits: `interpolation` between training behaviours; the two
withheld regions `corner` and `gait_out`, which the measured generator has not seen
(`training.split`); `foreign`, shown by another controller in other physics (`training.foreign`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from make_agent_ros.checking.metrics import bootstrap_interval
from make_agent_ros.generator.model import Generator
from make_agent_ros.policy.velocity import VELOCITY_GAIN
from make_agent_ros.training.beyond import beyond_quality
from make_agent_ros.training.held_out import SPLITS, Material, QualityConfig
from make_agent_ros.training.methods import REFINED, TEACHER, Methods
from make_agent_ros.training.oracle import teacher_rollout
from make_agent_ros.training.progress import Report
from make_agent_ros.training.quality import (
    Figures,
    Limits,
    clustered_share,
    judge,
    measure,
    mostly,
    summarise,
)
from make_agent_ros.training.teacher import Teacher

RUNGS = (TEACHER, 'demonstrator', 'codec', 'first_sample')
"""From what can be done at best to what a prompt alone gives; each rests on the one before."""
WITHHELD = ('corner', 'gait_out')
"""Splits that a generator trained on the `withheld` side has seen neighbours of."""


def bench_quality(
    material: Material,
    generator: Generator,
    config: QualityConfig | None = None,
    progress: Report | None = None,
) -> dict[str, float]:
    """Measure the ladder on held-out behaviours.

    Args:
        material: a training run with all zoos, or what is shipped.
        generator: to measure.
        config: sizes.
        progress: called with (steps done, steps, what).

    Returns:
        Flat figures, `<what>.<split>.<method>`; see `quality.summarise`, `survival`, `paired`
        and `beyond.beyond_quality`. Every policy is told its own default command and judged
        against the velocity that was read off the prompt; `prompt_velocity_error` tells how far
        that is from the demonstrator's.

    Raises:
        ValueError: an unknown split, or one that the generator has been trained on.
        BackendError: `foreign` is asked for, but one of its engines is not installed.
    """
    config = config or QualityConfig()
    _check(generator, config)
    result = {
        'worlds': float(config.worlds),
        'seconds': config.seconds,
        'push_m_s': config.push_m_s,
        'candidates': float(config.candidates),
        'seed': float(config.seed),
    }
    for k, split in enumerate(config.splits):

        def say(share: float, what: str, k: int = k, split: str = split) -> None:
            if progress:
                progress(round(100 * (k + share)), 100 * len(config.splits), f'{split}: {what}')

        result |= _Bench(material, split, generator, config, say).run()
    return result


def _check(generator: Generator, config: QualityConfig) -> None:
    """Refuse in the first second what would fail after an hour, or would not be true."""
    if unknown := [split for split in config.splits if split not in SPLITS]:
        raise ValueError(f'unknown splits {unknown}; choose from {", ".join(SPLITS)}')
    seen = 'withheld' in generator.info.get('config', {}).get('sides', ())
    if seen and (told := [split for split in config.splits if split in WITHHELD]):
        raise ValueError(
            f'this generator was trained on behaviours like those of {" and ".join(told)}; '
            'measure one that was not (`make-agent train measured`), or leave them out: '
            '--config.splits interpolation foreign'
        )
    if 'foreign' in config.splits:
        from make_agent_ros.training.foreign import require_engines

        require_engines()


class _Bench:
    """All methods on one split."""

    def __init__(
        self,
        material: Material,
        split: str,
        generator: Generator,
        config: QualityConfig,
        say: Callable[[float, str], None],
    ) -> None:
        self.split, self.config, self.say = split, config, say
        self.material, self.generator = material, generator
        self.limits = Limits()
        say(0.0, 'prompts')
        self.held_out = material.held_out(split, config, lambda x: say(0.1 * x, 'prompts'))
        self.methods = Methods(self.held_out, generator, material, config)
        self.wanted = self._wanted()

    def _wanted(self) -> tuple[str, ...]:
        known, wanted = self.methods.known, self.config.methods
        if unknown := [name for name in wanted if name not in known]:
            raise ValueError(f'unknown methods {unknown}; choose from {", ".join(known)}')
        return tuple(m for m in wanted or self.methods.usual if not self.methods.missing(m))

    def run(self) -> dict[str, float]:
        held_out, split = self.held_out, self.split
        novel = [self.generator.novelty(prompt) for prompt in held_out.prompts]
        result = {
            f'prompts.{split}': float(len(held_out.prompts)),
            f'prompts_tried.{split}': float(held_out.tried),
            f'prompts_novel.{split}': float(np.mean([d > limit for d, limit in novel])),
            f'held_out_policies.{split}': float(len(held_out.bundles)),
        }
        measured: dict[str, Figures] = {}
        for k, name in enumerate(self.wanted):
            share = 0.1 + 0.8 * k / len(self.wanted)
            self.say(share, name)
            measured[name], found = self._figures(name, share)
            result |= found | self._by_group(name, measured[name])
        if self.methods.rounds:
            result[f'rounds.{split}.{REFINED}'] = float(np.mean(self.methods.rounds))
        result |= survival(split, measured, (*self.methods.ranked, REFINED))
        qualified = {name: figures.qualified(self.limits) for name, figures in measured.items()}
        best = REFINED if REFINED in qualified else self.methods.ranked[-1]
        result |= paired(split, qualified, best)
        self.say(0.9, 'beyond quality')
        if 'first_sample' in qualified and self.methods.ranked[-1] in qualified:
            result |= beyond_quality(
                split, self.methods, mostly(qualified['first_sample']), self.config
            )
        self.say(1.0, 'done')
        return result

    def _figures(self, name: str, share: float) -> tuple[Figures, dict[str, float]]:
        """Measure one method."""
        held_out, config, key = self.held_out, self.config, f'{self.split}.{name}'
        if name == TEACHER:
            log = teacher_rollout(
                Teacher.load(self.material.folder), held_out.behaviours, config.worlds,
                config.seconds, config.seed, config.push_m_s,
                VELOCITY_GAIN if config.velocity_loop else 0.0,
            )  # fmt: skip
            figures = judge(log, held_out.gait, held_out.commands)
            return figures, summarise(figures, key, self.limits)
        step = 0.8 / len(self.wanted)
        bundles = self.methods.bundles(name, lambda x: self.say(share + step * x, 'ranking'))
        commands = np.stack([b.default_command for b in bundles])
        asked = commands
        if self.methods.judged_by_prompt(name):
            asked = np.stack([velocity for _, velocity in self.methods.embedded])
        figures = measure(bundles, commands, held_out.gait, config, asked)
        off = np.linalg.norm((asked - held_out.commands)[:, :2], axis=1)
        error = {f'prompt_velocity_error.{key}': float(np.median(off))}
        return figures, summarise(figures, key, self.limits) | error

    def _by_group(self, name: str, figures: Figures) -> dict[str, float]:
        """Tell the prompts of each group apart: `qualified.<split>_<group>.<method>`."""
        groups = np.array(self.held_out.groups)
        result: dict[str, float] = {}
        for group in dict.fromkeys(self.held_out.groups):
            result[f'group.{self.split}.{group}'] = float((groups == group).sum())
            key = f'{self.split}_{group}.{name}'
            result |= summarise(figures[groups == group], key, self.limits)
        return result


def survival(
    split: str, measured: Mapping[str, Figures], ranked: Sequence[str]
) -> dict[str, float]:
    """Return `first_sample_survival.<split>.<method>` with a 95 % interval.

    The share of all walks, prompts x worlds, in which the robot does not fall to the end, kicks
    included, with the policy that the method makes first from a prompt: the only one for most
    methods, and the flow's first sample for those that choose among its samples.

    Args:
        split: for the names of the figures.
        measured: by method.
        ranked: methods that choose among the flow's samples.
    """
    result: dict[str, float] = {}
    for name in measured:
        first = measured.get('first_sample' if name in ranked else name)
        if first is not None:
            result |= clustered_share(~first.fell, f'first_sample_survival.{split}.{name}')
    return result


def paired(split: str, qualified: Mapping[str, np.ndarray], best: str) -> dict[str, float]:
    """Compare methods prompt by prompt: all were given the same prompts and worlds.

    Args:
        split: for the names of the figures.
        qualified: by method, bool, (P, W).
        best: the method that the others are held against.

    Returns:
        `step.<split>.<method>`: how much more of a rung's walks qualify than of the rung before,
        and `lead.<split>.<method>`: how much more of `best`'s do than of another method's. Each
        is a difference of shares of all walks, with `.low` and `.high` of 95 % by resampling the
        prompts.
    """
    share = {name: ok.mean(axis=1) for name, ok in qualified.items()}
    rungs = [name for name in RUNGS if name in share]
    pairs = [('step', name, share[name] - share[above]) for above, name in pairwise(rungs)]
    if best in share:
        pairs += [('lead', m, share[best] - share[m]) for m in share if m != best]
    result: dict[str, float] = {}
    for what, name, difference in pairs:
        key = f'{what}.{split}.{name}'
        result[key], result[f'{key}.low'], result[f'{key}.high'] = bootstrap_interval(difference)
    return result


def lost_at(figures: Mapping[str, float], split: str) -> str:
    """Return the first rung below which walks stop to qualify for certain, or nothing.

    That is the first whose `step` lies below 0 with all of its 95 % interval.
    """
    for name in RUNGS:
        if figures.get(f'step.{split}.{name}.high', 0.0) < 0.0:
            return name
    return ''

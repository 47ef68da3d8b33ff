"""How well a generator does what policies show: prompts in, policies out, walked and compared.

Made for before and after: the same prompts, seeds and worlds give paired figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from make_agent_ros.checking.metrics import STYLE_TOLERANCE
from make_agent_ros.checking.ranking import (
    VELOCITY_TOLERANCE_M_S,
    WORST,
    YAW_TOLERANCE_RAD_S,
    candidate_cost,
    candidate_figures,
)
from make_agent_ros.generator.model import Generator
from make_agent_ros.policy.bundle import Bundle
from make_agent_ros.recording.gait import Gait
from make_agent_ros.recording.loads import gait_of_trajectory
from make_agent_ros.recording.trajectory import Trajectory
from make_agent_ros.simulation.model import randomised_worlds
from make_agent_ros.simulation.rollout import rollout
from make_agent_ros.training.prompts import SETTLE_S, prompt_from_log

PROMPT_S = 4.0
WALK_S = 5.0


Pairs = dict[str, tuple['Reproduction', 'Reproduction']]
"""Before and after, of `added` and of `old` behaviours."""


@dataclass(frozen=True)
class Reproduction:
    """What K policies per prompt did for n prompts; arrays have shape (n, K)."""

    reproduced: np.ndarray
    """No fall, and velocity and every axis of the gait within its tolerance, bool."""
    falls: np.ndarray
    """Share of the worlds in which it fell."""
    cost: np.ndarray
    """Cost of `checking.ranking`, at most `WORST`: 1 is as far off as still counts as good."""

    def means(self) -> dict[str, float]:
        """Return the mean of each figure."""
        return {name: float(np.mean(value)) for name, value in vars(self).items()}


def show(bundles: Sequence[Bundle], each: int, seed: int) -> tuple[list[Trajectory], list[Bundle]]:
    """Walk policies at their default commands and cut a prompt out of every walk.

    Args:
        bundles: n policies.
        each: prompts per policy, every one in a randomised world of its own.
        seed: of worlds and noise.

    Returns:
        The prompts of robots that did not fall, at most n x each, and whose they are.
    """
    command = np.stack([b.default_command for b in bundles])
    worlds = randomised_worlds(each, seed)
    log = rollout(bundles, worlds, command, SETTLE_S + PROMPT_S + 0.1, seed=seed)
    stood = np.argwhere(~log.fell)
    prompts = [prompt_from_log(log, i, w, SETTLE_S, PROMPT_S, seed=seed) for i, w in stood]
    return prompts, [bundles[i] for i, _ in stood]


def reproduce(
    generator: Generator, prompts: Sequence[Trajectory], samples: int, worlds: int, seed: int
) -> Reproduction:
    """Generate policies for every prompt and compare their walks with it.

    Args:
        generator: asked, whether the prompts are novel to it or not.
        prompts: n of equal length.
        samples: K per prompt, unranked.
        worlds: in which each policy walks.
        seed: of samples, worlds, noise and kicks.
    """
    bundles = [
        bundle
        for i, prompt in enumerate(prompts)
        for bundle in generator.sample(prompt, samples, seed + i, allow_novel=True)
    ]
    return compare(bundles, prompts, worlds, seed)


def compare(
    bundles: Sequence[Bundle], prompts: Sequence[Trajectory], worlds: int, seed: int
) -> Reproduction:
    """Walk K policies per prompt, n x K in all and prompt by prompt, and compare.

    Every policy walks at its default command and is judged by it.
    """
    each = len(bundles) // len(prompts)
    command = np.stack([b.default_command for b in bundles])
    drawn = randomised_worlds(worlds, seed + 1)
    log = rollout(bundles, drawn, command, WALK_S, push_m_s=0.3, seed=seed + 1)
    shown = [gait_of_trajectory(prompt) for prompt in prompts]
    wanted = Gait(
        *(np.stack([getattr(g, f.name) for g in shown]).repeat(each, 0) for f in fields(Gait))
    )
    figures = candidate_figures(log, wanted[:, None])
    limits = {
        **STYLE_TOLERANCE,
        'velocity_rmse_m_s': VELOCITY_TOLERANCE_M_S,
        'yaw_rmse_rad_s': YAW_TOLERANCE_RAD_S,
    }
    within = np.all([figures[name] <= limit for name, limit in limits.items()], axis=0)
    grid = (len(prompts), each)
    return Reproduction(
        (within & (figures['falls'] == 0.0)).reshape(grid),
        figures['falls'].reshape(grid),
        np.minimum(candidate_cost(figures), WORST).reshape(grid),
    )


def figures_of(pairs: Pairs) -> dict[str, float]:
    """Return `<which>.<before or after>.<figure>`, and for each the mean change over prompts.

    `<which>.change.<figure>` comes with the half-width of its 95 % interval over prompts,
    `<which>.change_95.<figure>`.
    """
    found: dict[str, float] = {}
    for which, (before, after) in pairs.items():
        found[f'prompts.{which}'] = float(len(before.cost))
        for name, value in before.means().items():
            change = np.mean(getattr(after, name) * 1.0 - getattr(before, name), axis=1)
            spread = 1.96 * change.std(ddof=min(1, len(change) - 1)) / len(change) ** 0.5
            found |= {
                f'{which}.before.{name}': value,
                f'{which}.after.{name}': after.means()[name],
                f'{which}.change.{name}': float(change.mean()),
                f'{which}.change_95.{name}': float(spread),
            }
    return found


def refusal_of(pairs: Pairs, margin: float) -> str:
    """Say why a generator must not take the place of the one before; empty when it may.

    Args:
        pairs: what both did.
        margin: largest loss of old behaviours, in the share reproduced and in that of falls.
    """
    before, after = (one.means() for one in pairs['old'])
    lost = max(before['reproduced'] - after['reproduced'], after['falls'] - before['falls'])
    if lost > margin:
        return (
            f'old behaviours suffer: of their policies {before["reproduced"]:.0%} did what the '
            f'prompt shows and {before["falls"]:.0%} fell, now {after["reproduced"]:.0%} and '
            f'{after["falls"]:.0%}; a loss of {margin:.0%} is allowed. Rehearse more '
            '(--config.rehearsed), or train less (--config.codec-updates, --config.learning-rate)'
        )
    before, after = (one.means() for one in pairs['added'])
    if after['cost'] >= before['cost'] and after['reproduced'] <= before['reproduced']:
        return (
            f'nothing is gained: the added behaviour is missed by {before["cost"]:.2f} tolerances '
            f'before and {after["cost"]:.2f} after. The generator may know it already; otherwise '
            'train for longer (--config.codec-updates, --config.flow-updates)'
        )
    return ''

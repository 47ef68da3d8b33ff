"""Search around what a generator gave: children of the best candidates, ranked again.

A cross-entropy search (Rubinstein 1999) in the latent space of the generator's codec, where a
straight line between two policies that walk is made of policies that walk. It costs one more
ranking per round and needs nothing but the prompt. Each round walks in other worlds, so a
candidate that was lucky in one has to be good in the next as well: what parents did in all rounds
counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from make_agent_ros.checking.ranking import Ranking, rank
from make_agent_ros.policy.bundle import Bundle
from make_agent_ros.recording.trajectory import Trajectory

PARENTS = 4
"""Candidates that children come from; they are ranked again beside these."""
REACH = 0.25
"""How far beyond its parents a child may lie, as a share of the way between them."""
NOISE = 0.5
"""Noise of the children, in standard deviations of the parents."""


@dataclass(frozen=True)
class Refined:
    """The last round's candidates, parents first, and how they did."""

    bundles: list[Bundle]
    ranking: Ranking
    seconds: float
    """Of all rounds."""

    @property
    def best(self) -> Bundle:
        """The best candidate, as it was made."""
        return self.bundles[self.ranking.best]


def refine(
    decode: Callable[[np.ndarray], list[Bundle]],
    latents: np.ndarray,
    prompt: Trajectory | Sequence[Trajectory],
    seed: int,
    rounds: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Refined:
    """Rank candidates, breed the best, and rank again.

    Args:
        decode: from latents (n, L) to n policies.
        latents: N candidates, (N, L).
        prompt: what they were generated from.
        seed: of worlds and children.
        rounds: after the first ranking; 0 is `rank` alone.
        progress: called with (rankings done, all).

    Raises:
        ValueError: negative rounds, or no more candidates than parents.
    """
    if rounds < 0:
        raise ValueError(f'{rounds} rounds of refinement; expected 0 or more')
    if rounds and len(latents) <= PARENTS:
        raise ValueError(
            f'{len(latents)} candidates are too few to refine; sample more than {PARENTS}'
        )
    rng = np.random.default_rng([seed, 83])
    bundles = decode(latents)
    ranking = rank(bundles, prompt, seed)
    seconds = ranking.seconds
    walked = np.ones(len(latents))
    for done in range(1, rounds + 1):
        if progress:
            progress(done, rounds + 1)
        chosen = ranking.order[:PARENTS]
        parents, before = latents[chosen], (walked[chosen], ranking, chosen)
        latents = np.concatenate((parents, _children(parents, len(latents) - PARENTS, rng)))
        bundles = decode(latents)
        ranking = rank(bundles, prompt, seed + 7919 * done)
        seconds += ranking.seconds
        walked = np.ones(len(latents))
        walked[:PARENTS] += before[0]
        ranking = _with_evidence(ranking, *before)
    return Refined(bundles, ranking, seconds)


def _with_evidence(
    ranking: Ranking, walked: np.ndarray, before: Ranking, chosen: np.ndarray
) -> Ranking:
    """Let what the first candidates did in earlier rounds count beside this one.

    Args:
        ranking: of this round.
        walked: rounds that they had walked in before, (PARENTS,).
        before: ranking of the round before.
        chosen: their rows there.
    """
    share = walked / (walked + 1.0)
    cost, command = ranking.cost.copy(), ranking.command.copy()
    first = slice(len(chosen))
    cost[first] += share * (before.cost[chosen] - cost[first])
    command[first] += share[:, None] * (before.command[chosen] - command[first])
    return replace(ranking, best=int(np.argmin(cost)), cost=cost, command=command)


def _children(parents: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return latents (count, L) between pairs of parents and a little around."""
    pairs = np.stack([rng.choice(len(parents), 2, replace=False) for _ in range(count)])
    share = rng.uniform(-REACH, 1.0 + REACH, (count, 1))
    between = parents[pairs[:, 0]] * (1.0 - share) + parents[pairs[:, 1]] * share
    noise = rng.standard_normal(between.shape) * parents.std(axis=0)
    return np.asarray(between + NOISE * noise, dtype=parents.dtype)

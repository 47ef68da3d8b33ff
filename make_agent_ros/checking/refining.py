"""Correct what a generator gave: candidates steered towards the prompt's gait, ranked again.

A ranking tells not only which candidate is the best but what each one's gait lacks of the
prompt's: a leg comes 0.07 cycle late, the body hangs 1 cm low. That difference, fed back through
the generator (`generator.steering`), gives candidates without it: integral control of the gait,
measured by rollouts. A round costs five eighths of a ranking and needs nothing but the prompt.
Each round walks in other worlds, so a candidate that was lucky in one has to be good in the next
as well: what it did in all rounds counts. After the first round they end when the best is good
enough.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from make_agent_ros.checking.ranking import Ranking, rank
from make_agent_ros.policy.bundle import Bundle
from make_agent_ros.recording.gait_change import GaitChange
from make_agent_ros.recording.trajectory import Trajectory

KEPT = 4
"""Best candidates that are ranked again as they are, beside the steered ones; a quarter of fewer
than 16."""

WORLDS = 10
"""In which a round walks each candidate, once: its command is known from the round before."""
ENOUGH = 0.1
"""Cost up to which the best candidate is good enough: of twenty of its walks nineteen are good."""

Decode = Callable[[np.ndarray], list[Bundle]]
"""From latents (n, L) to n policies."""
Steer = Callable[[np.ndarray, GaitChange], np.ndarray]
"""From latents (n, L) and what their gaits lack, (n,), to latents that lack less."""


@dataclass(frozen=True)
class Refined:
    """The last round's candidates, kept ones first, and how they did."""

    bundles: list[Bundle]
    ranking: Ranking
    seconds: float
    """Of all rounds."""
    rounds: int
    """That it took."""

    @property
    def best(self) -> Bundle:
        """The best candidate, as it was made."""
        return self.bundles[self.ranking.best]


def refine(
    decode: Decode,
    steer: Steer,
    latents: np.ndarray,
    prompt: Trajectory | Sequence[Trajectory],
    seed: int,
    rounds: int = 1,
    progress: Callable[[int, int], None] | None = None,
    first: Ranking | None = None,
) -> Refined:
    """Rank candidates, steer the best towards the prompt's gait, and rank again.

    Args:
        decode: makes policies of latents.
        steer: moves latents.
        latents: N candidates, (N, L).
        prompt: what they were generated from.
        seed: of worlds.
        rounds: after the first ranking, at most; 0 is `rank` alone.
        progress: called with (rankings done, all that may come).
        first: the ranking of the candidates by this seed, where it is known already.

    Raises:
        ValueError: negative rounds, or no candidates.
    """
    if rounds < 0:
        raise ValueError(f'{rounds} rounds of refinement; expected 0 or more')
    bundles = decode(latents)
    ranking = first or rank(bundles, prompt, seed)
    seconds = ranking.seconds
    walked = np.full(len(latents), ranking.walks)
    stay = int(np.clip(len(latents) // 4, 1, KEPT))
    done = 0
    while done < rounds and (done == 0 or ranking.cost[ranking.best] > ENOUGH):
        done += 1
        if progress:
            progress(done, rounds + 1)
        order = ranking.order
        kept, best = order[:stay], order[: max(1, len(latents) - stay)]
        before = (walked[kept], ranking, kept)
        moved = steer(latents[best], ranking.change[best])
        latents = np.concatenate((latents[kept], moved.astype(latents.dtype)))
        bundles = decode(latents)
        told = ranking.command[np.concatenate((kept, best))]
        ranking = rank(bundles, prompt, seed + 7919 * done, worlds=WORLDS, told=told)
        seconds += ranking.seconds
        walked = np.full(len(latents), ranking.walks)
        walked[:stay] += before[0]
        ranking = _with_evidence(ranking, *before)
    return Refined(bundles, ranking, seconds, done)


def _with_evidence(
    ranking: Ranking, walked: np.ndarray, before: Ranking, kept: np.ndarray
) -> Ranking:
    """Let what the first candidates did in earlier rounds count beside this one.

    Args:
        ranking: of this round.
        walked: walks that they had walked before, (K,).
        before: ranking of the round before.
        kept: their K rows there.
    """
    share = walked / (walked + ranking.walks)
    cost, command = ranking.cost.copy(), ranking.command.copy()
    first = slice(len(kept))
    cost[first] += share * (before.cost[kept] - cost[first])
    command[first] += share[:, None] * (before.command[kept] - command[first])
    return replace(ranking, best=int(np.argmin(cost)), cost=cost, command=command)

"""Is it generation? What the share of good walks does not tell about a generator of policies.

- **Prompt swap**: does the prompt decide the gait? For pairs of prompts, each one's first sample
  must be nearer to its own prompt than to the other's.
- **Spread**: how far the samples of one prompt lie apart, in gait and in weights.
- **Novelty**: how far generated weights lie from the nearest training policy, in units of the
  training policies' own nearest-neighbour spacing. Generators of weights tend to replicate what
  they were trained on (Zeng et al., arXiv 2506.07998); a copy has distance 0. Training policies
  carry noise of their training that no decoder gives back, so even an encoded and decoded one is
  far from itself. Whether a policy is a copy is therefore told among decoded policies: nearer to
  one than 95 % of them are to each other.

Gaits are compared in units of the tolerances that the check of policies has for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from make_agent_ros.checking.metrics import STYLE_TOLERANCE
from make_agent_ros.checking.ranking import WORST
from make_agent_ros.generator.model import Generator
from make_agent_ros.policy.bundle import Bundle
from make_agent_ros.policy.mlp import MlpShape
from make_agent_ros.recording.gait import Gait, gait_distance
from make_agent_ros.simulation.model import randomised_worlds
from make_agent_ros.simulation.rollout import rollout
from make_agent_ros.training.baselines.heads import layer_scale
from make_agent_ros.training.held_out import QualityConfig
from make_agent_ros.training.methods import Methods
from make_agent_ros.training.prompts import SETTLE_S, walked_gait
from make_agent_ros.training.quality import ROBOTS, share_of
from make_agent_ros.training.zoo import POLICY_SHAPE, Zoo

GAIT_S = 4.5
"""Time from which the gait of a sample is read, after settling."""
WORLDS = 2
"""Two, so that the spread of samples can be held against what another world does to one sample."""
COPY = 0.05
"""Quantile of the training policies' own spacing below which a generated policy is a copy."""


@dataclass(frozen=True)
class Samples:
    """Gaits of N samples of each of P prompts in `WORLDS` worlds, the same for all."""

    gait: Gait
    """(P, N, W)."""
    fell: np.ndarray
    """(P, N, W)."""


def beyond_quality(
    split: str, methods: Methods, qualified: np.ndarray, config: QualityConfig
) -> dict[str, float]:
    """Return the figures of this module as `<what>.<split>`.

    Args:
        split: for the names.
        methods: prompts, and the samples of each.
        qualified: which prompts' first samples qualify, bool, (P,).
        config: seed and sizes.

    Returns:
        `prompt_swap`, `prompt_swap_nearest` (of each prompt and the one most like it),
        `spread_gait` and `spread_world` (the same sample in another world), and, where there is a
        zoo, `spread_weights`, `nearest_weights`, `nearest_reencoded` (of training policies),
        `nearest_decoded`, `novel`, `novel_and_qualified`. Shares have `.low` and `.high`.
    """
    samples = walk_samples(methods.samples, config)
    result = prompt_swap(samples, methods.held_out.gait, split)
    result |= gait_spread(samples, split)
    training = methods.material.training
    if training is None or len(training) < 3:
        return result
    weights = np.stack([[flat(bundle) for bundle in pool] for pool in methods.samples])
    known = Known.of(methods.generator, training)
    result |= {f'spread_weights.{split}': known.spread(weights)}
    return result | known.novelty(weights[:, 0], qualified, split)


def walk_samples(pools: Sequence[Sequence[Bundle]], config: QualityConfig) -> Samples:
    """Walk all samples of all prompts at their own velocity, undisturbed."""
    bundles = [bundle for pool in pools for bundle in pool]
    worlds = randomised_worlds(WORLDS, config.seed + 2)
    gaits, falls = [], []
    for start in range(0, len(bundles), ROBOTS // WORLDS):
        mine = bundles[start : start + ROBOTS // WORLDS]
        commands = np.stack([b.default_command for b in mine])
        log = rollout(mine, worlds, commands, SETTLE_S + GAIT_S, seed=config.seed + 2)
        gaits.append(walked_gait(log, SETTLE_S, GAIT_S))
        falls.append(log.fell)
    grid = (len(pools), len(pools[0]), WORLDS)

    def column(name: str) -> np.ndarray:
        values = np.concatenate([getattr(gait, name) for gait in gaits])
        return values.reshape(*grid, *values.shape[2:])

    return Samples(Gait(*(column(n) for n in vars(gaits[0]))), np.concatenate(falls).reshape(grid))


def style_distance(a: Gait, b: Gait) -> np.ndarray:
    """Return how far two gaits are apart, in tolerances, the mean over all axes; shapes broadcast.

    An axis counts up to `ranking.WORST`, as in ranking.
    """
    apart = gait_distance(a, b)
    parts = [np.minimum(apart[name] / unit, WORST) for name, unit in STYLE_TOLERANCE.items()]
    return np.asarray(np.mean(parts, axis=0))


def prompt_swap(samples: Samples, prompts: Gait, split: str) -> dict[str, float]:
    """Return the shares of pairs in which each first sample is nearer to its own prompt.

    All pairs are compared. Each prompt is in many of them, so the interval is that of as many
    pairs as have no prompt in common. A policy that falls is near to nothing.
    """
    first = samples.gait[:, 0, 0]
    distance = style_distance(first[:, None], prompts[None])
    n = len(distance)
    if n < 2:
        return {}
    own = np.where(samples.fell[:, 0, 0], np.inf, np.diag(distance))
    nearer = own[:, None] < distance
    both = nearer & nearer.T
    pairs = both[np.triu_indices(n, 1)]
    apart = n // 2
    alike = style_distance(prompts[:, None], prompts[None]) + np.where(np.eye(n), np.inf, 0.0)
    independent = np.arange(apart) < round(float(pairs.mean()) * apart)
    name = f'prompt_swap.{split}'
    return {
        **share_of(independent, name),
        name: float(pairs.mean()),
        **share_of(both[np.arange(n), alike.argmin(axis=1)], f'prompt_swap_nearest.{split}'),
    }


def gait_spread(samples: Samples, split: str) -> dict[str, float]:
    """Return how far samples of one prompt lie apart in one world, and one sample in two.

    Medians over the prompts of the mean over pairs of samples that stay up, in tolerances.
    """
    stood = ~samples.fell
    of_samples, of_worlds = [], []
    for i in range(len(stood)):
        gait, up = samples.gait[i], np.flatnonzero(stood[i, :, 0])
        if len(up) > 1:
            apart = style_distance(gait[up][:, None, 0], gait[up][None, :, 0])
            of_samples.append(apart[np.triu_indices(len(up), 1)].mean())
        both = np.flatnonzero(stood[i].all(axis=1))
        if len(both):
            of_worlds.append(style_distance(gait[both, 0], gait[both, 1]).mean())
    return {
        f'spread_gait.{split}': _median(of_samples),
        f'spread_world.{split}': _median(of_worlds),
    }


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if len(values) else float('nan')


def flat(bundle: Bundle) -> np.ndarray:
    """Return a policy's weights, (8012,)."""
    return np.asarray(MlpShape.flatten(bundle.layers))


@dataclass(frozen=True)
class Known:
    """The training policies as trained and as the codec gives them back, and their spacing.

    Weights count from the net that all began as, in units of their layer's spread over the
    training policies. A policy's gait frequency is beside its weights and does not count.
    """

    base: torch.Tensor
    """The net that all began as, (W,)."""
    scale: torch.Tensor
    """(W,)."""
    trained: torch.Tensor
    """(n, W)."""
    decoded: torch.Tensor
    """(n, W)."""
    trained_gaps: np.ndarray
    """Distance of each training policy to the nearest other one, (n,)."""
    decoded_gaps: np.ndarray
    """The same of the decoded ones, (n,)."""

    @classmethod
    @torch.no_grad()
    def of(cls, generator: Generator, zoo: Zoo) -> Known:
        """Encode and decode the training policies."""
        weights = torch.from_numpy(zoo.weights)
        frequency = torch.from_numpy(zoo.behaviours.styles.frequency_hz).float()
        codec = generator.codec
        decoded = codec.decode(codec.encode(weights, frequency))[0]
        base = torch.from_numpy(zoo.base)
        scale = layer_scale(POLICY_SHAPE, weights - base)
        both = (weights - base) / scale, (decoded - base) / scale
        return cls(base, scale, *both, *(nearest(x, x, itself=False) for x in both))

    def units(self, weights: np.ndarray) -> torch.Tensor:
        """Return weights (..., W) as those of the training policies are kept."""
        return (torch.from_numpy(weights) - self.base) / self.scale

    def spread(self, weights: np.ndarray) -> float:
        """Return the median over prompts of the mean distance of two samples, spacings of zoo.

        Args:
            weights: of N samples of P prompts, (P, N, W).
        """
        pools = self.units(weights)
        apart = [float(_rms(torch.pdist(pool)).mean()) for pool in pools if len(pool) > 1]
        return _median(apart) / float(np.median(self.decoded_gaps))

    def novelty(self, weights: np.ndarray, qualified: np.ndarray, split: str) -> dict[str, float]:
        """Return distances to the nearest training policy, medians, and shares of new ones.

        Args:
            weights: one generated policy of each prompt, (P, W).
            qualified: which of them qualify, bool, (P,).
            split: for the names.
        """
        made = self.units(weights)
        raw, among = nearest(made, self.trained), nearest(made, self.decoded)
        again = nearest(self.decoded, self.trained)
        unit = float(np.median(self.trained_gaps))
        novel = among > np.quantile(self.decoded_gaps, COPY)
        return {
            f'nearest_weights.{split}': float(np.median(raw)) / unit,
            f'nearest_reencoded.{split}': float(np.median(again)) / unit,
            f'nearest_decoded.{split}': float(np.median(among) / np.median(self.decoded_gaps)),
            **share_of(novel, f'novel.{split}'),
            **share_of(novel & qualified, f'novel_and_qualified.{split}'),
        }


def nearest(rows: torch.Tensor, known: torch.Tensor, *, itself: bool = True) -> np.ndarray:
    """Return each row's distance to the nearest of `known`, root mean square, (n,).

    Args:
        rows: (n, W).
        known: (m, W).
        itself: whether row i may find known[i].
    """
    distance = torch.cdist(rows, known)
    if not itself:
        distance.fill_diagonal_(torch.inf)
    return _rms(distance.min(dim=1).values, rows.shape[1]).numpy()


def _rms(distance: torch.Tensor, size: int = POLICY_SHAPE.size) -> torch.Tensor:
    """Return Euclidean distances as root mean squares per weight."""
    return torch.div(distance, size**0.5)

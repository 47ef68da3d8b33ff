"""Baselines that make no weights of their own: a policy of the zoo, or its plain neighbours.

Generators of weights tend to replicate or to average what they were trained on (Zeng et al., arXiv
2506.07998); these are the baselines that tell whether ours does more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch

from make_agent_ros.generator.embedding import trajectory_features
from make_agent_ros.policy.bundle import Bundle
from make_agent_ros.recording.trajectory import Trajectory
from make_agent_ros.training.baselines.cloning import gait_clock
from make_agent_ros.training.baselines.fitting import BaselineError, FitLog
from make_agent_ros.training.baselines.heads import layer_scale
from make_agent_ros.training.baselines.method import as_bundles, check_velocity
from make_agent_ros.training.progress import Report
from make_agent_ros.training.prompts import PromptData
from make_agent_ros.training.zoo import POLICY_SHAPE, Zoo

Embed = Callable[[np.ndarray], np.ndarray]
"""Windows (B, T, 30) float32 -> embeddings (B, E)."""
What = Literal['nearest', 'mean_of_two', 'noisy']
KNOWN_STEPS = 200
"""Length of the windows that the zoo's behaviours are known by, samples."""


class Nearest:
    """A `Method`: the zoo's nearest policy, the mean of the two nearest, or the nearest + noise.

    Near by the true style (an oracle: it is told what no prompt says), or by an embedding.
    """

    def __init__(
        self,
        what: What = 'nearest',
        *,
        embed: Embed | None = None,
        noise_sd: float = 0.1,
    ) -> None:
        """Say what to return, and what near means.

        Args:
            what: the nearest policy, the mean of the weights of the two nearest, or the nearest
                with Gaussian noise on every weight.
            embed: near by the distance of embeddings; by true style vectors when omitted.
            noise_sd: standard deviation of the noise, in units of the root mean square residual
                of each layer's weights (and biases) from the zoo's common start.
        """
        self.what, self.embed, self.noise_sd = what, embed, noise_sd
        self.name = f'{what}_{"style" if embed is None else "embedding"}'
        self.log: dict[str, FitLog] = {}
        self.zoo: Zoo | None = None
        self.known = np.zeros((0, 0))
        self.scale = np.zeros(0, np.float32)

    def fit(self, zoo: Zoo, prompts: PromptData, progress: Report | None = None) -> None:
        """Remember the zoo and where each of its behaviours lies."""
        self.zoo = zoo
        residual = torch.from_numpy(zoo.weights - zoo.base)
        self.scale = layer_scale(POLICY_SHAPE, residual).numpy()
        if self.embed is None:
            self.known = zoo.behaviours.styles.vector().astype(np.float64)
        else:
            self.known = known_embeddings(prompts, self.embed)

    def order(self, prompts: Sequence[Trajectory], style: np.ndarray | None) -> np.ndarray:
        """Return the two nearest policies of each prompt, ids into the zoo, (n, 2)."""
        if self.embed is not None:
            windows = [trajectory_features(p)[None] for p in prompts]
            asked = np.concatenate([self.embed(w) for w in windows])
        elif style is None or np.shape(style) != (len(prompts), self.known.shape[1]):
            raise BaselineError(
                f'{self.name} is told the true style of each prompt, '
                f'{(len(prompts), self.known.shape[1])}; got {np.shape(style)}'
            )
        else:
            asked = np.asarray(style, dtype=np.float64)
        distance = np.linalg.norm(asked[:, None] - self.known[None], axis=-1)
        return np.argsort(distance, axis=1)[:, :2]

    def bundles(
        self,
        prompts: Sequence[Trajectory],
        velocity: np.ndarray,
        seed: int = 0,
        style: np.ndarray | None = None,
    ) -> list[Bundle]:
        """See `Method.bundles`; `style` decides where no embedding was given."""
        if self.zoo is None:
            raise BaselineError(f'{self.name} is not fitted; call fit first')
        velocity = check_velocity(prompts, velocity)
        ids = self.order(prompts, style)
        hz = self.zoo.behaviours.styles.frequency_hz
        weights, frequency = self.zoo.weights[ids[:, 0]], hz[ids[:, 0]]
        if self.what == 'mean_of_two':
            weights = self.zoo.weights[ids].mean(axis=1)
            frequency = np.exp(np.log(hz[ids]).mean(axis=1))
        elif self.what == 'noisy':
            noise = np.random.default_rng([seed, 44]).standard_normal(weights.shape)
            weights = weights + self.noise_sd * self.scale * noise.astype(np.float32)
        return as_bundles(POLICY_SHAPE, weights, frequency, velocity, {'method': self.name})


class BasePolicy:
    """A `Method`: the net that all policies of the zoo started from, at the prompt's frequency."""

    def __init__(self) -> None:
        self.name = 'base'
        self.log: dict[str, FitLog] = {}
        self.base: np.ndarray | None = None

    def fit(self, zoo: Zoo, prompts: PromptData, progress: Report | None = None) -> None:
        """Take the zoo's common start."""
        self.base = zoo.base

    def bundles(
        self,
        prompts: Sequence[Trajectory],
        velocity: np.ndarray,
        seed: int = 0,
        style: np.ndarray | None = None,
    ) -> list[Bundle]:
        """See `Method.bundles`; only the step frequency is taken from a prompt."""
        if self.base is None:
            raise BaselineError(f'{self.name} is not fitted; call fit first')
        velocity = check_velocity(prompts, velocity)
        for prompt in prompts:
            trajectory_features(prompt)  # refuses another rate than 50 Hz
        frequency = np.array([gait_clock(p)[0] for p in prompts])
        weights = np.repeat(self.base[None], len(prompts), axis=0)
        return as_bundles(POLICY_SHAPE, weights, frequency, velocity, {'method': self.name})


def known_embeddings(prompts: PromptData, embed: Embed, chunk: int = 256) -> np.ndarray:
    """Return one embedding per behaviour, the mean over its takes that walked, (n, E).

    A behaviour whose robot never walked to the end is infinitely far from everything.
    """
    steps = min(KNOWN_STEPS, prompts.features.shape[2])
    n, takes = prompts.valid.shape
    total: np.ndarray | None = None
    for take in range(takes):
        parts = [
            embed(prompts.features[i : i + chunk, take, :steps].astype(np.float32))
            for i in range(0, n, chunk)
        ]
        part = np.concatenate(parts).astype(np.float64) * prompts.valid[:, take, None]
        total = part if total is None else total + part
    walked = prompts.valid.sum(axis=1)[:, None]
    mean = np.asarray(total) / np.maximum(walked, 1)
    return np.where(walked > 0, mean, np.inf)

"""Every way to a policy for a prompt that the benchmark of quality compares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from make_agent_ros.checking.ranking import rank
from make_agent_ros.generator.model import Generator
from make_agent_ros.policy.bundle import Bundle
from make_agent_ros.training.baselines import fit_once, make
from make_agent_ros.training.generator import GeneratorConfig
from make_agent_ros.training.held_out import HeldOut, QualityConfig
from make_agent_ros.training.prompts import stored_prompts
from make_agent_ros.training.zoo import Zoo


class Methods:
    """Every way to a policy for each prompt of one split."""

    def __init__(
        self, held_out: HeldOut, generator: Generator, training: Zoo, config: QualityConfig
    ) -> None:
        self.held_out, self.generator, self.training = held_out, generator, training
        self.config = config
        self.embedded = [generator.embed(prompt) for prompt in held_out.prompts]
        """Embedding and velocity of each prompt."""

    def demonstrator(self) -> list[Bundle]:
        """The held-out policies themselves, at the velocity they were shown at."""
        return list(self.held_out.bundles)

    @torch.no_grad()
    def codec(self) -> list[Bundle]:
        """The held-out policies, encoded and decoded: what the codec can say at best."""
        zoo, codec, found = self.held_out.zoo, self.generator.codec, []
        for i, (_, velocity) in enumerate(self.embedded):
            frequency = torch.tensor([self.held_out.bundles[i].gait_frequency_hz])
            latent = codec.encode(torch.from_numpy(zoo.weights[i : i + 1]), frequency)
            found += self.generator.decode(latent, velocity, {})
        return found

    @torch.no_grad()
    def regression(self) -> list[Bundle]:
        """One latent by regression from the embedding, in place of the flow."""
        to_latent = self.generator.to_latent
        return [
            self.generator.decode(to_latent(e)[None], velocity, {})[0]
            for e, velocity in self.embedded
        ]

    def first_sample(self) -> list[Bundle]:
        """The flow's first sample."""
        return [
            self.generator.sample(prompt, 1, seed=i, allow_novel=True)[0]
            for i, prompt in enumerate(self.held_out.prompts)
        ]

    def baseline(self, name: str, folder: Path) -> list[Bundle]:
        """One of `training.baselines`, fitted to the training side once and kept in `folder`."""
        usual = GeneratorConfig()
        method = make(name, embed=self._embed)
        prompts = stored_prompts(folder, 'training', usual.prompt_s, usual.seed, usual.takes)
        fit_once(method, folder / 'baselines', self.training, prompts)
        velocity = np.stack([v for _, v in self.embedded])
        style = self.held_out.behaviours.styles.vector()
        return method.bundles(self.held_out.prompts, velocity, self.config.seed, style)

    @torch.no_grad()
    def _embed(self, windows: np.ndarray) -> np.ndarray:
        return self.generator.embedding(torch.from_numpy(windows))[0].numpy()

    def ranked(self, progress: Callable[[float], None]) -> dict[str, list[Bundle]]:
        """Median and best of N samples, ranked by rollouts in other worlds."""
        best, median = [], []
        for i, prompt in enumerate(self.held_out.prompts):
            pool = self.generator.sample(prompt, self.config.candidates, seed=i, allow_novel=True)
            ranking = rank(pool, prompt, seed=i)
            for chosen, into in (
                (ranking.best, best),
                (int(ranking.order[len(pool) // 2]), median),
            ):
                into.append(replace(pool[chosen], default_command=ranking.command[chosen]))
            progress((i + 1) / len(self.held_out.prompts))
        n = self.config.candidates
        return {f'best_of_{n}': best, f'median_of_{n}': median}


DIRECT = ('demonstrator', 'codec', 'regression', 'first_sample')
"""Methods of `Methods` that take no rollouts, in the order of the ladder."""
NEAREST = ('nearest_embedding', 'nearest_style')
"""Baselines that belong to the ladder: a training policy as it is."""

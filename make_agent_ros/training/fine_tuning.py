"""Fitting a trained generator to new behaviours beside old ones."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import numpy as np
import torch

from make_agent_ros.generator.codec import mlp_forward
from make_agent_ros.generator.model import Generator
from make_agent_ros.training.baselines.fitting import FitConfig, fit
from make_agent_ros.training.distil import ZooConfig
from make_agent_ros.training.losses import (
    CODEC_TERMS,
    GeneratorConfig,
    TrainingData,
    codec_loss,
    flow_loss,
)
from make_agent_ros.training.progress import Report
from make_agent_ros.training.prompts import PromptData, join_prompts
from make_agent_ros.training.zoo import Zoo, join

LATENTS_PER_BEHAVIOUR = 4
"""Drawn for each known behaviour, to hold on to."""
KNOWN_STEPS = 200
"""Length of the windows whose embeddings count as known, samples at 50 Hz."""


@dataclass(frozen=True)
class AddConfig:
    """What `make-agent train add` takes."""

    seed: int = 23
    copies: int = 8
    """Students per added policy."""
    rehearsed: int = 256
    """Old behaviours that are trained on again."""
    watched: int = 32
    """Old behaviours that are only measured, beside the shipped examples."""
    share: float = 0.5
    """Of each batch of walks that is new."""
    codec_updates: int = 400
    flow_updates: int = 900
    batch: int = 64
    """Behaviours per update of the codec; the flow takes twice as many."""
    states: int = 48
    """States per behaviour and update."""
    learning_rate: float = 5e-4
    prompt_s: float = 6.0
    """Steady walking per take."""
    takes: int = 3
    """Walks per behaviour, the first at its own velocity."""
    prompts: int = 8
    """Prompts of each added policy that are answered before and after."""
    samples: int = 4
    """Policies generated for every prompt that is answered."""
    worlds: int = 3
    """In which each of them walks."""
    margin: float = 0.1
    """Largest loss of old behaviours: in the share reproduced, and in the share of falls."""
    zoo: ZooConfig = field(default_factory=ZooConfig)
    """Of the distillation."""

    @property
    def training(self) -> GeneratorConfig:
        """What `TrainingData` and the losses take."""
        longest = min(250, round(self.prompt_s * 50.0))
        return GeneratorConfig(
            seed=self.seed, batch=self.batch, states=self.states, prompt_s=self.prompt_s,
            takes=self.takes, windows=(50, longest),
        )  # fmt: skip


@dataclass(frozen=True)
class Lesson:
    """Policies and walks of n behaviours: what the generator is trained on."""

    zoo: Zoo
    prompts: PromptData

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.zoo)


class _Mixed(TrainingData):
    """Old and new behaviours; a fixed share of each batch is new."""

    def __init__(self, old: Lesson, new: Lesson, config: AddConfig) -> None:
        zoo = join([old.zoo, new.zoo])
        super().__init__(zoo, join_prompts([old.prompts, new.prompts]), config.training)
        self.share = config.share
        is_new = self.usable >= len(old)
        self.parts = self.usable[~is_new], self.usable[is_new]

    def draw(self, count: int) -> np.ndarray:
        """Return ids of behaviours, those of the old ones first."""
        new = round(self.share * count)
        sizes = (count - new, new)
        drawn = [
            self.rng.choice(part, size, replace=size > len(part))
            for part, size in zip(self.parts, sizes, strict=True)
        ]
        return np.concatenate(drawn)


class _Anchor:
    """What the generator says of all behaviours that it was trained on, without a walk.

    Their embeddings are known, so latents and weights for them can be drawn: what is fitted must
    go on saying the same.
    """

    def __init__(self, generator: Generator, data: TrainingData, old: int) -> None:
        """Draw latents.

        Args:
            generator: as it was.
            data: whose first `old` rows hold states that its policies visited.
            old: number of these rows.
        """
        self.before, self.data, self.old = generator, data, old
        self.embedding = generator.known.repeat_interleave(LATENTS_PER_BEHAVIOUR, dim=0)
        with torch.no_grad():
            self.style = generator.embedding.style(self.embedding)
        self.latent = generator.latents(self.embedding, generator=data.generator)

    def _draw(self, high: int, count: int) -> torch.Tensor:
        return torch.randint(high, (count,), generator=self.data.generator)

    def codec_loss(self, model: Generator) -> torch.Tensor:
        """Old latents mean the policies that they meant, old styles their latents, ()."""
        data, batch = self.data, self.data.config.batch
        ids = self._draw(len(self.latent), batch)
        rows = self._draw(self.old, batch)[:, None]
        obs = data.obs[rows, self._draw(data.obs.shape[1], data.config.states)].float()
        noise = torch.randn(obs.shape, generator=data.generator)
        obs = obs + data.config.perturbation * noise
        with torch.no_grad():
            weights, frequency = self.before.codec.decode(self.latent[ids])
            action = mlp_forward(model.shape, weights, obs)
            expected = self.before.to_latent(self.style[ids])
        weights, now = model.codec.decode(self.latent[ids])
        return (
            (mlp_forward(model.shape, weights, obs) - action).square().mean()
            + CODEC_TERMS['frequency'] * (now.log() - frequency.log()).square().mean()
            + (model.to_latent(self.style[ids]) - expected).square().mean()
        )

    def flow_loss(self, model: Generator) -> torch.Tensor:
        """Old embeddings have the latents that they had, ()."""
        ids = self._draw(len(self.latent), 2 * self.data.config.batch)
        with torch.no_grad():
            left = self.latent[ids] - model.to_latent(self.style[ids])
        matching, _ = model.flow.loss(left, self.embedding[ids], generator=self.data.generator)
        return matching


def fine_tune(
    generator: Generator, old: Lesson, new: Lesson, config: AddConfig, report: Report
) -> Generator:
    """Return a copy of the generator, fitted to both.

    Embedding and encoder are left as they are: old prompts and old latents mean what they meant,
    and the embeddings of the training behaviours, with the threshold of novelty, stay valid.

    Args:
        generator: trained.
        old: what it knows; without it, it would forget.
        new: what it is to learn.
        config: sizes.
        report: called with (updates done, updates, a line of figures).
    """
    model = copy.deepcopy(generator).train()
    model.embedding.requires_grad_(False)
    model.codec.encoder.requires_grad_(False)
    data = _Mixed(old, new, config)
    anchor = _Anchor(generator, data, len(old))
    stages = (
        (lambda: codec_loss(model, data)[0] + anchor.codec_loss(model), config.codec_updates,
         [*model.codec.parameters(), *model.to_latent.parameters()], 'codec loss'),
        (lambda: flow_loss(model, data)[0] + anchor.flow_loss(model), config.flow_updates,
         [*model.flow.parameters()], 'flow loss'),
    )  # fmt: skip
    done, total = 0, config.codec_updates + config.flow_updates
    for loss, updates, parameters, name in stages:
        rate = FitConfig(updates, learning_rate=config.learning_rate, log_every=20)
        trained = [p for p in parameters if p.requires_grad]
        fit(trained, loss, rate, _after(done, total, report), name)
        done += updates
    return model.requires_grad_(True).eval()


def _after(done: int, total: int, report: Report) -> Report:
    """Return the report of a stage that begins after `done` of `total` updates."""
    return lambda k, _, text: report(done + k, total, text)


@torch.no_grad()
def remember(model: Generator, prompts: PromptData) -> None:
    """Add the embeddings of walks to those that count as known."""
    windows = prompts.features[prompts.valid][:, :KNOWN_STEPS].astype(np.float32)
    embedding, _ = model.embedding(torch.from_numpy(windows))
    model.known = torch.cat((model.known, embedding))

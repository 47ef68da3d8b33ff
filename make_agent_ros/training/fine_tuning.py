"""Fitting a trained generator to new behaviours beside old ones."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from make_agent_ros.generator.model import Generator
from make_agent_ros.training.baselines.fitting import FitConfig, fit
from make_agent_ros.training.losses import (
    GeneratorConfig,
    Parts,
    TrainingData,
    codec_loss,
    flow_loss,
)
from make_agent_ros.training.progress import Report
from make_agent_ros.training.prompts import PromptData, join_prompts
from make_agent_ros.training.zoo import Zoo, ZooConfig, join

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
    share: float = 0.25
    """Of each batch that is new."""
    codec_updates: int = 400
    flow_updates: int = 600
    batch: int = 64
    """Behaviours per update of the codec; the flow takes twice as many."""
    states: int = 48
    """States per behaviour and update."""
    learning_rate: float = 3e-4
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


def fine_tune(
    generator: Generator, old: Lesson, new: Lesson, config: AddConfig, report: Report
) -> Generator:
    """Return a copy of the generator, fitted to both.

    The embedding is left as it is: old prompts mean what they meant, and the embeddings of the
    generator's training behaviours, with the threshold of novelty, stay valid.

    Args:
        generator: trained.
        old: what it knows; without it, it would forget.
        new: what it is to learn.
        config: sizes.
        report: called with (updates done, updates, a line of figures).
    """
    model = copy.deepcopy(generator).train()
    model.embedding.requires_grad_(False)
    data = _Mixed(old, new, config)
    total = config.codec_updates + config.flow_updates
    codec = [*model.codec.parameters(), *model.to_latent.parameters()]
    _fit(model, data, codec, codec_loss, config.codec_updates, config,
         lambda k, _, text: report(k, total, text))  # fmt: skip
    _fit(model, data, [*model.flow.parameters()], flow_loss, config.flow_updates, config,
         lambda k, _, text: report(config.codec_updates + k, total, text))  # fmt: skip
    model.embedding.requires_grad_(True)
    return model.eval()


def _fit(
    model: Generator,
    data: TrainingData,
    parameters: list[torch.nn.Parameter],
    loss: Callable[[Generator, TrainingData], tuple[torch.Tensor, Parts]],
    updates: int,
    config: AddConfig,
    report: Report,
) -> None:
    rate = FitConfig(updates, learning_rate=config.learning_rate, log_every=20)
    fit(parameters, lambda: loss(model, data)[0], rate, report, loss.__name__.replace('_', ' '))


@torch.no_grad()
def remember(model: Generator, prompts: PromptData) -> None:
    """Add the embeddings of walks to those that count as known."""
    windows = prompts.features[prompts.valid][:, :KNOWN_STEPS].astype(np.float32)
    embedding, _ = model.embedding(torch.from_numpy(windows))
    model.known = torch.cat((model.known, embedding))

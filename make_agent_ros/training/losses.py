"""What the generator is trained on, and what it is trained to do.

Data: the weights of a zoo, the states that its policies visited, and windows of their walks.
Losses: actions of decoded weights on these states, and on perturbed ones; for the flow, flow
matching with the same action loss on the data point that it implies.

Weights are generated from the style that was walked. On policies that nothing was trained on, what
is decoded from it does as the teacher does with a squared error of 0.048 (the policy distilled for
just that behaviour 0.059), from the style that is read off a window of its walk 0.066 (a
hypernetwork from such a window 0.060). A map from the whole embedding to the latent learned
training policies by heart (0.091).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from make_agent_ros.generator.codec import mlp_forward
from make_agent_ros.generator.embedding import info_nce
from make_agent_ros.generator.model import Generator
from make_agent_ros.generator.style import STYLE_SIZE, mean_style
from make_agent_ros.training.prompts import PromptData
from make_agent_ros.training.zoo import Zoo

Parts = dict[str, torch.Tensor]
"""Terms of a loss by name, each ()."""
CODEC_TERMS = {
    'style action': 1.0, 'prompt action': 0.5, 'codec action': 0.2, 'latent': 0.05, 'size': 1e-3,
    'frequency': 5.0, 'weights': 0.002, 'style': 0.3, 'velocity': 1.0, 'contrast': 0.05,
}  # fmt: skip
"""Weights of the terms of `codec_loss`."""
ABLATIONS = ('action_loss', 'layer_scale')
"""What `GeneratorConfig.without` knows: weights are matched in place of actions; all weights have
one scale in place of one per layer."""


@dataclass(frozen=True)
class GeneratorConfig:
    """What `make-agent train generator` takes."""

    seed: int = 5
    sides: tuple[str, ...] = ('training', 'withheld')
    """Sides of the split that train: the benchmark's generator does without `withheld`."""
    latent: int = 64
    embedding: int = 96
    codec_width: int = 384
    codec_updates: int = 5000
    flow_updates: int = 2500
    batch: int = 96
    """Behaviours per update of stage 1."""
    states: int = 64
    """States per behaviour and update."""
    prompt_s: float = 8.0
    """Steady walking recorded per take."""
    takes: int = 3
    """Recordings per behaviour, each in another world at another velocity."""
    windows: tuple[int, int] = (50, 250)
    """Shortest and longest training window, samples at 50 Hz."""
    learning_rate: float = 1e-3
    perturbation: float = 0.1
    """Standard deviation of the perturbation of states, observation units."""
    latent_noise: float = 0.03
    """Standard deviation of the noise on latents that are decoded in stage 1."""
    style_noise: float = 0.05
    """Of the noise on walked styles, half ranges (and 0.05 for sines and cosines)."""
    embedding_noise: float = 0.3
    """Of the noise on embeddings in stage 2, in units of their spread, so that the flow is not
    surer of unseen behaviours than it can be."""
    behaviours: int = 0
    """Train on the first so many of the training side, for scaling curves; all when 0."""
    without: tuple[str, ...] = ()
    """Do without some of `ABLATIONS`, to measure what they are worth."""
    log_every: int = 100

    def __post_init__(self) -> None:
        """Refuse ablations that nobody knows.

        Raises:
            ValueError: naming them and the known ones.
        """
        if unknown := [name for name in self.without if name not in ABLATIONS]:
            raise ValueError(f'cannot do without {unknown}; choose from {", ".join(ABLATIONS)}')


class TrainingError(ValueError):
    """Training cannot go on; the message says what is missing."""


class TrainingData:
    """The zoo and its prompts as tensors, with batches drawn reproducibly."""

    def __init__(self, zoo: Zoo, prompts: PromptData, config: GeneratorConfig) -> None:
        self.config = config
        self.rng = np.random.default_rng([config.seed, 31])
        self.generator = torch.Generator().manual_seed(config.seed)
        walked = np.flatnonzero(prompts.valid.any(axis=1))
        if config.behaviours:
            walked = walked[walked < config.behaviours]
        if not len(walked):
            raise TrainingError(
                f'none of the {len(zoo)} policies of the zoo walked for {config.prompt_s:g} s; '
                'train the teacher longer, then the zoo again'
            )
        self.usable = walked
        self.counts = np.isin(np.arange(len(zoo)), walked)
        """Which behaviours are trained on, bool, (n,)."""
        self.prompts = prompts
        self.weights = torch.from_numpy(zoo.weights)
        self.frequency = torch.from_numpy(zoo.behaviours.styles.frequency_hz).float()
        self.style = torch.zeros(len(zoo), STYLE_SIZE)
        """That was walked, mean over the takes; of behaviours that count."""
        self.style[walked] = torch.from_numpy(
            mean_style(prompts.style[walked], prompts.valid[walked])
        )
        self.obs = torch.from_numpy(zoo.bank_obs)
        self.action = torch.from_numpy(zoo.bank_action)

    def draw(self, count: int) -> np.ndarray:
        """Return ids of behaviours."""
        return self.rng.choice(self.usable, count, replace=count > len(self.usable))

    def windows(self, ids: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Return one window of each behaviour and its mean velocity, (B, T, 30), (B, 3)."""
        prompts = self.prompts
        length = int(self.rng.integers(*self.config.windows, endpoint=True))
        chance = self.rng.random((len(ids), prompts.valid.shape[1])) * prompts.valid[ids]
        take = chance.argmax(axis=1)
        start = self.rng.integers(0, prompts.features.shape[2] - length + 1, len(ids))
        rows = start[:, None] + np.arange(length)
        window = prompts.features[ids[:, None], take[:, None], rows].astype(np.float32)
        velocity = prompts.velocity[ids[:, None], take[:, None], rows].astype(np.float32)
        # Noise of the sensors: gyro, tilt, joint angles, joint velocities in channel units.
        width = np.repeat([0.08, 0.09, 0.02, 0.15], [3, 3, 12, 12]).astype(np.float32)
        level = self.rng.uniform(0.0, 1.5, (len(ids), 1, 1)).astype(np.float32)
        window += level * width * self.rng.uniform(-1, 1, window.shape).astype(np.float32)
        return torch.from_numpy(window), torch.from_numpy(velocity.mean(axis=1))

    def styles(self, ids: np.ndarray) -> torch.Tensor:
        """Return the styles that behaviours walk, with noise, (B, 18)."""
        style = self.style[ids]
        noise = torch.randn(style.shape, generator=self.generator)
        return style + self.config.style_noise * noise

    def states(self, ids: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return visited states, the teacher's actions there, and the states perturbed."""
        rows = torch.from_numpy(
            self.rng.integers(0, self.obs.shape[1], (len(ids), self.config.states))
        )
        index = torch.from_numpy(ids)[:, None]
        obs = self.obs[index, rows].float()
        noise = torch.randn(obs.shape, generator=self.generator)
        return obs, self.action[index, rows].float(), obs + self.config.perturbation * noise


def action_loss(
    model: Generator,
    decoded: torch.Tensor,
    true: torch.Tensor,
    states: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> torch.Tensor:
    """Mean squared action error of decoded weights against teacher and own policy, ()."""
    obs, label, perturbed = states
    with torch.no_grad():
        own = mlp_forward(model.shape, true, perturbed)
    both = mlp_forward(model.shape, decoded, torch.cat((obs, perturbed), dim=1))
    visited, elsewhere = both.split(obs.shape[1], dim=1)
    return (visited - label).square().mean() + 0.5 * (elsewhere - own).square().mean()


def _match(
    model: Generator,
    data: TrainingData,
    decoded: torch.Tensor,
    true: torch.Tensor,
    states: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> torch.Tensor:
    """How far decoded weights are from what they should be: by actions, or ablated by weights."""
    if 'action_loss' in data.config.without:
        return ((decoded - true) / model.codec.scale).square().mean()
    return action_loss(model, decoded, true, states)


def codec_loss(model: Generator, data: TrainingData) -> tuple[torch.Tensor, Parts]:
    """Return the loss of codec, embedding, heads and the style -> latent map, and its terms.

    A policy must come back from the latent that its style gives, from the one that the style read
    off a window of its walk gives, and from anywhere between the first and the latent of its own
    weights: there the flow's samples lie. The last two take half of the batch each.
    """
    ids = data.draw(data.config.batch)
    true, states = data.weights[ids], data.states(ids)
    window_a, velocity_a = data.windows(ids)
    window_b, _ = data.windows(ids)
    e_a, v_a = model.embedding(window_a)
    e_b, _ = model.embedding(window_b)
    z_w = model.codec.encode(true, data.frequency[ids])
    z_s = model.to_latent(data.styles(ids))
    said = model.embedding.style(e_a)
    half = len(ids) // 2
    z_p = model.to_latent(said[:half])
    share = torch.rand((len(ids) - half, 1), generator=data.generator)
    between = z_s[half:] + share * (z_w - z_s)[half:]
    noise = torch.randn(between.shape, generator=data.generator)
    decoded, f = model.codec.decode(
        torch.cat((z_s, z_p, between + data.config.latent_noise * noise))
    )
    decoded_s, decoded_p, decoded_w = decoded.split((len(ids), half, len(ids) - half))
    obs, label, perturbed = states
    before = (obs[:half], label[:half], perturbed[:half])
    after = (obs[half:], label[half:], perturbed[half:])
    log_f = data.frequency[ids].log()
    parts = {
        'style action': _match(model, data, decoded_s, true, states),
        'prompt action': _match(model, data, decoded_p, true[:half], before),
        'codec action': _match(model, data, decoded_w, true[half:], after),
        'latent': (z_w - z_s).square().mean(),
        'size': z_w.square().mean(),
        'frequency': (f[: len(ids)].log() - log_f).square().mean(),
        'weights': ((decoded_s - true) / model.codec.scale).square().mean(),
        'style': (said - data.style[ids]).square().mean(),
        'velocity': (v_a - velocity_a).square().mean(),
        'contrast': info_nce(e_a, e_b),
    }
    return sum(CODEC_TERMS[k] * v for k, v in parts.items()), parts  # type: ignore[return-value]


def flow_loss(model: Generator, data: TrainingData) -> tuple[torch.Tensor, Parts]:
    """Return the loss of the flow on latents less their regression, and its terms.

    Embedding, regression and codec get no gradient.
    """
    ids = data.draw(2 * data.config.batch)
    with torch.no_grad():
        embedding, _ = model.embedding(data.windows(ids)[0])
        latent = model.codec.encode(data.weights[ids], data.frequency[ids])
        centre = model.to_latent(data.styles(ids))
        spread = data.config.embedding_noise * embedding.std(dim=0)
        seen = embedding + spread * torch.randn(embedding.shape, generator=data.generator)
    matching, implied = model.flow.loss(latent - centre, seen, generator=data.generator)
    few = ids[: data.config.batch]
    decoded, _ = model.codec.decode((centre + implied)[: data.config.batch])
    parts = {
        'flow': matching,
        'flow action': _match(model, data, decoded, data.weights[few], data.states(few)),
    }
    return parts['flow'] + 0.5 * parts['flow action'], parts

"""Sizes and nets of the released Make-An-Agent (arXiv 2407.10973), re-made from facts.

Two deviations, both in its favour. The released code trains the embeddings on normalised inputs
and uses them on raw ones; here both are normalised. It clamps latents to +-1 between encoder and
decoder while training the autoencoder, but not when it encodes the data of the diffusion; here the
clamp belongs to the encoder.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn

from make_agent_ros.generator.embedding import CHANNELS
from make_agent_ros.policy.mlp import MlpShape
from make_agent_ros.training.baselines.ddim import Ddim
from make_agent_ros.training.baselines.fitting import FitConfig
from make_agent_ros.training.baselines.unet import ConditionalUnet, UnetSizes
from make_agent_ros.training.zoo import POLICY_SHAPE


@dataclass(frozen=True)
class OfficialConfig:
    """Sizes; the defaults are the released ones, less the number of updates."""

    seed: int = 0
    latent: int = 1024
    hidden: int = 1024
    feature: int = 128
    widths: tuple[int, ...] = (512, 1024, 2048)
    kernel: int = 3
    groups: int = 8
    time: int = 128
    train_steps: int = 100
    inference_steps: int = 10
    start_steps: int = 60
    """Samples of the prompt's start that are embedded."""
    later_states: int = 3
    window: int = 200
    """Length of the training prompts, samples at 50 Hz."""
    input_noise: float = 1e-3
    latent_noise: float = 1e-2
    device: str = 'cpu'
    """Of the U-Net."""
    autoencoder: FitConfig = field(
        default_factory=lambda: FitConfig(3000, 32, 1e-3, weight_decay=5e-3)
    )
    embedding: FitConfig = field(
        default_factory=lambda: FitConfig(5000, 16, 1e-4, weight_decay=1e-4)
    )
    diffusion: FitConfig = field(
        default_factory=lambda: FitConfig(
            15_000, 128, 2e-4, weight_decay=5e-4, betas=(0.95, 0.999)
        )
    )
    """15,000 updates of 128 are the released 1,000 epochs over a zoo of 2,000."""

    @property
    def unet(self) -> UnetSizes:
        """Sizes of the U-Net."""
        return UnetSizes(
            self.latent, 2 * self.feature, self.widths, self.kernel, self.groups, self.time
        )


class Limits(nn.Module):
    """Maps each of the last dimension's values from its range over the data to -1..1."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer('gain', torch.ones(size))
        self.register_buffer('offset', torch.zeros(size))

    def set_range(self, data: torch.Tensor) -> None:
        """Take the range of `data` (..., size); constant values go to 0."""
        rows = data.reshape(-1, data.shape[-1])
        low, high = rows.min(0).values, rows.max(0).values
        constant = high - low < 1e-4
        self.gain.copy_(torch.where(constant, 1.0, 2.0 / (high - low).clamp_min(1e-4)))
        self.offset.copy_(torch.where(constant, -low, -1.0 - self.gain * low))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Normalise (..., size)."""
        return values * self.gain + self.offset

    def back(self, values: torch.Tensor) -> torch.Tensor:
        """Undo `forward`."""
        return (values - self.offset) / self.gain


class WeightAutoencoder(nn.Module):
    """Flat weights (B, W) <-> two tokens (B, 2, L), linear but for the layer norm.

    One chunk is the first layer, the other one is the rest.
    """

    def __init__(
        self, shape: MlpShape, latent: int, input_noise: float, latent_noise: float
    ) -> None:
        super().__init__()
        first = shape.slices[0][1].stop
        self.chunks = [first, shape.size - first]
        self.input_noise, self.latent_noise = input_noise, latent_noise
        self.inward = nn.ModuleList(nn.Linear(c, latent, bias=False) for c in self.chunks)
        self.outward = nn.ModuleList(nn.Linear(latent, c, bias=False) for c in self.chunks)
        self.norm = nn.LayerNorm(latent)

    def tokens(self, weights: torch.Tensor) -> torch.Tensor:
        """Return layer-normalised tokens, before the clamp, (B, 2, L)."""
        parts = weights.split(self.chunks, dim=1)
        rows = [net(part) for net, part in zip(self.inward, parts, strict=True)]
        return self.norm(torch.stack(rows, dim=1))

    def encode(self, weights: torch.Tensor) -> torch.Tensor:
        """Return tokens, (B, 2, L)."""
        return self.tokens(weights).clamp(-1.0, 1.0)

    def decode(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return flat weights, (B, W)."""
        rows = tokens.unbind(dim=1)
        return torch.cat([net(r) for net, r in zip(self.outward, rows, strict=True)], dim=1)

    def loss(self, weights: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Plain squared error of the weights, with a little noise on both sides, ()."""

        def blur(x: torch.Tensor, level: float) -> torch.Tensor:
            return (1.0 - level) * x + level * torch.randn(x.shape, generator=generator)

        tokens = blur(self.tokens(blur(weights, self.input_noise)), self.latent_noise)
        return (self.decode(tokens.clamp(-1.0, 1.0)) - weights).square().mean()


class PromptEmbeddings(nn.Module):
    """The start of a trajectory and some later states, each as a feature vector.

    Inputs are flat: (B, steps x 30) and (B, later x 30), channels of `generator.embedding`.
    """

    def __init__(self, start_size: int, later_size: int, hidden: int, feature: int) -> None:
        super().__init__()
        self.start_limits, self.later_limits = Limits(start_size), Limits(later_size)
        self.start = nn.Sequential(
            nn.Linear(start_size, hidden), nn.ReLU(),
            nn.Linear(hidden, hidden), nn.ReLU(),
            nn.Linear(hidden, feature),
        )  # fmt: skip
        self.later = nn.Sequential(
            nn.Linear(later_size, 256), nn.LayerNorm(256), nn.Tanh(), nn.Linear(256, feature)
        )
        self.bilinear = nn.Parameter(torch.rand(feature, feature))

    def forward(self, start: torch.Tensor, later: torch.Tensor) -> torch.Tensor:
        """Return both features beside each other: the condition, (B, 2 x feature)."""
        features = self.start(self.start_limits(start)), self.later(self.later_limits(later))
        return torch.cat(features, dim=-1)

    def loss(self, start: torch.Tensor, later: torch.Tensor) -> torch.Tensor:
        """InfoNCE with bilinear logits: a trajectory belongs to its own later states, ()."""
        a, b = self(start, later).chunk(2, dim=-1)
        logits = a @ self.bilinear @ b.T
        target = torch.arange(len(a), device=a.device)
        return nn.functional.cross_entropy(logits, target)


def split_prompt(
    windows: torch.Tensor, steps: int, later: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut windows (B, T, 30) into the first `steps`, and `later` single states, both flat.

    The paper takes states after success. Steady walking has no such moment: the later states are
    spread evenly over the rest of the window, the last one at its end.
    """
    rest = windows.shape[1] - steps
    places = [steps - 1 + round(rest * (i + 1) / later) for i in range(later)]
    return windows[:, :steps].flatten(1), windows[:, places].flatten(1)


class OfficialNet(nn.Module):
    """Everything that is trained, and the normalisers."""

    def __init__(self, config: OfficialConfig) -> None:
        super().__init__()
        self.config = config
        self.autoencoder = WeightAutoencoder(
            POLICY_SHAPE, config.latent, config.input_noise, config.latent_noise
        )
        self.embeddings = PromptEmbeddings(
            config.start_steps * CHANNELS,
            config.later_states * CHANNELS,
            config.hidden,
            config.feature,
        )
        self.unet = ConditionalUnet(config.unet)
        self.token_limits = Limits(config.latent)
        self.condition_limits = Limits(2 * config.feature)
        self.ddim = Ddim(config.train_steps, config.inference_steps)

    def split(self, windows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cut windows (B, T, 30) into start and later states."""
        return split_prompt(windows, self.config.start_steps, self.config.later_states)

    @torch.no_grad()
    def condition(self, windows: torch.Tensor) -> torch.Tensor:
        """Return normalised conditions of windows (B, T, 30), (B, 2 x feature)."""
        return self.condition_limits(self.embeddings(*self.split(windows)))

    @torch.no_grad()
    def sample(self, condition: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Draw flat weights for conditions (B, 2 x feature), (B, W)."""
        device = next(self.unet.parameters()).device
        noise = torch.randn(len(condition), 2, self.config.latent, generator=generator)
        given = condition.to(device)
        tokens = self.ddim.sample(lambda x, t: self.unet(x, t, given), noise.to(device))
        tokens = self.token_limits.back(tokens.to(self.token_limits.gain.device))
        return self.autoencoder.decode(tokens)

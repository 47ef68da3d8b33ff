"""Weight codec: the weights of a policy as a small latent, and back.

Weights are taken as residuals from the net that all policies of the zoo started from, in units of
each layer's spread over the zoo. Trained with an action loss through the decoded weights, so the
latent keeps what moves the robot and drops the noise of each policy's training data. The frequency
of the gait clock is the latent's first value, as it is: whatever else a latent says, it is exact.
"""

from __future__ import annotations

import torch
from torch import nn

from make_agent_ros.policy.mlp import MlpShape


def mlp_forward(shape: MlpShape, flat: torch.Tensor, obs: torch.Tensor) -> torch.Tensor:
    """Run policies given as flat weights, differentiably.

    Args:
        shape: of the policies.
        flat: (P, shape.size).
        obs: (P, rows, inputs).

    Returns:
        Actions, (P, rows, outputs).
    """
    x = obs
    for i, (dims, (w, b)) in enumerate(zip(shape.layer_shapes, shape.slices, strict=True)):
        weight = flat[:, w].reshape(-1, *dims).transpose(1, 2)
        x = torch.baddbmm(flat[:, b].unsqueeze(1), x, weight)
        if i < len(shape.hidden):
            x = nn.functional.elu(x)
    return x


class WeightCodec(nn.Module):
    """Flat weights (P, W) and gait frequency (P,) <-> latent (P, L)."""

    def __init__(self, shape: MlpShape, latent: int = 32, width: int = 256) -> None:
        """Build the net; `set_statistics` must follow.

        Args:
            shape: of the policies.
            latent: L.
            width: of the hidden layers; also the rank of the decoded residual.
        """
        super().__init__()
        self.shape, self.latent, self.width = shape, latent, width
        self.register_buffer('base', torch.zeros(shape.size))
        self.register_buffer('scale', torch.ones(shape.size))
        self.register_buffer('components', torch.zeros(width // 2, shape.size))
        self.register_buffer('clock', torch.tensor([0.0, 1.0]))
        """Mean and spread of the logarithm of the gait frequency over the zoo."""
        self.encoder = nn.Sequential(
            nn.Linear(width // 2 + 1, width), nn.ELU(), nn.Linear(width, latent - 1)
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent, width), nn.ELU(), nn.Linear(width, width), nn.ELU()
        )
        self.residual = nn.Linear(width, shape.size)

    def set_statistics(
        self,
        base: torch.Tensor,
        weights: torch.Tensor,
        frequency_hz: torch.Tensor,
        *,
        per_layer: bool = True,
    ) -> None:
        """Take base, scales, principal components and clock of a zoo.

        Args:
            base: what all policies began as, (W,).
            weights: of the zoo, (n, W).
            frequency_hz: of their gait clocks, (n,).
            per_layer: weights and biases of each layer have a scale of their own.
        """
        log = frequency_hz.log()
        self.clock.copy_(torch.stack((log.mean(), log.std().clamp_min(1e-2))))
        residual = weights - base
        scale = torch.full_like(base, float(residual.square().mean().sqrt()))
        for parts in self.shape.slices if per_layer else ():
            for part in parts:
                scale[part] = residual[:, part].square().mean().sqrt()
        normalised = residual / scale
        rank = min(self.components.shape[0], len(weights) - 1)
        _, _, v = torch.pca_lowrank(normalised, q=rank, center=False, niter=4)
        self.base.copy_(base)
        self.scale.copy_(scale)
        self.components.zero_()
        # Unit variance of each projection over the zoo keeps the encoder's input in range.
        spread = (normalised @ v).square().mean(0).sqrt().clamp_min(1e-3)
        self.components[:rank] = (v / spread).T
        with torch.no_grad():
            self.residual.weight.zero_()
            self.residual.weight[:, :rank] = v * spread / 4
            self.residual.weight[:, rank:].normal_(0.0, 0.01)
            self.residual.bias.copy_(normalised.mean(0))

    def encode(self, weights: torch.Tensor, frequency_hz: torch.Tensor) -> torch.Tensor:
        """Return latents, (P, L)."""
        projected = ((weights - self.base) / self.scale) @ self.components.T
        clock = ((frequency_hz.log() - self.clock[0]) / self.clock[1])[:, None]
        return torch.cat((clock, self.encoder(torch.cat((projected, clock), dim=-1))), dim=-1)

    def decode(self, latent: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return flat weights (P, W) and gait frequencies in Hz (P,)."""
        hidden = self.decoder(latent)
        weights = self.base + self.scale * self.residual(hidden)
        return weights, (self.clock[0] + self.clock[1] * latent[:, 0]).exp()

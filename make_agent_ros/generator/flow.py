"""Conditional rectified flow in the latent space of the weight codec.

Straight paths x_t = (1 - t) x_0 + t x_1 from noise x_0 to data x_1; the net predicts x_1 - x_0
(arXiv 2209.03003, 2210.02747). Data are latents less what regression predicts from the prompt, so
the net is left with what a prompt does not decide. Sampling integrates dx/dt with a few Heun
steps; classifier-free guidance (2207.12598) is an option. It stands where Make-An-Agent has DDIM:
same conditioning, a latent of 64 values instead of 2,048, and fewer steps.
"""

from __future__ import annotations

import math

import torch
from torch import nn


class _Block(nn.Module):
    """Residual block whose scale and shift come from time and condition (FiLM, 1709.07871)."""

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.film = nn.Linear(condition, 2 * width)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        gain, shift = self.film(condition).chunk(2, dim=-1)
        return x + self.mlp(self.norm(x) * (1.0 + gain) + shift)


class LatentFlow(nn.Module):
    """Velocity field v(x_t, t | embedding), (B, L) -> (B, L)."""

    def __init__(
        self, latent: int = 32, embedding: int = 64, width: int = 256, blocks: int = 3
    ) -> None:
        super().__init__()
        self.latent = latent
        self.register_buffer('mean', torch.zeros(latent))
        self.register_buffer('std', torch.ones(latent))
        self.null = nn.Parameter(torch.zeros(embedding))
        """Stands for 'no prompt' in guidance."""
        self.time = nn.Sequential(nn.Linear(32, 64), nn.SiLU())
        self.condition = nn.Sequential(nn.Linear(64 + embedding, width), nn.SiLU())
        self.inp = nn.Linear(latent, width)
        self.blocks = nn.ModuleList(_Block(width, width) for _ in range(blocks))
        self.out = nn.Linear(width, latent)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x_t: torch.Tensor, t: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        """Predict x_1 - x_0 for whitened latents.

        Args:
            x_t: (B, L).
            t: (B,), 0 is noise, 1 is data.
            embedding: (B, E).
        """
        rates = torch.exp(torch.linspace(0.0, math.log(100.0), 16, device=t.device))
        angle = t[:, None] * rates
        time = self.time(torch.cat((angle.sin(), angle.cos()), dim=-1))
        condition = self.condition(torch.cat((time, embedding), dim=-1))
        x = self.inp(x_t)
        for block in self.blocks:
            x = block(x, condition)
        return self.out(x)

    @torch.no_grad()
    def sample(
        self,
        embedding: torch.Tensor,
        *,
        steps: int = 8,
        guidance: float = 1.0,
        temperature: float | torch.Tensor = 1.0,
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """Draw one latent per row of `embedding`, (B, E) -> (B, L).

        Args:
            embedding: what to condition on.
            steps: Heun steps from noise to data.
            guidance: 1 samples the conditional model; above 1 sharpens it (2207.12598).
            temperature: standard deviation of the starting noise; 1 is the model's own. One for
                all, or one per row, (B, 1).
            generator: of the noise, for reproducible samples.
        """
        x = temperature * torch.randn(len(embedding), self.latent, generator=generator)
        x = x.to(embedding.device)

        def velocity(x: torch.Tensor, t: float) -> torch.Tensor:
            time = torch.full((len(x),), t, device=x.device)
            v = self(x, time, embedding)
            if guidance != 1.0:
                v_null = self(x, time, self.null.expand_as(embedding))
                v = v_null + guidance * (v - v_null)
            return v

        dt = 1.0 / steps
        for k in range(steps):
            # 1. Slope at the start.  2. Euler guess.  3. Mean of both slopes.
            v = velocity(x, k * dt)
            ahead = x + dt * v
            x = x + dt * 0.5 * (v + velocity(ahead, min((k + 1) * dt, 1.0 - 1e-3)))
        return x * self.std + self.mean

    def loss(
        self,
        latent: torch.Tensor,
        embedding: torch.Tensor,
        drop: float = 0.1,
        generator: torch.Generator | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the flow-matching loss and the implied data point, (), (B, L).

        Args:
            latent: data, (B, L), in the codec's units.
            embedding: condition, (B, E).
            drop: share of rows that see the null condition instead.
            generator: of noise, times and drops.
        """
        x_1 = (latent - self.mean) / self.std
        x_0 = torch.randn(x_1.shape, generator=generator)
        t = torch.rand(len(x_1), generator=generator)
        dropped = torch.rand(len(x_1), generator=generator) < drop
        embedding = torch.where(dropped[:, None], self.null, embedding)
        x_t = (1.0 - t[:, None]) * x_0 + t[:, None] * x_1
        v = self(x_t, t, embedding)
        implied = x_t + (1.0 - t[:, None]) * v
        return (v - (x_1 - x_0)).square().mean(), implied * self.std + self.mean

"""The 1-D conditional U-Net of the released Make-An-Agent (arXiv 2407.10973), re-made from facts.

The latent of a policy is a sequence of 2 tokens of 1,024 channels. Three levels of 512, 1,024 and
2,048 channels; each level has two residual blocks of two convolutions (kernel 3, group norm of 8,
Mish), modulated by FiLM from (time, condition). On a sequence of length 2 the strided convolutions
between levels (kernel 2, stride 2, padding 1) keep the length.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class UnetSizes:
    """Sizes of the U-Net; the defaults are the released ones: 163 M parameters."""

    channels: int = 1024
    condition: int = 256
    widths: tuple[int, ...] = (512, 1024, 2048)
    kernel: int = 3
    groups: int = 8
    time: int = 128


class _Time(nn.Module):
    """Sinusoids of the step (B,), then two layers, (B, size)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.mlp = nn.Sequential(nn.Linear(size, 4 * size), nn.Mish(), nn.Linear(4 * size, size))

    def forward(self, t: torch.Tensor) -> torch.Tensor:
        half = self.size // 2
        decay = -math.log(1e4) / (half - 1)
        angle = t[:, None] * torch.exp(decay * torch.arange(half, device=t.device))
        return self.mlp(torch.cat((angle.sin(), angle.cos()), dim=-1))


def _conv(inp: int, out: int, sizes: UnetSizes) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(inp, out, sizes.kernel, padding=sizes.kernel // 2),
        nn.GroupNorm(sizes.groups, out),
        nn.Mish(),
    )


class _Block(nn.Module):
    """conv, FiLM, conv, and the input beside them: (B, inp, 2) -> (B, out, 2)."""

    def __init__(self, inp: int, out: int, sizes: UnetSizes) -> None:
        super().__init__()
        self.first, self.second = _conv(inp, out, sizes), _conv(out, out, sizes)
        self.film = nn.Sequential(nn.Mish(), nn.Linear(sizes.time + sizes.condition, 2 * out))
        self.around = nn.Conv1d(inp, out, 1) if inp != out else nn.Identity()

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        gain, shift = self.film(condition)[..., None].chunk(2, dim=1)
        return self.second(gain * self.first(x) + shift) + self.around(x)


class _Level(nn.Module):
    """Two blocks, then a convolution between levels."""

    def __init__(self, inp: int, out: int, sizes: UnetSizes, between: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.ModuleList((_Block(inp, out, sizes), _Block(out, out, sizes)))
        self.between = between

    def forward(
        self, x: torch.Tensor, condition: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        for block in self.blocks:
            x = block(x, condition)
        return self.between(x), x


class ConditionalUnet(nn.Module):
    """Predicts the clean latent x_0 from x_t, t and the condition."""

    def __init__(self, sizes: UnetSizes | None = None) -> None:
        """Build the net.

        Args:
            sizes: the released ones when omitted.
        """
        super().__init__()
        self.sizes = sizes = sizes or UnetSizes()
        self.time = _Time(sizes.time)
        ladder = (sizes.channels, *sizes.widths)
        down = []
        for i, (inp, out) in enumerate(itertools.pairwise(ladder)):
            last = i == len(sizes.widths) - 1
            between = nn.Identity() if last else nn.Conv1d(out, out, 2, stride=2, padding=1)
            down.append(_Level(inp, out, sizes, between))
        self.down = nn.ModuleList(down)
        deepest = ladder[-1]
        self.middle = _Level(deepest, deepest, sizes, nn.Identity())
        self.up = nn.ModuleList(
            _Level(2 * wide, narrow, sizes, nn.ConvTranspose1d(narrow, narrow, 2, 2, padding=1))
            for narrow, wide in zip(ladder[-2:0:-1], ladder[:1:-1], strict=True)
        )
        self.out = nn.Sequential(
            _conv(ladder[1], ladder[1], sizes), nn.Conv1d(ladder[1], sizes.channels, 1)
        )

    def forward(self, x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Return the prediction of x_0.

        Args:
            x_t: noisy latents, (B, 2, channels).
            t: integer times, (B,).
            condition: (B, condition).
        """
        condition = torch.cat((self.time(t), condition), dim=-1)
        x, beside = x_t.transpose(1, 2), []
        for level in self.down:
            x, kept = level(x, condition)
            beside.append(kept)
        x, _ = self.middle(x, condition)
        for level in self.up:
            x, _ = level(torch.cat((x, beside.pop()), dim=1), condition)
        return self.out(x).transpose(1, 2)

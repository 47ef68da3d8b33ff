"""DDIM (arXiv 2010.02502), deterministic, for a net that predicts the clean sample.

| paper                                      | here                    |
|--------------------------------------------|-------------------------|
| alpha_t (cumulative product, section 3)    | `alpha_bar[t]`          |
| x_0 as predicted                           | `x_0`, clipped to +-1   |
| epsilon_theta                              | `epsilon`               |
| sigma_t                                    | 0                       |
| subsequence tau (section 4.2)              | `steps`                 |

The noise schedule is the squared cosine of arXiv 2102.09672, eq. 17, with beta at most 0.999.
Settings as in the released Make-An-Agent: 100 steps for training, every tenth for inference, the
last step lands on x_0 itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch


class Ddim:
    """Noise schedule and sampler."""

    def __init__(self, train_steps: int = 100, inference_steps: int = 10) -> None:
        """Tabulate the schedule.

        Args:
            train_steps: T.
            inference_steps: length of the subsequence; divides T.

        Raises:
            ValueError: `inference_steps` does not divide `train_steps`.
        """
        if train_steps % inference_steps:
            raise ValueError(f'{inference_steps} inference steps do not divide {train_steps}')
        self.train_steps = train_steps
        t = torch.arange(train_steps + 1, dtype=torch.float64) / train_steps
        f = torch.cos((t + 0.008) / 1.008 * math.pi / 2.0) ** 2
        beta = (1.0 - f[1:] / f[:-1]).clamp(max=0.999)
        self.alpha_bar = torch.cumprod(1.0 - beta, dim=0).float()
        stride = train_steps // inference_steps
        self.steps = list(range(train_steps - stride, -1, -stride))

    def add_noise(self, x_0: torch.Tensor, noise: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Draw x_t given x_0 (B, ...), unit noise, and integer times (B,): eq. 4 of 2010.02502."""
        a = self.alpha_bar.to(x_0.device)[t].reshape(-1, *[1] * (x_0.dim() - 1))
        return a.sqrt() * x_0 + (1.0 - a).sqrt() * noise

    def step(self, x_t: torch.Tensor, x_0: torch.Tensor, t: int, before: int) -> torch.Tensor:
        """Go from time t to an earlier one, eq. 12 with sigma 0; below 0 the result is x_0.

        Args:
            x_t: noisy sample.
            x_0: the net's prediction of the clean one, unclipped.
            t: time of `x_t`.
            before: time to go to, or a negative number.
        """
        a = self.alpha_bar[t]
        a_before = self.alpha_bar[before] if before >= 0 else torch.ones(())
        # 1. Noise that the prediction implies (eq. 9 solved for epsilon).
        epsilon = (x_t - a.sqrt() * x_0) / (1.0 - a).sqrt()
        # 2. "predicted x_0", clipped, and "direction pointing to x_t" of eq. 12.
        return a_before.sqrt() * x_0.clamp(-1.0, 1.0) + (1.0 - a_before).sqrt() * epsilon

    @torch.no_grad()
    def sample(
        self,
        predict: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        noise: torch.Tensor,
    ) -> torch.Tensor:
        """Denoise `noise` (B, ...) with `predict`(x_t, t (B,)) -> x_0."""
        x = noise
        for t, before in zip(self.steps, [*self.steps[1:], -1], strict=True):
            time = torch.full((len(x),), t, device=x.device)
            x = self.step(x, predict(x, time), t, before)
        return x

"""Steering: how a policy's latent must change for its gait to change.

What a generated policy does in simulation is measured by the formulas that measured the prompt, so
the difference is known, and the map from style to latent says what a style that differs by so much
means for the weights. Steps like this are integral control of the gait, with rollouts as the
measurement (`checking.refining`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from make_agent_ros.generator.style import style_change
from make_agent_ros.recording.gait_change import GaitChange

SHARE = GaitChange(phase=0.7, height_m=0.7, pitch_rad=0.5, swing_m=0.5)
"""Of a measured difference that one step takes off: it was measured in few worlds."""
LARGEST = GaitChange(phase=0.15, height_m=0.03, pitch_rad=0.06, swing_m=0.03)
"""Largest difference that one step acts on."""

Map = Callable[[torch.Tensor], torch.Tensor]


@torch.no_grad()
def steered(
    latent: torch.Tensor, change: GaitChange, style: torch.Tensor, to_latent: Map
) -> torch.Tensor:
    """Return latents whose policies' gaits differ by a share of `change`, (n, L).

    Args:
        latent: of n policies, (n, L).
        change: what their gaits lack, (n,); NaN, of a policy that always fell, changes nothing.
        style: that they were generated from, (S,).
        to_latent: map, (B, S) -> (B, L).
    """
    wanted = change.limited(LARGEST).scaled(SHARE)
    move = style_change(style.cpu().numpy(), wanted)
    moved = style + torch.from_numpy(move.astype(np.float32)).to(style.device)
    return latent + to_latent(moved) - to_latent(style[None])

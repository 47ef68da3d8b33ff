"""Steering: how a policy's latent must change for its gait to change.

What a generated policy does in simulation is measured by the formulas that measured the prompt, so
the difference is known. Among the training behaviours like the prompt, embedding and style vary
together: their local linear regression says how the embedding of a gait that differs by so much
would differ, and the map from embedding to latent says what that means for the weights. Steps like
this are integral control of the gait, with rollouts as the measurement (`checking.refining`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from make_agent_ros.generator.style import style_change
from make_agent_ros.recording.gait_change import GaitChange

NEIGHBOURS = 300
"""Training behaviours that the regression is fitted to."""
RIDGE = 1e-2
"""Of the regression, as a share of the mean variance of the style's values."""
SHARE = GaitChange(phase=0.7, height_m=0.7, pitch_rad=0.5, swing_m=0.5)
"""Of a measured difference that one step takes off: it was measured in few worlds."""
LARGEST = GaitChange(phase=0.15, height_m=0.03, pitch_rad=0.06, swing_m=0.03)
"""Largest difference that one step acts on: the regression is linear."""

Heads = Callable[[torch.Tensor], torch.Tensor]


def style_jacobian(
    embedding: torch.Tensor, known: torch.Tensor, style: torch.Tensor
) -> torch.Tensor:
    """Return how embeddings vary with style near one of them, (E, S).

    Args:
        embedding: (E,).
        known: embeddings of training behaviours, (N, E).
        style: their style vectors, (N, S).
    """
    distance = (known - embedding).square().mean(dim=1)
    near = distance.argsort()[:NEIGHBOURS]
    weight = torch.exp(-distance[near] / distance[near].median().clamp_min(1e-9))
    weight = (weight / weight.sum())[:, None]
    x, s = known[near], style[near]
    x, s = x - (weight * x).sum(dim=0), s - (weight * s).sum(dim=0)
    covariance = s.T @ (weight * s)
    ridge = RIDGE * covariance.diagonal().mean().clamp_min(1e-9)
    square = covariance + ridge * torch.eye(len(covariance), device=s.device)
    return torch.linalg.solve(square, s.T @ (weight * x)).T


@torch.no_grad()
def steered(
    latent: torch.Tensor,
    change: GaitChange,
    embedding: torch.Tensor,
    known: torch.Tensor,
    style: Heads,
    to_latent: Heads,
) -> torch.Tensor:
    """Return latents whose policies' gaits differ by a share of `change`, (n, L).

    Args:
        latent: of n policies, (n, L).
        change: what their gaits lack, (n,); NaN, of a policy that always fell, changes nothing.
        embedding: of their prompt, (E,).
        known: of training behaviours, (N, E).
        style: linear head, (B, E) -> (B, S).
        to_latent: map, (B, E) -> (B, L).
    """
    wanted = change.limited(LARGEST).scaled(SHARE)
    move = style_change(style(embedding[None]).cpu().numpy(), wanted)
    jacobian = style_jacobian(embedding, known, style(known))
    delta = torch.from_numpy(move.astype(np.float32)).to(embedding.device) @ jacobian.T
    return latent + to_latent(embedding + delta) - to_latent(embedding[None])

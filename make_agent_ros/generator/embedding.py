"""Behaviour embedding: a window of proprioception becomes one vector.

The net is convolutional over time and pools mean and spread, so a window of any length from one
gait cycle on has an embedding of the same size. It is trained so that two windows of one behaviour
agree, and so that style and velocity can be read off linearly.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from make_agent_ros.go2.constants import NOMINAL_JOINT_POS
from make_agent_ros.go2.state import projected_gravity
from make_agent_ros.recording.trajectory import Trajectory

CHANNELS = 30
"""Angular velocity 3, projected gravity 3, joint position 12, joint velocity 12."""
RATE_HZ = 50.0
"""Rate of the windows that the embedding takes."""


def features(
    quat_wxyz: np.ndarray, base_ang_vel: np.ndarray, joint_pos: np.ndarray, joint_vel: np.ndarray
) -> np.ndarray:
    """Stack proprioception into network channels of about unit size.

    Args:
        quat_wxyz: (..., T, 4).
        base_ang_vel: body frame, rad/s, (..., T, 3).
        joint_pos: package order, rad, (..., T, 12).
        joint_vel: rad/s, (..., T, 12).

    Returns:
        (..., T, 30) float32.
    """
    parts = (
        0.5 * base_ang_vel,
        3.0 * (projected_gravity(quat_wxyz) + np.array([0.0, 0.0, 1.0])),
        2.0 * (joint_pos - NOMINAL_JOINT_POS),
        0.15 * joint_vel,
    )
    return np.concatenate(parts, axis=-1).astype(np.float32)


def trajectory_features(prompt: Trajectory) -> np.ndarray:
    """Return the channels of a 50 Hz trajectory, (T, 30) float32.

    Raises:
        ValueError: the trajectory is not at 50 Hz; resample it first.
    """
    rate = (len(prompt) - 1) / max(prompt.duration_s, 1e-9)
    if abs(rate - RATE_HZ) > 1.0:
        raise ValueError(
            f'the prompt has {rate:.1f} samples per second; the embedding takes {RATE_HZ:.0f}. '
            'Cut it with recording.cut_prompt or resample it'
        )
    return features(prompt.quat_wxyz, prompt.base_ang_vel, prompt.joint_pos, prompt.joint_vel)


class BehaviourEmbedding(nn.Module):
    """Window (B, T, 30) -> embedding (B, E), with linear heads for style and velocity."""

    def __init__(self, size: int = 64, style_size: int = 10, width: int = 64) -> None:
        """Build the net.

        Args:
            size: E.
            style_size: values of the style vector that a linear head must recover.
            width: channels of the convolutions.
        """
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv1d(CHANNELS, width, 7, stride=2, padding=3),
            nn.ELU(),
            nn.Conv1d(width, width, 7, stride=2, padding=3),
            nn.ELU(),
            nn.Conv1d(width, width, 5, padding=4, dilation=2),
            nn.ELU(),
        )
        self.pool = nn.Sequential(
            nn.Linear(2 * width, 256), nn.ELU(), nn.Linear(256, size), nn.LayerNorm(size)
        )
        self.style = nn.Linear(size, style_size)
        self.velocity = nn.Sequential(nn.Linear(2 * width, 128), nn.ELU(), nn.Linear(128, 3))

    def forward(self, window: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the embedding (B, E) and the velocity vx, vy, wz (B, 3) of the windows."""
        x = self.convolutions(window.transpose(1, 2))
        # Padding at the ends of a window is no motion: leave those steps out.
        x = x[..., 2:-2]
        pooled = torch.cat((x.mean(-1), x.std(-1)), dim=-1)
        return self.pool(pooled), self.velocity(pooled)


def info_nce(a: torch.Tensor, b: torch.Tensor, temperature: float = 0.1) -> torch.Tensor:
    """Contrastive loss (arXiv 1807.03748): row i of `a` belongs to row i of `b`, both (B, E)."""
    a = nn.functional.normalize(a, dim=-1)
    b = nn.functional.normalize(b, dim=-1)
    logits = a @ b.T / temperature
    target = torch.arange(len(a))
    return 0.5 * (
        nn.functional.cross_entropy(logits, target) + nn.functional.cross_entropy(logits.T, target)
    )

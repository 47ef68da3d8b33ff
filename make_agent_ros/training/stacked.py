"""Many small MLPs side by side, fitted together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from make_agent_ros.generator.codec import mlp_forward
from make_agent_ros.policy.mlp import MlpShape

if TYPE_CHECKING:
    from make_agent_ros.training.distil import ZooConfig


class StackedMlp(torch.nn.Module):
    """Many MLPs of one shape side by side, as batched matrix products."""

    def __init__(self, shape: MlpShape, weights: torch.Tensor) -> None:
        """Take flat weights, shape (students, `shape.size`)."""
        super().__init__()
        self.shape = shape
        self.flat = torch.nn.Parameter(weights.clone())

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        """Map (students, rows, inputs) to (students, rows, outputs)."""
        return mlp_forward(self.shape, self.flat, obs)


def fit_stacked(
    model: StackedMlp,
    base: torch.Tensor | None,
    obs: torch.Tensor,
    action: torch.Tensor,
    updates: int,
    config: ZooConfig,
    generator: torch.Generator,
) -> float:
    """Regress the teacher's actions.

    Args:
        model: n students.
        base: flat weights that all are pulled back to, or None.
        obs: (n, rows, inputs).
        action: the teacher's there, (n, rows, outputs).
        updates: of all students together.
        config: batch, learning rate and pull.
        generator: draws the batches.

    Returns:
        The mean squared error of the last quarter of the updates.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=updates, pct_start=0.1
    )
    tail = []
    for k in range(updates):
        rows = torch.randint(obs.shape[1], (config.batch,), generator=generator)
        error = model(obs[:, rows]) - action[:, rows]
        # Summed over students, so that each one's gradient is its own.
        loss = error.square().mean(dim=(1, 2)).sum()
        if base is not None:
            loss = loss + config.pull * (model.flat - base).square().sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if k >= 0.75 * updates:
            tail.append(float(error.detach().square().mean()))
    return float(np.mean(tail))

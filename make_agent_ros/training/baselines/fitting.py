"""The one training loop of all baselines, and the batches that it draws from a zoo."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch

from make_agent_ros.training.progress import Report
from make_agent_ros.training.prompts import PromptData
from make_agent_ros.training.zoo import Zoo

CHANNEL_NOISE = np.repeat([0.08, 0.09, 0.02, 0.15], [3, 3, 12, 12]).astype(np.float32)
"""Half-width of sensor noise in units of the channels of a window: angular velocity, gravity,
joint angles, joint velocities."""


class BaselineError(ValueError):
    """A baseline cannot be fitted or asked; the message says what is missing."""


@dataclass(frozen=True)
class FitConfig:
    """How long and how fast one net is fitted."""

    updates: int = 3000
    batch: int = 64
    """Behaviours per update."""
    learning_rate: float = 1e-3
    """The highest of the one-cycle schedule."""
    weight_decay: float = 1e-5
    betas: tuple[float, float] = (0.9, 0.999)
    clip: float = 1.0
    """Largest norm of the gradient."""
    log_every: int = 100


@dataclass(frozen=True)
class FitLog:
    """What a fit did."""

    losses: tuple[float, ...]
    """Mean loss over each `log_every` updates, in order."""
    seconds: float


def fit(
    parameters: Iterable[torch.nn.Parameter],
    loss: Callable[[], torch.Tensor],
    config: FitConfig,
    progress: Report | None = None,
    what: str = 'loss',
) -> FitLog:
    """Minimise `loss` with AdamW on a one-cycle schedule.

    Args:
        parameters: to be fitted.
        loss: draws a batch and returns its loss, ().
        config: updates and rates.
        progress: called with (updates done, updates, a line of figures).
        what: name of the loss in that line.

    Raises:
        BaselineError: the loss is no longer finite.
    """
    started = time.monotonic()
    parameters = list(parameters)
    optimizer = torch.optim.AdamW(
        parameters, config.learning_rate, config.betas, weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=max(config.updates, 2), cycle_momentum=False
    )
    losses, total, count = [], 0.0, 0
    for k in range(1, config.updates + 1):
        value = loss()
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(parameters, config.clip)
        optimizer.step()
        schedule.step()
        total, count = total + float(value.detach()), count + 1
        if k % config.log_every == 0 or k == config.updates:
            if not np.isfinite(total):
                raise BaselineError(
                    f'{what} is {total} after {k} updates; lower the learning rate '
                    f'({config.learning_rate:g})'
                )
            losses.append(total / count)
            if progress:
                progress(k, config.updates, f'{what} {losses[-1]:.4f}')
            total, count = 0.0, 0
    return FitLog(tuple(losses), time.monotonic() - started)


class ZooBatches:
    """A zoo and its prompts as tensors; batches are drawn reproducibly."""

    def __init__(
        self,
        zoo: Zoo,
        prompts: PromptData,
        seed: int,
        *,
        states: int = 64,
        windows: tuple[int, int] = (50, 250),
        perturbation: float = 0.1,
    ) -> None:
        """Keep the behaviours whose robot walked to the end of at least one take.

        Args:
            zoo: n policies.
            prompts: of the same n behaviours.
            seed: of everything that is drawn.
            states: per behaviour and batch.
            windows: shortest and longest window, samples at 50 Hz.
            perturbation: standard deviation of the perturbation of states, observation units.

        Raises:
            BaselineError: zoo and prompts do not belong together, or nobody walked.
        """
        if len(zoo) != len(prompts.features):
            raise BaselineError(
                f'{len(zoo)} policies but prompts of {len(prompts.features)} behaviours; '
                'record the prompts of this zoo'
            )
        self.usable = np.flatnonzero(prompts.valid.any(axis=1))
        if not len(self.usable):
            raise BaselineError(
                f'none of the {len(zoo)} policies walked to the end of a prompt; train the '
                'teacher longer, then the zoo again'
            )
        longest = prompts.features.shape[2]
        if longest < windows[0]:
            raise BaselineError(f'prompts of {longest} samples; windows take {windows[0]}')
        self.rng = np.random.default_rng([seed, 41])
        self.generator = torch.Generator().manual_seed(seed)
        self.prompts, self.count = prompts, states
        self.window_range = (windows[0], min(windows[1], longest))
        self.perturbation = perturbation
        self.weights = torch.from_numpy(zoo.weights)
        self.log_frequency = torch.from_numpy(zoo.behaviours.styles.frequency_hz).float().log()
        self.obs = torch.from_numpy(zoo.bank_obs)
        self.action = torch.from_numpy(zoo.bank_action)

    def draw(self, count: int) -> np.ndarray:
        """Return ids of behaviours, (count,)."""
        return self.rng.choice(self.usable, count, replace=count > len(self.usable))

    def windows(self, ids: np.ndarray, length: int | None = None) -> torch.Tensor:
        """Return one noisy window of each behaviour, (B, length, 30); any length if omitted."""
        if length is None:
            length = int(self.rng.integers(*self.window_range, endpoint=True))
        prompts = self.prompts
        chance = self.rng.random((len(ids), prompts.valid.shape[1])) * prompts.valid[ids]
        start = self.rng.integers(0, prompts.features.shape[2] - length + 1, len(ids))
        rows = start[:, None] + np.arange(length)
        window = prompts.features[ids[:, None], chance.argmax(axis=1)[:, None], rows]
        level = self.rng.uniform(0.0, 1.5, (len(ids), 1, 1)).astype(np.float32)
        noise = self.rng.random(window.shape, dtype=np.float32) * 2.0 - 1.0
        return torch.from_numpy(window.astype(np.float32) + level * CHANNEL_NOISE * noise)

    def states(self, ids: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return states (B, rows, 47), the teacher's actions there, and perturbed states."""
        rows = torch.from_numpy(self.rng.integers(0, self.obs.shape[1], (len(ids), self.count)))
        index = torch.from_numpy(ids)[:, None]
        obs = self.obs[index, rows].float()
        noise = torch.randn(obs.shape, generator=self.generator)
        return obs, self.action[index, rows].float(), obs + self.perturbation * noise

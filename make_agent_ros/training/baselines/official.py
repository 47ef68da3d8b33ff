"""The released Make-An-Agent, trained on our zoo: the baseline that this package is named after.

Weights -> two tokens of 1,024 by a linear autoencoder with plain weight error; prompt -> 256
values by InfoNCE; tokens <- prompt by a 1-D U-Net of 163 M parameters, DDIM with 100 steps for
training and 10 for inference, which predicts the clean tokens. No action loss, no common start, no
normalisation of the weights. Optimisers and rates are the released ones, less their restarts of
the learning rate, which is one cycle here; their moving average of the U-Net is kept for
validation only and has no part in what is saved, so there is none here. Their policies have no
gait clock: its frequency is measured in the prompt.

Useful training at full size takes a GPU (`device`). `SMALL` is the same with a U-Net of a quarter
of the channels (13 M parameters) and fewer updates, which takes half an hour on one core.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch

from make_agent_ros.generator.embedding import CHANNELS, trajectory_features
from make_agent_ros.policy.bundle import Bundle
from make_agent_ros.recording.trajectory import Trajectory
from make_agent_ros.training.baselines.cloning import gait_clock
from make_agent_ros.training.baselines.fitting import (
    BaselineError,
    FitConfig,
    FitLog,
    ZooBatches,
    fit,
)
from make_agent_ros.training.baselines.method import as_bundles, check_velocity
from make_agent_ros.training.baselines.official_nets import OfficialConfig, OfficialNet
from make_agent_ros.training.progress import Report
from make_agent_ros.training.prompts import PromptData
from make_agent_ros.training.zoo import POLICY_SHAPE, Zoo

SMALL = OfficialConfig(
    widths=(128, 256, 512),
    diffusion=FitConfig(2500, 128, 2e-4, weight_decay=5e-4, betas=(0.95, 0.999)),
)
"""What half an hour on one core can fit."""


class Official:
    """A `Method`: autoencoder, embeddings and diffusion, fitted one after the other."""

    def __init__(self, config: OfficialConfig | None = None, name: str = 'official') -> None:
        """Build the nets with random weights.

        Args:
            config: sizes; at the released ones 195 M parameters, 0.8 GB, and three times that
                while it is fitted.
            name: of this method among others.
        """
        self.name, self.config = name, config or OfficialConfig()
        torch.manual_seed(self.config.seed)
        self.net = OfficialNet(self.config).eval()
        self.log: dict[str, FitLog] = {}

    def __repr__(self) -> str:
        """Tell what a fit depends on."""
        return f'{self.name} {self.config}'

    def fit(self, zoo: Zoo, prompts: PromptData, progress: Report | None = None) -> None:
        """Fit the three nets; see `Method.fit`."""
        config, net = self.config, self.net
        window = min(config.window, prompts.features.shape[2])
        self._check_length(window)
        batches = ZooBatches(zoo, prompts, config.seed, windows=(window, window))
        net.train()
        self.log = {
            'autoencoder': self._fit_autoencoder(batches, progress),
            'embedding': self._fit_embeddings(batches, progress),
            'diffusion': self._fit_diffusion(batches, progress),
        }
        net.eval()

    def _fit_autoencoder(self, batches: ZooBatches, progress: Report | None) -> FitLog:
        net, config = self.net.autoencoder, self.config.autoencoder

        def loss() -> torch.Tensor:
            return net.loss(batches.weights[batches.draw(config.batch)], batches.generator)

        return fit(net.parameters(), loss, config, progress, 'autoencoder')

    def _fit_embeddings(self, batches: ZooBatches, progress: Report | None) -> FitLog:
        net, config = self.net.embeddings, self.config.embedding
        start, later = self.net.split(_many_windows(batches))
        net.start_limits.set_range(start)
        net.later_limits.set_range(later)

        def loss() -> torch.Tensor:
            return net.loss(*self.net.split(batches.windows(batches.draw(config.batch))))

        return fit(net.parameters(), loss, config, progress, 'embedding')

    def _fit_diffusion(self, batches: ZooBatches, progress: Report | None) -> FitLog:
        net, config = self.net, self.config.diffusion
        device = torch.device(self.config.device)
        with torch.no_grad():
            tokens = net.autoencoder.encode(batches.weights)
            net.token_limits.set_range(tokens[batches.usable])
            tokens = net.token_limits(tokens)
            net.condition_limits.set_range(net.embeddings(*net.split(_many_windows(batches))))
        unet = net.unet.to(device)

        def loss() -> torch.Tensor:
            ids = batches.draw(config.batch)
            x_0, generator = tokens[ids].to(device), batches.generator
            condition = net.condition(batches.windows(ids)).to(device)
            t = torch.randint(self.config.train_steps, (len(ids),), generator=generator)
            noise = torch.randn(x_0.shape, generator=generator).to(device)
            t = t.to(device)
            return (unet(net.ddim.add_noise(x_0, noise, t), t, condition) - x_0).square().mean()

        return fit(unet.parameters(), loss, config, progress, 'diffusion')

    def _check_length(self, steps: int, what: str = 'prompts for training') -> None:
        least = self.config.start_steps + self.config.later_states
        if steps < least:
            raise BaselineError(
                f'{what}: {steps} samples; this architecture takes {self.config.start_steps} '
                f'and {self.config.later_states} later states, {least} in all'
            )

    def sample(self, prompts: Sequence[Trajectory], n: int, seed: int = 0) -> np.ndarray:
        """Draw n policies for each prompt, flat weights (prompts, n, 8012)."""
        if not self.log:
            raise BaselineError('official is not fitted; call fit first')
        rows = []
        for prompt in prompts:
            window = torch.from_numpy(trajectory_features(prompt))[None]
            self._check_length(len(prompt), prompt.source or 'the prompt')
            rows.append(self.net.condition(window))
        condition = torch.cat(rows).repeat_interleave(n, dim=0)
        generator = torch.Generator().manual_seed(seed)
        return self.net.sample(condition, generator).reshape(len(prompts), n, -1).numpy()

    def bundles(
        self,
        prompts: Sequence[Trajectory],
        velocity: np.ndarray,
        seed: int = 0,
        style: np.ndarray | None = None,
    ) -> list[Bundle]:
        """Return the first sample for each prompt; see `Method.bundles`."""
        velocity = check_velocity(prompts, velocity)
        weights = self.sample(prompts, 1, seed)[:, 0]
        frequency = np.array([gait_clock(p)[0] for p in prompts])
        return as_bundles(POLICY_SHAPE, weights, frequency, velocity, {'method': self.name})


def _many_windows(batches: ZooBatches, rounds: int = 4) -> torch.Tensor:
    """Return some windows of every usable behaviour, for the ranges of inputs."""
    return torch.cat([batches.windows(batches.usable) for _ in range(rounds)])


def time_sampling(
    config: OfficialConfig | None = None, n: int = 16, repeats: int = 3
) -> tuple[float, int]:
    """Time the sampling of n policies from one prompt, with random weights.

    Args:
        config: sizes; the released ones when omitted. All nets go to its `device`.
        n: policies.
        repeats: timed runs, after one to warm up.

    Returns:
        Median seconds from a window of 4 s to flat weights, and the parameters of the U-Net.
    """
    config = config or OfficialConfig()
    net = Official(config).net.to(config.device)
    window = torch.zeros(1, config.window, CHANNELS)
    spent = []
    for i in range(repeats + 1):
        started = time.perf_counter()
        condition = net.condition(window.to(config.device)).repeat(n, 1)
        net.sample(condition, torch.Generator().manual_seed(i)).cpu()  # waits for the device
        spent.append(time.perf_counter() - started)
    return float(np.median(spent[1:])), sum(p.numel() for p in net.unet.parameters())

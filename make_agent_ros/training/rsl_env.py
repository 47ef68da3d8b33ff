"""The style task behind rsl-rl's interface, for the teacher."""

from __future__ import annotations

import numpy as np
import torch
from rsl_rl.env import VecEnv
from tensordict import TensorDict

from make_agent_ros.training.behaviour import FAMILIES, sample_commands, sample_styles
from make_agent_ros.training.env import EnvConfig, StyleEnv

FREQUENCY_BANDS = 5
"""Equal parts of the range of step frequencies, each with its own environments."""


class RslEnv(VecEnv):
    """`StyleEnv` behind rsl-rl's interface; an action is a residual on the reference gait."""

    def __init__(self, config: EnvConfig) -> None:
        self.num_envs = config.envs
        self.num_actions = 12
        self.device = 'cpu'
        self.cfg = config
        rng = np.random.default_rng(config.seed + 1)
        # Family and band of frequency stay with the environment: resampled at each reset, the
        # gaits that fall would get almost no samples.
        weights = np.array([0.24, 0.28, 0.26, 0.22])
        self.family = np.repeat(
            np.arange(len(FAMILIES)), np.ceil(weights * config.envs).astype(int)
        )
        self.family = rng.permutation(self.family[: config.envs])
        self.band = np.zeros(config.envs, dtype=int)
        for k in range(len(FAMILIES)):
            mine = np.flatnonzero(self.family == k)
            self.band[mine] = np.arange(len(mine)) % FREQUENCY_BANDS
        self.command_range = 1.0
        self.env = StyleEnv(
            config,
            lambda ids: sample_styles(
                rng,
                len(ids),
                self.family[ids],
                (self.band[ids] + rng.random(len(ids))) / FREQUENCY_BANDS,
            ),
            lambda ids: self.command_range * sample_commands(rng, len(ids)),
        )
        self.max_episode_length = self.env.max_steps
        self.falls = np.zeros((len(FAMILIES), FREQUENCY_BANDS))
        self.group_steps = np.zeros_like(self.falls)

    @property
    def episode_length_buf(self) -> torch.Tensor:  # type: ignore[override]
        """Steps since each robot's restart, shape (B,)."""
        return torch.from_numpy(self.env.steps)

    def get_observations(self) -> TensorDict:
        """Return actor and critic inputs: (B, 78) and (B, 97)."""
        teacher = torch.from_numpy(self.env.teacher_obs())
        extra = torch.from_numpy(self.env.critic_extra())
        return TensorDict({'actor': teacher, 'privileged': extra}, batch_size=[self.num_envs])

    def step(
        self, actions: torch.Tensor
    ) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        """Apply residuals (B, 12); see `rsl_rl.env.VecEnv.step`."""
        residual = np.clip(actions.numpy().astype(np.float64), -4.0, 4.0)
        reward, fallen, timed_out = self.env.step(self.env.reference + residual)
        np.add.at(self.falls, (self.family, self.band), fallen)
        np.add.at(self.group_steps, (self.family, self.band), 1)
        done = torch.from_numpy(fallen | timed_out)
        return (
            self.get_observations(),
            torch.from_numpy(reward).float(),
            done.float(),
            {'time_outs': torch.from_numpy(timed_out).float()},
        )

    def falls_per_10s(self) -> np.ndarray:
        """Return falls per 10 robot-seconds since the last call, (4 families, 5 bands)."""
        rate = self.falls / np.maximum(self.group_steps, 1) * (10.0 / self.env.dt)
        self.falls[:] = 0
        self.group_steps[:] = 0
        return rate

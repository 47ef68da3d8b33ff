"""The style task behind rsl-rl's interface, for the teacher."""

from __future__ import annotations

import numpy as np
import torch
from rsl_rl.env import VecEnv
from tensordict import TensorDict

from make_agent_ros.training.behaviour import (
    ANYWHERE,
    GAITS,
    Styles,
    demand_share,
    sample_commands,
    sample_styles,
)
from make_agent_ros.training.env import EnvConfig, StyleEnv

FREQUENCY_BANDS = 5
"""Equal parts of the range of step frequencies, each with its own environments."""
GROUPS: tuple[tuple[str, float], ...] = (
    ('', 0.44),
    ('trot', 0.08),
    ('pace', 0.14),
    ('bound', 0.12),
    ('pronk', 0.10),
    ('walk', 0.06),
    ('canter', 0.06),
)
"""Gaits with environments of their own and their shares; '' is anywhere on the torus."""
FALLEN_KEPT = 1024
"""Styles kept of the last falls."""


class RslEnv(VecEnv):
    """`StyleEnv` behind rsl-rl's interface; an action is a residual on the reference gait."""

    def __init__(self, config: EnvConfig, demand: float = 1.0) -> None:
        """Build the batch.

        Args:
            config: sizes and disturbances.
            demand: what the styles may ask of the trunk, see `training.demand`.
        """
        self.num_envs = config.envs
        self.num_actions = 12
        self.device = 'cpu'
        self.cfg = config
        rng = np.random.default_rng(config.seed + 1)
        # Gait and band of frequency stay with the environment: resampled at each reset, the
        # gaits that fall would get almost no samples.
        weights = np.array([share for _, share in GROUPS])
        count = np.ceil(weights / weights.sum() * config.envs).astype(int)
        self.group = np.repeat(np.arange(len(GROUPS)), count)
        self.group = rng.permutation(self.group[: config.envs])
        gait = np.array([list(GAITS).index(name) if name else ANYWHERE for name, _ in GROUPS])
        self.band = np.zeros(config.envs, dtype=int)
        for k in range(len(GROUPS)):
            mine = np.flatnonzero(self.group == k)
            self.band[mine] = np.arange(len(mine)) % FREQUENCY_BANDS
        self.command_range = 1.0
        self.again = 0.0
        """Share of episodes that practise a style in which a robot fell lately."""
        self._rng, self._gait, self._demand = rng, gait, demand
        self._fallen: Styles | None = None
        self._falls = 0
        self.env = StyleEnv(
            config,
            self._styles,
            lambda ids: self.command_range * sample_commands(rng, len(ids)),
        )
        self.max_episode_length = self.env.max_steps
        self.falls = np.zeros((len(GROUPS), FREQUENCY_BANDS))
        self.group_steps = np.zeros_like(self.falls)

    def _styles(self, ids: np.ndarray) -> Styles:
        """Draw styles for environments `ids`, of their gaits and bands, or of the last falls."""
        rng = self._rng
        styles = sample_styles(
            rng,
            len(ids),
            self._gait[self.group[ids]],
            (self.band[ids] + rng.random(len(ids))) / FREQUENCY_BANDS,
            lambda drawn: demand_share(drawn) <= self._demand,
        )
        if self._fallen is not None:
            again = np.flatnonzero(rng.random(len(ids)) < self.again)
            kept = min(self._falls, FALLEN_KEPT)
            styles.set(again, self._fallen[rng.integers(0, kept, len(again))])
        return styles

    def _note_falls(self, fallen: Styles) -> None:
        """Keep the styles of robots that fell, the newest in place of the oldest."""
        if self._fallen is None:
            self._fallen = self.env.styles[np.arange(1)].repeat(FALLEN_KEPT)
        self._fallen.set((self._falls + np.arange(len(fallen))) % FALLEN_KEPT, fallen)
        self._falls += len(fallen)

    @property
    def episode_length_buf(self) -> torch.Tensor:  # type: ignore[override]
        """Steps since each robot's restart, shape (B,)."""
        return torch.from_numpy(self.env.steps)

    def get_observations(self) -> TensorDict:
        """Return actor and critic inputs: (B, 86) and (B, 105)."""
        teacher = torch.from_numpy(self.env.teacher_obs())
        extra = torch.from_numpy(self.env.critic_extra())
        return TensorDict({'actor': teacher, 'privileged': extra}, batch_size=[self.num_envs])

    def step(
        self, actions: torch.Tensor
    ) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        """Apply residuals (B, 12); see `rsl_rl.env.VecEnv.step`."""
        residual = np.clip(actions.numpy().astype(np.float64), -4.0, 4.0)
        before = self.env.styles[np.arange(self.num_envs)] if self.again else None
        reward, fallen, timed_out = self.env.step(self.env.reference + residual)
        if before is not None and fallen.any():
            self._note_falls(before[fallen])
        np.add.at(self.falls, (self.group, self.band), fallen)
        np.add.at(self.group_steps, (self.group, self.band), 1)
        done = torch.from_numpy(fallen | timed_out)
        return (
            self.get_observations(),
            torch.from_numpy(reward).float(),
            done.float(),
            {'time_outs': torch.from_numpy(timed_out).float()},
        )

    def falls_per_10s(self) -> np.ndarray:
        """Return falls per 10 robot-seconds since the last call, (groups, bands)."""
        rate = self.falls / np.maximum(self.group_steps, 1) * (10.0 / self.env.dt)
        self.falls[:] = 0
        self.group_steps[:] = 0
        return rate

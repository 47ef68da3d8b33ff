"""Deterministic baselines: prompt -> embedding -> weights, trained through the action loss alone.

The direct hypernetwork (arXiv 2410.14040 is of this kind), and one prompt-conditioned policy
distilled from the zoo, by concatenation or FiLM. The embedding is trained jointly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import nn

from make_agent_ros.generator.codec import mlp_forward
from make_agent_ros.generator.embedding import BehaviourEmbedding, trajectory_features
from make_agent_ros.policy.bundle import Bundle
from make_agent_ros.policy.mlp import MlpShape
from make_agent_ros.recording.trajectory import Trajectory
from make_agent_ros.training.baselines.fitting import (
    BaselineError,
    FitConfig,
    FitLog,
    ZooBatches,
    fit,
)
from make_agent_ros.training.baselines.heads import Concat, Film, Hyper, layer_scale
from make_agent_ros.training.baselines.method import as_bundles, check_velocity
from make_agent_ros.training.behaviour import STYLE_SIZE
from make_agent_ros.training.progress import Report
from make_agent_ros.training.prompts import PromptData
from make_agent_ros.training.zoo import POLICY_SHAPE, Zoo

Kind = Literal['hypernetwork', 'conditioned_concat', 'conditioned_film']


@dataclass(frozen=True)
class ConditionedConfig:
    """Sizes of a deterministic baseline; embedding, updates and batch are the generator's."""

    seed: int = 0
    embedding: int = 96
    hidden: tuple[int, ...] = (256, 128)
    """Hidden layers of the one conditioned policy: more than a zoo policy's 64-64, because it must
    hold all behaviours at once. The hypernetwork makes policies of the zoo's own shape."""
    width: int = 384
    """Hidden layers of the hypernetwork, and so the rank of the residuals that it makes."""
    states: int = 64
    """States per behaviour and update."""
    windows: tuple[int, int] = (50, 250)
    """Shortest and longest window, samples at 50 Hz."""
    perturbation: float = 0.1
    elsewhere: float = 0.5
    """Weight of the loss on perturbed states, where the zoo's own policy is the target."""
    frequency: float = 5.0
    """Weight of the squared error of the log frequency."""
    fit: FitConfig = field(default_factory=lambda: FitConfig(updates=5000, batch=96))


class PromptNet(nn.Module):
    """Window (B, T, 30) -> flat weights (B, W) and gait frequency (B,)."""

    def __init__(self, kind: Kind, config: ConditionedConfig) -> None:
        super().__init__()
        self.embedding = BehaviourEmbedding(config.embedding, STYLE_SIZE)
        self.log_frequency = nn.Linear(config.embedding, 1)
        nn.init.constant_(self.log_frequency.bias, np.log(2.5))
        inputs, outputs = POLICY_SHAPE.inputs, POLICY_SHAPE.outputs
        self.shape = MlpShape(inputs, tuple(config.hidden), outputs)
        self.head: Concat | Film | Hyper
        if kind == 'hypernetwork':
            self.shape = POLICY_SHAPE
            self.head = Hyper(self.shape, config.embedding, config.width)
        elif kind == 'conditioned_concat':
            self.head = Concat(self.shape, config.embedding)
        else:
            self.head = Film(self.shape, config.embedding)

    def embed(self, window: torch.Tensor) -> torch.Tensor:
        """Return embeddings, (B, T, 30) -> (B, E)."""
        return self.embedding(window)[0]

    def forward(self, window: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return flat weights (B, W) and log frequencies (B,)."""
        embedding = self.embed(window)
        return self.head(embedding), self.log_frequency(embedding)[:, 0]


class Conditioned:
    """A `Method`: one forward pass from the prompt to the weights."""

    def __init__(self, kind: Kind, config: ConditionedConfig | None = None) -> None:
        """Build the net.

        Args:
            kind: which head.
            config: sizes.
        """
        self.name: str = kind
        self.config = config or ConditionedConfig()
        torch.manual_seed(self.config.seed)
        self.net = PromptNet(kind, self.config)
        self.log: dict[str, FitLog] = {}

    def __repr__(self) -> str:
        """Tell what a fit depends on."""
        return f'{self.name} {self.config}'

    def fit(self, zoo: Zoo, prompts: PromptData, progress: Report | None = None) -> None:
        """Match the actions of the zoo's policies; see `Method.fit`."""
        config, net = self.config, self.net
        batches = ZooBatches(
            zoo,
            prompts,
            config.seed,
            states=config.states,
            windows=config.windows,
            perturbation=config.perturbation,
        )
        base = torch.from_numpy(zoo.base)
        net.head.start_from(base, layer_scale(POLICY_SHAPE, batches.weights - base))
        net.train()

        def loss() -> torch.Tensor:
            ids = batches.draw(config.fit.batch)
            weights, log_frequency = net(batches.windows(ids))
            off = (log_frequency - batches.log_frequency[ids]).square().mean()
            return self._action_loss(weights, batches, ids) + config.frequency * off

        # An embedding's heads for style and velocity have no part in this loss.
        unused = {id(p) for n, p in net.embedding.named_parameters() if n.startswith(_HEADS)}
        used = [p for p in net.parameters() if id(p) not in unused]
        self.log = {self.name: fit(used, loss, config.fit, progress, self.name)}
        net.eval()

    def _action_loss(
        self, weights: torch.Tensor, batches: ZooBatches, ids: np.ndarray
    ) -> torch.Tensor:
        """Squared action error on visited states (teacher) and perturbed ones (own policy)."""
        obs, label, perturbed = batches.states(ids)
        with torch.no_grad():
            own = mlp_forward(POLICY_SHAPE, batches.weights[ids], perturbed)
        both = mlp_forward(self.net.shape, weights, torch.cat((obs, perturbed), dim=1))
        visited, elsewhere = both.split(obs.shape[1], dim=1)
        wide = (elsewhere - own).square().mean()
        return (visited - label).square().mean() + self.config.elsewhere * wide

    @torch.no_grad()
    def embed(self, windows: np.ndarray) -> np.ndarray:
        """Embed windows (B, T, 30), (B, E): what `nearest` takes as `embed`."""
        return self.net.embed(torch.from_numpy(windows.astype(np.float32))).numpy()

    @torch.no_grad()
    def bundles(
        self,
        prompts: Sequence[Trajectory],
        velocity: np.ndarray,
        seed: int = 0,
        style: np.ndarray | None = None,
    ) -> list[Bundle]:
        """See `Method.bundles`; nothing is drawn, whatever the seed."""
        if not self.log:
            raise BaselineError(f'{self.name} is not fitted; call fit first')
        velocity = check_velocity(prompts, velocity)
        found = []
        for prompt, v in zip(prompts, velocity, strict=True):
            weights, log_f = self.net(torch.from_numpy(trajectory_features(prompt))[None])
            provenance = {'method': self.name, 'prompt_sha256': prompt.digest()}
            found += as_bundles(
                self.net.shape, weights.numpy(), log_f.exp().numpy(), v[None], provenance
            )
        return found


_HEADS = ('style', 'velocity')

"""What the benchmark of quality asks for: held-out behaviours, their policies and prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from make_agent_ros.go2.state import projected_gravity
from make_agent_ros.recording.gait import Gait, describe_gait
from make_agent_ros.recording.trajectory import Trajectory
from make_agent_ros.simulation.model import randomised_worlds
from make_agent_ros.simulation.rollout import rollout
from make_agent_ros.training.prompts import SETTLE_S, prompt_from_log
from make_agent_ros.training.split import Side
from make_agent_ros.training.zoo import Zoo

SPLITS: dict[str, Side] = {
    'interpolation': 'held_out',
    'corner': 'corner',
    'gait_out': 'gait_out',
}
"""Splits of the benchmark and the sides of the behaviour split that they ask for."""


@dataclass(frozen=True)
class QualityConfig:
    """Sizes of the benchmark."""

    splits: tuple[str, ...] = tuple(SPLITS)
    methods: tuple[str, ...] = ()
    """Only these; when empty the whole ladder. Names of `training.baselines` may be added, which
    are fitted to the training side first."""
    prompts: int = 100
    """Per split."""
    worlds: int = 10
    seconds: float = 20.0
    candidates: int = 16
    prompt_s: float = 4.0
    push_m_s: float = 0.4
    """Largest kick per axis while measuring, m/s."""
    seed: int = 1234


class HeldOut:
    """Held-out behaviours with their policies, prompts and the prompts' gaits."""

    def __init__(self, folder: Path, config: QualityConfig, side: Side = 'held_out') -> None:
        """Record one prompt per held-out behaviour that its own policy can walk.

        Args:
            folder: of a training run with `zoo_<side>.safetensors`.
            config: sizes.
            side: of the behaviour split.
        """
        zoo = Zoo.load(folder / f'zoo_{side}.safetensors')
        n = min(config.prompts, len(zoo))
        self.config = config
        self.bundles = zoo.bundles(list(range(n)))
        self.behaviours = zoo.behaviours[:n]
        self.commands = self.behaviours.default_command
        worlds = randomised_worlds(4, config.seed + 1)
        log = rollout(
            self.bundles, worlds, self.commands, SETTLE_S + config.prompt_s + 0.5,
            seed=config.seed + 1,
        )  # fmt: skip
        # A demonstrator whose robot fell would be demonstrated again, in another world.
        world = log.fell.argmin(axis=1)
        self.prompts = [
            prompt_from_log(log, i, int(world[i]), SETTLE_S, config.prompt_s, seed=config.seed)
            for i in range(n)
        ]
        self.fell = log.fell.all(axis=1)
        self.gait = gait_of(self.prompts)
        self.zoo = zoo


def gait_of(prompts: Sequence[Trajectory]) -> Gait:
    """Describe prompts of equal length at 50 Hz, as one batch."""
    return describe_gait(
        np.stack([p.joint_pos for p in prompts]),
        np.stack([projected_gravity(p.quat_wxyz) for p in prompts]),
        50.0,
    )

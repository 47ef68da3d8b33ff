"""The policy zoo as it lies on disk: one small MLP per behaviour, and the states it learned on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from make_agent_ros.go2.constants import JOINT_NAMES
from make_agent_ros.go2.observation import POLICY_TERMS, TERM_SIZES
from make_agent_ros.policy.bundle import Bundle
from make_agent_ros.policy.mlp import MlpShape
from make_agent_ros.training.behaviour import BehaviourSet, Styles

POLICY_SHAPE = MlpShape(sum(TERM_SIZES[t] for t in POLICY_TERMS), (64, 64), len(JOINT_NAMES))
"""47-64-64-12: what the generator makes, 8,012 weights."""


@dataclass(frozen=True)
class Zoo:
    """Policies of one side of the split, and the states they were taught on."""

    weights: np.ndarray
    """(n, 8012) float32, layout of `POLICY_SHAPE`."""
    base: np.ndarray
    """(8012,) float32: the pretrained net that all started from."""
    bank_obs: np.ndarray
    """(n, bank, 47) float16: states visited by the student."""
    bank_action: np.ndarray
    """(n, bank, 12) float16: the teacher's actions there."""
    behaviours: BehaviourSet

    def __len__(self) -> int:
        """Number of policies."""
        return len(self.weights)

    def bundles(self, ids: np.ndarray | list[int] | None = None) -> list[Bundle]:
        """Return policies as bundles."""
        ids = np.arange(len(self)) if ids is None else ids
        styles, command = self.behaviours.styles, self.behaviours.default_command
        return [
            Bundle(
                layers=POLICY_SHAPE.unflatten(self.weights[i]),
                gait_frequency_hz=float(styles.frequency_hz[i]),
                default_command=command[i],
            )
            for i in ids
        ]

    def save(self, path: Path) -> None:
        """Write as safetensors."""
        styles = {f'style.{k}': np.asarray(v) for k, v in self.behaviours.styles.table().items()}
        arrays = {
            'weights': self.weights,
            'base': self.base,
            'bank_obs': self.bank_obs,
            'bank_action': self.bank_action,
            'default_command': self.behaviours.default_command,
            **styles,
        }
        part = path.with_suffix('.part')
        save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, part)
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> Zoo:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: naming the command that makes the file.
        """
        if not path.exists():
            raise FileNotFoundError(f'{path} does not exist; run `make-agent train zoo` first')
        arrays = load_file(path)
        styles = {k[6:]: v for k, v in arrays.items() if k.startswith('style.')}
        behaviours = BehaviourSet(Styles(**styles), arrays['default_command'])
        names = ('weights', 'base', 'bank_obs', 'bank_action')
        return cls(*(arrays[name] for name in names), behaviours)


def join(zoos: list[Zoo]) -> Zoo:
    """Return all policies of zoos that began as one net."""
    names = ('weights', 'bank_obs', 'bank_action')
    joined = {name: np.concatenate([getattr(z, name) for z in zoos]) for name in names}
    styles = Styles.join([z.behaviours.styles for z in zoos])
    command = np.concatenate([z.behaviours.default_command for z in zoos])
    return Zoo(base=zoos[0].base, behaviours=BehaviourSet(styles, command), **joined)

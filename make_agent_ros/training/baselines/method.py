"""What all baselines share: how they are asked, and how weights become bundles."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from make_agent_ros.generator.model import FREQUENCY_RANGE_HZ
from make_agent_ros.policy.bundle import Bundle
from make_agent_ros.policy.mlp import MlpShape
from make_agent_ros.policy.velocity import VELOCITY_GAIN
from make_agent_ros.recording.trajectory import Trajectory
from make_agent_ros.training.baselines.fitting import BaselineError, FitLog
from make_agent_ros.training.checkpoint import load_checkpoint, save_checkpoint
from make_agent_ros.training.progress import Report
from make_agent_ros.training.prompts import PromptData
from make_agent_ros.training.zoo import Zoo


class Method(Protocol):
    """A way from a prompt to a policy."""

    name: str
    log: dict[str, FitLog]
    """One entry per net that `fit` fitted."""

    def fit(self, zoo: Zoo, prompts: PromptData, progress: Report | None = None) -> None:
        """Learn from a zoo of n policies and the prompts of the same n behaviours."""

    def bundles(
        self,
        prompts: Sequence[Trajectory],
        velocity: np.ndarray,
        seed: int = 0,
        style: np.ndarray | None = None,
    ) -> list[Bundle]:
        """Return one policy per prompt.

        Args:
            prompts: at 50 Hz.
            velocity: default command that every policy carries, (n, 3); cloning also takes it
                for the command that the prompt was walked at.
            seed: of whatever is drawn.
            style: true style vectors, (n, 18); only the oracles among the baselines look.

        Raises:
            BaselineError: not fitted, or a prompt or style that the method cannot take.
            ValueError: a prompt is not at 50 Hz.
        """


def as_bundles(
    shape: MlpShape,
    weights: np.ndarray,
    frequency_hz: np.ndarray,
    velocity: np.ndarray,
    provenance: dict[str, Any],
) -> list[Bundle]:
    """Turn flat weights (n, W), gait frequencies (n,) and commands (n, 3) into bundles."""
    frequency_hz = np.clip(frequency_hz, *FREQUENCY_RANGE_HZ)
    return [
        Bundle(
            layers=shape.unflatten(w),
            gait_frequency_hz=float(f),
            default_command=v,
            velocity_gain=VELOCITY_GAIN,
            provenance=provenance,
        )
        for w, f, v in zip(weights, frequency_hz, velocity, strict=True)
    ]


def check_velocity(prompts: Sequence[Trajectory], velocity: np.ndarray) -> np.ndarray:
    """Return the commands as (n, 3) float64.

    Raises:
        BaselineError: not one command per prompt.
    """
    velocity = np.asarray(velocity, dtype=np.float64)
    if velocity.shape != (len(prompts), 3):
        raise BaselineError(
            f'{len(prompts)} prompts with velocities of shape {velocity.shape}; give one row '
            'vx, vy, wz per prompt'
        )
    return velocity


def fit_once(
    method: Method,
    folder: Path,
    zoo: Zoo,
    prompts: PromptData,
    progress: Report | None = None,
) -> float:
    """Fit a method with a net, or read what the same fit left in `folder`; return its seconds.

    Args:
        method: with a module `net`; others are fitted every time, which takes no time.
        folder: receives `<name>.safetensors` and `<name>.json`.
        zoo: of n policies.
        prompts: of the same n behaviours.
        progress: called with (updates done, updates, a line of figures).
    """
    net: torch.nn.Module | None = getattr(method, 'net', None)
    if net is None:
        method.fit(zoo, prompts, progress)
        return 0.0
    sha = hashlib.sha256(zoo.weights.tobytes() + prompts.features.tobytes())
    made_with = json.loads(json.dumps([method.name, repr(method), sha.hexdigest()]))
    stem = folder / method.name
    if stem.with_suffix('.json').exists():
        info = json.loads(stem.with_suffix('.json').read_text())
        if info['made_with'] == made_with:
            load_checkpoint(stem, {'net': net})
            method.log = {k: FitLog(tuple(v[0]), v[1]) for k, v in info['log'].items()}
            net.eval()
            return float(sum(log.seconds for log in method.log.values()))
    method.fit(zoo, prompts, progress)
    folder.mkdir(parents=True, exist_ok=True)
    log = {k: (v.losses, v.seconds) for k, v in method.log.items()}
    save_checkpoint(stem, {'net': net}, None, {'made_with': made_with, 'log': log})
    return float(sum(v.seconds for v in method.log.values()))

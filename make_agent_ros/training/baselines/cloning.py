"""Few-shot behaviour cloning: a policy fitted to the seconds of one prompt and to nothing else.

A prompt holds states, no actions. What a robot's log does hold is the estimated torque, and the
motor drive's law gives the joint target back:

    tau = kp (target - q) - kd dq    =>    target = q + (tau + kd dq) / kp

Assumed: the gains kp, kd are known and those that policies here run with (a controller of other
gains is cloned in its effect); the log's torque, angle and speed belong to one instant; the target
in force at a sample is the one that the controller chose one control period before. So the
observation of sample t has the target seen at t as its last action, and the one seen at t + 1 as
its label. Where the motor saturates or is stronger or weaker than nominal, and by sensor noise
(0.025 rad from 1 rad/s), the target is off; nothing here corrects for it.

The gait clock is read from the legs: step frequency of `recording.gait`, phase 0 at the touch-down
of FL, which is where the zoo's clocks have it too. The command is the velocity that the benchmark
hands to every method.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch

from make_agent_ros.generator.codec import mlp_forward
from make_agent_ros.generator.embedding import trajectory_features
from make_agent_ros.go2.constants import (
    ACTION_SCALE,
    NOMINAL_JOINT_POS,
    POLICY_DAMPING,
    POLICY_STIFFNESS,
)
from make_agent_ros.go2.observation import POLICY_SCALES, POLICY_TERMS, ObservationBuilder
from make_agent_ros.go2.state import RobotState, projected_gravity
from make_agent_ros.policy.bundle import Bundle
from make_agent_ros.recording.gait import describe_gait, fit_cycle, level_feet
from make_agent_ros.recording.trajectory import Trajectory
from make_agent_ros.training.baselines.fitting import BaselineError, FitConfig, FitLog, fit
from make_agent_ros.training.baselines.method import as_bundles, check_velocity
from make_agent_ros.training.progress import Report
from make_agent_ros.training.prompts import PromptData
from make_agent_ros.training.zoo import POLICY_SHAPE, Zoo

RATE_HZ = 50.0


@dataclass(frozen=True)
class CloningConfig:
    """How one prompt is fitted."""

    rows: int = 128
    """Samples of the prompt per update."""
    noise: float = 0.05
    """Standard deviation of the noise on observations, against the narrowness of one prompt."""
    pull: float = 1e-4
    """Weight of the squared distance to the start; only from the base policy."""
    group: int = 32
    """Prompts fitted side by side."""
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(
            updates=800, learning_rate=2e-3, weight_decay=0.0, clip=float('inf')
        )
    )
    """Without clipping: one norm over all policies would let them slow each other down."""


@dataclass(frozen=True)
class Demonstration:
    """A prompt as a policy would have seen it."""

    obs: np.ndarray
    """(T - 1, 47) float32."""
    action: np.ndarray
    """(T - 1, 12) float32."""
    frequency_hz: float


def joint_targets(prompt: Trajectory) -> np.ndarray:
    """Return the joint targets in force at each sample, rad, (T, 12).

    Raises:
        BaselineError: the recording has no torques.
    """
    if not prompt.joint_torque.any():
        raise BaselineError(
            f'{prompt.source or "the prompt"}: no joint torques, so its actions cannot be '
            'reconstructed; cloning takes a log with estimated torques (LowState tau_est)'
        )
    pull = prompt.joint_torque + POLICY_DAMPING * prompt.joint_vel
    return np.asarray(prompt.joint_pos + pull / POLICY_STIFFNESS)


def gait_clock(prompt: Trajectory) -> tuple[float, np.ndarray]:
    """Return the step frequency in Hz and the gait phase at each sample, cycles, (T,).

    Phase 0 is the touch-down of FL: half a swing after its mid-swing.
    """
    gravity = projected_gravity(prompt.quat_wxyz)
    gait = describe_gait(prompt.joint_pos, gravity, RATE_HZ)
    _, height = level_feet(prompt.joint_pos, gravity)
    frequency, fundamental = fit_cycle(
        prompt.joint_pos[None], gravity[None], height[None, :, :1], RATE_HZ
    )
    # The height is Re(c exp(-2 pi i f t)), t = 0 in mid-window: highest where f t = arg(c) / 2 pi.
    mid_swing = np.angle(fundamental[0, 0]) / (2.0 * np.pi)
    t = (np.arange(len(prompt)) - (len(prompt) - 1) / 2.0) / RATE_HZ
    half_swing = 0.5 * (1.0 - float(gait.duty_factor[0]))
    return float(frequency[0]), (frequency[0] * t - mid_swing - half_swing) % 1.0


def demonstrate(prompt: Trajectory, velocity: np.ndarray) -> Demonstration:
    """Rebuild what a policy would have seen and done, at command `velocity` (3,)."""
    trajectory_features(prompt)  # refuses another rate than 50 Hz
    targets = joint_targets(prompt)
    frequency_hz, phase = gait_clock(prompt)
    actions = (targets - NOMINAL_JOINT_POS) / ACTION_SCALE
    builder = ObservationBuilder(POLICY_TERMS, POLICY_SCALES, NOMINAL_JOINT_POS)
    state = RobotState(prompt.quat_wxyz, prompt.base_ang_vel, prompt.joint_pos, prompt.joint_vel)
    obs = builder.build(state, np.broadcast_to(velocity, (len(prompt), 3)), actions, phase)
    return Demonstration(obs[:-1], actions[1:].astype(np.float32), frequency_hz)


def clone(
    demonstrations: Sequence[Demonstration],
    start: torch.Tensor,
    config: CloningConfig,
    pull: float,
    seed: int,
) -> tuple[np.ndarray, FitLog]:
    """Fit one MLP to each demonstration, side by side.

    Args:
        demonstrations: n, of any lengths.
        start: weights to start from, (n, 8012).
        config: sizes.
        pull: weight of the squared distance to the start.
        seed: of rows and noise.

    Returns:
        Weights (n, 8012), and the log.
    """
    n, lengths = len(demonstrations), np.array([len(d.obs) for d in demonstrations])
    obs = torch.zeros(n, int(lengths.max()), POLICY_SHAPE.inputs)
    action = torch.zeros(n, int(lengths.max()), POLICY_SHAPE.outputs)
    for i, d in enumerate(demonstrations):
        obs[i, : len(d.obs)] = torch.from_numpy(d.obs)
        action[i, : len(d.obs)] = torch.from_numpy(d.action)
    rng = np.random.default_rng([seed, 43])
    generator = torch.Generator().manual_seed(seed)
    flat = torch.nn.Parameter(start.clone())
    index = torch.arange(n)[:, None]

    def loss() -> torch.Tensor:
        rows = torch.from_numpy((rng.random((n, config.rows)) * lengths[:, None]).astype(int))
        seen = obs[index, rows]
        seen = seen + config.noise * torch.randn(seen.shape, generator=generator)
        error = mlp_forward(POLICY_SHAPE, flat, seen) - action[index, rows]
        # Summed over prompts, so that each policy's gradient is its own.
        total = error.square().mean(dim=(1, 2)).sum()
        return total + pull * (flat - start).square().sum()

    log = fit([flat], loss, config.fit)
    return flat.detach().numpy(), log


def random_weights(n: int, seed: int) -> torch.Tensor:
    """Return weights of fresh nets, (n, 8012), as the zoo's common start began."""
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for out, inp in POLICY_SHAPE.layer_shapes:
        parts += [
            torch.randn(n, out * inp, generator=generator) / inp**0.5,
            torch.zeros(n, out),
        ]
    return torch.cat(parts, dim=1)


class Cloning:
    """A `Method`: behaviour cloning of each prompt, from scratch or from the zoo's start."""

    def __init__(
        self, begin: Literal['scratch', 'base'], config: CloningConfig | None = None
    ) -> None:
        """Take where to begin.

        Args:
            begin: random weights, or the net that the zoo's policies all started from.
            config: sizes.
        """
        self.name, self.begin = f'cloning_{begin}', begin
        self.config = config or CloningConfig()
        self.log: dict[str, FitLog] = {}
        self.base: torch.Tensor | None = None
        self.seconds_per_prompt = 0.0
        """Of the last call of `bundles`."""

    def fit(self, zoo: Zoo, prompts: PromptData, progress: Report | None = None) -> None:
        """Take the zoo's common start; nothing else of the zoo is used."""
        self.base = torch.from_numpy(zoo.base)

    def bundles(
        self,
        prompts: Sequence[Trajectory],
        velocity: np.ndarray,
        seed: int = 0,
        style: np.ndarray | None = None,
    ) -> list[Bundle]:
        """Fit every prompt; see `Method.bundles`."""
        if self.begin == 'base' and self.base is None:
            raise BaselineError(f'{self.name} is not fitted; call fit first')
        velocity = check_velocity(prompts, velocity)
        started = time.monotonic()
        found: list[Bundle] = []
        for first in range(0, len(prompts), self.config.group):
            rows = slice(first, first + self.config.group)
            shown = [demonstrate(p, v) for p, v in zip(prompts[rows], velocity[rows], strict=True)]
            if self.base is not None and self.begin == 'base':
                start, pull = self.base.repeat(len(shown), 1), self.config.pull
            else:
                start, pull = random_weights(len(shown), seed + first), 0.0
            weights, log = clone(shown, start, self.config, pull, seed + first)
            self.log = {self.name: log}
            frequency = np.array([d.frequency_hz for d in shown])
            made = as_bundles(
                POLICY_SHAPE, weights, frequency, velocity[rows], {'method': self.name}
            )
            found += [
                replace(b, provenance={**b.provenance, 'prompt_sha256': p.digest()})
                for b, p in zip(made, prompts[rows], strict=True)
            ]
        self.seconds_per_prompt = (time.monotonic() - started) / max(len(prompts), 1)
        return found

"""`make-agent train velocity`: the net that tells how fast a robot moves, from walks of the zoo.

Policies of the training side walk in randomised worlds, with kicks, at changing commands. The net
(`policy.velocity`) sees what a robot feels, with errors of real sensors, and never the command:
it would learn to believe it.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from make_agent_ros.go2.state import RobotState
from make_agent_ros.policy.velocity import INPUTS, VELOCITY_FILE, VelocityNet, velocity_inputs
from make_agent_ros.simulation.batch import SensorNoise
from make_agent_ros.simulation.model import TRAINING_WORLDS, WorldRanges, randomised_worlds
from make_agent_ros.simulation.rollout import RolloutLog, rollout
from make_agent_ros.training.behaviour import feasible, sample_commands
from make_agent_ros.training.progress import Report
from make_agent_ros.training.zoo import Zoo

POLICIES, WORLDS = 64, 4
"""Walked at a time."""
WALK_S, COMMAND_S = 12.0, 4.0
"""Length of each walk, and how long a command is held."""
BURN_IN = 25
"""Steps at the start of a sequence that do not count: the net knows nothing yet."""
SHORT, LONG = 25, 87
"""Steps over which errors are averaged in the loss: what counts is the mean, not the sway."""
_FIELDS = ('quat_wxyz', 'base_ang_vel', 'joint_pos', 'joint_vel', 'action', 'planar_velocity')


@dataclass(frozen=True)
class VelocityConfig:
    """What `make-agent train velocity` takes."""

    seed: int = 19
    rounds: int = 24
    """Of 64 policies in 4 worlds for 12 s."""
    units: int = 64
    updates: int = 3000
    batch: int = 64
    steps: int = 200
    """Length of a training sequence, control steps."""
    learning_rate: float = 3e-3
    noise: tuple[float, float] = (0.2, 1.2)
    """Range of the noise, in units of the usual sensor noise."""
    joint_offset_rad: float = 0.01
    """Standard deviation of a zero error of each joint."""
    mount_rad: float = 0.01
    """Standard deviation of the IMU's mounting error per axis."""
    gyro_bias_rad_s: float = 0.02
    push_m_s: float = 0.4


class _Net(torch.nn.Module):
    """`VelocityNet` for training."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.gru = torch.nn.GRU(INPUTS, units, batch_first=True)
        self.out = torch.nn.Linear(units, 2)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return vx, vy of sequences (B, T, 54), m/s, (B, T, 2)."""
        return self.out(self.gru(inputs)[0])  # type: ignore[no-any-return]

    def frozen(self) -> VelocityNet:
        """Return it as the controller runs it."""
        gru, out = self.gru, self.out
        parts = (
            gru.weight_ih_l0, gru.weight_hh_l0, gru.bias_ih_l0, gru.bias_hh_l0, out.weight,
            out.bias,
        )  # fmt: skip
        return VelocityNet(*(part.detach().numpy().copy() for part in parts))


def train_velocity(
    folder: Path, config: VelocityConfig, progress: Report | None = None
) -> VelocityNet:
    """Fit the net to walks of the zoo in `folder`.

    Args:
        folder: of the run; receives `velocity.npz` and `velocity.json`.
        config: sizes and seed.
        progress: called with (steps done, steps, a line of figures).

    Raises:
        FileNotFoundError: there is no zoo.
        ValueError: too few of its policies walk without a fall.
    """
    started = time.monotonic()
    zoo = Zoo.load(folder / 'zoo_training.safetensors')
    total = config.rounds + config.updates
    ids = np.random.default_rng([config.seed, 1]).permutation(len(zoo))
    parts = []
    for k in range(config.rounds):
        mine = np.take(ids, range(k * POLICIES, (k + 1) * POLICIES), mode='wrap')
        parts.append(_walks(zoo, mine, config, k, TRAINING_WORLDS))
        if progress:
            progress(k + 1, total, 'walks')
    walks = {name: np.concatenate([part[name] for part in parts]) for name in _FIELDS}
    if len(walks['joint_pos']) < config.batch:
        raise ValueError(
            f'{len(walks["joint_pos"])} walks of {WALK_S:g} s without a fall, expected at least '
            f'{config.batch}; train the teacher longer, then the zoo again'
        )
    torch.manual_seed(config.seed)
    net = _Net(config.units)
    optimizer = torch.optim.AdamW(net.parameters(), lr=config.learning_rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=config.updates
    )
    rng = np.random.default_rng([config.seed, 2])
    for update in range(config.updates):
        inputs, truth = _sequences(walks, rng, config)
        loss = velocity_loss(net(inputs), truth)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if progress and (update + 1) % 20 == 0:
            progress(config.rounds + update + 1, total, f'loss {loss.item():.4f}')
    frozen = net.frozen()
    frozen.save(folder / VELOCITY_FILE)
    info = {
        'seconds': round(time.monotonic() - started, 1),
        'walks': len(walks['joint_pos']),
        'figures': velocity_errors(frozen, folder, config),
        'config': asdict(config),
    }
    (folder / 'velocity.json').write_text(json.dumps(info, indent=1) + '\n')
    return frozen


def velocity_loss(estimate: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Return the loss of estimates (B, T, 2) against the truth, m/s: mostly of their means, ()."""
    error = (estimate - truth)[:, BURN_IN:]
    loss = 0.1 * error.square().mean()
    for steps, weight in ((SHORT, 1.0), (LONG, 2.0)):
        count = error.shape[1] // steps
        if count:
            means = error[:, : count * steps].unflatten(1, (count, steps)).mean(dim=2)
            loss = loss + weight * means.square().mean()
    return loss


def velocity_errors(net: VelocityNet, folder: Path, config: VelocityConfig) -> dict[str, float]:
    """Return rms errors of means over 2 s on sides of the split that nothing was trained on, m/s.

    Args:
        net: to measure.
        folder: of the run; sides that it lacks are left out.
        config: of the walks' seed and kicks.

    Returns:
        `vx.<side>` and `vy.<side>`.
    """
    found: dict[str, float] = {}
    for side in ('held_out', 'corner', 'gait_out'):
        path = folder / f'zoo_{side}.safetensors'
        if not path.exists():
            continue
        zoo = Zoo.load(path)
        ids = np.arange(min(POLICIES, len(zoo)))
        walks = _walks(zoo, ids, config, 9999, WorldRanges())
        rng = np.random.default_rng([config.seed, 3])
        inputs = velocity_inputs(*_felt(walks, SensorNoise(), rng))
        hidden = np.zeros((len(inputs), net.units), dtype=np.float32)
        error = np.zeros((*inputs.shape[:2], 2))
        for t in range(inputs.shape[1]):
            hidden, planar = net(inputs[:, t], hidden)
            error[:, t] = planar - walks['planar_velocity'][:, t, :2]
        means = error[:, 100:].reshape(len(error), -1, 100, 2).mean(axis=2)
        rms = np.sqrt((means**2).mean(axis=(0, 1)))
        found |= {f'vx.{side}': round(float(rms[0]), 4), f'vy.{side}': round(float(rms[1]), 4)}
    return found


def _walks(
    zoo: Zoo, ids: np.ndarray, config: VelocityConfig, k: int, ranges: WorldRanges
) -> dict[str, np.ndarray]:
    """Walk some policies; return what was recorded of those that did not fall, float16."""
    rng = np.random.default_rng([config.seed, 4, k])
    styles = zoo.behaviours.styles[ids]
    pieces = []
    for _ in range(round(WALK_S / COMMAND_S)):
        own = (rng.random(len(ids)) < 0.5)[:, None]
        drawn = feasible(sample_commands(rng, len(ids)), styles)
        pieces.append(np.where(own, zoo.behaviours.default_command[ids], drawn))
    bundles = zoo.bundles(ids)
    held = round(COMMAND_S / bundles[0].control_dt)
    log: RolloutLog = rollout(
        bundles,
        randomised_worlds(WORLDS, config.seed * 1009 + k, ranges),
        np.repeat(np.stack(pieces, axis=1), held, axis=1),
        WALK_S,
        push_m_s=config.push_m_s,
        seed=config.seed * 7 + k,
    )
    return {name: getattr(log, name)[~log.fell].astype(np.float16) for name in _FIELDS}


def _felt(
    walks: dict[str, np.ndarray], noise: SensorNoise, rng: np.random.Generator
) -> tuple[RobotState, np.ndarray]:
    """Return proprioception with noise, and joint targets, of walks (n, T, ...)."""

    def noisy(name: str, width: float) -> np.ndarray:
        exact = walks[name].astype(np.float64)
        return np.asarray(exact + rng.uniform(-width, width, exact.shape))

    # half a turn of w (1, a, b, c) tilts by (2a, 2b, 2c): small enough for the first order
    quat = noisy('quat_wxyz', 0.5 * noise.tilt_rad)
    state = RobotState(
        quat / np.linalg.norm(quat, axis=-1, keepdims=True),
        noisy('base_ang_vel', noise.gyro_rad_s),
        noisy('joint_pos', noise.joint_pos_rad),
        noisy('joint_vel', noise.joint_vel_rad_s),
    )
    return state, walks['action'].astype(np.float64)


def _sequences(
    walks: dict[str, np.ndarray], rng: np.random.Generator, config: VelocityConfig
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw sequences with errors of the sensors: inputs (B, T, 54) and true vx, vy (B, T, 2)."""
    rows = rng.integers(0, len(walks['joint_pos']), config.batch)
    start = int(rng.integers(0, walks['joint_pos'].shape[1] - config.steps + 1))
    cut = {name: array[rows, start : start + config.steps] for name, array in walks.items()}
    level = float(rng.uniform(*config.noise))
    usual = SensorNoise()
    noise = SensorNoise(*(level * value for value in vars(usual).values()))
    state, target = _felt(cut, noise, rng)
    wrong = rng.normal(0.0, config.joint_offset_rad, (config.batch, 1, 12))
    state.joint_pos = state.joint_pos + wrong
    state.base_ang_vel = state.base_ang_vel + rng.normal(
        0.0, config.gyro_bias_rad_s, (config.batch, 1, 3)
    )
    tilt = rng.normal(0.0, 0.5 * config.mount_rad, (config.batch, 1, 4))
    state.quat_wxyz = state.quat_wxyz + tilt * np.array([0.0, 1.0, 1.0, 1.0])
    state.quat_wxyz /= np.linalg.norm(state.quat_wxyz, axis=-1, keepdims=True)
    inputs = velocity_inputs(state, target)
    truth = cut['planar_velocity'][..., :2].astype(np.float32)
    return torch.from_numpy(inputs), torch.from_numpy(truth)

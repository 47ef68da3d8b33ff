"""`make-agent train familiar`: what walks look like, from the training side of the split only.

The policies of the zoo walk in randomised worlds; windows of their walks, with errors of real
sensors, give the density of `recording.familiar`. Whatever becomes a threshold is measured on
behaviours that the density was not fitted to: in turns a fifth of the behaviours is left out.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from scipy.cluster.vq import kmeans2

from make_agent_ros.generator.embedding import RATE_HZ
from make_agent_ros.go2.state import projected_gravity
from make_agent_ros.recording.checks import unfamiliar_score, wiring_score
from make_agent_ros.recording.doubts import plain_checks
from make_agent_ros.recording.familiar import (
    SHARES,
    WALKS_FILE,
    Cycles,
    FamiliarWalks,
    measure_cycles,
)
from make_agent_ros.recording.gait import describe_gait
from make_agent_ros.recording.prompt import MAX_TILT_RAD, MIN_PERIODICITY
from make_agent_ros.recording.trajectory import Trajectory
from make_agent_ros.simulation.batch import SensorNoise
from make_agent_ros.training.behaviour import BehaviourSet, feasible
from make_agent_ros.training.progress import Report
from make_agent_ros.training.prompts import SETTLE_S
from make_agent_ros.training.scripted import scripted_walks
from make_agent_ros.training.walks import Walks, record_walks, walking_commands
from make_agent_ros.training.zoo import Zoo

FOLDS = 5
EM_ROUNDS = 15


@dataclass(frozen=True)
class FamiliarConfig:
    """What `make-agent train familiar` takes."""

    takes: int = 3
    """Walks per behaviour: the first at its own velocity, the others at random ones."""
    seconds: float = 6.0
    """Of each walk, after settling."""
    windows: tuple[float, ...] = (4.0, 4.0, 3.0, 2.0)
    """Lengths of the windows cut from each walk at random, s."""
    noise: tuple[float, float] = (0.2, 1.5)
    """Range of the noise on the windows, in units of the usual sensor noise."""
    joint_offset_rad: float = 0.02
    """Standard deviation of a zero error of each joint."""
    mount_rad: float = 0.02
    """Standard deviation of the IMU's mounting error per axis."""
    gyro_bias_rad_s: float = 0.02
    components: int = 8
    """Gaussians."""
    gains: tuple[float, float] = (0.5, 1.4)
    """Range of the factor on the gains of the other controller."""
    ridge: float = 0.1
    """Added to the variance of each feature, in units of its spread squared."""
    quantile: float = 0.995
    """Of walks left out of the fit that stay under each threshold."""
    plain_quantile: float = 0.995
    """Of walks that stay under the limits of the checks without statistics."""
    seed: int = 17


class FamiliarError(ValueError):
    """Too few walks to say what walks look like."""


@dataclass(frozen=True)
class Windows:
    """Equally long windows of n walks, with errors of sensors, that a prompt could be."""

    behaviour: np.ndarray
    """Of each window, (n,)."""
    cycles: Cycles
    axes: np.ndarray
    """Step frequency Hz, body height m, swing height m, (n, 3)."""
    prompts: list[Trajectory]


def windows_of(
    walks: Walks, length_s: float, config: FamiliarConfig, rng: np.random.Generator
) -> Windows:
    """Cut one window of every walk, with errors of real sensors; unsteady ones are left out."""
    n, steps = len(walks.behaviour), round(length_s * RATE_HZ)
    start = rng.integers(0, walks.joint_pos.shape[1] - steps + 1, n)
    rows = start[:, None] + np.arange(steps)

    def cut(values: np.ndarray) -> np.ndarray:
        return np.take_along_axis(values, rows[..., None], axis=1).astype(np.float64)

    usual = SensorNoise()
    level = rng.uniform(*config.noise, (n, 1, 1))

    def noisy(values: np.ndarray, width: float, offset: float) -> np.ndarray:
        constant = offset * rng.standard_normal((n, 1, values.shape[2]))
        return values + constant + level * width * rng.uniform(-1.0, 1.0, values.shape)

    quat = _tilted(cut(walks.quat_wxyz), config.mount_rad * rng.standard_normal((n, 1, 3)))
    rate = noisy(cut(walks.base_ang_vel), usual.gyro_rad_s, config.gyro_bias_rad_s)
    joints = noisy(cut(walks.joint_pos), usual.joint_pos_rad, config.joint_offset_rad)
    speeds = noisy(cut(walks.joint_vel), usual.joint_vel_rad_s, 0.0)
    gravity = projected_gravity(quat)
    gait = describe_gait(joints, gravity, RATE_HZ)
    upright = gravity[..., 2].max(axis=1) < -np.cos(MAX_TILT_RAD)
    steady = np.flatnonzero(upright & (gait.periodicity >= MIN_PERIODICITY))
    axes = np.stack((gait.frequency_hz, gait.body_height_m, gait.swing_height_m), axis=-1)
    prompts = [
        Trajectory(
            time_s=np.arange(steps) / RATE_HZ, quat_wxyz=quat[i], base_ang_vel=rate[i],
            joint_pos=joints[i], joint_vel=speeds[i], base_lin_acc=np.zeros((steps, 3)),
            joint_torque=np.zeros((steps, 12)), foot_force=np.zeros((steps, 4)),
        )
        for i in steady
    ]  # fmt: skip
    cycles = measure_cycles(quat[steady], rate[steady], joints[steady], RATE_HZ)
    return Windows(walks.behaviour[steady], cycles, axes[steady], prompts)


def _tilted(quat: np.ndarray, small: np.ndarray) -> np.ndarray:
    """Turn attitudes (n, T, 4) by small angles about the body axes, (n, 1, 3)."""
    w, x, y, z = np.moveaxis(quat, -1, 0)
    a, b, c = np.moveaxis(0.5 * small, -1, 0)
    turned = np.stack(
        (w - x * a - y * b - z * c, x + w * a + y * c - z * b, y + w * b - x * c + z * a,
         z + w * c + x * b - y * a), axis=-1,
    )  # fmt: skip
    return np.asarray(turned / np.linalg.norm(turned, axis=-1, keepdims=True))


def fit_walks(features: np.ndarray, components: int, ridge: float, seed: int) -> FamiliarWalks:
    """Fit a mixture of Gaussians by expectation-maximisation; thresholds and axes stay open.

    Args:
        features: (N, D).
        components: C.
        ridge: see `FamiliarConfig`.
        seed: of the first centres.
    """
    scale = features.std(axis=0) + 1e-9
    components = min(components, max(1, len(features) // 20))
    _, label = kmeans2(features / scale, components, minit='++', seed=seed)
    share = np.eye(components)[label].T
    for _ in range(EM_ROUNDS):
        walks = _maximise(features, share, scale, ridge)
        log_parts = walks.log_parts(features)
        share = np.exp(log_parts - np.logaddexp.reduce(log_parts, axis=0))
    return walks


def _maximise(
    features: np.ndarray, share: np.ndarray, scale: np.ndarray, ridge: float
) -> FamiliarWalks:
    """Return the Gaussians of rows that belong to them by `share`, (C, N)."""
    rows = features / scale
    means, whitens, log_weights = [], [], []
    for weight in share + 1e-12:
        total = weight.sum()
        mean = weight @ rows / total
        centred = rows - mean
        # few rows say little about a covariance: the ridge counts as many rows as features
        prior = ridge * (1.0 + len(scale) / total)
        covariance = (centred * weight[:, None]).T @ centred / total + prior * np.eye(len(scale))
        values, vectors = np.linalg.eigh(covariance)
        means.append(mean)
        whitens.append(vectors / np.sqrt(values))
        log_weights.append(np.log(total / len(rows)) - 0.5 * np.log(values).sum())
    open_end, none = np.array(np.inf), np.array([])
    return FamiliarWalks(
        scale, np.stack(means), np.stack(whitens), np.array(log_weights), open_end, open_end,
        np.zeros(3), np.full(3, np.inf), none.astype(str), none, np.full(len(SHARES), np.inf),
    )  # fmt: skip


def left_out(
    windows: Sequence[Windows], config: FamiliarConfig
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return distance and best wiring's ratio of windows whose behaviours the fit has not seen.

    Args:
        windows: one entry per length; each holds n windows.
        config: of the fit.

    Returns:
        Per length, (n,).
    """
    distance = [np.zeros(len(w.behaviour)) for w in windows]
    ratio = [np.zeros(len(w.behaviour)) for w in windows]
    for fold in range(FOLDS):
        inside = [w.behaviour % FOLDS == fold for w in windows]
        seen = [w.cycles[~rows].features() for w, rows in zip(windows, inside, strict=True)]
        walks = fit_walks(np.concatenate(seen), config.components, config.ridge, config.seed)
        for k, rows in enumerate(inside):
            some = windows[k].cycles[rows]
            distance[k][rows] = walks.distance(some.features())
            ratio[k][rows] = [r for _, r in walks.best_wirings(some)]
    return distance, ratio


def walk_training_side(
    folder: Path, config: FamiliarConfig, progress: Report | None = None
) -> Walks:
    """Walk the training side's styles and keep what stays upright.

    Every policy of the zoo walks `config.takes` times; once more another controller, whose gains
    differ from walk to walk, walks the same styles: a prompt may be anybody's.
    """
    zoo = Zoo.load(folder / 'zoo_training.safetensors')
    rng = np.random.default_rng([config.seed, 41])
    bundles = zoo.bundles()
    parts = []
    for take in range(config.takes):
        command = zoo.behaviours.default_command
        if take:
            command = feasible(walking_commands(rng, len(zoo)), zoo.behaviours.styles)
        walks = record_walks(
            bundles, BehaviourSet(zoo.behaviours.styles, command),
            SETTLE_S + config.seconds, config.seed * 101 + take, push_m_s=0.2,
        )  # fmt: skip
        parts.append(walks.steady(SETTLE_S))
        if progress:
            progress(take + 1, config.takes + 1, f'{len(parts[-1].behaviour)} of {len(zoo)} walk')
    scripted = scripted_walks(
        zoo.behaviours.styles, zoo.behaviours.default_command, SETTLE_S + config.seconds,
        config.seed * 103, gain=rng.uniform(*config.gains, len(zoo)),
    )  # fmt: skip
    parts.append(scripted.steady(SETTLE_S))
    return Walks.join(parts)


def fit_familiar(walks: Walks, config: FamiliarConfig) -> FamiliarWalks:
    """Fit the density to walks and set every threshold on walks left out of it.

    Args:
        walks: of training behaviours, upright and settled.
        config: sizes and errors.

    Raises:
        FamiliarError: too few of them are steady.
    """
    rng = np.random.default_rng([config.seed, 42])
    windows = [windows_of(walks, length, config, rng) for length in config.windows]
    if len(np.unique(windows[0].behaviour)) < 2 * FOLDS:
        raise FamiliarError(
            f'{len(windows[0].behaviour)} steady walks of {len(np.unique(windows[0].behaviour))} '
            f'behaviours; it takes {2 * FOLDS} behaviours. Train teacher and zoo for longer'
        )
    axes = np.concatenate([w.axes for w in windows])
    distance, ratio = left_out(windows, config)
    fitted = fit_walks(
        np.concatenate([w.cycles.features() for w in windows]),
        config.components, config.ridge, config.seed,
    )  # fmt: skip
    limits = [np.quantile(np.concatenate(values), config.quantile) for values in (distance, ratio)]
    # the score of a whole prompt is calibrated on windows of its usual length, the first
    kinds, plain = _plain_scores(windows[0].prompts)
    slacks = np.maximum(np.quantile(plain, config.plain_quantile, axis=0), 1.0)
    score = np.maximum(
        (plain / slacks).max(axis=1),
        np.maximum(unfamiliar_score(distance[0], limits[0]), wiring_score(ratio[0], limits[1])),
    )
    return replace(
        fitted, distance_limit=limits[0], wiring_limit=limits[1],
        axis_low=np.quantile(axes, 0.001, axis=0), axis_high=np.quantile(axes, 0.999, axis=0),
        kinds=np.array(kinds)[slacks > 1.0], slacks=slacks[slacks > 1.0],
        scores=np.quantile(score, 1.0 - SHARES),
    )  # fmt: skip


def _plain_scores(prompts: Sequence[Trajectory]) -> tuple[list[str], np.ndarray]:
    """Return the kinds of the checks without statistics and their scores, (n, K)."""
    found = [plain_checks(prompt) for prompt in prompts]
    return [doubt.kind for doubt in found[0]], np.array([[d.score for d in row] for row in found])


def train_familiar(folder: Path, config: FamiliarConfig, progress: Report | None = None) -> Path:
    """Fit and write `walks.npz` and `familiar.json` into the folder of a run.

    Args:
        folder: with `zoo_training.safetensors`.
        config: sizes and errors.
        progress: called with (takes done, takes, what).
    """
    started = time.monotonic()
    walks = walk_training_side(folder, config, progress)
    fitted = fit_familiar(walks, config)
    fitted.save(folder / WALKS_FILE)
    info = {
        'config': asdict(config), 'walks': len(walks.behaviour),
        'distance_limit': float(fitted.distance_limit),
        'wiring_limit': float(fitted.wiring_limit),
        'slacks': dict(zip(fitted.kinds.tolist(), fitted.slacks.tolist(), strict=True)),
        'seconds': round(time.monotonic() - started, 1),
    }  # fmt: skip
    (folder / 'familiar.json').write_text(json.dumps(info, indent=1) + '\n')
    return folder / WALKS_FILE

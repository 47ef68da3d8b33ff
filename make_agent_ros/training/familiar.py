"""Fitting `recording.familiar` to the walks of the zoo: training side of the split only.

`python -m make_agent_ros.training.familiar --folder runs/training` writes `models/walks.npz`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console

from make_agent_ros.generator.embedding import RATE_HZ
from make_agent_ros.go2.state import projected_gravity
from make_agent_ros.recording.familiar import (
    FEATURES,
    WALKS_FILE,
    Cycles,
    FamiliarWalks,
    measure_cycles,
)
from make_agent_ros.recording.gait import describe_gait
from make_agent_ros.simulation.batch import SensorNoise
from make_agent_ros.training.behaviour import BehaviourSet, feasible
from make_agent_ros.training.progress import Report, with_progress
from make_agent_ros.training.prompts import SETTLE_S
from make_agent_ros.training.walks import Walks, record_walks, walking_commands
from make_agent_ros.training.zoo import Zoo

FOLDS = 5


@dataclass(frozen=True)
class FamiliarConfig:
    """What fitting the walks takes."""

    folder: Path = Path('runs/training')
    """Run with `zoo_training.safetensors`."""
    out: Path = Path(WALKS_FILE)
    """File to write."""
    takes: int = 4
    """Walks per behaviour: the first at its own velocity, the others at random ones."""
    seconds: float = 6.0
    """Of each walk, after settling."""
    windows: tuple[float, ...] = (4.0, 4.0, 3.0, 2.0, 1.5)
    """Lengths of the windows cut from each walk at random, s."""
    noise: tuple[float, float] = (0.2, 1.5)
    """Range of the noise on the windows, in units of the usual sensor noise."""
    joint_offset_rad: float = 0.02
    """Standard deviation of a zero error of each joint."""
    mount_rad: float = 0.02
    """Standard deviation of the IMU's mounting error per axis."""
    gyro_bias_rad_s: float = 0.02
    ridge: float = 0.01
    """Added to the variance of each feature, in units of its spread squared."""
    quantile: float = 0.995
    """Of walks left out of the fit that stay under each threshold."""
    seed: int = 17


def windows_of(
    walks: Walks, length_s: float, config: FamiliarConfig, rng: np.random.Generator
) -> tuple[Cycles, np.ndarray]:
    """Cut one window of every walk, with errors of real sensors.

    Returns:
        The windows as cycles, and step frequency, body and swing height of each, (n, 3).
    """
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
    gait = describe_gait(joints, projected_gravity(quat), RATE_HZ)
    axes = np.stack((gait.frequency_hz, gait.body_height_m, gait.swing_height_m), axis=-1)
    return measure_cycles(quat, rate, joints, RATE_HZ), axes


def _tilted(quat: np.ndarray, small: np.ndarray) -> np.ndarray:
    """Turn attitudes (n, T, 4) by small angles about the body axes, (n, 1, 3)."""
    w, x, y, z = np.moveaxis(quat, -1, 0)
    a, b, c = np.moveaxis(0.5 * small, -1, 0)
    turned = np.stack(
        (w - x * a - y * b - z * c, x + w * a + y * c - z * b, y + w * b - x * c + z * a,
         z + w * c + x * b - y * a), axis=-1,
    )  # fmt: skip
    return np.asarray(turned / np.linalg.norm(turned, axis=-1, keepdims=True))


def fit_walks(features: np.ndarray, family: np.ndarray, ridge: float) -> FamiliarWalks:
    """Fit one Gaussian per gait family; thresholds and axes are left open.

    Args:
        features: (N, D).
        family: of each row, (N,).
        ridge: see `FamiliarConfig`.
    """
    scale = features.std(axis=0) + 1e-9
    means, whitens, log_dets = [], [], []
    for k in np.unique(family):
        rows = features[family == k] / scale
        covariance = np.cov(rows.T) + ridge * np.eye(features.shape[1])
        values, vectors = np.linalg.eigh(covariance)
        means.append(rows.mean(axis=0))
        whitens.append(vectors / np.sqrt(values))
        log_dets.append(np.log(values).sum())
    open_end = np.array(np.inf)
    return FamiliarWalks(
        scale, np.stack(means), np.stack(whitens), np.array(log_dets), open_end, open_end,
        np.zeros(3), np.full(3, np.inf),
    )  # fmt: skip


def left_out(
    windows: Sequence[Cycles], family: np.ndarray, behaviour: np.ndarray, ridge: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return distance and best wiring's ratio of windows whose behaviours the fit has not seen.

    Args:
        windows: of all walks, one entry per length; each holds n windows.
        family: of each walk, (n,).
        behaviour: index of each walk's behaviour, (n,).
        ridge: see `FamiliarConfig`.

    Returns:
        Each of shape (lengths * n,), length by length.
    """
    features = [c.features() for c in windows]
    distance = np.zeros((len(windows), len(family)))
    ratio = np.zeros_like(distance)
    for fold in range(FOLDS):
        inside = behaviour % FOLDS == fold
        outside = ~inside
        walks = fit_walks(
            np.concatenate([f[outside] for f in features]),
            np.tile(family[outside], len(windows)),
            ridge,
        )
        for k, cycles in enumerate(windows):
            some = Cycles(cycles.frequency_hz[inside], cycles.mean[inside], cycles.first[inside])
            distance[k, inside] = walks.distance(some.features())
            ratio[k, inside] = [r for _, r in walks.best_wiring(some)]
    return distance.ravel(), ratio.ravel()


def train_familiar(config: FamiliarConfig, progress: Report | None = None) -> FamiliarWalks:
    """Record the training side's walks, fit the density, set the thresholds.

    Args:
        config: sizes and errors.
        progress: called with (walks done, walks, what).
    """
    zoo = Zoo.load(config.folder / 'zoo_training.safetensors')
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
            progress(take + 1, config.takes, f'{len(parts[-1].behaviour)} of {len(zoo)} walk')
    walks = Walks.join(parts)
    cut = [windows_of(walks, length, config, rng) for length in config.windows]
    windows, axes = [c for c, _ in cut], np.concatenate([a for _, a in cut])
    family = zoo.behaviours.styles.family[walks.behaviour]
    distance, ratio = left_out(windows, family, walks.behaviour, config.ridge)
    features = np.concatenate([c.features() for c in windows])
    fitted = fit_walks(features, np.tile(family, len(windows)), config.ridge)
    return FamiliarWalks(
        fitted.scale, fitted.mean, fitted.whiten, fitted.log_det,
        np.quantile(distance, config.quantile), np.quantile(ratio, config.quantile),
        np.quantile(axes, 0.001, axis=0), np.quantile(axes, 0.999, axis=0),
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit and write; the options are those of `FamiliarConfig`."""
    config = tyro.cli(FamiliarConfig, args=arguments, prog='training.familiar')
    walks = with_progress('walks', lambda report: train_familiar(config, report))
    walks.save(config.out)
    Console().print(
        f'{config.out}: {len(walks.log_det)} Gaussians over {FEATURES} features; distance below '
        f'{float(walks.distance_limit):.2f}, wiring ratio below {float(walks.wiring_limit):.2f}'
    )


if __name__ == '__main__':
    main()

"""How joints and IMU go together in a walk: a density over many walks, and what departs from it.

A gait rolls and pitches the trunk as its legs push it: a pace rolls, a bound pitches, in step with
the feet. Legs in another order, a turned sign or a turned IMU break that relation although every
number stays plausible. So a window is described by one cycle (`features`), Gaussians over the
cycles of many simulated walks give its likelihood, and two figures come out:

- distance: minus the log-likelihood, in nats per feature. Far from all walks: no Go2 walk.
- the wiring that fits better than the plain reading, and by how much (log-likelihood ratio). The
  style of the walk cancels in it, which makes it far sharper than the distance.

The numbers are in `models/walks.npz`, made by `training.familiar` from the training side of the
split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import numpy as np

from make_agent_ros.go2.constants import NOMINAL_JOINT_POS
from make_agent_ros.go2.state import projected_gravity
from make_agent_ros.recording.errors import RecordingError
from make_agent_ros.recording.gait import fit_cycle
from make_agent_ros.recording.trajectory import Trajectory, load_npz
from make_agent_ros.recording.wiring import WIRINGS, Reading, Wiring, plain, raw_channels
from make_agent_ros.resources import resource_path

WALKS_FILE = 'models/walks.npz'
FEATURES = 54
"""Frequency, 18 means, real and imaginary parts of 18 fundamentals, less one fixed by phase."""
_CALF = 8
"""Channel whose fundamental gives the phase: FL calf, most bent in mid-swing."""
_UNIT = np.repeat([0.5, 3.0, 2.0], [3, 3, 12])


@dataclass(frozen=True)
class Cycles:
    """Windows of motion as Fourier coefficients of raw channels; leading shape (B,)."""

    frequency_hz: np.ndarray
    mean: np.ndarray
    """(B, 24)."""
    first: np.ndarray
    """Complex fundamental, (B, 24)."""

    def features(self, read: Reading = plain) -> np.ndarray:
        """Return the windows as the density sees them, (B, FEATURES), under one reading."""
        mean, first = read(self.mean) * _UNIT, read(self.first) * _UNIT
        # time shall begin where the FL calf turns: two windows of one gait then agree
        first = first * np.exp(-1j * np.angle(first[:, _CALF : _CALF + 1]))
        sine = np.delete(first.imag, _CALF, axis=1)
        return np.concatenate((self.frequency_hz[:, None], mean, first.real, sine), axis=1)


def measure_cycles(
    quat_wxyz: np.ndarray, base_ang_vel: np.ndarray, joint_pos: np.ndarray, rate_hz: float
) -> Cycles:
    """Return windows as cycles.

    Args:
        quat_wxyz: (B, T, 4).
        base_ang_vel: rad/s, (B, T, 3).
        joint_pos: package order, rad, (B, T, 12).
        rate_hz: samples per second.
    """
    frequency, first = fit_cycle(
        joint_pos,
        projected_gravity(quat_wxyz),
        raw := raw_channels(quat_wxyz, base_ang_vel, joint_pos - NOMINAL_JOINT_POS),
        rate_hz,
    )
    return Cycles(frequency, raw.mean(axis=1), first)


def prompt_cycles(prompts: Sequence[Trajectory]) -> Cycles:
    """Return prompts of equal length and rate as cycles."""
    return measure_cycles(
        np.stack([p.quat_wxyz for p in prompts]),
        np.stack([p.base_ang_vel for p in prompts]),
        np.stack([p.joint_pos for p in prompts]),
        prompts[0].rate_hz,
    )


@dataclass(frozen=True)
class FamiliarWalks:
    """A mixture of C Gaussians over D features, and the thresholds that training set."""

    scale: np.ndarray
    """Spread of each feature over all walks, (D,)."""
    mean: np.ndarray
    """In units of `scale`, (C, D)."""
    whiten: np.ndarray
    """Whitening matrices, (C, D, D)."""
    log_det: np.ndarray
    """Of each covariance, (C,)."""
    distance_limit: np.ndarray
    """Distance that walks of behaviours left out of the fit stay under, ()."""
    wiring_limit: np.ndarray
    """Log-likelihood ratio, nats per feature, that they stay under, ()."""
    axis_low: np.ndarray
    """Lowest step frequency Hz, body height m, swing height m of the walks, (3,)."""
    axis_high: np.ndarray
    """Highest."""

    def distance(self, features: np.ndarray) -> np.ndarray:
        """Return minus the log-likelihood per feature, (B,), of features (B, D)."""
        scaled = features / self.scale
        each = [
            0.5 * (((scaled - mean) @ whiten) ** 2).sum(axis=1) + 0.5 * log_det
            for mean, whiten, log_det in zip(self.mean, self.whiten, self.log_det, strict=True)
        ]
        return np.asarray(np.min(each, axis=0) / features.shape[1])

    def best_wiring(self, cycles: Cycles) -> list[tuple[Wiring, float]]:
        """Return the reading beside the plain one that fits each window best.

        Returns:
            Per window the wiring, and how much better it fits than the plain reading, nats per
            feature; negative where the plain one fits best.
        """
        distance = np.stack([self.distance(cycles.features(w.read)) for w in WIRINGS])
        best = distance.argmin(axis=0)
        ratio = self.distance(cycles.features()) - distance.min(axis=0)
        return [(WIRINGS[i], float(r)) for i, r in zip(best, ratio, strict=True)]

    def save(self, path: str | Path) -> None:
        """Write as NPZ, single precision."""
        arrays = {f.name: np.asarray(getattr(self, f.name), np.float32) for f in fields(self)}
        with Path(path).open('wb') as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: str | Path | None = None) -> FamiliarWalks:
        """Read a file; the shipped one when none is given.

        Raises:
            RecordingError: no such file, or not what `save` writes.
        """
        try:
            path = Path(path) if path is not None else resource_path(WALKS_FILE)
        except FileNotFoundError as error:
            raise RecordingError(str(error)) from error
        arrays = load_npz(path)
        names = [f.name for f in fields(cls)]
        if missing := [name for name in names if name not in arrays]:
            raise RecordingError(f'{path}: lacks {", ".join(missing)}; fit the walks again')
        walks = cls(**{name: np.asarray(arrays[name], dtype=np.float64) for name in names})
        count = len(walks.log_det)
        if walks.whiten.shape != (count, FEATURES, FEATURES):
            raise RecordingError(
                f'{path}: whitening of shape {walks.whiten.shape}, expected '
                f'{(count, FEATURES, FEATURES)}; fit the walks again'
            )
        return walks


@cache
def shipped_walks() -> FamiliarWalks:
    """Return the walks that the package ships; read once."""
    return FamiliarWalks.load()

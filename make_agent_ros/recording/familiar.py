"""How joints and IMU go together in a walk: a density over many walks, and what departs from it.

A gait rolls and pitches the trunk as its legs push it: a pace rolls, a bound pitches, in step with
the feet. Legs in another order, a turned sign or a turned IMU break that relation although every
number stays plausible. So a window is described by one cycle (`features`), Gaussians over the
cycles of many simulated walks give its likelihood, and two figures come out:

- distance: minus the log-likelihood, in nats per feature. Far from all walks: no Go2 walk.
- the wiring that fits better than the plain reading, and by how much (log-likelihood ratio). The
  style of the walk cancels in it, which makes it far sharper than the distance.

The numbers are in `walks.npz` beside the generator, made by `make-agent train familiar` from the
training side of the split; so are the thresholds and how rare each score is among walks.
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

WALKS_FILE = 'walks.npz'
"""In the folder of a run, and in `models/`: beside the folder of the generator."""
SHARES = np.array([1.0, 0.9, 0.75, 0.5, 0.25, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001])
"""Shares of good walks whose score is at least `FamiliarWalks.scores`."""
FEATURES = 54
"""Frequency, 18 means, real and imaginary parts of 18 fundamentals, less one fixed by phase."""
_CALF = 8
"""Channel whose fundamental gives the phase: FL calf, most bent in mid-swing."""
_UNIT = np.repeat([0.5, 3.0, 2.0], [3, 3, 12])
ALIKE = 0.05
"""Nats per feature within which two readings fit equally well."""


@dataclass(frozen=True)
class Cycles:
    """Windows of motion as Fourier coefficients of raw channels; leading shape (B,)."""

    frequency_hz: np.ndarray
    mean: np.ndarray
    """(B, 24)."""
    first: np.ndarray
    """Complex fundamental, (B, 24)."""

    def __getitem__(self, ids: np.ndarray) -> Cycles:
        """Return some of the windows."""
        return Cycles(self.frequency_hz[ids], self.mean[ids], self.first[ids])

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
    log_weight: np.ndarray
    """Logarithm of each Gaussian's share less half the log determinant of its covariance, (C,)."""
    distance_limit: np.ndarray
    """Distance that walks of behaviours left out of the fit stay under, ()."""
    wiring_limit: np.ndarray
    """Log-likelihood ratio, nats per feature, that they stay under, ()."""
    axis_low: np.ndarray
    """Lowest step frequency Hz, body height m, swing height m of the walks, (3,)."""
    axis_high: np.ndarray
    """Highest."""
    kinds: np.ndarray
    """Names of the checks whose limits the walks exceed, (K,) strings; see `slack`."""
    slacks: np.ndarray
    """Score by its own limit that walks reach in each of these checks, above 1, (K,)."""
    scores: np.ndarray
    """Score of walks at each of `SHARES`."""

    def distance(self, features: np.ndarray) -> np.ndarray:
        """Return minus the log-likelihood per feature, (B,), of features (B, D)."""
        return np.asarray(
            -np.logaddexp.reduce(self.log_parts(features), axis=0) / features.shape[1]
        )

    def log_parts(self, features: np.ndarray) -> np.ndarray:
        """Return the log-density of each Gaussian with its share, (C, B), up to a constant."""
        scaled = features / self.scale
        return np.stack(
            [
                log_weight - 0.5 * (((scaled - mean) @ whiten) ** 2).sum(axis=1)
                for mean, whiten, log_weight in zip(
                    self.mean, self.whiten, self.log_weight, strict=True
                )
            ]
        )

    def best_wirings(self, cycles: Cycles) -> list[tuple[tuple[Wiring, ...], float]]:
        """Return the readings beside the plain one that fit each window best.

        Returns:
            Per window the wirings within `ALIKE` of the best, that one first, and how much better
            it fits than the plain reading, nats per feature; negative where the plain one fits
            best. There are several where a gait does not tell them apart: a symmetric trot with
            left and right swapped is one with the hips counted the other way round.
        """
        distance = np.stack([self.distance(cycles.features(w.read)) for w in WIRINGS])
        least = distance.min(axis=0)
        ratio = self.distance(cycles.features()) - least
        order = distance.argsort(axis=0, kind='stable')
        return [
            (
                tuple(WIRINGS[i] for i in order[:, k] if distance[i, k] <= least[k] + ALIKE),
                float(r),
            )
            for k, r in enumerate(ratio)
        ]

    def slack(self, kind: str) -> float:
        """Return by what the score of a check is divided: 1, or more where walks go beyond."""
        return float(max([1.0, *self.slacks[self.kinds == kind]]))

    def rarity(self, score: float) -> float:
        """Return the share of good walks that score at least as high; 0 beyond all of them."""
        if score > self.scores[-1]:
            return 0.0
        return float(np.exp(np.interp(score, self.scores, np.log(SHARES))))

    def save(self, path: str | Path) -> None:
        """Write as NPZ, single precision."""
        arrays = {f.name: np.asarray(getattr(self, f.name)) for f in fields(self)}
        plain_numbers = {
            name: values if values.dtype.kind == 'U' else values.astype(np.float32)
            for name, values in arrays.items()
        }
        with Path(path).open('wb') as file:
            np.savez_compressed(file, **plain_numbers)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: str | Path) -> FamiliarWalks:
        """Read a file.

        Raises:
            RecordingError: no such file, or not what `save` writes.
        """
        path = Path(path)
        arrays = load_npz(path)
        names = [f.name for f in fields(cls)]
        if missing := [name for name in names if name not in arrays]:
            raise RecordingError(
                f'{path}: lacks {", ".join(missing)}; run `make-agent train familiar` again'
            )
        walks = cls(
            **{
                name: values if values.dtype.kind == 'U' else values.astype(np.float64)
                for name, values in ((name, arrays[name]) for name in names)
            }
        )
        walks.check(path)
        return walks

    def check(self, path: Path) -> None:
        """Compare the shapes with what this version of the package reads.

        Raises:
            RecordingError: they differ.
        """
        count, size = len(np.atleast_1d(self.log_weight)), FEATURES
        wanted = {
            'scale': (size,), 'mean': (count, size), 'whiten': (count, size, size),
            'log_weight': (count,), 'axis_low': (3,), 'axis_high': (3,), 'distance_limit': (),
            'wiring_limit': (), 'slacks': self.kinds.shape, 'scores': SHARES.shape,
        }  # fmt: skip
        for name, shape in wanted.items():
            if (found := getattr(self, name).shape) != shape:
                raise RecordingError(
                    f'{path}: {name} has shape {found}, expected {shape}; run `make-agent train '
                    'familiar` again'
                )


def walks_beside(generator: Path) -> FamiliarWalks | None:
    """Return the walks that belong to a generator; None where none were fitted.

    Args:
        generator: its folder.

    Raises:
        RecordingError: a file that cannot be read.
    """
    path = generator.parent / WALKS_FILE
    return FamiliarWalks.load(path) if path.is_file() else None


@cache
def shipped_walks() -> FamiliarWalks | None:
    """Return the walks that belong to the shipped generator, read once; None without them.

    Raises:
        RecordingError: a file that cannot be read.
    """
    try:
        return FamiliarWalks.load(resource_path(f'models/{WALKS_FILE}'))
    except FileNotFoundError:
        return None

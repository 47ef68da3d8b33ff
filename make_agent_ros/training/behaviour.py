"""The space of behaviour: what a style is, and how styles are drawn and split.

A style says how the legs move; the velocity command says where to. Phases follow the convention
of walk-these-ways (arXiv 2212.03238): leg i is at phase f t + offset_i, in stance while the phase
is below the duty factor, in swing after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import numpy as np
import yaml

from make_agent_ros.resources import resource_path

FAMILIES: dict[str, tuple[float, float, float, float]] = {
    'trot': (0.0, 0.5, 0.5, 0.0),
    'pace': (0.0, 0.5, 0.0, 0.5),
    'bound': (0.0, 0.0, 0.5, 0.5),
    'pronk': (0.0, 0.0, 0.0, 0.0),
}
"""Phase offsets of FL, FR, RL, RR in cycles."""

OFFSET_JITTER = 0.05
"""Half-width of the spread of each leg's offset about its family's, cycles."""

RANGES: dict[str, tuple[float, float]] = {
    'frequency_hz': (1.5, 4.0),
    'body_height_m': (0.20, 0.34),
    'swing_height_m': (0.03, 0.12),
}

COMMAND_LOW = np.array([-0.6, -0.4, -1.0])
"""Lowest command that policies are trained for: vx m/s, vy m/s, wz rad/s."""
COMMAND_HIGH = np.array([1.2, 0.4, 1.0])

STAND_BELOW, WALK_ABOVE = 0.05, 0.15
"""Commands weaker than the first mean standing; the gait fades in up to the second, m/s."""

MAX_STRIDE_M = 0.36
"""Longest path of a foot under the body in one stance, m; leg reach at 0.34 m allows 0.4."""

STYLE_SIZE = 10


@dataclass(frozen=True)
class Styles:
    """A batch of styles; every array has leading shape (n,)."""

    family: np.ndarray
    """Index into `FAMILIES`."""
    offsets: np.ndarray
    """Phase offset of each leg, cycles, FL = 0, shape (n, 4)."""
    frequency_hz: np.ndarray
    duty: np.ndarray
    """Share of the cycle that each foot is on the ground."""
    body_height_m: np.ndarray
    swing_height_m: np.ndarray

    def __len__(self) -> int:
        """Number of styles."""
        return len(self.family)

    def __getitem__(self, ids: np.ndarray | slice) -> Styles:
        """Return a sub-batch."""
        return Styles(*(getattr(self, f.name)[ids] for f in fields(self)))

    def set(self, ids: np.ndarray, other: Styles) -> None:
        """Overwrite rows `ids` in place."""
        for f in fields(self):
            getattr(self, f.name)[ids] = getattr(other, f.name)

    def repeat(self, times: int) -> Styles:
        """Return each style `times` times in a row."""
        return Styles(*(np.repeat(getattr(self, f.name), times, axis=0) for f in fields(self)))

    def vector(self) -> np.ndarray:
        """Return the styles as network input, each value about in -1..1, shape (n, 10)."""
        angle = 2.0 * np.pi * self.offsets[:, 1:]
        scalars = [
            (getattr(self, name) - (low + high) / 2) / ((high - low) / 2)
            for name, (low, high) in RANGES.items()
        ]
        columns = [*scalars, (self.duty - 0.55) / 0.1]
        return np.concatenate(
            (np.sin(angle), np.cos(angle), np.stack(columns, axis=-1)), axis=-1
        ).astype(np.float32)

    def table(self) -> dict[str, np.ndarray]:
        """Return the fields by name, for saving."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def nominal_duty(family: np.ndarray, frequency_hz: np.ndarray) -> np.ndarray:
    """Return the duty factor at the centre of the space, shape (n,).

    Slow gaits keep the feet down longer: a flight phase of 0.5 / f would need a leap of
    g (0.5 / f)^2 / 8, 14 cm at 1.5 Hz, and a pace cannot fall sideways for a third of a second.
    """
    slow = np.clip((2.75 - frequency_hz) / 1.25, 0.0, 1.0)
    extra = np.array([0.08, 0.12, 0.12, 0.16])[family]
    return 0.5 + extra * slow


def sample_styles(
    rng: np.random.Generator,
    n: int,
    families: Sequence[str] | np.ndarray | None = None,
    frequency_share: np.ndarray | None = None,
) -> Styles:
    """Draw styles uniformly.

    Args:
        rng: source of randomness.
        n: how many.
        families: names to draw from, or one family index per style; all families if omitted.
        frequency_share: place of each style in the range of frequencies, 0..1, shape (n,); drawn
            if omitted.
    """
    if isinstance(families, np.ndarray):
        family = families
    else:
        names = list(FAMILIES)
        choice = [names.index(name) for name in (families or names)]
        family = np.array(choice)[rng.integers(len(choice), size=n)]
    drawn = {name: rng.uniform(low, high, n) for name, (low, high) in RANGES.items()}
    if frequency_share is not None:
        low, high = RANGES['frequency_hz']
        drawn['frequency_hz'] = low + (high - low) * frequency_share
    jitter = rng.uniform(-OFFSET_JITTER, OFFSET_JITTER, (n, 4))
    jitter[:, 0] = 0.0
    offsets = (np.array(list(FAMILIES.values()))[family] + jitter) % 1.0
    duty = nominal_duty(family, drawn['frequency_hz']) + rng.uniform(-0.02, 0.05, n)
    return Styles(family, offsets, drawn['frequency_hz'], duty, drawn['body_height_m'],
                  drawn['swing_height_m'])  # fmt: skip


def sample_commands(rng: np.random.Generator, n: int) -> np.ndarray:
    """Draw velocity commands: a mix of all directions, straight lines and standing, (n, 3)."""
    command = rng.uniform(COMMAND_LOW, COMMAND_HIGH, (n, 3))
    kind = rng.random(n)
    command[kind < 0.30, 1:] = 0.0
    command[(kind >= 0.30) & (kind < 0.40), 1] = 0.0
    command[(kind >= 0.40) & (kind < 0.47), ::2] = 0.0
    command[kind > 0.85] = 0.0
    return command


def sample_default_commands(rng: np.random.Generator, n: int) -> np.ndarray:
    """Draw the velocities at which demonstrations move, (n, 3): mostly forward, some turning."""
    command = np.stack(
        (rng.uniform(0.25, 0.9, n), rng.uniform(-0.15, 0.15, n), rng.uniform(-0.5, 0.5, n)), -1
    )
    straight = rng.random(n) < 0.6
    command[straight, 1:] = 0.0
    return command


def moving(command: np.ndarray) -> np.ndarray:
    """Return how far the gait is faded in, 0 (stand) to 1 (walk), for commands (..., 3)."""
    strength = np.sqrt(command[..., 0] ** 2 + command[..., 1] ** 2 + (0.3 * command[..., 2]) ** 2)
    return np.clip((strength - STAND_BELOW) / (WALK_ABOVE - STAND_BELOW), 0.0, 1.0)


def feasible(command: np.ndarray, styles: Styles) -> np.ndarray:
    """Scale down planar commands that the legs are too short for, (n, 3).

    A foot travels v * duty / f under the body in one stance; beyond `MAX_STRIDE_M` a slow gait
    cannot follow, and training on it would only teach to fail.
    """
    speed = np.linalg.norm(command[:, :2], axis=1)
    limit = MAX_STRIDE_M * styles.frequency_hz / styles.duty
    scaled = command.copy()
    scaled[:, :2] *= np.minimum(1.0, limit / np.maximum(speed, 1e-6))[:, None]
    return scaled


@dataclass(frozen=True)
class BehaviourSet:
    """Behaviours of one side of the split: styles and the velocities they are shown at."""

    styles: Styles
    default_command: np.ndarray
    """vx, vy m/s, wz rad/s, shape (n, 3)."""

    def __len__(self) -> int:
        """Number of behaviours."""
        return len(self.styles)


@dataclass(frozen=True)
class Split:
    """The split of `config/behaviours.yaml`."""

    seed: int = 7
    training: int = 640
    held_out: int = 100
    demonstration: int = 0

    @classmethod
    def load(cls, path: Path | None = None) -> Split:
        """Read the split from YAML; the package's own file when no path is given."""
        text = (path or resource_path('config/behaviours.yaml')).read_text()
        return cls(**yaml.safe_load(text))

    def behaviours(self, side: Literal['training', 'held_out']) -> BehaviourSet:
        """Draw one side, reproducibly; families take equal shares."""
        count = self.training if side == 'training' else self.held_out
        rng = np.random.default_rng([self.seed, 0 if side == 'training' else 1])
        styles = sample_styles(rng, count, np.arange(count) % len(FAMILIES))
        return BehaviourSet(styles, feasible(sample_default_commands(rng, count), styles))

"""The space of behaviour: what a style is, and how styles are drawn.

A style says how the legs move; the velocity command says where to. Phases follow the convention
of walk-these-ways (arXiv 2212.03238): leg i is at phase f t + offset_i, in stance while the phase
is below the leg's duty factor, in swing after it. The offsets may lie anywhere on the torus; the
named gaits are points of it. `training.demand` says what physics asks of a style and leaves out
what no trunk survives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from make_agent_ros.generator.style import DUTY_RANGE as DUTY_RANGE
from make_agent_ros.generator.style import RANGES as RANGES
from make_agent_ros.generator.style import STYLE_SIZE as STYLE_SIZE
from make_agent_ros.generator.style import SWING_HEIGHT_RANGE_M as SWING_HEIGHT_RANGE_M
from make_agent_ros.generator.style import style_vector
from make_agent_ros.go2.constants import HIP_OFFSET_M
from make_agent_ros.policy.velocity import moving as moving
from make_agent_ros.recording.gait import Gait
from make_agent_ros.training.demand import demand_of

GAITS: dict[str, tuple[float, float, float, float]] = {
    'trot': (0.0, 0.5, 0.5, 0.0),
    'pace': (0.0, 0.5, 0.0, 0.5),
    'bound': (0.0, 0.0, 0.5, 0.5),
    'pronk': (0.0, 0.0, 0.0, 0.0),
    'walk': (0.0, 0.5, 0.25, 0.75),
    'canter': (0.0, 2 / 3, 1 / 3, 0.0),
}
"""Phase offsets of FL, FR, RL, RR in cycles: each leg's lead over FL. The walk is the lateral
sequence RL FL RR FR; an amble is its fast form with a short duty factor."""

ANYWHERE = -1
"""In place of a gait's index: offsets anywhere on the torus."""
OFFSET_JITTER = 0.06
"""Half-width of the spread of each leg's offset about its gait's, cycles."""

LEAST_SWING_S = 0.09
"""Shortest time in which a leg can be brought forward."""
SPARED_SHARE, UNEVEN_SHARE = 0.12, 0.12
"""Shares of styles that spare one leg (it steps short and lifts high), or lift legs unevenly."""

COMMAND_LOW = np.array([-0.6, -0.4, -1.0])
"""Lowest command that policies are trained for: vx m/s, vy m/s, wz rad/s."""
COMMAND_HIGH = np.array([1.2, 0.4, 1.0])

MAX_STRIDE_M = 0.36
"""Longest path of a foot under the body in one stance, m."""
SHOWN_STRIDE_M = 0.2
"""The same where a style is shown: what it looks like at the edge of what legs reach is no style.
Of walks of the teacher and of distilled policies against such prompts 5 % fail up to it, 29 %
beyond, where robots fall and legs lose their phase (177 styles, 10 worlds of 20 s; scratch
script)."""
LEG_REACH_M = 0.40
"""Distance from hip to foot that a stance may ask for, m; stretched, a leg has 0.426."""

_TRIES = 60


@dataclass(frozen=True)
class Styles:
    """A batch of styles; every array has leading shape (n,)."""

    offsets: np.ndarray
    """Phase offset of each leg, cycles, FL = 0, shape (n, 4)."""
    frequency_hz: np.ndarray
    duty: np.ndarray
    """Share of the cycle that each foot is on the ground, shape (n, 4)."""
    body_height_m: np.ndarray
    pitch_rad: np.ndarray
    """Nose down positive (REP-103)."""
    stance_width_m: np.ndarray
    """Distance between the left and the right feet."""
    swing_height_m: np.ndarray
    """Height of each foot in mid-swing, shape (n, 4)."""

    def __len__(self) -> int:
        """Number of styles."""
        return len(self.frequency_hz)

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

    @property
    def family(self) -> np.ndarray:
        """Index into `GAITS` of the nearest named gait, shape (n,)."""
        return np.asarray(gait_distances(self.offsets).argmin(axis=1))

    def vector(self) -> np.ndarray:
        """Return the styles as network input, each value about in -1..1, shape (n, 18)."""
        scalars = {name: getattr(self, name) for name in RANGES}
        return style_vector(self.offsets, scalars, self.duty, self.swing_height_m)

    def gait(self) -> Gait:
        """Return the styles as the gaits that `recording.describe_gait` should find, (n,).

        The description compares mid-swings: legs of unequal duty factor swing at other offsets
        than they touch down at.
        """
        mid_swing = (1.0 + self.duty) / 2.0
        zero = np.zeros(len(self))
        return Gait(
            frequency_hz=self.frequency_hz,
            duty_factor=self.duty,
            phase_offset=(self.offsets - mid_swing + mid_swing[:, :1]) % 1.0,
            body_height_m=self.body_height_m,
            swing_height_m=self.swing_height_m.mean(axis=1),
            pitch_rad=self.pitch_rad,
            roll_rad=zero,
            periodicity=zero + 1.0,
        )

    def table(self) -> dict[str, np.ndarray]:
        """Return the fields by name, for saving."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def join(cls, parts: Sequence[Styles]) -> Styles:
        """Return all styles of the parts."""
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))


def gait_distances(offsets: np.ndarray) -> np.ndarray:
    """Return the largest circular difference of any pair of legs to each named gait, (n, gaits).

    Pairs, not legs: no leg is the reference that all others are measured by.
    """
    named = np.array(list(GAITS.values()))
    difference = offsets[:, None] - named[None]
    pairs = difference[..., :, None] - difference[..., None, :]
    return np.asarray(np.abs((pairs + 0.5) % 1.0 - 0.5).max(axis=(-1, -2)))


Allowed = Callable[[Styles], np.ndarray]
"""Which styles may be drawn, bool, shape (n,)."""


def sample_styles(
    rng: np.random.Generator,
    n: int,
    gaits: np.ndarray | None = None,
    frequency_share: np.ndarray | None = None,
    allowed: Allowed | None = None,
) -> Styles:
    """Draw styles that physics allows.

    Args:
        rng: source of randomness.
        n: how many.
        gaits: index into `GAITS` of each style, or `ANYWHERE`, shape (n,); half of them anywhere
            when omitted.
        frequency_share: place of each style in the range of frequencies, 0..1, shape (n,); drawn
            if omitted.
        allowed: further condition; the demand on the trunk always counts.

    Raises:
        ValueError: no style found for some of the gaits under this condition.
    """
    if gaits is None:
        gaits = np.where(rng.random(n) < 0.5, ANYWHERE, rng.integers(len(GAITS), size=n))
    styles = _draw(rng, gaits, frequency_share)
    for _ in range(_TRIES):
        bad = np.flatnonzero(~_possible(styles, allowed))
        if not len(bad):
            return styles
        share = None if frequency_share is None else frequency_share[bad]
        styles.set(bad, _draw(rng, gaits[bad], share))
    # A gait may have no possible style at its frequency: take one anywhere on the torus.
    for _ in range(_TRIES):
        bad = np.flatnonzero(~_possible(styles, allowed))
        if not len(bad):
            return styles
        styles.set(bad, _draw(rng, np.full(len(bad), ANYWHERE), None))
    raise ValueError(f'no possible style found for {len(bad)} of {n}; widen the condition')


def demand_share(styles: Styles) -> np.ndarray:
    """Return what the styles ask of the trunk in units of the teacher's limits, (n,)."""
    return demand_of(styles.offsets, styles.duty, styles.frequency_hz, styles.stance_width_m).share


def toppling_s(styles: Styles) -> np.ndarray:
    """Return that share times the duration of a gait cycle: see `training.demand`, s, (n,)."""
    return demand_share(styles) / styles.frequency_hz


def _possible(styles: Styles, allowed: Allowed | None) -> np.ndarray:
    ok = demand_share(styles) <= 1.0
    return ok if allowed is None else ok & allowed(styles)


def _draw(
    rng: np.random.Generator, gaits: np.ndarray, frequency_share: np.ndarray | None
) -> Styles:
    """Draw one style per entry of `gaits`, (n,), whatever it demands."""
    n = len(gaits)
    drawn = {name: rng.uniform(low, high, n) for name, (low, high) in RANGES.items()}
    if frequency_share is not None:
        low, high = RANGES['frequency_hz']
        drawn['frequency_hz'] = low + (high - low) * frequency_share
    named = np.array(list(GAITS.values()))[np.maximum(gaits, 0)]
    near = named + rng.uniform(-OFFSET_JITTER, OFFSET_JITTER, (n, 4))
    offsets = np.where((gaits == ANYWHERE)[:, None], rng.random((n, 4)), near)
    offsets = (offsets - offsets[:, :1]) % 1.0
    # A flight of half a slow cycle would need a leap of 14 cm; a fast leg needs time to swing.
    slow = np.clip((4.0 - drawn['frequency_hz']) / 2.5, 0.0, 1.0)
    low, high = 0.42 + 0.10 * slow, np.minimum(0.78, 1.0 - LEAST_SWING_S * drawn['frequency_hz'])
    duty = np.repeat((low + (high - low) * rng.random(n) ** 1.5)[:, None], 4, axis=1)
    lowest, highest = SWING_HEIGHT_RANGE_M
    swing = np.repeat(rng.uniform(lowest, highest, n)[:, None], 4, axis=1)
    kind, leg = rng.random(n), rng.integers(4, size=n)
    spared = np.flatnonzero(kind < SPARED_SHARE)
    duty[spared, leg[spared]] -= rng.uniform(0.08, 0.18, len(spared))
    swing[spared, leg[spared]] += rng.uniform(0.0, 0.04, len(spared))
    uneven = (kind >= SPARED_SHARE) & (kind < SPARED_SHARE + UNEVEN_SHARE)
    swing[uneven] *= rng.uniform(0.6, 1.5, (int(uneven.sum()), 4))
    return Styles(
        offsets,
        drawn['frequency_hz'],
        duty.clip(*DUTY_RANGE),
        drawn['body_height_m'],
        drawn['pitch_rad'],
        drawn['stance_width_m'],
        swing.clip(lowest, highest),
    )


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
    """Draw the velocities that demonstrations aim at, (n, 3): mostly forward, some turning."""
    command = np.stack(
        (rng.uniform(0.25, 0.9, n), rng.uniform(-0.15, 0.15, n), rng.uniform(-0.5, 0.5, n)), -1
    )
    straight = rng.random(n) < 0.6
    command[straight, 1:] = 0.0
    return command


def shown_commands(rng: np.random.Generator, styles: Styles) -> np.ndarray:
    """Draw the velocities that n styles are shown at, (n, 3)."""
    return feasible(sample_default_commands(rng, len(styles)), styles, SHOWN_STRIDE_M)


def longest_stride_m(styles: Styles) -> np.ndarray:
    """Return the longest path of a foot in one stance that the legs reach, m, shape (n,)."""
    lift = np.abs(np.sin(styles.pitch_rad)) * HIP_OFFSET_M[0, 0]
    leg = styles.body_height_m + lift
    return np.minimum(MAX_STRIDE_M, 2.0 * np.sqrt(np.maximum(LEG_REACH_M**2 - leg**2, 0.0)))


def feasible(command: np.ndarray, styles: Styles, stride_m: float = MAX_STRIDE_M) -> np.ndarray:
    """Scale down planar commands that the legs are too short for, (n, 3).

    A foot travels v * duty / f under the body in one stance; beyond `longest_stride_m` a slow
    gait cannot follow, and training on it would only teach to fail.

    Args:
        command: (n, 3).
        styles: n of them.
        stride_m: further limit of that path.
    """
    speed = np.linalg.norm(command[:, :2], axis=1)
    stride = np.minimum(longest_stride_m(styles), stride_m)
    limit = stride * styles.frequency_hz / styles.duty.max(axis=1)
    scaled = command.copy()
    scaled[:, :2] *= np.minimum(1.0, limit / np.maximum(speed, 1e-6))[:, None]
    return scaled


@dataclass(frozen=True)
class BehaviourSet:
    """Behaviours: styles and the velocities they are shown at."""

    styles: Styles
    default_command: np.ndarray
    """vx, vy m/s, wz rad/s, shape (n, 3)."""

    def __len__(self) -> int:
        """Number of behaviours."""
        return len(self.styles)

    def __getitem__(self, ids: np.ndarray | slice) -> BehaviourSet:
        """Return some of them."""
        return BehaviourSet(self.styles[ids], self.default_command[ids])

"""What a gait is, in numbers: the one definition of every style metric in this package.

Everything comes from proprioception: joint angles give the feet relative to the base, projected
gravity levels them. Steps, over any batch of windows:

1. `h` = height of each foot below the base along gravity, `x` = its fore-aft position.
2. Step frequency: the f whose harmonics f, 2f, 3f hold the summed spectrum of all legs while
   nothing lies between them (f/2, 3f/2, ...), then refined by least squares.
3. A harmonic fit of every leg's `h` at that f gives one noise-free cycle per leg; `ground` turns
   it into the height above ground, free of the base's own bobbing.
4. Mid-swing is where the fundamental of that height peaks. Phase offsets compare mid-swings; legs
   of one duty factor give the offsets of touch-down, as in walk-these-ways (arXiv 2212.03238):
   leg i is at phase f t + offset_i, in stance while the phase is below the duty factor.
5. Duty factor: share of the cycle in which a foot is less than 8 mm above the ground, which is
   within a few percent what contact sensors of simulated robots say. Swing height: the highest
   point of the cycle.
6. Body height: mean height of the base over the cycle.

Contact, where it is known, tells which feet stand and gives the duty factor; a pronk needs it
(see `ground`), `odometry.loaded_feet` has it from leg torques. Measure both sides of a comparison
the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from make_agent_ros.go2.constants import FOOT_RADIUS_M
from make_agent_ros.go2.kinematics import foot_positions
from make_agent_ros.go2.state import roll_pitch
from make_agent_ros.recording import ground

FREQUENCY_RANGE_HZ = (1.0, 5.0)
HARMONICS = 5
MIN_WINDOW_S = 1.0
STILL_M = 0.0015
"""Foot motion of this size counts as noise: it halves the periodicity."""
_CHUNK = 200_000
"""Samples worked on at once; keeps the temporaries in cache-sized memory."""


@dataclass(frozen=True)
class Gait:
    """Style of a window of motion, or of a batch: every field has leading shape (...)."""

    frequency_hz: np.ndarray
    """Gait cycles per second (each leg steps once per cycle)."""
    duty_factor: np.ndarray
    """Share of the cycle that each foot is on the ground, shape (..., 4)."""
    phase_offset: np.ndarray
    """Lead of each leg over FL, cycles in [0, 1), shape (..., 4); FL is 0."""
    body_height_m: np.ndarray
    """Base origin above the ground while feet stand, m."""
    swing_height_m: np.ndarray
    """Highest point of the feet above their stance level, mean over legs, m."""
    pitch_rad: np.ndarray
    """Mean pitch, nose down positive (REP-103), rad."""
    roll_rad: np.ndarray
    """Mean roll, rad."""
    periodicity: np.ndarray
    """Share of the feet's motion that repeats at `frequency_hz`, 0 (stands, noise) to 1."""

    def __getitem__(self, ids: object) -> Gait:
        """Return a selection along the leading axes."""
        return Gait(*(getattr(self, f.name)[ids] for f in fields(self)))

    @classmethod
    def concatenate(cls, parts: Sequence[Gait], axis: int = 0) -> Gait:
        """Return batches of gaits as one, joined along a leading axis."""
        columns = ([getattr(part, f.name) for part in parts] for f in fields(cls))
        return cls(*(np.concatenate(column, axis) for column in columns))


def describe_gait(
    joint_pos: np.ndarray,
    gravity_b: np.ndarray,
    rate_hz: float,
    *,
    contact: np.ndarray | None = None,
) -> Gait:
    """Measure the style of windows of motion at a uniform rate.

    A window with NaN or Inf gives NaN everywhere and periodicity 0. A robot that stands gives
    periodicity near 0; its frequency, duty factor and phases then mean nothing.

    Args:
        joint_pos: package order, rad, shape (..., T, 12); 2-4 s are enough, 1 s is the least.
        gravity_b: projected gravity, shape (..., T, 3).
        rate_hz: samples per second, at least 25.
        contact: feet on the ground, bool, shape (..., T, 4); estimated from the leg motion
            when omitted.

    Raises:
        ValueError: shapes that do not fit, a window under 1 s, or a rate under 25 Hz.
    """
    joint_pos, gravity_b = np.asarray(joint_pos), np.asarray(gravity_b)
    lead, steps = joint_pos.shape[:-2], joint_pos.shape[-2]
    if joint_pos.shape != (*lead, steps, 12) or gravity_b.shape != (*lead, steps, 3):
        raise ValueError(
            f'joint_pos {joint_pos.shape} and gravity_b {gravity_b.shape}; '
            'expected (..., T, 12) and (..., T, 3) with the same leading shape'
        )
    if contact is not None and np.shape(contact) != (*lead, steps, 4):
        raise ValueError(f'contact {np.shape(contact)}; expected {(*lead, steps, 4)}')
    # Half a sample of slack: rates are read off time stamps.
    if rate_hz < 25.0 or steps < MIN_WINDOW_S * rate_hz - 0.5:
        raise ValueError(
            f'{steps} samples at {rate_hz:g} Hz; a gait needs at least {MIN_WINDOW_S:g} s at 25 Hz'
        )
    q = joint_pos.reshape(-1, steps, 12)
    g = gravity_b.reshape(-1, steps, 3)
    c = None if contact is None else np.asarray(contact, dtype=bool).reshape(-1, steps, 4)
    size = max(1, _CHUNK // steps)
    parts = [
        _describe(
            q[i : i + size], g[i : i + size], rate_hz, None if c is None else c[i : i + size]
        )
        for i in range(0, max(len(q), 1), size)
    ]
    columns = [np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Gait)]
    return Gait(*(column.reshape((*lead, *column.shape[1:])) for column in columns))


def gait_distance(a: Gait, b: Gait) -> dict[str, np.ndarray]:
    """How far two gaits are apart, per axis; shapes broadcast.

    Returns:
        `frequency_rel`: |fa - fb| / fb; `phase_cycles`: largest circular difference over legs;
        `height_m`, `swing_m`, `pitch_rad`: absolute; `duty`: mean absolute over legs.
    """
    phase = np.abs((a.phase_offset - b.phase_offset + 0.5) % 1.0 - 0.5)
    return {
        'frequency_rel': np.abs(a.frequency_hz - b.frequency_hz)
        / np.maximum(b.frequency_hz, 1e-6),
        'phase_cycles': phase.max(axis=-1),
        'height_m': np.abs(a.body_height_m - b.body_height_m),
        'swing_m': np.abs(a.swing_height_m - b.swing_height_m),
        'duty': np.abs(a.duty_factor - b.duty_factor).mean(axis=-1),
        'pitch_rad': np.abs(a.pitch_rad - b.pitch_rad),
    }


def level_feet(joint_pos: np.ndarray, gravity_b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Feet in the frame that has the base's origin and heading but is level.

    Args:
        joint_pos: package order, rad, shape (..., 12).
        gravity_b: projected gravity, unit length, shape (..., 3).

    Returns:
        Fore-aft position and height (negative below the base), m, each of shape (..., 4).
    """
    feet = foot_positions(joint_pos)
    height = -(feet @ gravity_b[..., None])[..., 0]
    gx = gravity_b[..., None, 0]
    cos_pitch = np.sqrt(np.maximum(1.0 - gx * gx, 1e-6))
    return (feet[..., 0] + height * gx) / cos_pitch, height


def foot_lift(
    joint_pos: np.ndarray, gravity_b: np.ndarray, rate_hz: float, contact: np.ndarray | None
) -> np.ndarray:
    """Return how far each foot leaves the ground within a cycle, m, (B, 4).

    Args:
        joint_pos: package order, rad, (B, T, 12), finite.
        gravity_b: projected gravity, (B, T, 3).
        rate_hz: samples per second.
        contact: feet on the ground, bool, (B, T, 4); estimated from the leg motion when None.
    """
    fore_aft, height = level_feet(joint_pos, gravity_b)
    f, _ = _frequency(np.concatenate((height, fore_aft), axis=-1), rate_hz)
    clear, _ = _clearance(height, f, rate_hz, contact)
    return np.asarray(clear.max(axis=-1).clip(min=0.0))


def fit_cycle(
    joint_pos: np.ndarray, gravity_b: np.ndarray, signals: np.ndarray, rate_hz: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the step frequency of windows and the fundamentals of any signals at it.

    Args:
        joint_pos: package order, rad, (B, T, 12), finite.
        gravity_b: projected gravity, (B, T, 3).
        signals: (B, T, S).
        rate_hz: samples per second.

    Returns:
        Frequency (B,) in Hz and complex c (B, S); the signal is Re(c exp(-2 pi i f t)) + ...
    """
    fore_aft, height = level_feet(joint_pos, gravity_b)
    frequency, _ = _frequency(np.concatenate((height, fore_aft), axis=-1), rate_hz)
    coefficients, _ = _harmonic_fit(signals, frequency, rate_hz)
    return frequency, coefficients[:, 0]


def _describe(q: np.ndarray, g: np.ndarray, rate_hz: float, contact: np.ndarray | None) -> Gait:
    """`describe_gait` for one chunk: shapes (B, T, 12), (B, T, 3) and (B, T, 4)."""
    finite = np.isfinite(q).all(axis=(1, 2)) & np.isfinite(g).all(axis=(1, 2))
    if not finite.all():
        q = np.where(finite[:, None, None], q, 0.0)
        g = np.where(finite[:, None, None], g, (0.0, 0.0, -1.0))
    fore_aft, height = level_feet(q, g)
    f, periodicity = _frequency(np.concatenate((height, fore_aft), axis=-1), rate_hz)
    clear, body = _clearance(height, f, rate_hz, contact)
    mid_swing = _mid_swing(ground.series(clear, 1))
    swing = np.maximum(clear.max(axis=-1), 0.0)
    if contact is None:
        duty = ground.share_on_ground(clear)
    else:
        duty = _duty_of_contact(contact, f, rate_hz)
    roll, pitch = roll_pitch(g.mean(axis=1))

    def known(values: np.ndarray) -> np.ndarray:
        return np.where(finite.reshape(-1, *[1] * (values.ndim - 1)), values, np.nan)

    return Gait(
        frequency_hz=known(f),
        duty_factor=known(duty),
        phase_offset=known((mid_swing[:, :1] - mid_swing) % 1.0),
        body_height_m=known(body + FOOT_RADIUS_M),
        swing_height_m=known(swing.mean(axis=-1)),
        pitch_rad=known(pitch),
        roll_rad=known(roll),
        periodicity=np.where(finite, periodicity, 0.0),
    )


def _clearance(
    height: np.ndarray, f: np.ndarray, rate_hz: float, contact: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return `ground.clearance` of feet at these heights (B, T, 4) below the base."""
    relative, _ = _harmonic_fit(height, f, rate_hz)
    if contact is None:
        stance = ground.stance_around(_mid_swing(relative))
    else:
        touching, _ = _harmonic_fit(contact.astype(np.float64), f, rate_hz)
        stance = ground.stance_from_contact(ground.profile(contact.mean(axis=1), touching))
    cycle = ground.profile(height.mean(axis=1), relative)
    return ground.clearance(cycle, stance, f, known=contact is not None)


def _frequency(signals: np.ndarray, rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """Common fundamental of signals (B, T, S): frequency in Hz and periodicity, each (B,)."""
    steps = signals.shape[1]
    f = _fundamental(signals, _coarse_frequency(signals, rate_hz), rate_hz)
    for delta in (0.2, 0.05):
        step = delta * rate_hz / steps
        low, mid, high = (_harmonic_fit(signals, f + i * step, rate_hz)[1] for i in (-1, 0, 1))
        curvature = np.minimum(low - 2.0 * mid + high, -1e-30)
        f = f + step * np.clip(0.5 * (low - high) / curvature, -1.5, 1.5)
        f = np.clip(f, *FREQUENCY_RANGE_HZ)
    explained = _harmonic_fit(signals, f, rate_hz)[1]
    total = ((signals - signals.mean(axis=1, keepdims=True)) ** 2).sum(axis=(1, 2))
    time = np.arange(steps) - (steps - 1) / 2.0
    trend = (np.einsum('t,bts->bs', time, signals) ** 2).sum(axis=1) / (time @ time)
    free = steps - 2 * HARMONICS - 2
    residual = np.maximum(total - explained, 0.0) * (steps - 1) / free
    floor = STILL_M**2 * steps * signals.shape[2]
    return f, np.clip((total - trend - residual) / (total + floor), 0.0, 1.0)


def _coarse_frequency(signals: np.ndarray, rate_hz: float) -> np.ndarray:
    """Fundamental to within a fraction of 1 / window from the summed Hann spectrum, (B,)."""
    steps = signals.shape[1]
    time = np.arange(steps) - (steps - 1) / 2.0
    centred = signals - signals.mean(axis=1, keepdims=True)
    slope = np.einsum('t,bts->bs', time, centred) / (time @ time)
    centred = centred - slope[:, None, :] * time[:, None]
    size = 1 << int(np.ceil(np.log2(2 * steps)))
    windowed = np.moveaxis(centred * np.hanning(steps)[:, None], 1, 2)
    spectrum = np.abs(np.fft.rfft(windowed.astype(np.float32), n=size)) ** 2
    spectrum = spectrum.sum(axis=1)
    grid = np.arange(*FREQUENCY_RANGE_HZ, 0.125 * rate_hz / size)
    bins = np.fft.rfftfreq(size, 1.0 / rate_hz)

    def at(frequency: np.ndarray) -> np.ndarray:
        position = np.minimum(frequency / bins[1], len(bins) - 2.0)
        i = position.astype(int)
        part = (position - i).astype(np.float32)
        return np.asarray(spectrum[:, i] * (1.0 - part) + spectrum[:, i + 1] * part)

    score = sum(at(k * grid) - at((k - 0.5) * grid) for k in (1, 2, 3))
    # f/2 explains as much as f; of nearly equal peaks the fastest is the fundamental
    peak = np.zeros_like(score, dtype=bool)
    peak[:, 1:-1] = (score[:, 1:-1] >= score[:, :-2]) & (score[:, 1:-1] >= score[:, 2:])
    peak |= score == score.max(axis=1, keepdims=True)
    good = peak & (score >= 0.5 * score.max(axis=1, keepdims=True))
    return np.asarray(grid[len(grid) - 1 - np.argmax(good[:, ::-1], axis=1)])


def _fundamental(signals: np.ndarray, f: np.ndarray, rate_hz: float) -> np.ndarray:
    """Choose among simple ratios of a spectral guess, (B,).

    f/2 and f/3 explain whatever f explains, and more where every second step differs a little; 2f
    misses the odd harmonics. So the highest candidate wins that explains half of what any does.
    """
    ratios = np.array([1 / 2, 2 / 3, 1.0, 3 / 2, 2.0, 3.0])
    candidates = f[:, None] * ratios
    explained = np.stack(
        [_harmonic_fit(signals, column, rate_hz)[1] for column in candidates.T], axis=1
    )
    inside = (candidates >= FREQUENCY_RANGE_HZ[0]) & (candidates <= FREQUENCY_RANGE_HZ[1])
    explained[~inside] = 0.0
    good = explained >= 0.5 * explained.max(axis=1, keepdims=True)
    good |= (explained.max(axis=1, keepdims=True) <= 0.0) & (ratios == 1.0)
    last = len(ratios) - 1 - np.argmax(good[:, ::-1], axis=1)
    return np.asarray(np.take_along_axis(candidates, last[:, None], axis=1)[:, 0])


def _harmonic_fit(
    signals: np.ndarray, f: np.ndarray, rate_hz: float
) -> tuple[np.ndarray, np.ndarray]:
    """Least-squares fit of mean, trend and `HARMONICS` multiples of f (B,) to (B, T, S).

    Returns:
        Complex coefficients (B, HARMONICS, S), signal = Re(sum c_k exp(-2 pi i k f t)) with t = 0
        in mid-window, and the energy explained beyond the mean, summed over signals, (B,).
    """
    count, steps, _ = signals.shape
    time = np.arange(steps) - (steps - 1) / 2.0
    angle = 2.0 * np.pi / rate_hz * f[:, None] * time
    turn = np.cos(angle) + 1j * np.sin(angle)
    basis = np.empty((count, steps, 2 * HARMONICS + 1))
    basis[..., 0] = time / steps
    power = np.ones_like(turn)
    for k in range(1, HARMONICS + 1):
        power = power * turn
        # harmonics beyond the samples' reach would alias into the others
        inside = (k * f < 0.45 * rate_hz)[:, None]
        basis[..., 2 * k - 1] = power.real * inside
        basis[..., 2 * k] = power.imag * inside
    basis -= basis.mean(axis=1, keepdims=True)
    transposed = np.moveaxis(basis, 1, 2)
    normal = transposed @ basis + 1e-6 * steps * np.eye(2 * HARMONICS + 1)
    right = transposed @ (signals - signals.mean(axis=1, keepdims=True))
    theta = np.linalg.solve(normal, right)
    coefficients = theta[:, 1::2] + 1j * theta[:, 2::2]
    return coefficients, (theta * right).sum(axis=(1, 2))


def _mid_swing(coefficients: np.ndarray) -> np.ndarray:
    """Phase at which the fundamental peaks, cycles, from (B, K, 4) to (B, 4)."""
    return np.asarray(np.angle(coefficients[:, 0]) / (2.0 * np.pi))


def _duty_of_contact(contact: np.ndarray, f: np.ndarray, rate_hz: float) -> np.ndarray:
    """Share of samples in contact over a whole number of cycles, (B, 4)."""
    steps = contact.shape[1]
    whole = np.floor(steps * f / rate_hz) / f * rate_hz
    weight = np.clip(whole[:, None] - np.arange(steps), 0.0, 1.0)
    return np.asarray((contact * weight[..., None]).sum(axis=1) / weight.sum(axis=1)[:, None])

"""Where the ground is under a stepping robot: the base's bobbing told from the feet's swing.

Leg kinematics give the feet's heights relative to a base that itself moves up and down once or
twice a cycle. Over one gait cycle, as a function of phase, the base height is

    z(phase) = z_0 + sum over k = 1..3 of a_k cos(2 pi k phase) + b_k sin(2 pi k phase)

and follows from two facts: a foot on the ground is at height 0, and while no foot is on the ground
the base falls freely. Which feet stand is at first guessed (half a cycle away from where each foot
is highest, or from known contact), then told by the clearance that the last z gives, in turns.

A gait without a double support, all feet in phase (pronk), leaves it open whether the legs fold or
the base leaps; there the guess decides, and known contact should be given.
"""

from __future__ import annotations

import numpy as np

BINS = 48
"""Phases per cycle."""
BASE_HARMONICS = 3
GRAVITY_M_S2 = 9.81
HEIGHT_STD_M = 0.004
"""Spread of a standing foot's height: encoder noise, compliance."""
FALL_STD_M_S2 = 2.0
ACCELERATION_STD_M_S2 = 15.0
"""Usual vertical acceleration of the base: a weak prior where nothing else is known."""
CLEARANCE_M, SOFTNESS_M = 0.008, 0.003
"""A foot higher than this is off the ground, within about this."""
ROUNDS = 3

_PHASE = np.arange(BINS) / BINS
_ORDER = np.arange(1, BASE_HARMONICS + 1)
_BASE = np.concatenate(
    (
        np.ones((BINS, 1)),
        np.cos(2.0 * np.pi * _PHASE[:, None] * _ORDER),
        np.sin(2.0 * np.pi * _PHASE[:, None] * _ORDER),
    ),
    axis=1,
)
_BEND = -_BASE * (2.0 * np.pi * np.concatenate(([0.0], _ORDER, _ORDER))) ** 2
"""Second derivative of `_BASE` by phase."""
_SIZE = 2 * BASE_HARMONICS + 1
_BASE_PAIRS = np.einsum('ni,nj->nij', _BASE, _BASE).reshape(BINS, -1)
_BEND_PAIRS = np.einsum('ni,nj->nij', _BEND, _BEND).reshape(BINS, -1)


def profile(mean: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Return one cycle of signals from their Fourier series, shape (B, S, BINS).

    Args:
        mean: (B, S).
        coefficients: c_k of Re(sum c_k exp(-2 pi i k phase)), shape (B, K, S).
    """
    orders = np.arange(1, coefficients.shape[1] + 1)
    turns = np.exp(-2j * np.pi * orders[:, None] * _PHASE)
    return np.asarray(mean[..., None] + np.einsum('bks,kn->bsn', coefficients, turns).real)


def series(cycle: np.ndarray, harmonics: int) -> np.ndarray:
    """Return the Fourier coefficients of cycles (B, S, BINS), inverse of `profile`: (B, K, S)."""
    orders = np.arange(1, harmonics + 1)
    turns = np.exp(2j * np.pi * orders[:, None] * _PHASE)
    return np.asarray(np.einsum('bsn,kn->bks', cycle, turns) * (2.0 / BINS))


def stance_around(mid_swing: np.ndarray) -> np.ndarray:
    """Return the first guess: each foot stands in the half cycle away from its mid-swing.

    Args:
        mid_swing: phase of mid-swing, cycles, (B, 4).
    """
    away = np.abs((_PHASE - mid_swing[..., None] + 0.5) % 1.0 - 0.5)
    return _step((away - 0.25) / 0.03)


def stance_from_contact(cycle: np.ndarray) -> np.ndarray:
    """Return the share of cycles in which each foot stands, sharpened, from averaged contact."""
    return _step((cycle - 0.5) / 0.12)


def clearance(
    height: np.ndarray, stance: np.ndarray, frequency_hz: np.ndarray, *, known: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Find the ground.

    Args:
        height: cycles of foot heights relative to the base, m, (B, 4, BINS).
        stance: first guess, 0 to 1, (B, 4, BINS).
        frequency_hz: (B,).
        known: the guess is measured contact, so it may only be narrowed, not replaced.

    Returns:
        Height of each foot above the ground (B, 4, BINS) and mean base height (B,), both counted
        from the level of a standing foot's centre, m.
    """
    stand = stance
    for rounds_left in range(ROUNDS, -1, -1):
        base = _solve(height, stand, frequency_hz)
        clear = height + (base @ _BASE.T)[:, None, :]
        if rounds_left:
            down = _step((CLEARANCE_M - clear) / SOFTNESS_M)
            stand = stance * _step((2.0 * CLEARANCE_M - clear) / SOFTNESS_M) if known else down
    return clear, np.asarray(base[:, 0])


def share_on_ground(clear: np.ndarray) -> np.ndarray:
    """Return the share of the cycle that feet are on the ground, (B, 4), from (B, 4, BINS)."""
    # a ramp instead of a step, so that the share moves smoothly with the motion
    down = np.clip(0.5 + (CLEARANCE_M - clear) / SOFTNESS_M, 0.0, 1.0)
    return np.asarray(down.mean(axis=-1))


def _solve(height: np.ndarray, stand: np.ndarray, frequency_hz: np.ndarray) -> np.ndarray:
    """Weighted least squares for the series of the base height, (B, _SIZE)."""
    fly = np.prod(1.0 - stand, axis=1) / FALL_STD_M_S2**2
    square = (frequency_hz**2)[:, None]
    normal = (stand.sum(axis=1) / HEIGHT_STD_M**2) @ _BASE_PAIRS
    normal = normal + square**2 * ((fly + ACCELERATION_STD_M_S2**-2) @ _BEND_PAIRS)
    right = -((stand * height).sum(axis=1) / HEIGHT_STD_M**2) @ _BASE
    right = right - GRAVITY_M_S2 * square * (fly @ _BEND)
    normal = normal.reshape(-1, _SIZE, _SIZE) + 1e-3 * np.eye(_SIZE)
    return np.asarray(np.linalg.solve(normal, right[..., None])[..., 0])


def _step(x: np.ndarray) -> np.ndarray:
    return np.asarray(1.0 / (1.0 + np.exp(np.clip(-x, -40.0, 40.0))))

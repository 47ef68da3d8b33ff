"""The style of a gait as network input: which values it has, and in which units.

`training.behaviour` draws styles and encodes them so. What a robot was told and what it walks are
not the same: `walked_style` is the same vector by the gait that was measured. The embedding's
linear head gives that one, and weights are generated from it.
"""

from __future__ import annotations

import numpy as np

from make_agent_ros.recording.gait import Gait
from make_agent_ros.recording.gait_change import GaitChange

RANGES: dict[str, tuple[float, float]] = {
    'frequency_hz': (1.5, 4.0),
    'body_height_m': (0.20, 0.34),
    'pitch_rad': (-0.20, 0.20),
    'stance_width_m': (0.22, 0.36),
}
"""Axes with one value per style."""
DUTY_RANGE = (0.32, 0.80)
SWING_HEIGHT_RANGE_M = (0.03, 0.12)

STYLE_SIZE = 6 + 4 + 4 + 4
"""Sines and cosines of the phases of FR, RL, RR; `RANGES`; duty factors; swing heights."""
_SIN, _COS, _DUTY, _SWING = slice(0, 3), slice(3, 6), slice(10, 14), slice(14, 18)
_FIRST = 6
"""Index of the first of `RANGES`."""
_FREQUENCY = _FIRST + list(RANGES).index('frequency_hz')
BEYOND = 1.2
"""Walks may leave the ranges that styles are drawn from so far, in half ranges."""


def style_vector(
    offsets: np.ndarray,
    scalars: dict[str, np.ndarray],
    duty: np.ndarray,
    swing_height_m: np.ndarray,
) -> np.ndarray:
    """Return styles as network input, each value about in -1..1, float32, (..., 18).

    Args:
        offsets: phases of the legs, cycles, FL = 0, (..., 4).
        scalars: a value for each of `RANGES`, (...).
        duty: (..., 4).
        swing_height_m: (..., 4).
    """
    angle = 2.0 * np.pi * offsets[..., 1:]
    plain = np.stack([_unit(scalars[name], limits) for name, limits in RANGES.items()], axis=-1)
    parts = (
        np.sin(angle),
        np.cos(angle),
        plain,
        _unit(duty, DUTY_RANGE),
        _unit(swing_height_m, SWING_HEIGHT_RANGE_M),
    )
    return np.concatenate(parts, axis=-1).astype(np.float32)


def walked_style(style: np.ndarray, gait: Gait) -> np.ndarray:
    """Return style vectors by the gait that was walked, float32, (..., 18).

    Phases are those of mid-swing, as in `Gait`. Stance width, and how swing heights differ between
    legs, no gait describes: they stay as they are in `style`.

    Args:
        style: what was told, or what an embedding's head says, (..., 18).
        gait: measured, (...).
    """
    angle = 2.0 * np.pi * np.asarray(gait.phase_offset)[..., 1:]
    result = np.array(style, dtype=np.float64)
    result[..., _SIN], result[..., _COS] = np.sin(angle), np.cos(angle)
    for name in ('frequency_hz', 'body_height_m', 'pitch_rad'):
        values = _unit(getattr(gait, name), RANGES[name])
        result[..., _FIRST + list(RANGES).index(name)] = values
    result[..., _DUTY] = _unit(gait.duty_factor, DUTY_RANGE)
    swing = result[..., _SWING]
    mean = _unit(np.asarray(gait.swing_height_m), SWING_HEIGHT_RANGE_M)
    result[..., _SWING] = swing - swing.mean(axis=-1, keepdims=True) + mean[..., None]
    result[..., _FIRST:] = result[..., _FIRST:].clip(-BEYOND, BEYOND)
    return result.astype(np.float32)


def mean_style(styles: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Return the mean of walked styles over some walks, phases as angles, float32, (n, 18).

    Args:
        styles: (n, k, 18).
        keep: which walks count, bool, (n, k), at least one of each n.
    """
    weight = (keep / keep.sum(axis=1, keepdims=True))[..., None]
    return unit_phases((weight * np.where(keep[..., None], styles, 0.0)).sum(axis=1))


def between(said: np.ndarray, measured: np.ndarray, share: np.ndarray | float) -> np.ndarray:
    """Return styles between what an embedding says and what was measured, float32, (..., 18).

    The first is surer of walks like those of training, the second of all others. The step
    frequency is the measured one.

    Args:
        said: (18,).
        measured: (18,).
        share: of the second, (...).
    """
    result = said + np.asarray(share)[..., None] * (measured - said)
    result[..., _FREQUENCY] = measured[_FREQUENCY]
    return unit_phases(result)


def unit_phases(styles: np.ndarray) -> np.ndarray:
    """Return styles (..., 18) with sines and cosines that belong to an angle, float32."""
    result = np.array(styles, dtype=np.float32)
    length = np.hypot(result[..., _SIN], result[..., _COS]).clip(1e-6)
    result[..., _SIN] /= length
    result[..., _COS] /= length
    return result


def style_change(style: np.ndarray, change: GaitChange) -> np.ndarray:
    """Return what to add to style vectors (..., 18) for their gaits to change, (..., 18).

    A head's sines and cosines are shorter than 1 where it is not sure of a phase; they turn and
    keep their length.
    """
    result = np.zeros(np.broadcast_shapes(style.shape, (*change.height_m.shape, STYLE_SIZE)))
    turn = 2.0 * np.pi * change.phase[..., 1:]
    sin, cos = style[..., _SIN], style[..., _COS]
    result[..., _SIN] = sin * np.cos(turn) + cos * np.sin(turn) - sin
    result[..., _COS] = cos * np.cos(turn) - sin * np.sin(turn) - cos
    for name, value in (('body_height_m', change.height_m), ('pitch_rad', change.pitch_rad)):
        result[..., _FIRST + list(RANGES).index(name)] = value / _half(RANGES[name])
    result[..., _SWING] = (change.swing_m / _half(SWING_HEIGHT_RANGE_M))[..., None]
    return result


def _half(limits: tuple[float, float]) -> float:
    return (limits[1] - limits[0]) / 2


def _unit(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Map a range to -1..1."""
    return (values - sum(limits) / 2) / _half(limits)

"""How gaits differ, with sign, and gaits on average: what a policy is steered by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from make_agent_ros.recording.gait import Gait


@dataclass(frozen=True)
class GaitChange:
    """Signed differences of gaits on the axes that a policy can be steered along, (...)."""

    phase: np.ndarray | float
    """Of each leg, cycles in [-0.5, 0.5), (..., 4)."""
    height_m: np.ndarray | float
    """Body height."""
    pitch_rad: np.ndarray | float
    swing_m: np.ndarray | float
    """Swing height."""

    @classmethod
    def between(cls, now: Gait, wanted: Gait) -> GaitChange:
        """Return what the gaits `now` lack of those that are wanted; shapes broadcast."""
        return cls(
            (wanted.phase_offset - now.phase_offset + 0.5) % 1.0 - 0.5,
            wanted.body_height_m - now.body_height_m,
            wanted.pitch_rad - now.pitch_rad,
            wanted.swing_height_m - now.swing_height_m,
        )

    def __getitem__(self, ids: Any) -> GaitChange:
        """Return a selection along the leading axes."""
        return GaitChange(*(np.asarray(getattr(self, f.name))[ids] for f in fields(self)))

    def limited(self, largest: GaitChange) -> GaitChange:
        """Return it with every axis within +-`largest`, and 0 in place of NaN."""
        return self._with(largest, lambda a, b: np.clip(np.nan_to_num(a), -b, b))

    def scaled(self, share: GaitChange) -> GaitChange:
        """Return it with every axis multiplied by that of `share`."""
        return self._with(share, np.multiply)

    def _with(self, other: GaitChange, do: Callable[..., np.ndarray]) -> GaitChange:
        return GaitChange(
            *(do(getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        )


def mean_gait(gaits: Gait, keep: np.ndarray | None = None) -> Gait:
    """Average gaits along the last of their leading axes, (..., W) -> (...); phases as angles.

    Args:
        gaits: (..., W).
        keep: which count, bool, (..., W); all when omitted. Where none does, the mean is NaN.
    """
    shape = np.shape(gaits.frequency_hz)
    keep = np.ones(shape, dtype=bool) if keep is None else keep
    weight = keep / np.where(keep.any(axis=-1), keep.sum(axis=-1), np.nan)[..., None]

    def mean(values: np.ndarray) -> np.ndarray:
        w = weight.reshape(*shape, *(1,) * (np.ndim(values) - len(shape)))
        kept = np.where(w == 0.0, 0.0, values)  # what does not count may be NaN
        return np.asarray((w * kept).sum(axis=len(shape) - 1))

    angle = np.angle(mean(np.exp(2j * np.pi * gaits.phase_offset)))
    values = {f.name: mean(getattr(gaits, f.name)) for f in fields(Gait)}
    return Gait(**{**values, 'phase_offset': angle / (2.0 * np.pi) % 1.0})

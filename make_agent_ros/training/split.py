"""Which behaviours train the generator and which only measure it: `config/behaviours.yaml`.

Split by behaviour, never by checkpoint. Two regions of the space are withheld from everything
that trains (students, their common start, codec, embedding, flow), so that the benchmark can ask
for what lies outside: a corner of fast, low gaits, and one whole gait.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import yaml

from make_agent_ros.resources import resource_path
from make_agent_ros.training.behaviour import (
    ANYWHERE,
    GAITS,
    BehaviourSet,
    Styles,
    demand_share,
    gait_distances,
    sample_styles,
    shown_commands,
    toppling_s,
)
from make_agent_ros.training.demand import FEASIBLE_SHARE, LONGEST_STANCE, TOPPLING_LIMIT_S

Side = Literal['training', 'held_out', 'corner', 'gait_out', 'withheld']
SIDES: tuple[Side, ...] = ('training', 'held_out', 'corner', 'gait_out', 'withheld')
"""`training` and `held_out` share the space outside the withheld regions; `corner` and `gait_out`
measure inside them; `withheld` are behaviours of both regions that train the shipped generator,
in addition to `training`, once the benchmark has been run without them."""

MEASURED: tuple[Side, ...] = ('held_out', 'corner', 'gait_out')
"""Sides with a seed of their own, so that they can be drawn afresh, once something was decided by
what failed on them, while all that was trained stays."""


def feasible_style(styles: Styles) -> np.ndarray:
    """Return which styles the teacher walks steadily, all but a few percent, bool, (n,)."""
    level = (demand_share(styles) <= FEASIBLE_SHARE) & (toppling_s(styles) <= TOPPLING_LIMIT_S)
    return np.asarray(level & (styles.duty.max(axis=1) <= LONGEST_STANCE))


@dataclass(frozen=True)
class Split:
    """The split of `config/behaviours.yaml`."""

    seed: int = 7
    measured_seed: int = 11
    training: int = 2000
    held_out: int = 100
    corner: int = 100
    gait_out: int = 100
    withheld: int = 120
    demonstration: int = 0
    corner_frequency_hz: float = 3.2
    corner_height_m: float = 0.25
    gait: str = 'bound'
    gait_radius_cycles: float = 0.15

    @classmethod
    def load(cls, path: Path | None = None) -> Split:
        """Read the split from YAML; the package's own file when no path is given."""
        text = (path or resource_path('config/behaviours.yaml')).read_text()
        return cls(**yaml.safe_load(text))

    def in_corner(self, styles: Styles) -> np.ndarray:
        """Return which styles lie in the withheld corner, bool, (n,)."""
        fast = styles.frequency_hz > self.corner_frequency_hz
        return fast & (styles.body_height_m < self.corner_height_m)

    def in_gait(self, styles: Styles) -> np.ndarray:
        """Return which styles belong to the withheld gait, bool, (n,)."""
        index = list(GAITS).index(self.gait)
        return np.asarray(gait_distances(styles.offsets)[:, index] < self.gait_radius_cycles)

    def outside(self, styles: Styles) -> np.ndarray:
        """Return which feasible styles lie in no withheld region, bool, (n,)."""
        return feasible_style(styles) & ~self.in_corner(styles) & ~self.in_gait(styles)

    def behaviours(self, side: Side) -> BehaviourSet:
        """Draw one side, reproducibly: half of the styles near named gaits, half anywhere."""
        count: int = getattr(self, side)
        seed = self.measured_seed if side in MEASURED else self.seed
        rng = np.random.default_rng([seed, SIDES.index(side)])
        named = np.arange(count) // 2 % len(GAITS)
        gaits = np.where(np.arange(count) % 2, ANYWHERE, named)
        bound = list(GAITS).index(self.gait)
        if side == 'gait_out':
            styles = sample_styles(rng, count, np.full(count, bound), allowed=self._gait)
        elif side == 'corner':
            styles = self._corner(rng, gaits)
        elif side == 'withheld':
            half = count // 2
            inside = sample_styles(rng, half, np.full(half, bound), allowed=self._gait)
            styles = Styles.join((inside, self._corner(rng, gaits[half:])))
        else:
            gaits = np.where(gaits == bound, ANYWHERE, gaits)
            # Slow gaits are the more often impossible: drawn again with all else, few would stay.
            styles = sample_styles(rng, count, gaits, rng.random(count), self.outside)
        return BehaviourSet(styles, shown_commands(rng, styles))

    def _gait(self, styles: Styles) -> np.ndarray:
        return feasible_style(styles) & self.in_gait(styles)

    def _corner(self, rng: np.random.Generator, gaits: np.ndarray) -> Styles:
        low, high = 1.5, 4.0
        fastest = (self.corner_frequency_hz - low) / (high - low)
        share = rng.uniform(fastest, 1.0, len(gaits))
        bound = list(GAITS).index(self.gait)
        return sample_styles(
            rng,
            len(gaits),
            np.where(gaits == bound, ANYWHERE, gaits),
            share,
            lambda styles: feasible_style(styles) & self.in_corner(styles) & ~self.in_gait(styles),
        )

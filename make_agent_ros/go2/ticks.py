"""The robot's own count of its samples: what it says about samples that never came."""

from __future__ import annotations

import numpy as np

from make_agent_ros.go2.layout import LOWSTATE, LOWSTATE_SIZE, offset_of

_TICK = slice(offset_of(LOWSTATE, 'tick'), offset_of(LOWSTATE, 'tick') + 4)
_RESTART = 60_000
"""A step this large is another robot, or the same one switched on again."""


def missing_samples(step: np.ndarray, usual: float) -> np.ndarray:
    """Return how many samples are missing in each step of a counter that may wobble by half."""
    return np.asarray(np.maximum(np.ceil(step / usual - 0.75) - 1.0, 0.0))


class TickCounter:
    """Counts missing samples of lowstate by the robot's own counter."""

    LEARN = 25
    """Steps of the counter from which the usual one is learnt."""

    def __init__(self) -> None:
        self.missing = 0
        self._last: int | None = None
        self._first_steps: list[int] = []
        self._usual = 0

    def see(self, data: bytes) -> None:
        """Take one lowstate sample; other sizes are ignored."""
        if len(data) == LOWSTATE_SIZE:
            self.count(int.from_bytes(data[_TICK], 'little'))

    def count(self, tick: int) -> None:
        """Take one tick; a counter that stands still is ignored."""
        step = 0 if self._last is None else tick - self._last
        self._last = tick
        if not 0 < step < _RESTART:
            return
        if self._usual:
            if step > self._usual:
                self._add(step)
            return
        self._first_steps.append(step)
        if len(self._first_steps) == self.LEARN:
            self._usual = sorted(self._first_steps)[self.LEARN // 2]
            for early in self._first_steps:
                self._add(early)

    def _add(self, step: int) -> None:
        self.missing += int(missing_samples(np.array(step), self._usual))

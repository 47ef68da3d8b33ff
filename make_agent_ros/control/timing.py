"""Timing figures of the loop: rings of the last values, percentiles on demand."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from make_agent_ros.go2.ticks import TickCounter


class Ring:
    """The last `size` values; one thread adds, another may read."""

    def __init__(self, size: int = 1 << 15) -> None:
        self._values = np.zeros(size, dtype=np.float64)
        self.count = 0
        """Values added since the start."""
        self.maximum = 0.0
        """Largest value since the start, kept or forgotten."""

    def add(self, value: float) -> None:
        """Keep a value, forgetting the oldest one."""
        self._values[self.count % len(self._values)] = value
        self.count += 1
        if value > self.maximum:
            self.maximum = value

    def clear(self) -> None:
        """Forget everything."""
        self.count = 0
        self.maximum = 0.0

    def values(self) -> np.ndarray:
        """Return a copy of what is kept, in no particular order."""
        kept: np.ndarray = self._values[: min(self.count, len(self._values))].copy()
        return kept

    def percentile(self, *percents: float) -> list[float]:
        """Return percentiles of what is kept; zeros when there is nothing."""
        values = self.values()
        if len(values) == 0:
            return [0.0] * len(percents)
        return [float(v) for v in np.percentile(values, percents)]


@dataclass
class LoopTiming:
    """What the loop measures about itself, in seconds."""

    latency: Ring
    """From the arrival of a sample to the end of the write that answers it."""
    interval: Ring
    """From tick to tick."""
    period_error: Ring
    """|policy period - control_dt|."""
    inference: Ring
    """One evaluation of the network."""
    overruns: int = 0
    """Ticks that came more than two low-level periods after the one before."""
    misses: int = 0
    """Ticks that had to do without a new sample."""
    write_errors: int = 0
    """Commands that the link refused to send."""
    seen: TickCounter = field(default_factory=TickCounter)
    """The ticks of the samples that were answered; what it misses, the controller never saw."""

    @classmethod
    def new(cls, size: int = 1 << 15) -> LoopTiming:
        """Return empty rings of `size` values."""
        return cls(Ring(size), Ring(size), Ring(size), Ring(size))

    def clear(self) -> None:
        """Start counting again, e.g. after the first seconds."""
        for ring in (self.latency, self.interval, self.period_error, self.inference):
            ring.clear()
        self.overruns = self.misses = self.write_errors = 0
        self.seen = TickCounter()

    def figures(self) -> dict[str, float]:
        """Return the flat figures for diagnostics and benchmarks, microseconds and counts."""
        percents = {'p50': 50.0, 'p99': 99.0, 'p999': 99.9}
        rings = {
            'latency_us': self.latency,
            'period_error_us': self.period_error,
            'inference_us': self.inference,
            'tick_interval_us': self.interval,
        }
        result = {
            f'{name}_{label}': 1e6 * value
            for name, ring in rings.items()
            for label, value in zip(percents, ring.percentile(*percents.values()), strict=True)
        }
        # The worst case is that of the whole time, not only of what the ring still holds.
        result.update({f'{name}_max': 1e6 * ring.maximum for name, ring in rings.items()})
        result['overruns'] = float(self.overruns)
        result['misses'] = float(self.misses)
        result['write_errors'] = float(self.write_errors)
        result['lost'] = float(self.seen.missing)
        result['ticks'] = float(self.interval.count)
        return result

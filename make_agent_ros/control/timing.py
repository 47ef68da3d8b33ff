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

    def values(self, last: int | None = None) -> np.ndarray:
        """Return a copy of what is kept, or of the last so many, in no particular order."""
        size = len(self._values)
        count = min(self.count, size, size if last is None else last)
        return np.take(self._values, np.arange(self.count - count, self.count), mode='wrap')

    def percentile(self, *percents: float, last: int | None = None) -> list[float]:
        """Return percentiles of what is kept, or of the last so many; zeros without any."""
        values = self.values(last)
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
    missing: int = 0
    """Of the link: samples that never came, since it was opened."""
    missing_before: int = 0
    """The same when counting began."""

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
        self.missing_before = self.missing

    def figures(self, last: int | None = None) -> dict[str, float]:
        """Return the flat figures for diagnostics and benchmarks, microseconds and counts.

        Args:
            last: percentiles over so many values only. Over a full ring they keep the interpreter,
                and with it the loop, for a millisecond.
        """
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
            for label, value in zip(
                percents, ring.percentile(*percents.values(), last=last), strict=True
            )
        }
        # The worst case is that of the whole time, not only of what the ring still holds.
        result.update({f'{name}_max': 1e6 * ring.maximum for name, ring in rings.items()})
        result['overruns'] = float(self.overruns)
        result['misses'] = float(self.misses)
        result['write_errors'] = float(self.write_errors)
        lost = self.missing - self.missing_before
        result['lost'] = float(lost)
        # They came, but a newer one was there when the loop looked.
        result['skipped'] = float(max(self.seen.missing - lost, 0))
        result['ticks'] = float(self.interval.count)
        return result

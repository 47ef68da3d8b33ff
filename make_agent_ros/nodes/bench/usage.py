"""Memory and processor time of other processes over minutes, and what they say about leaks."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

import numpy as np
import psutil

WARM_UP_S = 60.0
"""Caches and the black box fill in the first minute; growth after it is what counts."""


def child_of(pid: int, module: str) -> int | None:
    """Return the pid of a child process that runs `python -m module`; None without one."""
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(pid).children():
            with contextlib.suppress(psutil.Error):
                if module in child.cmdline():
                    return int(child.pid)
    return None


def slope_per_minute(time_s: np.ndarray, values: np.ndarray) -> float:
    """Return the least-squares slope of values over time, per minute; 0 with too few values."""
    if len(time_s) < 3 or np.ptp(time_s) <= 0.0:
        return 0.0
    slope = np.polyfit(time_s - time_s[0], values, 1)[0]
    return float(60.0 * slope)


@dataclass
class ProcessRecord:
    """One process, looked at now and then."""

    pid: int
    time_s: list[float] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    def look(self, now_s: float) -> None:
        """Note memory and processor time; a process that is gone is left as it was."""
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(self.pid)
            with process.oneshot():
                rss, cpu = process.memory_info().rss, process.cpu_times()
            self.time_s.append(now_s)
            self.rss_mb.append(rss / 2**20)
            self.cpu_s.append(cpu.user + cpu.system)

    def figures(self) -> dict[str, float]:
        """Return memory at both ends and its slope after warming up, and the share of one core."""
        if len(self.time_s) < 2:
            return {}
        time_s, rss_mb = np.array(self.time_s), np.array(self.rss_mb)
        warm = time_s - time_s[0] >= min(WARM_UP_S, 0.5 * np.ptp(time_s))
        elapsed_s = self.time_s[-1] - self.time_s[0]
        return {
            'rss_mb_start': self.rss_mb[0],
            'rss_mb_end': self.rss_mb[-1],
            'rss_mb_max': max(self.rss_mb),
            'rss_mb_per_min': slope_per_minute(time_s[warm], rss_mb[warm]),
            'cpu_share': (self.cpu_s[-1] - self.cpu_s[0]) / elapsed_s,
        }

"""Flat figures: written as JSON, summed up over repetitions, shown with a progress bar."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Value = float | str | None
Figures = dict[str, Value]
"""One flat object; None where there is nothing to measure."""


def clean(figures: Mapping[str, Value]) -> Figures:
    """Round numbers, and replace what JSON has no word for (NaN, inf) by None."""

    def one(value: Value) -> Value:
        if not isinstance(value, float | int):
            return value
        return round(float(value), 4) if math.isfinite(value) else None

    return {key: one(value) for key, value in figures.items()}


def write(figures: Mapping[str, Value], path: Path | None) -> None:
    """Write the figures as one flat JSON object; without a path nothing is written."""
    if path is not None:
        text = json.dumps(clean(figures), indent=1, allow_nan=False)
        path.write_text(text + '\n', encoding='utf-8')


def median_and_max(values: Sequence[float]) -> tuple[float, float]:
    """Return median and maximum of the finite values; NaN when there are none."""
    finite = np.array([value for value in values if math.isfinite(value)])
    if not len(finite):
        return math.nan, math.nan
    return float(np.median(finite)), float(finite.max())


def shown(value: float, unit: str = '') -> str:
    """Return a number for a table, a dash for one that was not measured."""
    if math.isnan(value):
        return '-'
    if math.isinf(value):
        return 'for ever'
    return f'{value:.1f}{f" {unit}" if unit else ""}'


class Bar:
    """A bar with a line of words; made by `progress`."""

    def __init__(self, bar: Progress, total: float) -> None:
        self._bar, self._task = bar, bar.add_task('starting', total=total)
        self.done = 0.0

    def say(self, words: str) -> None:
        """Change the words."""
        self._bar.update(self._task, description=f'{words:<32.32}')

    def advance(self, by: float = 1.0) -> None:
        """Move on."""
        self.done += by
        self._bar.update(self._task, completed=self.done)


@contextmanager
def progress(total: float, *, counted: bool = True) -> Iterator[Bar]:
    """Show a bar with the time left on standard error.

    Args:
        total: steps, or seconds with `counted` off.
        counted: show `n/m` in place of percent.
    """
    with Progress(
        TextColumn('{task.description}'),
        BarColumn(),
        MofNCompleteColumn() if counted else TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as bar:
        yield Bar(bar, total)

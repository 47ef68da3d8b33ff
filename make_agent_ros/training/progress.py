"""One progress bar with the latest figures beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Report = Callable[[int, int, str], None]
"""Called with (steps done, steps, a line of figures)."""
Result = TypeVar('Result')


def with_progress(stage: str, work: Callable[[Report], Result]) -> Result:
    """Run `work` with a report that moves a bar on standard error."""
    columns = (
        TextColumn('{task.description}'),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn('{task.fields[figures]}'),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(stage, total=None, figures='')
        return work(
            lambda done, total, text: bar.update(task, completed=done, total=total, figures=text)
        )

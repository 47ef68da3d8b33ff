"""The demo's table, for the console and for the page."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.box import SIMPLE
from rich.table import Table

from make_agent_ros.demo.measure import Measured
from make_agent_ros.go2.constants import LEGS

# Short, so that the table fits into 80 columns.
HEADERS = (
    '',
    'm/s',
    'step Hz',
    f'phase {" ".join(LEGS[1:])}',
    'height',
    'error',
    'falls',
)


def rows(measured: Sequence[Measured]) -> list[list[str]]:
    """Return the table's cells as text, one row per measured walk."""

    def number(value: float, digits: int) -> str:
        return '-' if math.isnan(value) else f'{value:.{digits}f}'

    return [
        [
            m.name,
            number(m.speed_m_s, 2),
            number(float(m.gait.frequency_hz), 2),
            ' '.join(f'{phase:.2f}' for phase in m.gait.phase_offset[1:]),
            number(float(m.gait.body_height_m), 3),
            number(m.tracking_m_s, 3),
            str(m.falls),
        ]
        for m in measured
    ]


def console_table(measured: Sequence[Measured]) -> Table:
    """Return the table for the console."""
    table = Table(title='The same gait, from a generated policy', box=SIMPLE, padding=(0, 1, 0, 0))
    for i, header in enumerate(HEADERS):
        table.add_column(header, justify='left' if i == 0 else 'right', no_wrap=True)
    for row in rows(measured):
        table.add_row(*row)
    return table

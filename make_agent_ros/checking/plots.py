"""Figures of the reports: gait diagram, tracking, push recovery, style. Each returns a Figure.

`matplotlib.figure.Figure` is used directly: no global state, no display, safe in any thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from make_agent_ros.go2.constants import LEGS

LEG_COLOURS = ('#0072B2', '#E69F00', '#009E73', '#D55E00')
"""FL, FR, RL, RR: told apart with any colour vision (Okabe and Ito)."""
POLICY_COLOUR = '#0072B2'
PROMPT_COLOUR = '#8a94a0'
COMMAND_COLOUR = '#1b2430'
FELL_COLOUR = '#b42318'


def tidy(axes: Axes) -> None:
    """Give axes the look of all figures."""
    axes.spines[['top', 'right']].set_visible(False)
    axes.spines[['left', 'bottom']].set_color('#b9c1ca')
    axes.tick_params(colors='#5a6675', labelsize=8)
    axes.xaxis.label.set_size(9)
    axes.yaxis.label.set_size(9)


def gait_diagram(
    contact: np.ndarray | Mapping[str, np.ndarray],
    rate_hz: float,
    *,
    seconds: float = 2.0,
) -> Figure:
    """Draw which foot is on the ground when: filled is stance.

    Args:
        contact: bool, shape (T, 4), legs FL, FR, RL, RR; or several under their names, drawn one
            below the other on the same time axis.
        rate_hz: samples per second.
        seconds: how much is drawn, from the end of the data.
    """
    series = contact if isinstance(contact, Mapping) else {'': contact}
    figure = Figure(figsize=(7.2, 1.15 * len(series) + 0.5), layout='constrained')
    rows = figure.subplots(len(series), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, values) in zip(rows, series.items(), strict=True):
        shown = np.asarray(values, dtype=bool)[-round(seconds * rate_hz) :]
        for leg in range(4):
            spans = [(a / rate_hz, (b - a) / rate_hz) for a, b in _runs(shown[:, leg])]
            axes.broken_barh(spans, (3 - leg - 0.38, 0.76), color=LEG_COLOURS[leg], lw=0)
        axes.set_yticks([3, 2, 1, 0], LEGS)
        axes.set_ylim(-0.6, 3.6)
        axes.set_xlim(0.0, seconds)
        tidy(axes)
        axes.set_title(name, loc='left', fontsize=9, color='#5a6675')
    rows[-1].set_xlabel('time (s)')
    return figure


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Return (start, end) of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0]))))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def tracking_plot(
    time_s: np.ndarray,
    command: np.ndarray,
    velocity: np.ndarray,
    *,
    smoothed: np.ndarray | None = None,
    labels: Sequence[str] = ('vx (m/s)', 'vy (m/s)', 'wz (rad/s)'),
) -> Figure:
    """Draw commanded against measured velocity.

    Args:
        time_s: shape (T,).
        command: shape (T, 3).
        velocity: measured, shape (T, 3), as it is; drawn thin.
        smoothed: the same over a window, drawn thick; nothing when omitted.
        labels: one per row.
    """
    figure = Figure(figsize=(6.4, 4.4), layout='constrained')
    for i, axes in enumerate(figure.subplots(3, 1, sharex=True)):
        thin = smoothed is not None
        axes.plot(
            time_s, velocity[:, i], color=POLICY_COLOUR, lw=0.7 if thin else 1.4,
            alpha=0.35 if thin else 1.0, label=None if thin else 'measured',
        )  # fmt: skip
        if smoothed is not None:
            axes.plot(time_s, smoothed[:, i], color=POLICY_COLOUR, lw=1.6, label='measured')
        axes.plot(time_s, command[:, i], color=COMMAND_COLOUR, lw=1.2, ls='--', label='command')
        axes.set_ylabel(labels[i])
        tidy(axes)
        if i == 0:
            figure.legend(frameon=False, fontsize=8, ncols=2, loc='outside upper right')
    axes.set_xlabel('time (s)')
    return figure


def push_polar(direction_rad: np.ndarray, speed_m_s: np.ndarray, fell: np.ndarray) -> Figure:
    """Draw pushes by direction (0 is forward, to the left positive) and size, and who fell.

    Args:
        direction_rad: where the push points in the body frame, shape (N,).
        speed_m_s: change of velocity, shape (N,).
        fell: bool, shape (N,).
    """
    figure = Figure(figsize=(4.2, 3.9), layout='constrained')
    axes = figure.add_subplot(projection='polar')
    axes.set_theta_zero_location('N')
    stayed = ~np.asarray(fell, dtype=bool)
    for mask, colour, marker, label in (
        (stayed, LEG_COLOURS[2], 'o', 'recovered'),
        (~stayed, FELL_COLOUR, 'X', 'fell'),
    ):
        axes.scatter(
            direction_rad[mask], speed_m_s[mask], c=colour, marker=marker, s=38, label=label,
            lw=0, zorder=3,
        )  # fmt: skip
    axes.set_xticks(
        np.deg2rad(np.arange(0, 360, 45)),
        ['front', '', 'left', '', 'back', '', 'right', ''],
    )
    axes.set_ylim(0.0, max(1.1, float(np.max(speed_m_s, initial=0.0)) * 1.1))
    axes.tick_params(labelsize=8, colors='#5a6675')
    axes.grid(color='#dfe4ea')
    axes.spines['polar'].set_color('#dfe4ea')
    labels = (
        Patch(color=LEG_COLOURS[2], label='recovered'),
        Patch(color=FELL_COLOUR, label='fell'),
    )
    figure.legend(handles=labels, frameon=False, fontsize=8, loc='lower right')
    return figure

"""Figures of the demo's page."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from make_agent_ros.demo.measure import gait_of
from make_agent_ros.demo.results import FORWARD_S, Recorded
from make_agent_ros.go2.constants import LEGS
from make_agent_ros.go2.state import projected_gravity
from make_agent_ros.recording.gait import level_feet
from make_agent_ros.recording.trajectory import Trajectory

COLOURS = ('#2563eb', '#d97706', '#059669', '#9333ea')
SHOWN_S = 2.0


def feet_plot(recorded: Recorded) -> Figure:
    """Draw foot heights of prompt and generated policy, aligned in gait phase."""
    figure = Figure(figsize=(7.2, 3.6), layout='constrained')
    top, bottom = figure.subplots(2, 1, sharex=True, sharey=True)
    generated = recorded.answered.slice(*FORWARD_S)
    for axes, name, trajectory in (
        (top, 'prompt', recorded.prompt),
        (bottom, 'generated', generated),
    ):
        draw_feet(axes, trajectory)
        axes.set_ylabel(f'{name}\nfoot (m)')
    bottom.set_xlabel('time (s)')
    top.legend(ncols=4, loc='upper right', fontsize='small', frameon=False)
    return figure


def draw_feet(axes: Axes, trajectory: Trajectory) -> None:
    """Draw the height of each foot below the trunk over two seconds."""
    time_s, height = _from_first_swing(trajectory)
    for leg, colour in enumerate(COLOURS):
        axes.plot(time_s, height[:, leg], color=colour, lw=1.4, label=LEGS[leg])
    axes.set_xlim(0.0, SHOWN_S)
    axes.grid(alpha=0.25)


def _from_first_swing(trajectory: Trajectory) -> tuple[np.ndarray, np.ndarray]:
    """Return time and foot heights from the first mid-swing of FL on."""
    gravity = projected_gravity(trajectory.quat_wxyz)
    _, height = level_feet(trajectory.joint_pos, gravity)
    period = max(2, round(trajectory.rate_hz / float(gait_of(trajectory).frequency_hz)))
    first = int(np.argmax(height[:period, 0]))
    time_s = trajectory.time_s[first:] - trajectory.time_s[first]
    return time_s, height[first:]


def path_plot(recorded: Recorded) -> Figure:
    """Draw both paths over the ground, each from its own start and heading."""
    figure = Figure(figsize=(6.0, 3.2), layout='constrained')
    axes = figure.add_subplot()
    for name, generated, colour in (
        ('demonstration', False, COLOURS[1]),
        ('generated', True, COLOURS[0]),
    ):
        track = recorded.walk(generated=generated)
        w, x, y, z = track.quat_wxyz[0]
        yaw = np.arctan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))
        turn = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
        path = (track.position[:, :2] - track.position[0, :2]) @ turn
        axes.plot(path[:, 0], path[:, 1], color=colour, lw=1.6, label=name)
        axes.plot(*path[-1], 'o', color=colour, ms=5)
    axes.set_aspect('equal')
    axes.set_xlabel('x (m)')
    axes.set_ylabel('y (m)')
    axes.grid(alpha=0.25)
    axes.legend(fontsize='small', frameon=False)
    return figure

"""One picture of a run: both robots over one gait cycle, and their feet below."""

from __future__ import annotations

from pathlib import Path

import imageio.v2 as imageio
import numpy as np
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecFromSubplotSpec

from make_agent_ros.demo.measure import gait_of
from make_agent_ros.demo.plots import draw_feet
from make_agent_ros.demo.results import FORWARD_S, PICTURE_HZ, Recorded

FRAMES = 5
FIRST_S = 2.0
"""Where in the videos the strip begins: walking forward, past the transient, s."""


def write_picture(folder: Path, recorded: Recorded) -> Path:
    """Write `result.png` from the videos that the page made.

    Args:
        folder: of the run, with `demonstration.mp4` and `generated.mp4`.
        recorded: what was recorded.

    Returns:
        The picture.
    """
    figure = Figure(figsize=(11.0, 4.0), layout='constrained')
    grid = figure.add_gridspec(2, 2, width_ratios=(3.2, 1.5))
    generated = recorded.answered.slice(*FORWARD_S)
    for row, (name, trajectory) in enumerate(
        (('demonstration', recorded.prompt), ('generated', generated))
    ):
        frames = _cycle(folder / f'{name}.mp4', float(gait_of(trajectory).frequency_hz))
        strip = GridSpecFromSubplotSpec(1, FRAMES, grid[row, 0], wspace=0.02)
        for i, frame in enumerate(frames):
            axes = figure.add_subplot(strip[i])
            axes.imshow(frame)
            axes.set_axis_off()
            if i == 0:
                what = 'shown' if row == 0 else 'generated'
                axes.set_title(what, loc='left', fontsize=11)
        axes = figure.add_subplot(grid[row, 1])
        draw_feet(axes, trajectory)
        axes.set_xlabel('time (s)' if row else '')
        axes.set_ylabel('foot (m)')
        if row == 0:
            axes.legend(ncols=4, loc='upper right', fontsize=7, frameon=False, columnspacing=1.0)
    path = folder / 'result.png'
    figure.savefig(path, dpi=110)
    return path


def _cycle(video: Path, frequency_hz: float) -> list[np.ndarray]:
    """Return frames spread over one gait cycle, cropped to the robot, each (H, W, 3)."""
    times = FIRST_S + np.arange(FRAMES) / FRAMES / frequency_hz
    wanted = np.round(times * PICTURE_HZ).astype(int)
    with imageio.get_reader(video, format='FFMPEG') as reader:
        frames = [np.asarray(reader.get_data(int(i))) for i in wanted]
    height, width = frames[0].shape[:2]
    return [f[height // 5 : -height // 6, width // 4 : -width // 4] for f in frames]

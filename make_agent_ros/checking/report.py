"""The report: one self-contained HTML page and its JSON twin."""

from __future__ import annotations

from make_agent_ros.checking.page import (
    Html,
    Section,
    columns,
    figure,
    figure_to_svg,
    html_page,
    paragraph,
    pill,
    table,
    video,
)
from make_agent_ros.checking.plots import (
    gait_diagram,
    push_polar,
    survival_bars,
    tracking_plot,
)
from make_agent_ros.checking.video import VideoError, render_video

__all__ = [
    'Html', 'Section', 'VideoError', 'columns', 'figure', 'figure_to_svg', 'gait_diagram',
    'html_page', 'paragraph', 'pill', 'push_polar', 'render_video', 'survival_bars', 'table',
    'tracking_plot', 'video',
]  # fmt: skip

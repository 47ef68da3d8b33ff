"""The demo's report: one self-contained HTML page and its JSON twin."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from make_agent_ros.checking.page import (
    Section,
    columns,
    figure,
    html_page,
    paragraph,
    table,
    video,
)
from make_agent_ros.checking.plots import tracking_plot
from make_agent_ros.checking.video import VideoError, render_video
from make_agent_ros.demo.measure import WINDOW_S, Measured
from make_agent_ros.demo.picture import write_picture
from make_agent_ros.demo.plots import feet_plot, path_plot
from make_agent_ros.demo.results import PICTURE_HZ, Recorded, poses
from make_agent_ros.demo.table import HEADERS, rows
from make_agent_ros.nodes.track import Track

VIDEO_S = (2.0, 9.0)
"""What the videos show: forward, then the turn; s after the start of the script."""
VIDEO_SIZE = (400, 272)


def write_page(
    folder: Path,
    recorded: Recorded,
    measured: Sequence[Measured],
    verdict: tuple[bool, Sequence[str]],
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Write `report.html` and `report.json`.

    Args:
        folder: of the run.
        recorded: what was recorded.
        measured: prompt, demonstration policy, generated policy.
        verdict: whether the style was reproduced, and a sentence per criterion.
        progress: told what is being done; no videos when None.

    Returns:
        The page.
    """
    reproduced, sentences = verdict
    seconds = recorded.generated.get('seconds', {})
    facts = {
        'sampling of the candidates': f'{seconds.get("sample", float("nan")):.2f} s',
        'ranking by rollouts': f'{seconds.get("rank", float("nan")):.1f} s',
        'distance of the prompt from training': f'{recorded.generated.get("novelty")} '
        f'(limit {recorded.generated.get("threshold")})',
        'policy': recorded.generated.get('policy', '')[:12],
    }
    sections = [
        Section(
            'Three walks',
            table(HEADERS, rows(measured)) + ''.join(map(str, map(paragraph, sentences))),
            'The prompt is 4 s of joint angles and IMU of the robot walking with the '
            'demonstration policy; the generator saw nothing else. Then each policy walked the '
            'same 20 s of velocity commands.',
        ),
        _videos(folder, recorded, progress),
        Section(
            'The gait',
            str(figure(feet_plot(recorded), 'Height of each foot below the trunk over time.')),
            'Same step frequency, same order of legs, same swing: that is the style.',
        ),
        Section(
            'Steering',
            columns(*(_tracking(recorded, generated=g) for g in (False, True)))
            + str(figure(path_plot(recorded), 'Path over the ground, from the simulator.')),
            'The generated policy takes the velocity command as an input, as the demonstration '
            'policy does.',
        ),
    ]
    page = html_page(
        'Show a gait, get a policy',
        sections,
        verdict='PASS' if reproduced else 'FAIL',
        reason='The generated policy walks and moves as shown.'
        if reproduced
        else 'The generated policy does not do what was shown.',
        facts=facts,
    )
    path = folder / 'report.html'
    path.write_text(page, encoding='utf-8')
    _write_json(folder / 'report.json', recorded, measured, verdict)
    return path


def _write_json(
    path: Path,
    recorded: Recorded,
    measured: Sequence[Measured],
    verdict: tuple[bool, Sequence[str]],
) -> None:
    walks = [asdict(m) for m in measured]
    content = {
        'reproduced': verdict[0],
        'criteria': list(verdict[1]),
        'walks': walks,
        'generator': recorded.generated,
    }
    path.write_text(json.dumps(_plain(content), indent=1) + '\n', encoding='utf-8')


def _plain(value: Any) -> Any:
    """Return what JSON can hold: lists for arrays, null for NaN."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _videos(folder: Path, recorded: Recorded, progress: Callable[[str], None] | None) -> Section:
    title = 'Side by side'
    if progress is None:
        return Section(title, str(paragraph('Videos were switched off.')))
    parts = []
    try:
        for name, generated in (('demonstration', False), ('generated', True)):
            states = poses(recorded.walk(generated=generated), VIDEO_S)
            progress(f'Drawing the video of the {name} policy')
            path = render_video(
                states, folder / f'{name}.mp4', rate_hz=PICTURE_HZ, size=VIDEO_SIZE
            )
            parts.append(video(path.read_bytes(), f'{name} policy'))
        write_picture(folder, recorded)
    except VideoError as error:
        return Section(title, str(paragraph(str(error))))
    return Section(title, columns(*parts), 'Forward, then a left turn; drawn from the recording.')


def _tracking(recorded: Recorded, *, generated: bool) -> str:
    track = recorded.walk(generated=generated)
    plot = tracking_plot(
        track.time_s - track.time_s[0], track.command, track.velocity, smoothed=_smooth(track)
    )
    name = 'Generated' if generated else 'Demonstration'
    return str(
        figure(plot, f'{name} policy: command and velocity, thick: mean over {WINDOW_S} s.')
    )


def _smooth(track: Track) -> np.ndarray:
    rate_hz = 1.0 / float(np.median(np.diff(track.time_s)))
    kernel = np.ones(max(1, round(WINDOW_S * rate_hz)))
    weight = np.convolve(np.ones(len(track.time_s)), kernel, 'same')
    return np.stack(
        [np.convolve(track.velocity[:, i], kernel, 'same') / weight for i in range(3)], axis=1
    )

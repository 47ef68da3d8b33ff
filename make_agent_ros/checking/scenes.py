"""The report's moving part: a typical robot and the worst one, on the ground of their trials."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from make_agent_ros.checking.page import (
    Html,
    Section,
    columns,
    escape,
    paragraph,
    video,
)
from make_agent_ros.checking.scenario import CheckConfig
from make_agent_ros.checking.terrain import Terrain
from make_agent_ros.checking.trials import draw_trials
from make_agent_ros.checking.video import VideoError, render_video

VIDEO_S = 6.0
AFTER_FALL_S = 1.0
SIZE = (480, 320)
BACKEND_TITLES = {
    'mujoco': 'MuJoCo, our model',
    'menagerie': 'MuJoCo, Menagerie model',
    'physx': 'PhysX',
    'isaacgym': 'Isaac Gym',
}

Backends = Mapping[str, Mapping[str, Any]]


def worst_of(backends: Backends) -> tuple[str, Mapping[str, Any]]:
    """Return the backend in which a robot did worst, and that robot's motion."""
    worst = {name: backend['series']['worst'] for name, backend in backends.items()}
    name = min(worst, key=lambda one: worst[one]['order'])
    return name, worst[name]


def replay_command(command: str, backend: str, motion: Mapping[str, Any]) -> str:
    """Return the command line that plays a trial again.

    Args:
        command: up to its options, as in `make-agent check walk.onnx`.
        backend: in which it happened; Isaac Gym's trials are played in PhysX, its own engine.
        motion: of the trial.
    """
    engine = {'mujoco': '', 'isaacgym': ' --backend physx'}.get(backend, f' --backend {backend}')
    return f'{command}{engine} --replay {motion["scenario"]}:{motion["seed"]}'


def trial_ground(config: Mapping[str, Any], motion: Mapping[str, Any]) -> Terrain:
    """Draw the ground of a trial again from the report's own configuration."""
    settings = CheckConfig.from_json(json.dumps(config))
    scenario = settings[motion['scenario']]
    return draw_trials(scenario, [motion['seed']], settings.terrains).terrains[0]


def ending(motion: Mapping[str, Any]) -> str:
    """Say how a trial ended."""
    if motion['steps_alive'] < len(motion['qpos']):
        walked = (motion['steps_alive'] - motion['start_step']) / motion['rate_hz']
        return f'fell after {walked:.1f} s'
    return 'stayed up'


def scene_section(
    backends: Backends, config: Mapping[str, Any], command: str, *, with_video: bool
) -> Section:
    """Return the card with the typical and the worst robot: video, words, command.

    Args:
        backends: that ran, the main one first.
        config: of the check, as in the report.
        command: for `replay_command`.
        with_video: whether to render.
    """
    main = next(iter(backends))
    worst_backend, worst = worst_of(backends)
    scenes = [
        ('Typical', main, backends[main]['series']['typical']),
        ('Worst', worst_backend, worst),
    ]
    grounds = [trial_ground(config, motion) for _, _, motion in scenes]
    films: list[bytes | VideoError] = []
    if with_video:
        with ThreadPoolExecutor(len(scenes)) as pool:  # each renders in a process of its own
            films = list(pool.map(_film_or_why, scenes, grounds))
    shown = []
    for i, (label, backend, motion) in enumerate(scenes):
        title = titles(config)[motion['scenario']]
        tilt = np.rad2deg(np.arccos(grounds[i].normal[2]))
        where = f', ground tilted by {tilt:.0f} deg' if tilt > 0.5 else ''
        caption = (
            f'{label}: “{title}”{where}, in {BACKEND_TITLES.get(backend, backend)}, '
            f'{ending(motion)} (seed {motion["seed"]}).'
        )
        again = Html(
            f'<p class="again">See it again: <code>'
            f'{escape(replay_command(command, backend, motion))}</code></p>'
        )
        film = films[i] if films else None
        seen = video(film, caption) if isinstance(film, bytes) else paragraph(caption)
        shown.append(Html(seen + again))
    problem = next((str(film) for film in films if isinstance(film, VideoError)), '')
    note = paragraph(problem) if problem else ''
    return Section(
        'A typical robot and the worst one',
        Html(columns(*shown) + note),
        'Left: the median robot on level ground. Right: the one that did worst in any world and '
        'engine: the earliest fall in what must be mastered, or else the largest velocity error. '
        'A seed names one robot with all its random numbers.',
    )


def titles(config: Mapping[str, Any]) -> dict[str, str]:
    """Return what each scenario is, in words."""
    return {scenario['name']: scenario['title'] for scenario in config['scenarios']}


def _film_or_why(scene: tuple[str, str, Mapping[str, Any]], ground: Terrain) -> bytes | VideoError:
    """Return the film of a scene, or why there is none."""
    label, _, motion = scene
    try:
        return _film(motion, ground, label)
    except VideoError as error:
        return error


def _film(motion: Mapping[str, Any], ground: Terrain, label: str) -> bytes:
    """Render the part of a trial that tells most.

    Raises:
        VideoError: no renderer.
    """
    from make_agent_ros.checking.mujoco_backend import scene_model

    poses = np.array(motion['qpos'], dtype=float)
    rate = motion['rate_hz']
    count = int(VIDEO_S * rate)
    end = min(len(poses), motion['steps_alive'] + int(AFTER_FALL_S * rate))
    typical = min(motion['start_step'], end - count)
    first = max(0, typical if label == 'Typical' else end - count)
    with tempfile.TemporaryDirectory() as folder:
        path = render_video(
            poses[first:end], Path(folder) / 'video.mp4', rate_hz=rate, size=SIZE,
            model=scene_model(ground),
        )  # fmt: skip
        return path.read_bytes()

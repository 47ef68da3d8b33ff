"""The check's report: one self-contained HTML page and its JSON twin.

The building blocks are in `page`, `plots` and `video`; they are handed on here for other reports.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from make_agent_ros.checking.check import CheckReport
from make_agent_ros.checking.gait_card import gait_section
from make_agent_ros.checking.metrics import VELOCITY_WINDOW_S
from make_agent_ros.checking.page import (
    Html,
    Section,
    columns,
    escape,
    figure,
    figure_to_svg,
    html_page,
    paragraph,
    pill,
    table,
    video,
)
from make_agent_ros.checking.plots import gait_diagram, push_polar, tracking_plot
from make_agent_ros.checking.scenes import BACKEND_TITLES, Backends, scene_section
from make_agent_ros.checking.video import VideoError, render_video
from make_agent_ros.recording.trajectory import Trajectory

__all__ = [
    'Html', 'Section', 'VideoError', 'check_page', 'columns', 'figure', 'figure_to_svg',
    'gait_diagram', 'html_page', 'paragraph', 'pill', 'push_polar', 'render_video',
    'save_report', 'table', 'tracking_plot', 'video',
]  # fmt: skip

DEFAULT_COMMAND = 'make-agent check policy.onnx'
LEAD = (
    'Before a neural policy moves a Unitree Go2, it walks here in simulated worlds that it '
    'was not trained in: other friction, loads, motors, delays, pushes and ground, in physics '
    'engines and robot models that others wrote.'
)
ADVICE = {
    'PASS': 'It walked in every world and engine below. On hardware: hung from a frame or on a '
    'leash first.',
    'WARN': 'It mastered what must be mastered; read the warnings below before it moves a '
    'robot, and then hung from a frame or on a leash first.',
    'FAIL': 'Do not run it on a robot. The red lines below say in which worlds it fails.',
}
"""Verdict -> what to do."""
FIGURES = (
    ('velocity_rmse_m_s', 'velocity error (m/s)', 1, '.2f'),
    ('yaw_rmse_rad_s', 'yaw rate error (rad/s)', 1, '.2f'),
    ('torque_saturation', 'torque at limit (%)', 100, '.1f'),
    ('joint_limit', 'joint on limit (%)', 100, '.1f'),
    ('cost_of_transport', 'cost of transport', 1, '.2f'),
    ('action_roughness', 'roughness (rad)', 1, '.3f'),
    ('frequency_hz', 'steps (Hz)', 1, '.2f'),
    ('body_height_m', 'height (cm)', 100, '.1f'),
    ('swing_height_m', 'swing (cm)', 100, '.1f'),
    ('recovery_s', 'recovery (s)', 1, '.1f'),
)
"""Figure, its heading, factor and format in the table."""


def save_report(
    report: CheckReport,
    folder: Path,
    *,
    prompt: Trajectory | None = None,
    with_video: bool = True,
    replay: str = DEFAULT_COMMAND,
    name: str = '',
) -> Path:
    """Write `report.json` and `report.html` into `folder`; return the page's path.

    Args:
        report: of the check.
        folder: made where it is missing.
        prompt: what the policy was generated from.
        with_video: whether to render.
        replay: the command that made the report, for the one that plays a trial again.
        name: of the policy, for the page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**report.data, 'digest': report.digest()}, indent=1)
    (folder / 'report.json').write_text(text)
    page = folder / 'report.html'
    page.write_text(
        check_page(report, prompt=prompt, with_video=with_video, replay=replay, name=name)
    )
    return page


def check_page(
    report: CheckReport,
    *,
    prompt: Trajectory | None = None,
    with_video: bool = True,
    replay: str = DEFAULT_COMMAND,
    name: str = '',
) -> str:
    """Return the report as HTML; arguments as for `save_report`."""
    data = report.data
    ran: Backends = {n: b for n, b in data['backends'].items() if 'error' not in b}
    sections = [_scenarios(data)]
    if ran:
        sections += [
            scene_section(ran, data['config'], replay, with_video=with_video),
            gait_section(ran, prompt),
            _tracking(next(iter(ran.values()))),
            _pushes(ran),
            _figures(ran, data),
        ]
    sections.append(_reading())
    vx, vy, wz = data['policy']['default_command']
    facts = {
        'policy': Html(f'{escape(name)} <code>{data["policy"]["digest"][:12]}</code>'),
        'walks by default at': f'{vx:.2f} m/s ahead, {vy:.2f} m/s left, {wz:.2f} rad/s left turn',
        'prompt': data['prompt']['source'] if data['prompt'] else 'none',
        'engines': '; '.join(BACKEND_TITLES.get(n, n) for n in ran) or 'none',
        'robots simulated': sum(
            s['trials'] for b in ran.values() for s in b['scenarios'].values()
        ),
        'took': f'{data["seconds"]:.0f} s',
        'report': Html(f'<code>{report.digest()[:12]}</code>'),
    }
    return html_page(
        'Sim-to-real check of a Go2 policy', sections, verdict=report.verdict,
        reason=report.reason, advice=ADVICE[report.verdict], facts=facts, lead=LEAD,
    )  # fmt: skip


def _scenarios(data: Mapping[str, Any]) -> Section:
    backends = data['backends']
    rows = []
    for scenario in data['config']['scenarios']:
        name = scenario['name']
        mark = pill('advisory') if scenario['advisory'] else ''
        title = Html(f'{escape(name)} {mark}<br><small>{escape(scenario["title"])}</small>')
        cells: list[object] = [title]
        why = []
        for backend, one in backends.items():
            result = one['scenarios'].get(name)
            if result is None:
                cells.append(pill('not run'))
                continue
            falls, error = result['falls'], result['figures']['velocity_rmse_m_s']['value']
            told = f'{falls["count"]} of {result["trials"]} fell'
            told += '' if error is None else f', {error:.2f} m/s off'
            cells.append(Html(f'{pill(result["verdict"])}<br><small>{told}</small>'))
            if result['verdict'] != 'PASS':
                why.append(f'{BACKEND_TITLES.get(backend, backend)}: {result["reason"]}')
        rows.append(
            [*cells, Html('<br>'.join(f'<small class="wrap">{escape(w)}</small>' for w in why))]
        )
    headers = ['scenario', *(BACKEND_TITLES.get(b, b) for b in backends), 'why']
    notes = [
        paragraph(f'{BACKEND_TITLES.get(n, n)} did not run: {b["error"]}')
        for n, b in backends.items()
        if 'error' in b
    ]
    return Section(
        'Scenarios',
        Html(''.join([table(headers, rows), *notes])),
        'Each line is a kind of world; the same robots with the same random numbers walk in every '
        'physics engine. m/s off: root mean square of velocity minus command, over 0.5 s means. '
        'Advisory: harder than what a blind policy must master, so at most a warning.',
    )


def _tracking(backend: Mapping[str, Any]) -> Section:
    plots = []
    for key in ('typical', 'commands'):
        motion = backend['series'].get(key)
        if motion is None:
            continue
        velocity = np.array(motion['planar_velocity'], dtype=float)[: motion['steps_alive']]
        command = np.array(motion['command'], dtype=float)[: motion['steps_alive']]
        n = max(1, round(VELOCITY_WINDOW_S * motion['rate_hz']))
        if len(velocity) <= n:
            continue
        kernel = np.ones(n) / n
        padded = np.pad(velocity, ((n // 2, n - 1 - n // 2), (0, 0)), mode='edge')
        smooth = np.stack([np.convolve(c, kernel, mode='valid') for c in padded.T], axis=-1)
        time_s = np.arange(len(velocity)) / motion['rate_hz']
        plots.append(
            figure(
                tracking_plot(time_s, command, velocity, smoothed=smooth),
                f'“{motion["scenario"]}”, seed {motion["seed"]}.',
            )
        )
    return Section(
        'Following the command',
        columns(*plots),
        'Velocity ahead, to the left, and turning. Left: the default command. Right: the command '
        'changes, as an operator would change it. Thin: as it is; thick: mean over 0.5 s.',
    )


def _pushes(backends: Backends) -> Section:
    plots = []
    for name, backend in backends.items():
        for scenario, result in backend['scenarios'].items():
            trials = result['per_trial']
            if 'push_x_m_s' not in trials:
                continue
            x, y = np.array(trials['push_x_m_s']), np.array(trials['push_y_m_s'])
            recovery = result['figures'].get('recovery_s', {}).get('value')
            fell = np.array(trials['fell'], bool)
            told = f'{(~fell).sum()} of {len(fell)} kept their feet'
            told += '' if recovery is None else f' and walked on after {recovery:.1f} s on average'
            plots.append(
                figure(
                    push_polar(np.arctan2(y, x), np.hypot(x, y), fell),
                    f'{BACKEND_TITLES.get(name, name)}, “{scenario}”: {told}.',
                )
            )
    body = columns(*plots) if plots else paragraph('No scenario with pushes was run.')
    return Section(
        'Pushes',
        body,
        'The trunk gets a sudden change of velocity. Each mark is one robot: its direction is '
        'where the kick sends it, its distance from the centre the size of the kick in m/s.',
    )


def _figures(backends: Backends, data: Mapping[str, Any]) -> Section:
    """Return every figure with its interval: the main engine open, the others folded away."""
    parts = []
    for i, (name, backend) in enumerate(backends.items()):
        title = escape(BACKEND_TITLES.get(name, name))
        opened = '' if i else ' open'
        parts.append(
            f'<details{opened}><summary>{title}</summary>{_figure_table(backend, data)}</details>'
        )
    return Section(
        'All figures',
        Html(''.join(parts)),
        'Means (medians for the gait) with 95 % intervals over the robots that the figure exists '
        'for; shares of falls are Wilson intervals. The JSON beside this page has every robot.',
    )


def _figure_table(backend: Mapping[str, Any], data: Mapping[str, Any]) -> Html:
    rows = []
    for scenario in data['config']['scenarios']:
        result = backend['scenarios'].get(scenario['name'])
        if result is None:
            continue
        cells: list[object] = [scenario['name'], _interval(result['falls'], 100, '.0f')]
        for key, _, factor, form in FIGURES:
            one = result['figures'].get(key)
            shown = one is not None and one['value'] is not None
            cells.append(_interval(one, factor, form) if shown else '')
        worst = result['per_trial']['seed'][result['worst']]
        cells.append(Html(f'<small>{worst}</small>'))
        rows.append(cells)
    return table(['scenario', 'falls (%)', *(row[1] for row in FIGURES), 'worst seed'], rows)


def _interval(one: Mapping[str, float], factor: float, form: str) -> Html:
    value, low, high = (format(factor * one[key], form) for key in ('value', 'low', 'high'))
    return Html(f'{value}<br><small>{low} – {high}</small>')


def _reading() -> Section:
    points = (
        'PASS: every figure is below its warning limit. WARN: above it. FAIL: above the failure '
        'limit in a scenario that must be mastered. Limits are in config/check.yaml.',
        'A fall: the trunk tilts by over 1 rad, or its origin comes within 13 cm of the ground, '
        'as when it lies on its belly.',
        'Simulation is not the robot. A pass means that the policy does not lean on one engine’s '
        'or one model’s peculiarities; the first steps on hardware still belong on a leash.',
    )
    return Section('How to read this', Html(''.join(paragraph(p) for p in points)))

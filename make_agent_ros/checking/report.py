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
from make_agent_ros.checking.plots import (
    gait_diagram,
    push_polar,
    survival_bars,
    tracking_plot,
)
from make_agent_ros.checking.ranking import prompt_gait
from make_agent_ros.checking.scenes import BACKEND_TITLES, Backends, scene_section
from make_agent_ros.checking.video import VideoError, render_video
from make_agent_ros.go2.constants import LEGS
from make_agent_ros.recording.gait import Gait, describe_gait
from make_agent_ros.recording.trajectory import Trajectory

__all__ = [
    'Html', 'Section', 'VideoError', 'check_page', 'columns', 'figure', 'figure_to_svg',
    'gait_diagram', 'html_page', 'paragraph', 'pill', 'push_polar', 'render_video',
    'save_report', 'survival_bars', 'table', 'tracking_plot', 'video',
]  # fmt: skip

DEFAULT_COMMAND = 'make-agent check policy.onnx'
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
    ('body_height_m', 'height (m)', 1, '.3f'),
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
) -> Path:
    """Write `report.json` and `report.html` into `folder`; return the page's path.

    Args:
        report: of the check.
        folder: made where it is missing.
        prompt: what the policy was generated from.
        with_video: whether to render.
        replay: the command that made the report, for the one that plays a trial again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**report.data, 'digest': report.digest()}, indent=1)
    (folder / 'report.json').write_text(text)
    page = folder / 'report.html'
    page.write_text(check_page(report, prompt=prompt, with_video=with_video, replay=replay))
    return page


def check_page(
    report: CheckReport,
    *,
    prompt: Trajectory | None = None,
    with_video: bool = True,
    replay: str = DEFAULT_COMMAND,
) -> str:
    """Return the report as HTML; arguments as for `save_report`."""
    data = report.data
    ran: Backends = {n: b for n, b in data['backends'].items() if 'error' not in b}
    sections = [_scenarios(data)]
    if ran:
        name, main = next(iter(ran.items()))
        sections.append(scene_section(ran, data['config'], replay, with_video=with_video))
        sections += [
            _gait(main, prompt),
            _tracking(main),
            _pushes(ran),
            _figures(name, main, data),
        ]
    sections.append(_reading())
    command = ', '.join(f'{v:.2f}' for v in data['policy']['default_command'])
    facts = {
        'policy': Html(f'<code>{data["policy"]["digest"][:12]}</code>'),
        'default command (m/s, m/s, rad/s)': command,
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
        reason=report.reason, advice=ADVICE[report.verdict], facts=facts,
    )  # fmt: skip


def _scenarios(data: Mapping[str, Any]) -> Section:
    backends = data['backends']
    rows = []
    for scenario in data['config']['scenarios']:
        name = scenario['name']
        title = Html(f'{escape(name)}<br><small>{escape(scenario["title"])}</small>')
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
        if scenario['advisory']:
            why.insert(0, 'beyond what must be mastered: counts as a warning at most')
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
        'physics engine. m/s off: root mean square of velocity minus command, over 0.5 s means.',
    )


def _ideal_contact(gait: Gait, rate_hz: float, seconds: float) -> np.ndarray:
    """Contacts of perfectly regular steps with the measured frequency, offsets and duty."""
    cycles = np.arange(int(seconds * rate_hz))[:, None] / rate_hz * float(gait.frequency_hz)
    return (cycles + gait.phase_offset) % 1.0 < gait.duty_factor


def _gait(backend: Mapping[str, Any], prompt: Trajectory | None) -> Section:
    motion = backend['series']['typical']
    rate = motion['rate_hz']
    poses = np.array(motion['qpos'], dtype=float)
    skip = motion['start_step'] + int(rate)
    window = poses[skip : motion['steps_alive']]
    diagrams = {'policy, contacts in simulation': np.array(motion['foot_contact'], bool)[skip:]}
    rows = []
    if len(window) > 1.5 * rate:
        from make_agent_ros.go2.state import projected_gravity

        mine = describe_gait(window[:, 7:], projected_gravity(window[:, 3:7]), rate)
        gaits = {'policy': mine}
        if prompt is not None:
            gaits = {'prompt': prompt_gait(prompt), 'policy': mine}
            contact = _ideal_contact(gaits['prompt'], rate, 2.0)
            diagrams = {'prompt, from its leg motion': contact, **diagrams}
        for name, gait in gaits.items():
            phases = ', '.join(
                f'{leg} {p:.2f}' for leg, p in zip(LEGS, gait.phase_offset, strict=True)
            )
            rows.append(
                [name, float(gait.frequency_hz), phases, float(np.mean(gait.duty_factor)),
                 float(gait.body_height_m), float(gait.swing_height_m)]
            )  # fmt: skip
    headers = ['', 'steps (Hz)', 'phase (cycles)', 'duty', 'body height (m)', 'swing height (m)']
    body = figure(gait_diagram(diagrams, rate), 'Filled: foot on the ground. Two seconds.')
    return Section(
        'Gait',
        Html(body + (table(headers, rows) if rows else '')),
        'When each foot is down (F front, R rear, then L left, R right), and the style in '
        'numbers: steps per second and leg, when each leg touches down within a step, the share '
        'of it on the ground.',
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
                f'{motion["scenario"]}, seed {motion["seed"]}. Thick: 0.5 s mean.',
            )
        )
    return Section('Following the command', columns(*plots))


def _pushes(backends: Backends) -> Section:
    plots = []
    for name, backend in backends.items():
        for scenario, result in backend['scenarios'].items():
            trials = result['per_trial']
            if 'push_x_m_s' not in trials:
                continue
            x, y = np.array(trials['push_x_m_s']), np.array(trials['push_y_m_s'])
            recovery = result['figures'].get('recovery_s', {}).get('value')
            told = '' if recovery is None else f' Recovered within {recovery:.1f} s on average.'
            plots.append(
                figure(
                    push_polar(np.arctan2(y, x), np.hypot(x, y), np.array(trials['fell'], bool)),
                    f'{BACKEND_TITLES.get(name, name)}, {scenario}. Radius: kick in m/s.{told}',
                )
            )
    body = columns(*plots) if plots else paragraph('No scenario with pushes was run.')
    return Section('Pushes', body, 'Where a kick of the trunk points to, and who kept its feet.')


def _figures(name: str, backend: Mapping[str, Any], data: Mapping[str, Any]) -> Section:
    rows = []
    for scenario in data['config']['scenarios']:
        result = backend['scenarios'].get(scenario['name'])
        if result is None:
            continue
        falls = result['falls']
        cells: list[object] = [
            scenario['name'],
            _interval(falls, 100, '.0f'),
        ]
        for key, _, factor, form in FIGURES:
            one = result['figures'].get(key)
            shown = one is not None and one['value'] is not None
            cells.append(_interval(one, factor, form) if shown else '')
        worst = result['per_trial']['seed'][result['worst']]
        cells.append(Html(f'<small>{worst}</small>'))
        rows.append(cells)
    headers = ['scenario', 'falls (%)', *(row[1] for row in FIGURES), 'worst seed']
    return Section(
        f'All figures: {BACKEND_TITLES.get(name, name)}',
        table(headers, rows),
        'Means (medians for the gait) with 95 % intervals over the robots that the figure exists '
        'for. The JSON beside this page has every robot and every engine.',
    )


def _interval(one: Mapping[str, float], factor: float, form: str) -> Html:
    value, low, high = (format(factor * one[key], form) for key in ('value', 'low', 'high'))
    return Html(f'{value}<br><small>{low} – {high}</small>')


def _reading() -> Section:
    points = (
        'PASS: every figure is below its warning limit. WARN: above it. FAIL: above the failure '
        'limit in a scenario that must be mastered. Limits are in config/check.yaml.',
        'A fall: the trunk tilts by over 1 rad or its origin comes within 10 cm of the ground.',
        'Simulation is not the robot. A pass means that the policy does not lean on one engine’s '
        'or one model’s peculiarities; the first steps on hardware still belong on a leash.',
    )
    return Section('How to read this', Html(''.join(paragraph(p) for p in points)))

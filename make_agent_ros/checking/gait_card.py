"""The report's card on style: contacts over time, and each axis of the gait against the prompt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from make_agent_ros.checking.metrics import STYLE_TOLERANCE
from make_agent_ros.checking.page import Html, Section, figure, pill, table
from make_agent_ros.checking.plots import gait_diagram
from make_agent_ros.checking.scenes import BACKEND_TITLES, Backends
from make_agent_ros.go2.constants import LEGS
from make_agent_ros.go2.state import projected_gravity
from make_agent_ros.recording.gait import Gait, describe_gait
from make_agent_ros.recording.loads import gait_of_prompts, loaded_feet
from make_agent_ros.recording.trajectory import Trajectory

SHOWN_S = 2.0
SETTLE_S = 1.0
LEAST_S = 1.5
"""Shortest walk whose gait is worth describing."""
AXES = (
    ('frequency_rel', 'steps per second and leg (Hz)', 100.0, '%'),
    ('phase_cycles', 'lead over front left (share of a step)', 100.0, '% of a step'),
    ('duty', 'share of a step on the ground', 100.0, '% of a step'),
    ('height_m', 'body height (cm)', 100.0, 'cm'),
    ('swing_m', 'swing height of the feet (cm)', 100.0, 'cm'),
    ('pitch_rad', 'pitch, nose down (rad)', 1.0, 'rad'),
)
"""Distance from the prompt, the axis in words, factor and unit of the distance."""


def gait_section(backends: Backends, prompt: Trajectory | None) -> Section:
    """Return the card.

    Args:
        backends: that ran, the main one first.
        prompt: what the policy was generated from.
    """
    main = next(iter(backends.values()))
    motion = main['series']['typical']
    rate = motion['rate_hz']
    start = motion['start_step'] + int(SETTLE_S * rate)
    poses = np.array(motion['qpos'], dtype=float)[start : motion['steps_alive']]
    contact = np.array(motion['foot_contact'], bool)[start : motion['steps_alive']]
    diagrams = {'policy, contacts in simulation': contact}
    gaits: dict[str, Gait] = {}
    if prompt is not None:
        gaits['prompt'] = gait_of_prompts(prompt)
        diagrams = {**_prompt_contact(prompt, gaits['prompt'], rate), **diagrams}
    if len(poses) >= LEAST_S * rate:
        gravity = projected_gravity(poses[:, 3:7])
        gaits['policy'] = describe_gait(poses[:, 7:], gravity, rate, contact=contact)
    shown = {name: _from_touch_down(values, rate) for name, values in diagrams.items()}
    caption = 'Filled: foot on the ground. Both begin where the front left foot touches down.'
    body = figure(gait_diagram(shown, rate, seconds=SHOWN_S), caption)
    told = f' “{motion["scenario"]}”, the robot of the left video.'
    return Section(
        'Style' if prompt is None else 'Style: does it move as it was shown?',
        Html(body + _style_table(gaits, backends, motion['scenario'])),
        'F front, R rear, then L left, R right.' + told + (
            '' if prompt is None else
            ' The table measures prompt and policy by the same formulas, from joint angles, '
            'IMU and what tells the feet that stand: leg torques, or contacts of the simulation. '
            'Off by: median over the robots with its 95 % interval.'
        ),
    )  # fmt: skip


def _prompt_contact(prompt: Trajectory, gait: Gait, rate_hz: float) -> dict[str, np.ndarray]:
    """Return the prompt's contacts under the name of how they are known."""
    if np.abs(prompt.joint_torque).max() > 0.0 and round(prompt.rate_hz) == round(rate_hz):
        gravity = projected_gravity(prompt.quat_wxyz)
        feet = loaded_feet(
            prompt.joint_pos, prompt.joint_vel, prompt.joint_torque, gravity, prompt.rate_hz
        )
        return {'prompt, by the load on its legs': feet}
    cycles = np.arange(int(3 * SHOWN_S * rate_hz))[:, None] / rate_hz * float(gait.frequency_hz)
    regular = (cycles + gait.phase_offset) % 1.0 < gait.duty_factor
    return {'prompt, regular steps with its frequency, phases and duty': regular}


def _from_touch_down(contact: np.ndarray, rate_hz: float) -> np.ndarray:
    """Cut what is shown so that it begins with the first leg's touch-down, where there is one."""
    count = round(SHOWN_S * rate_hz)
    downs = np.flatnonzero(contact[1:, 0] & ~contact[:-1, 0]) + 1
    fits = downs[downs + count <= len(contact)]
    first = int(fits[0]) if len(fits) else max(0, len(contact) - count)
    return contact[first : first + count]


def _style_table(gaits: Mapping[str, Gait], backends: Backends, scenario: str) -> str:
    if not gaits:
        return ''
    judged = [
        (name, one['scenarios'][scenario]['figures'])
        for name, one in backends.items()
        if 'prompt' in gaits and 'frequency_rel' in one['scenarios'][scenario]['figures']
    ]
    rows = []
    for key, words, factor, unit in AXES:
        row: list[object] = [words, *(_value(key, gait) for gait in gaits.values())]
        within = [row for row in (figures.get(key) for _, figures in judged) if row]
        row += [_distance(one, factor, unit) for one in within]
        if judged:
            tolerance = STYLE_TOLERANCE[key]
            hit = all(one['value'] is not None and one['value'] <= tolerance for one in within)
            limit = f'{factor * tolerance:.3g} {unit}'.strip()
            row.append(Html(f'{pill("PASS" if hit else "WARN")} <small>within {limit}</small>'))
        rows.append(row)
    engines = [f'off by, {BACKEND_TITLES.get(name, name)}' for name, _ in judged]
    return table(['', *gaits, *engines, *(['reproduced'] if judged else [])], rows)


def _value(key: str, gait: Gait) -> str:
    if key == 'phase_cycles':
        lead = zip(LEGS[1:], gait.phase_offset[1:], strict=True)
        return ', '.join(f'{leg} {p:.2f}' for leg, p in lead)
    return {
        'frequency_rel': f'{float(gait.frequency_hz):.2f}',
        'duty': f'{float(np.mean(gait.duty_factor)):.2f}',
        'height_m': f'{100 * float(gait.body_height_m):.1f}',
        'swing_m': f'{100 * float(gait.swing_height_m):.1f}',
        'pitch_rad': f'{float(gait.pitch_rad):.2f}',
    }[key]


def _distance(one: Mapping[str, Any], factor: float, unit: str) -> Html:
    if one['value'] is None:
        return Html('–')
    value, low, high = (f'{factor * one[name]:.2g}' for name in ('value', 'low', 'high'))
    return Html(f'{value} {unit}<br><small>{low} – {high}</small>')

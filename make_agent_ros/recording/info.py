"""What a recording shows, for people: tables and a gait diagram on the console."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from make_agent_ros.go2.constants import LEGS
from make_agent_ros.recording.bag import Recording, open_recording
from make_agent_ros.recording.doubts import Examination, examine
from make_agent_ros.recording.errors import RecordingError
from make_agent_ros.recording.familiar import FamiliarWalks, shipped_walks
from make_agent_ros.recording.gait import Gait
from make_agent_ros.recording.odometry import Velocity, estimate_velocity
from make_agent_ros.recording.prompt import Segment, cut_prompt, find_segments
from make_agent_ros.recording.quality import measure_quality

DIAGRAM_COLUMNS = 48
NAMED_GAITS: dict[str, tuple[float, float, float, float]] = {
    'trot': (0.0, 0.5, 0.5, 0.0),
    'pace': (0.0, 0.5, 0.0, 0.5),
    'bound': (0.0, 0.0, 0.5, 0.5),
    'pronk': (0.0, 0.0, 0.0, 0.0),
    'walk': (0.0, 0.5, 0.75, 0.25),
}
"""Phase offsets of FL, FR, RL, RR of textbook gaits, cycles."""


def print_info(path: str | Path, prompt_s: float = 4.0, console: Console | None = None) -> None:
    """Print what a recording holds, its steady segments, and the prompt that would be cut.

    Raises:
        RecordingError: the recording cannot be read.
    """
    recording = open_recording(path)
    (console or Console()).print(describe_recording(recording, prompt_s, shipped_walks()))


def describe_recording(
    recording: Recording, prompt_s: float = 4.0, walks: FamiliarWalks | None = None
) -> Group:
    """Return the same as something that rich prints.

    Args:
        recording: what was read.
        prompt_s: length of the prompt that would be cut.
        walks: statistics of walks; without them two checks of the prompt are left out.
    """
    trajectory = recording.trajectory
    parts: list[Table | Text] = [_quality_table(recording)]
    parts += [Text(f'note: {note}', style='yellow') for note in recording.notes]
    try:
        prompt = cut_prompt(trajectory, prompt_s)
    except RecordingError as error:
        parts.append(Text(f'no prompt: {error}', style='bold red'))
        prompt = None
    segments = find_segments(trajectory) if len(trajectory) > 1 else []
    if segments:
        parts.append(_segment_table(segments))
    if prompt is not None:
        best = min(segments, key=lambda s: 0 if _inside(s, prompt.time_s[0]) else 1)
        velocity = estimate_velocity(prompt)
        start, end = prompt.time_s[0], prompt.time_s[-1]
        parts.append(
            Text(f'prompt: {start:.2f} s to {end:.2f} s, {_velocity_text(velocity)}', 'bold')
        )
        parts.append(_verdict(examine(prompt, walks)))
        parts.append(Text(gait_diagram(best.gait)))
    return Group(*parts)


def _verdict(examination: Examination) -> Text:
    """Whether `generate` takes the prompt, and why not."""
    if examination.doubts:
        return Text(f'refused: {examination.sentence}', 'bold red')
    return Text(f'a plausible walk: {examination.sentence}', 'green')


def _inside(segment: Segment, time_s: float) -> bool:
    return segment.start_s - 1e-6 <= time_s <= segment.end_s


def _velocity_text(velocity: Velocity) -> str:
    names = ('vx', 'vy', 'wz')
    units = ('m/s', 'm/s', 'rad/s')
    return ', '.join(
        f'{name} {mean:+.2f} ± {std:.2f} {unit}'
        for name, mean, std, unit in zip(
            names, velocity.mean.tolist(), velocity.std.tolist(), units, strict=True
        )
    )


def _quality_table(recording: Recording) -> Table:
    quality = measure_quality(recording.trajectory)
    table = Table(title=recording.trajectory.source or 'recording', show_header=False)
    rows = {
        'length': f'{quality.duration_s:.2f} s, {quality.samples} samples',
        'rate': f'{quality.rate_hz:.1f} Hz, spacing within {1e3 * quality.jitter_s:.2f} ms (p99)',
        'gaps': f'{quality.gaps}, the longest spacing {quality.longest_gap_s:.3f} s',
        'lost samples': str(recording.lost),
        'unusable samples': str(quality.unusable),
        'torque at its limit': f'{quality.torque_saturation:.1%} of the time',
        'joint at its end stop': f'{quality.joint_limit:.1%} of the time',
        'largest tilt': f'{quality.largest_tilt_rad:.2f} rad',
    }
    rows.update({f'bag: {key}': value for key, value in recording.metadata.items() if value})
    for name, text in rows.items():
        table.add_row(name, text)
    return table


def _segment_table(segments: list[Segment]) -> Table:
    table = Table(title='steady segments')
    for column in ('time s', 'gait', 'steps Hz', 'vx m/s', 'wz rad/s', 'duty', 'height m',
                   'swing m', 'pitch rad'):  # fmt: skip
        table.add_column(column, justify='right')
    for segment in segments:
        gait = segment.gait
        table.add_row(
            f'{segment.start_s:.2f}-{segment.end_s:.2f}',
            gait_name(gait),
            f'{float(gait.frequency_hz):.2f} ± {segment.frequency_spread:.1%}',
            f'{segment.velocity[0]:+.2f}',
            f'{segment.velocity[2]:+.2f}',
            f'{float(gait.duty_factor.mean()):.2f}',
            f'{float(gait.body_height_m):.3f}',
            f'{float(gait.swing_height_m):.3f}',
            f'{float(gait.pitch_rad):+.2f}',
        )
    return table


def gait_name(gait: Gait) -> str:
    """Return the textbook gait whose phases are nearest, with ~ when none is near."""
    offset = np.asarray(gait.phase_offset)
    away = {
        name: float(np.abs((offset - phases + 0.5) % 1.0 - 0.5).max())
        for name, phases in NAMED_GAITS.items()
    }
    name = min(away, key=lambda key: away[key])
    return name if away[name] < 0.1 else f'~{name}'


def gait_diagram(gait: Gait, columns: int = DIAGRAM_COLUMNS) -> str:
    """Return two cycles of stance (█) and swing (·) of each leg, one line per leg."""
    cycle = np.arange(columns) / columns * 2.0
    lines = []
    for leg, offset, duty in zip(LEGS, gait.phase_offset, gait.duty_factor, strict=True):
        stance = (cycle + offset) % 1.0 < duty
        bar = ''.join('█' if down else '·' for down in stance)
        lines.append(f'{leg} {bar} {float(offset):.2f}')
    width = 2.0 / max(float(gait.frequency_hz), 1e-6)
    return '\n'.join([*lines, f'   two cycles, {width:.2f} s; phase offset at the end'])

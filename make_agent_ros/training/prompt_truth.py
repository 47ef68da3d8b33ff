"""What prompts say beside what the simulation knows: velocity, gait, and whether they are refused.

Held-out policies walk under one condition after the other, their walks are recorded as a robot
would, cut as a user's recording is, and read with nothing but proprioception.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from make_agent_ros.generator.embedding import RATE_HZ
from make_agent_ros.go2.constants import FOOT_RADIUS_M
from make_agent_ros.go2.kinematics import foot_positions
from make_agent_ros.go2.state import projected_gravity
from make_agent_ros.policy.bundle import Bundle
from make_agent_ros.recording.doubts import Examination, examine
from make_agent_ros.recording.errors import RecordingError
from make_agent_ros.recording.familiar import FamiliarWalks
from make_agent_ros.recording.gait import Gait, describe_gait
from make_agent_ros.recording.loads import known_contact
from make_agent_ros.recording.odometry import Velocity, estimate_velocity
from make_agent_ros.recording.prompt import cut_prompt
from make_agent_ros.recording.trajectory import Trajectory
from make_agent_ros.simulation.batch import SensorNoise, rotate_inverse
from make_agent_ros.simulation.model import WorldRanges
from make_agent_ros.training.behaviour import BehaviourSet
from make_agent_ros.training.prompts import SETTLE_S
from make_agent_ros.training.scripted import scripted_walks
from make_agent_ros.training.walks import Walks, record_walks

_USUAL = SensorNoise()
THRICE = SensorNoise(
    3.0 * _USUAL.gyro_rad_s, 3.0 * _USUAL.tilt_rad, 3.0 * _USUAL.joint_pos_rad,
    3.0 * _USUAL.joint_vel_rad_s,
)  # fmt: skip


@dataclass(frozen=True)
class Condition:
    """How the robot walks and what is recorded of it."""

    ranges: WorldRanges = field(default_factory=WorldRanges)
    noise: SensorNoise = field(default_factory=SensorNoise)
    torques: bool = True
    """Whether the recording has torques; one from another simulator may not."""
    angles_only: bool = False
    """Neither torques nor joint velocities: these are differentiated."""
    scripted: bool = False
    """Another controller walks the styles."""


CONDITIONS: dict[str, Condition] = {
    'nominal': Condition(WorldRanges.nominal(), SensorNoise.none()),
    'usual': Condition(),
    'noise_x3': Condition(noise=THRICE),
    'payload_5_kg': Condition(replace(WorldRanges(), payload_kg=(5.0, 5.0))),
    'friction_0.3': Condition(replace(WorldRanges(), friction=(0.3, 0.3))),
    'no_torques': Condition(torques=False),
    'angles_only': Condition(torques=False, angles_only=True),
    'another_controller': Condition(scripted=True),
}
"""Worlds and noise of `usual` are those of training: friction 0.4-1.25, payload -1..+3 kg."""


@dataclass(frozen=True)
class Shown:
    """One recording and what became of it."""

    behaviour: int
    """Row of the behaviours that were walked."""
    prompt: Trajectory | None
    """None where none can be cut."""
    refusal: str
    """Why; `no prompt` where none can be cut, else the kind of the first doubt; empty if none."""
    rarity: float
    """See `Examination`; NaN without a prompt."""
    velocity: Velocity | None = None
    true_velocity: np.ndarray | None = None
    """vx, vy m/s, turn rate rad/s over the prompt, (3,)."""
    gait: Gait | None = None
    true_gait: dict[str, np.ndarray] = field(default_factory=dict)


def walk_under(
    condition: Condition,
    bundles: Sequence[Bundle],
    behaviours: BehaviourSet,
    seconds: float,
    seed: int,
) -> Walks:
    """Walk every behaviour once and keep what stays upright."""
    if condition.scripted:
        walks = scripted_walks(
            behaviours.styles, behaviours.default_command, SETTLE_S + seconds, seed,
            condition.ranges,
        )  # fmt: skip
    else:
        walks = record_walks(
            bundles, behaviours, SETTLE_S + seconds, seed, ranges=condition.ranges
        )
    return walks.steady(SETTLE_S)


def record(walks: Walks, condition: Condition, seed: int) -> list[Trajectory]:
    """Return the walks as recordings of this condition."""
    recordings = walks.recordings(condition.noise, seed)
    if not condition.torques:
        recordings = [replace(r, joint_torque=np.zeros_like(r.joint_torque)) for r in recordings]
    if condition.angles_only:
        recordings = [
            replace(r, joint_vel=np.gradient(r.joint_pos, r.time_s, axis=0)) for r in recordings
        ]
    return recordings


def judge(
    recording: Trajectory, prompt_s: float, familiar: FamiliarWalks | None
) -> tuple[Trajectory | None, str, float]:
    """Cut and examine a recording as `make-agent generate` does: prompt, refusal, rarity."""
    try:
        prompt = cut_prompt(recording, prompt_s)
    except RecordingError:
        return None, 'no prompt', float('nan')
    examination: Examination = examine(prompt, familiar)
    refusal = examination.doubts[0].kind if examination.doubts else ''
    return prompt, refusal, examination.rarity


def show(
    walks: Walks,
    condition: Condition,
    frequency_hz: np.ndarray,
    prompt_s: float,
    familiar: FamiliarWalks | None,
    seed: int,
) -> list[Shown]:
    """Cut, examine and read recordings of walks.

    Args:
        walks: settled.
        condition: that they walked under.
        frequency_hz: step frequency of every behaviour's clock.
        prompt_s: length of a prompt.
        familiar: statistics of walks.
        seed: of the sensors' noise.
    """
    found = []
    for i, recording in enumerate(record(walks, condition, seed)):
        prompt, refusal, rarity = judge(recording, prompt_s, familiar)
        behaviour = int(walks.behaviour[i])
        if prompt is None:
            found.append(Shown(behaviour, None, refusal, rarity))
            continue
        start, end = prompt.time_s[0], prompt.time_s[-1]
        gravity = projected_gravity(prompt.quat_wxyz)
        found.append(
            Shown(
                behaviour, prompt, refusal, rarity, estimate_velocity(prompt),
                walks.velocity(i, start, end),
                describe_gait(
                    prompt.joint_pos, gravity, RATE_HZ,
                    contact=known_contact(prompt),
                ),
                true_gait(walks, i, start, end, float(frequency_hz[behaviour])),
            )
        )  # fmt: skip
    return found


def true_gait(
    walks: Walks, i: int, start_s: float, end_s: float, frequency_hz: float
) -> dict[str, np.ndarray]:
    """Return the style of a stretch from contacts and poses that only the simulation knows.

    Returns:
        `frequency_hz`, `duty` (4,), `phase` (4,) in cycles from mid-stances, `body_height_m`,
        `swing_height_m`.
    """
    rows = slice(round(start_s * RATE_HZ), round(end_s * RATE_HZ) + 1)
    contact = walks.foot_contact[i, rows].astype(np.float64)
    time = np.arange(len(contact)) / RATE_HZ
    whole = np.floor(time[-1] * frequency_hz) / frequency_hz
    inside = time < whole
    turn = np.exp(2j * np.pi * frequency_hz * time[inside])
    fundamental = turn @ (contact[inside] - contact[inside].mean(axis=0))
    # leg i is at phase f t + offset: what comes earlier has the larger offset
    angle = np.angle(fundamental) / (2.0 * np.pi)
    quat = walks.quat_wxyz[i, rows].astype(np.float64)
    inverse = quat * np.array([1.0, -1.0, -1.0, -1.0])
    feet = rotate_inverse(inverse[:, None], foot_positions(walks.joint_pos[i, rows]))
    base = walks.base_position[i, rows, 2].astype(np.float64)
    clear = base[:, None] + feet[..., 2] - FOOT_RADIUS_M
    period = round(RATE_HZ / frequency_hz)
    tops = [clear[k : k + period].max(axis=0) for k in range(0, len(clear) - period + 1, period)]
    return {
        'frequency_hz': np.array(frequency_hz),
        'duty': contact[inside].mean(axis=0),
        'phase': (angle[0] - angle) % 1.0,
        'body_height_m': np.array(base.mean()),
        'swing_height_m': np.mean(tops, axis=0).mean(),
    }


def velocity_figures(shown: Sequence[Shown]) -> dict[str, float]:
    """Return error and calibration of the velocities that prompts tell.

    Returns:
        Per axis (`vx`, `vy` m/s, `wz` rad/s): `bias`, `rmse`, `p95`, `within_1_std` (68 % if the
        uncertainty is right) and `within_2_std` (95 %); and `prompts`.
    """
    pairs = [
        (s.velocity, s.true_velocity) for s in shown if s.prompt is not None and not s.refusal
    ]
    figures = {'prompts': float(len(pairs))}
    if not pairs:
        return figures
    error = np.array([v.mean - truth for v, truth in pairs if v is not None])
    std = np.array([v.std for v, _ in pairs if v is not None])
    for k, axis in enumerate(('vx', 'vy', 'wz')):
        size = np.abs(error[:, k])
        figures |= {
            f'{axis}.bias': float(error[:, k].mean()),
            f'{axis}.rmse': float(np.sqrt((error[:, k] ** 2).mean())),
            f'{axis}.p95': float(np.quantile(size, 0.95)),
            f'{axis}.within_1_std': float((size <= std[:, k]).mean()),
            f'{axis}.within_2_std': float((size <= 1.96 * std[:, k]).mean()),
        }
    return figures


def gait_errors(gait: Gait, truth: dict[str, np.ndarray]) -> dict[str, float]:
    """Return the error of each descriptor: step frequency relative, phases the worst leg's."""
    phase = np.abs((gait.phase_offset - truth['phase'] + 0.5) % 1.0 - 0.5)
    return {
        'frequency_rel': float(gait.frequency_hz / truth['frequency_hz'] - 1.0),
        'phase_cycles': float(phase.max()),
        'duty': float((gait.duty_factor - truth['duty']).mean()),
        'body_height_m': float(gait.body_height_m - truth['body_height_m']),
        'swing_height_m': float(gait.swing_height_m - truth['swing_height_m']),
    }


def gait_figures(shown: Sequence[Shown]) -> dict[str, float]:
    """Return the errors of the gait descriptors: `bias`, `median` and `p95` of their size."""
    rows = [gait_errors(s.gait, s.true_gait) for s in shown if s.gait is not None]
    figures: dict[str, float] = {'prompts': float(len(rows))}
    for name in rows[0] if rows else ():
        values = np.array([row[name] for row in rows])
        figures[f'{name}.bias'] = float(values.mean())
        figures[f'{name}.median'] = float(np.median(np.abs(values)))
        figures[f'{name}.p95'] = float(np.quantile(np.abs(values), 0.95))
    return figures


def together_figures(takes: Sequence[Sequence[Shown]]) -> dict[str, float]:
    """Return rms errors of what one prompt tells (`.one`), and of the mean of several (`.all`).

    Args:
        takes: recordings of the same behaviours, walked under several conditions.
    """
    by_behaviour: dict[int, list[np.ndarray]] = {}
    names = ['vx_m_s', 'vy_m_s', 'wz_rad_s']
    for shown in (s for take in takes for s in take if s.gait is not None and not s.refusal):
        assert shown.velocity is not None and shown.gait is not None
        error = gait_errors(shown.gait, shown.true_gait)
        del error['phase_cycles']  # a size, which no mean makes smaller
        row = [*(shown.velocity.mean - shown.true_velocity).tolist(), *error.values()]
        by_behaviour.setdefault(shown.behaviour, []).append(np.array(row))
        names[3:] = list(error)
    whole = [np.stack(rows) for rows in by_behaviour.values() if len(rows) == len(takes)]
    figures = {'together.behaviours': float(len(whole))}
    if not whole:
        return figures
    errors = np.stack(whole)
    for k, name in enumerate(names):
        figures[f'together.{name}.one'] = float(np.sqrt((errors[..., k] ** 2).mean()))
        figures[f'together.{name}.all'] = float(np.sqrt((errors[..., k].mean(axis=1) ** 2).mean()))
    return figures

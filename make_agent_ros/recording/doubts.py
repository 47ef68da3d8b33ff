"""Whether a prompt is a Go2 walking on level ground: every doubt with its figure and its reason.

Each check is a figure divided by the largest (or smallest) value that real walks have, so that 1
is the limit whatever the check. The score of a prompt is the largest of them: it is refused above
1, for the reasons of the checks that are above 1. First come checks that need no statistics (does
it move, do the sensors agree with each other), then the two of `familiar`.

Limits were set on walks of training behaviours (all gaits, 1.5-4 s, up to three times the usual
sensor noise), whose extremes are named at each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from make_agent_ros.go2.constants import JOINT_LOWER_RAD, JOINT_NAMES, JOINT_UPPER_RAD, LEGS
from make_agent_ros.go2.kinematics import foot_positions
from make_agent_ros.go2.state import projected_gravity
from make_agent_ros.recording.errors import RecordingError
from make_agent_ros.recording.familiar import FamiliarWalks, prompt_cycles
from make_agent_ros.recording.gait import Gait, describe_gait, level_feet
from make_agent_ros.recording.prompt import MAX_TILT_RAD, MIN_PERIODICITY, STANDING_M
from make_agent_ros.recording.trajectory import Trajectory

RANGE_MARGIN_RAD = 0.1
"""Joints may read this far beyond their range: zero errors, soft stops."""
STUCK_RAD = 0.02
"""A joint that moves less in a whole prompt is stuck; walks without noise have 0.042 or more."""
STILL_LEG = 0.25
"""Motion of a foot relative to the median leg's; walks have 0.36 or more."""
VELOCITY_SLOPE = (0.4, 2.0)
"""Joint velocity per rate of change of the angle, all joints together."""
WRONG_SIGN = -0.45
"""Correlation of one joint's velocity with its angle's rate; walks have -0.2 or more."""
GYRO_CORRELATION = 0.35
"""Of gyroscope and rate of the attitude; walks have 0.59 or more."""
SHAKE_RAD_S = 0.1
"""Roll and pitch rate of a walking trunk, rms; walks have 0.19 or more."""
SLOPE_RAD = np.deg2rad(8.0)
"""Tilt of the plane through the standing feet."""


@dataclass(frozen=True)
class Doubt:
    """One reason against a prompt."""

    kind: str
    """Which check: `standing`, `stuck joint`, `wiring` ..."""
    score: float
    """How far beyond the limit, 1 at it."""
    sentence: str
    """What was found and what helps."""


@dataclass(frozen=True)
class Examination:
    """What all checks say about one prompt."""

    checks: tuple[Doubt, ...]
    """Every check, the most doubtful first."""

    @property
    def score(self) -> float:
        """The largest of the checks' scores; the prompt is refused above 1."""
        return self.checks[0].score

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """The checks that refuse."""
        return tuple(check for check in self.checks if check.score > 1.0)


class OddPromptError(RecordingError):
    """A prompt that does not look like a Go2 walking on level ground."""

    def __init__(self, name: str, examination: Examination) -> None:
        self.examination = examination
        reasons = '; '.join(doubt.sentence for doubt in examination.doubts[:3])
        super().__init__(
            f'{name}: {reasons}. Record it again, mend the import, or allow novel prompts'
        )


def examine(prompt: Trajectory, walks: FamiliarWalks | None = None) -> Examination:
    """Try every check on a prompt at a uniform rate, e.g. one that `cut_prompt` returned.

    Args:
        prompt: at least 1 s.
        walks: statistics of walks; without them the last two checks are left out.
    """
    gravity = projected_gravity(prompt.quat_wxyz)
    gait = describe_gait(prompt.joint_pos, gravity, prompt.rate_hz)
    scene = _Scene(prompt, gravity, gait, walks)
    found = [doubt for check in _CHECKS for doubt in check(scene)]
    return Examination(tuple(sorted(found, key=lambda doubt: -doubt.score)))


def require_plausible(prompt: Trajectory, walks: FamiliarWalks | None = None) -> Examination:
    """Examine a prompt.

    Raises:
        OddPromptError: naming the reasons.
    """
    examination = examine(prompt, walks)
    if examination.doubts:
        raise OddPromptError(prompt.source or 'the prompt', examination)
    return examination


@dataclass(frozen=True)
class _Scene:
    """A prompt and what several checks need of it."""

    prompt: Trajectory
    gravity: np.ndarray
    gait: Gait
    walks: FamiliarWalks | None


def _upright(scene: _Scene) -> Iterator[Doubt]:
    tilt = float(np.arccos(np.clip(-scene.gravity[:, 2], -1.0, 1.0)).max())
    yield Doubt(
        'falling', tilt / MAX_TILT_RAD,
        f'the trunk tilts up to {tilt:.1f} rad: the robot falls, lies or is carried',
    )  # fmt: skip


def _moves(scene: _Scene) -> Iterator[Doubt]:
    feet = foot_positions(scene.prompt.joint_pos)
    motion = np.sqrt(((feet - feet.mean(axis=0)) ** 2).sum(axis=-1).mean(axis=0))
    usual = float(np.median(motion))
    yield Doubt(
        'standing', STANDING_M / max(float(motion.max()), 1e-6),
        f'the feet move {1e3 * motion.max():.0f} mm: the robot stands',
    )  # fmt: skip
    leg = int(motion.argmin())
    yield Doubt(
        'still leg', STILL_LEG * usual / max(float(motion[leg]), 1e-6),
        f'leg {LEGS[leg]} moves {1e3 * motion[leg]:.0f} mm, the others {1e3 * usual:.0f} mm: it '
        'limps, or its encoders are stuck',
    )  # fmt: skip
    spread = np.ptp(scene.prompt.joint_pos, axis=0)
    joint = int(spread.argmin())
    yield Doubt(
        'stuck joint', STUCK_RAD / max(float(spread[joint]), 1e-6),
        f'{JOINT_NAMES[joint]} stays within {spread[joint]:.3f} rad: its encoder is stuck or the '
        'joint is not recorded',
    )  # fmt: skip


def _repeats(scene: _Scene) -> Iterator[Doubt]:
    periodicity = float(scene.gait.periodicity)
    yield Doubt(
        'aperiodic', (1.0 - periodicity) / (1.0 - MIN_PERIODICITY),
        f'only {periodicity:.0%} of the motion repeats: guided by hand, stumbling, or noise',
    )  # fmt: skip


def _inside_range(scene: _Scene) -> Iterator[Doubt]:
    pos = scene.prompt.joint_pos
    beyond = np.maximum(JOINT_LOWER_RAD - pos, pos - JOINT_UPPER_RAD)
    far = np.quantile(beyond, 0.9, axis=0)
    joint = int(far.argmax())
    yield Doubt(
        'joint range', 1.0 + (float(far[joint]) - RANGE_MARGIN_RAD),
        f'{JOINT_NAMES[joint]} reads {np.median(pos[:, joint]):+.2f} rad, a Go2 reaches '
        f'{JOINT_LOWER_RAD[joint]:.2f} .. {JOINT_UPPER_RAD[joint]:.2f}: another robot, another '
        'zero or a turned sign',
    )  # fmt: skip


def _rates(values: np.ndarray, rate_hz: float) -> np.ndarray:
    return np.asarray((values[2:] - values[:-2]) * (0.5 * rate_hz))


def _velocities_fit(scene: _Scene) -> Iterator[Doubt]:
    prompt = scene.prompt
    rate, told = _rates(prompt.joint_pos, prompt.rate_hz), prompt.joint_vel[1:-1]
    energy, product = (rate**2).sum(axis=0), (rate * told).sum(axis=0)
    slope = float(product.sum() / max(energy.sum(), 1e-9))
    score = max(slope / VELOCITY_SLOPE[1], 1.0 + VELOCITY_SLOPE[0] - slope)
    yield Doubt(
        'joint velocities', score,
        f'joint velocities are {slope:.2f} times the rate of the joint angles: other units, or '
        'another time base',
    )  # fmt: skip
    match = product / np.sqrt(np.maximum(energy * (told**2).sum(axis=0), 1e-12))
    joint = int(match.argmin())
    yield Doubt(
        'velocity sign', float(match[joint]) / WRONG_SIGN,
        f'the velocity of {JOINT_NAMES[joint]} runs against its angle (correlation '
        f'{match[joint]:.2f}): one of the two has the wrong sign or order',
    )  # fmt: skip


def _gyro_fits(scene: _Scene) -> Iterator[Doubt]:
    turned = body_rates(scene.prompt.quat_wxyz, scene.prompt.rate_hz)
    told = scene.prompt.base_ang_vel[1:-1]
    size = np.sqrt((turned**2).sum() * (told**2).sum())
    match = float((turned * told).sum() / max(size, 1e-9))
    shake = float(np.sqrt((turned[:, :2] ** 2).mean()))
    yield Doubt(
        'trunk at rest', SHAKE_RAD_S / max(shake, 1e-6),
        f'the trunk rolls and pitches at {shake:.2f} rad/s, a walk shakes it by more than '
        f'{SHAKE_RAD_S:g}: the robot hangs, stands on a stand, or the IMU is stuck',
    )  # fmt: skip
    yield Doubt(
        'gyroscope', 1.0 + GYRO_CORRELATION - match,
        f'the gyroscope does not follow the attitude (correlation {match:.2f}): axes, signs or '
        'order of the quaternion differ from x forward, body-to-world, w x y z',
    )  # fmt: skip


def body_rates(quat_wxyz: np.ndarray, rate_hz: float) -> np.ndarray:
    """Return the angular velocity in the body frame that attitudes (T, 4) show, (T - 2, 3)."""
    a, b = quat_wxyz[:-2], quat_wxyz[2:]
    vector = a[:, :1] * b[:, 1:] - b[:, :1] * a[:, 1:] - np.cross(a[:, 1:], b[:, 1:])
    sign = np.where((a * b).sum(axis=1, keepdims=True) < 0.0, -1.0, 1.0)
    return np.asarray(sign * vector * rate_hz)


def _level_ground(scene: _Scene) -> Iterator[Doubt]:
    slope = ground_slope(scene.prompt.joint_pos, scene.gravity)
    steep = float(np.linalg.norm(slope))
    yield Doubt(
        'slope', steep / SLOPE_RAD,
        f'the feet stand on a plane tilted by {np.rad2deg(steep):.0f} degrees: a slope, stairs, '
        'or an IMU that is not level; walk on level ground',
    )  # fmt: skip


def ground_slope(joint_pos: np.ndarray, gravity_b: np.ndarray) -> np.ndarray:
    """Return the tilt of the ground under a walk, forward and to the left, rad, (2,).

    Each leg's lowest third of positions below the level trunk counts as its stance.
    """
    feet = foot_positions(joint_pos)
    _, height = level_feet(joint_pos, gravity_b)
    lowest = np.argsort(height, axis=0)[: max(1, len(height) // 3)]
    z = np.take_along_axis(height, lowest, axis=0).mean(axis=0)
    x = np.take_along_axis(feet[..., 0], lowest, axis=0).mean(axis=0)
    y = np.take_along_axis(feet[..., 1], lowest, axis=0).mean(axis=0)
    plane = np.linalg.lstsq(np.stack((x, y, np.ones(4)), axis=1), z, rcond=None)[0]
    return np.asarray(np.arctan(plane[:2]))


def _familiar(scene: _Scene) -> Iterator[Doubt]:
    walks = scene.walks
    if walks is None:
        return
    cycles = prompt_cycles([scene.prompt])
    [(wiring, ratio)] = walks.best_wiring(cycles)
    limit = float(walks.wiring_limit)
    yield Doubt('wiring', 1.0 + ratio - limit, wiring.remedy)
    distance = float(walks.distance(cycles.features())[0])
    yield Doubt(
        'unfamiliar', 1.0 + (distance - float(walks.distance_limit)) / 10.0,
        _strange(scene.gait, walks, distance),
    )  # fmt: skip


def _strange(gait: Gait, walks: FamiliarWalks, distance: float) -> str:
    """Say on which axis an unfamiliar walk leaves the walks, where one is to blame."""
    values = np.array([gait.frequency_hz, gait.body_height_m, gait.swing_height_m], dtype=float)
    names, units = ('step frequency', 'body height', 'swing height'), ('Hz', 'm', 'm')
    outside = [
        f'{name} {value:.2f} {unit} where walks have {low:.2f} .. {high:.2f}'
        for name, unit, value, low, high in zip(
            names, units, values, walks.axis_low, walks.axis_high, strict=True
        )
        if not low <= value <= high
    ]
    why = ', '.join(outside) or 'legs and trunk do not go together as they do in a known walk'
    return (
        f'unlike every walk known (distance {distance:.1f}, expected below '
        f'{float(walks.distance_limit):.1f}): {why}'
    )


_CHECKS: tuple[Callable[[_Scene], Iterator[Doubt]], ...] = (
    _upright, _moves, _repeats, _inside_range, _velocities_fit, _gyro_fits, _level_ground,
    _familiar,
)  # fmt: skip

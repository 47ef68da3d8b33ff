"""The checks of `doubts`: what a Go2 walking on level ground shows, and what else would.

First come checks that need no statistics (does it move, do the sensors agree with each other),
then the two of `familiar`. Limits were set on walks of training behaviours, whose extremes are
named at each; `training.familiar` loosens those that the walks of a wider training set exceed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from make_agent_ros.go2.constants import JOINT_LOWER_RAD, JOINT_NAMES, JOINT_UPPER_RAD, LEGS
from make_agent_ros.go2.kinematics import foot_positions
from make_agent_ros.recording.familiar import FamiliarWalks, prompt_cycles
from make_agent_ros.recording.gait import Gait, level_feet
from make_agent_ros.recording.loads import lift_of_feet
from make_agent_ros.recording.prompt import MAX_TILT_RAD, MIN_PERIODICITY, STANDING_M
from make_agent_ros.recording.trajectory import Trajectory

RANGE_MARGIN_RAD = 0.1
"""Joints may read this far beyond their range: zero errors, soft stops."""
STUCK_RAD = 0.02
"""A joint that moves less in a whole prompt is stuck; walks without noise have 0.042 or more."""
STILL_LEG = 0.25
"""Motion of a foot relative to the median leg's; walks have 0.36 or more."""
DRAGGING_M = 0.005
"""A foot that leaves the ground by less drags: it has no swing, so no phase, duty or height of
swing either. Feet that swing for too short a part of the cycle (0.25 and less) come near."""
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
TOGETHER_M = 0.02
"""Feet that stand together for less than this, rms over the prompt, tell no tilt."""


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
class Scene:
    """A prompt and what several checks need of it."""

    prompt: Trajectory
    gravity: np.ndarray
    gait: Gait
    walks: FamiliarWalks | None


def _upright(scene: Scene) -> Iterator[Doubt]:
    tilt = float(np.arccos(np.clip(-scene.gravity[:, 2], -1.0, 1.0)).max())
    yield Doubt(
        'falling', tilt / MAX_TILT_RAD,
        f'the trunk tilts up to {tilt:.1f} rad: the robot falls, lies or is carried',
    )  # fmt: skip


def _moves(scene: Scene) -> Iterator[Doubt]:
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


def _feet_lift(scene: Scene) -> Iterator[Doubt]:
    lift = lift_of_feet(scene.prompt)
    leg = int(lift.argmin())
    yield Doubt(
        'dragging foot', DRAGGING_M / max(float(lift[leg]), 1e-6),
        f'foot {LEGS[leg]} leaves the ground by {1e3 * lift[leg]:.0f} mm, the others by '
        f'{1e3 * np.median(lift):.0f} mm: it drags, and a leg that takes no steps has no phase; '
        'show a walk that lifts every foot',
    )  # fmt: skip


def _repeats(scene: Scene) -> Iterator[Doubt]:
    periodicity = float(scene.gait.periodicity)
    yield Doubt(
        'aperiodic', (1.0 - periodicity) / (1.0 - MIN_PERIODICITY),
        f'only {periodicity:.0%} of the motion repeats: guided by hand, stumbling, or noise',
    )  # fmt: skip


def _inside_range(scene: Scene) -> Iterator[Doubt]:
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


def _velocities_fit(scene: Scene) -> Iterator[Doubt]:
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


def _gyro_fits(scene: Scene) -> Iterator[Doubt]:
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


def _level_ground(scene: Scene) -> Iterator[Doubt]:
    slope = ground_slope(scene.prompt.joint_pos, scene.gravity)
    steep = float(np.linalg.norm(slope))
    yield Doubt(
        'slope', steep / SLOPE_RAD,
        f'the feet stand on a plane tilted by {np.rad2deg(steep):.0f} degrees: a slope, stairs, '
        'or an IMU that is not level; walk on level ground',
    )  # fmt: skip


def ground_slope(joint_pos: np.ndarray, gravity_b: np.ndarray) -> np.ndarray:
    """Return the tilt of the ground under a walk, forward and to the left, rad, (2,).

    Each leg's lowest third of positions below the level trunk counts as its stance. Feet that
    stand at one moment are compared with each other, for the trunk moves up and down meanwhile; a
    gait whose feet never stand side by side, or behind each other, tells nothing of that tilt.
    """
    feet = foot_positions(joint_pos)
    _, height = level_feet(joint_pos, gravity_b)
    stands = height <= np.quantile(height, 1.0 / 3.0, axis=0)
    points = np.stack((feet[..., 0], feet[..., 1], height), axis=-1)
    weight = stands[..., None].astype(np.float64)
    together = np.maximum(weight.sum(axis=1, keepdims=True), 1.0)
    away = (points - (weight * points).sum(axis=1, keepdims=True) / together) * weight
    plane, rise = away[..., :2].reshape(-1, 2), away[..., 2].ravel()
    normal = plane.T @ plane + len(height) * TOGETHER_M**2 * np.eye(2)
    return np.asarray(np.arctan(np.linalg.solve(normal, plane.T @ rise)))


def _goes_together(scene: Scene) -> Iterator[Doubt]:
    walks = scene.walks
    if walks is None:
        return
    cycles = prompt_cycles([scene.prompt])
    [(wirings, ratio)] = walks.best_wirings(cycles)
    remedy = '; or, which this gait does not tell from it, '.join(w.remedy for w in wirings)
    yield Doubt('wiring', float(wiring_score(ratio, walks.wiring_limit)), remedy)
    distance = float(walks.distance(cycles.features())[0])
    yield Doubt(
        'unfamiliar', float(unfamiliar_score(distance, walks.distance_limit)),
        _strange(scene.gait, walks, distance),
    )  # fmt: skip


def wiring_score(ratio: np.ndarray | float, limit: np.ndarray) -> np.ndarray:
    """Return the score of a log-likelihood ratio between two readings."""
    return np.asarray(1.0 + ratio - limit)


def unfamiliar_score(distance: np.ndarray | float, limit: np.ndarray) -> np.ndarray:
    """Return the score of a distance: 10 nats per feature beyond the limit count as much as it."""
    return np.asarray(1.0 + (distance - limit) / 10.0)


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


CHECKS: tuple[Callable[[Scene], Iterator[Doubt]], ...] = (
    _upright, _moves, _feet_lift, _repeats, _inside_range, _velocities_fit, _gyro_fits,
    _level_ground, _goes_together,
)  # fmt: skip

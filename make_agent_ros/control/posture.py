"""Joint-order self-test: does the measured pose make sense before the robot stands up?

A robot whose legs, joints or signs are mixed up on the wire measures a pose that a body under
gravity does not take. Each likely mix-up is undone on paper; if the pose then fits gravity and one
of the known poses far better than as measured, the mix-up is what is there.

    misfit(q, g) = min over poses p of  sum ((q - p) / sigma_p)^2 + 2 sum log sigma_p
                                        + ((twist, slope, clearance) / sigma)^2  + range

which is twice the negative log-likelihood of a mixture of Gaussians. `twist`, `slope`: the four
feet lie in one plane, and that plane is level. `clearance`: limp legs carry nothing, so the trunk
touches the same ground. The test sees measured angles only; a command that reaches another joint
than the one it is meant for is not seen.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from make_agent_ros.go2.constants import (
    FOOT_RADIUS_M,
    HEAD_LOW_M,
    HIP_OFFSET_M,
    JOINT_LOWER_RAD,
    JOINT_UPPER_RAD,
    LEGS,
    LYING_JOINT_POS,
    NOMINAL_JOINT_POS,
    SEGMENTS,
    SIDE_SIGN,
    TRUNK_HALF_M,
)
from make_agent_ros.go2.kinematics import foot_positions
from make_agent_ros.go2.state import RobotState, projected_gravity

MISFIT_MARGIN = 5.0
"""How much better a mix-up must fit: e^2.5 = 12 times as likely as the order being right."""
ALIKE = 2.0
"""Misfits that differ by less tell nothing."""
MOVING_RAD_S = 1.0
"""Joints or trunk faster than this are no resting pose."""
ACCELEROMETER_MAX_RAD = 0.35
"""Largest angle between gravity by the attitude and by the accelerometer of a robot at rest."""

_TWIST_M, _CLEARANCE_M, _SLOPE_RAD = 0.02, 0.02, 0.06
_RANGE_MARGIN_RAD, _RANGE_RAD = 0.15, 0.1
_WORST_JOINT = 16.0
"""One joint far off (a leg caught under the trunk) counts as four sigma, not more."""
_STANCE_LENGTH_M = 2.0 * float(HIP_OFFSET_M[0, 0])
_STANCE_WIDTH_M = 0.284
"""Between the feet of a standing robot, sideways: 2 x (hip offset 0.0465 + abduction 0.0955)."""


@dataclass(frozen=True)
class KnownPose:
    """A pose that a Go2 is found in, and how closely."""

    name: str
    joint_pos: np.ndarray
    """Package order, rad, shape (12,)."""
    sigma_rad: tuple[float, float, float]
    """Spread of hip, thigh and calf, rad."""
    lying: bool = False
    """Whether the trunk is on the ground."""
    grounded: bool = True
    """Whether the feet are."""


def _symmetric(front: tuple[float, float, float], rear: tuple[float, float, float]) -> np.ndarray:
    """A pose from its left legs; the right hips mirror them."""
    q = np.array([front, front, rear, rear])
    q[:, 0] *= SIDE_SIGN
    return q.ravel()


_LYING = (0.12, 0.2, 0.15)
_LIMP = _symmetric((0.11, 1.24, -2.72), (0.47, 1.26, -2.72))
_LAID_DOWN = _symmetric((0.35, 1.36, -2.65), (0.5, 1.36, -2.65))
_HANGING = _symmetric((-0.4, 0.3, -0.9), (-0.4, 0.3, -0.9))
KNOWN_POSES: tuple[KnownPose, ...] = (
    # Where limp legs come to rest in the simulator; a test keeps the two together.
    KnownPose('limp', _LIMP, _LYING, lying=True),
    # The last target of Unitree's go2_stand_example.py.
    KnownPose('laid down', _LAID_DOWN, _LYING, lying=True),
    KnownPose('folded', LYING_JOINT_POS, _LYING, lying=True),
    KnownPose('standing', NOMINAL_JOINT_POS, (0.2, 0.35, 0.4)),
    # Limp legs in the air swing inwards and stretch to the calves' stop.
    KnownPose('hanging', _HANGING, (0.6, 0.6, 0.4), grounded=False),
)


@dataclass(frozen=True)
class MixUp:
    """A way in which twelve measured angles can be wrong: `q[index] * sign` undoes it."""

    name: str
    index: np.ndarray
    sign: np.ndarray


@dataclass(frozen=True)
class Judgement:
    """The outcome of the self-test."""

    misfit: float
    """Of the pose as measured."""
    best: tuple[str, ...]
    """The mix-ups that explain the pose best, the likeliest first; one is often as good as another
    (front legs exchanged, front hips reversed). Empty when none does better than being right."""
    best_misfit: float

    @property
    def doubtful(self) -> bool:
        """Whether a mix-up fits so much better that the robot must not stand up."""
        return self.misfit - self.best_misfit > MISFIT_MARGIN


def _leg_mix_ups() -> list[MixUp]:
    ones = np.ones(12)
    named: dict[tuple[int, ...], str] = {
        (1, 0, 3, 2): 'left and right legs exchanged',
        (2, 3, 0, 1): 'front and rear legs exchanged',
        (3, 2, 1, 0): 'legs exchanged crosswise',
    }
    found = []
    for order in itertools.permutations(range(4)):
        moved = [leg for leg in range(4) if order[leg] != leg]
        if not moved:
            continue
        name = named.get(order, f'legs in the order {", ".join(LEGS[leg] for leg in order)}')
        if len(moved) == 2:
            name = f'{LEGS[moved[0]]} and {LEGS[moved[1]]} legs exchanged'
        index = np.concatenate([3 * leg + np.arange(3) for leg in order])
        found.append(MixUp(name, index, ones))
    return found


def _joint_mix_ups() -> list[MixUp]:
    everywhere = ('every leg', (0, 1, 2, 3))
    single = [(leg, (i,)) for i, leg in enumerate(LEGS)]
    pairs = [
        ('the left legs', (0, 2)), ('the right legs', (1, 3)),
        ('the front legs', (0, 1)), ('the rear legs', (2, 3)),
    ]  # fmt: skip
    found = []
    for a, b in itertools.combinations(range(3), 2):
        for where, legs in (everywhere, *single):
            index = np.arange(12)
            for leg in legs:
                index[[3 * leg + a, 3 * leg + b]] = 3 * leg + b, 3 * leg + a
            name = f'{SEGMENTS[a]} and {SEGMENTS[b]} exchanged in {where}'
            found.append(MixUp(name, index, np.ones(12)))
    for joint, segment in enumerate(SEGMENTS):
        for where, legs in (everywhere, *pairs, *single):
            sign = np.ones(12)
            sign[[3 * leg + joint for leg in legs]] = -1.0
            found.append(MixUp(f'the sign of {segment} reversed in {where}', np.arange(12), sign))
    return found


MIX_UPS: tuple[MixUp, ...] = (*_leg_mix_ups(), *_joint_mix_ups())
"""Every leg order, two joints exchanged in one leg or all, a joint's sign reversed."""

_INDEX = np.stack([np.arange(12), *(mix_up.index for mix_up in MIX_UPS)])
_SIGN = np.stack([np.ones(12), *(mix_up.sign for mix_up in MIX_UPS)])
_POSES = np.stack([pose.joint_pos for pose in KNOWN_POSES])
_SIGMA = np.stack([np.tile(pose.sigma_rad, 4) for pose in KNOWN_POSES])
_SPREAD = 2.0 * np.log(_SIGMA / np.tile(_LYING, 4)).sum(axis=1)
_LIES = np.array([float(pose.lying) for pose in KNOWN_POSES])
_HIPS = np.tile([1.0, 0.0, 0.0], 4)
_GROUNDED = np.array([float(pose.grounded) for pose in KNOWN_POSES])
_TRUNK_LOW_M = np.vstack(
    [TRUNK_HALF_M * (x, y, -1.0) for x in (-1.0, 1.0) for y in (-1.0, 1.0)] + [HEAD_LOW_M]
)


def misfit(joint_pos: np.ndarray, gravity_b: np.ndarray) -> np.ndarray:
    """How badly poses fit gravity and the known poses; lower is better, 0 is the mean of `limp`.

    Args:
        joint_pos: package order, rad, shape (n, 12).
        gravity_b: direction of gravity in the body frame, unit length, shape (3,).

    Returns:
        Shape (n,).
    """
    up = -gravity_b
    # A trunk that lies on its side has turned about hips whose legs stayed where they were.
    roll = math.atan2(-gravity_b[1], -gravity_b[2])
    poses = _POSES - (_LIES[:, None] * roll) * _HIPS
    z = np.minimum(((joint_pos[:, None] - poses) / _SIGMA) ** 2, _WORST_JOINT)
    sole_m = foot_positions(joint_pos) @ up - FOOT_RADIUS_M
    fl, fr, rl, rr = sole_m.T
    ground = (
        ((fl - fr - rl + rr) / _TWIST_M) ** 2
        + ((fl + fr - rl - rr) / (2.0 * _STANCE_LENGTH_M * _SLOPE_RAD)) ** 2
        + ((fl - fr + rl - rr) / (2.0 * _STANCE_WIDTH_M * _SLOPE_RAD)) ** 2
    )
    clearance = (((_TRUNK_LOW_M @ up).min() - sole_m.min(axis=1)) / _CLEARANCE_M) ** 2
    beyond = np.maximum(JOINT_LOWER_RAD - joint_pos, joint_pos - JOINT_UPPER_RAD)
    beyond = np.maximum(beyond - _RANGE_MARGIN_RAD, 0.0) / _RANGE_RAD
    by_pose = z.sum(axis=2) + _SPREAD + _GROUNDED * ground[:, None] + _LIES * clearance[:, None]
    return np.asarray(by_pose.min(axis=1) + np.minimum(beyond**2, 25.0).sum(axis=1))


def judge(joint_pos: np.ndarray, gravity_b: np.ndarray) -> Judgement:
    """Compare the pose as measured with every mix-up undone.

    Args:
        joint_pos: package order, rad, shape (12,).
        gravity_b: direction of gravity in the body frame, unit length, shape (3,).
    """
    fits = misfit(joint_pos[_INDEX] * _SIGN, gravity_b)
    best_misfit = float(fits.min())
    alike = [int(i) for i in fits.argsort() if fits[i] < best_misfit + ALIKE]
    names = () if 0 in alike else tuple(MIX_UPS[i - 1].name for i in alike)
    return Judgement(float(fits[0]), names, best_misfit)


def posture_doubt(state: RobotState) -> str:
    """Say why the measured pose of a robot at rest cannot be trusted; empty when it can."""
    fastest = max(float(np.abs(state.joint_vel).max()), float(np.abs(state.base_ang_vel).max()))
    if fastest > MOVING_RAD_S:
        return (
            f'the robot still moves ({fastest:.1f} rad/s, limit {MOVING_RAD_S} rad/s); ask again '
            'when it lies still'
        )
    gravity_b = projected_gravity(state.quat_wxyz / np.linalg.norm(state.quat_wxyz))
    felt = -state.base_lin_acc
    strength = float(np.linalg.norm(felt))
    if strength > 1.0:
        apart = math.acos(min(max(float(felt @ gravity_b) / strength, -1.0), 1.0))
        if apart > ACCELEROMETER_MAX_RAD:
            return (
                f'attitude and accelerometer disagree on where down is by {apart:.2f} rad, limit '
                f'{ACCELEROMETER_MAX_RAD} rad; restart the robot, its IMU is wrong or turned'
            )
    judged = judge(state.joint_pos, gravity_b)
    if judged.doubtful:
        return (
            f'the measured pose looks like {" or ".join(judged.best)} '
            f'(misfit {judged.misfit:.0f} as measured, {judged.best_misfit:.0f} with that '
            'undone); lay the robot on its belly with folded legs and ask again; if it stays, '
            'move each leg by hand and compare /joint_states'
        )
    return ''

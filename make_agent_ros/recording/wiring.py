"""Ways in which joints and IMU get mixed up between a robot and a recording, and their remedies.

Each reading is linear in what the sensors say, so it acts on the Fourier coefficients of one gait
cycle as well as on the samples: all of them are tried on a prompt at the price of one fit.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from make_agent_ros.go2.constants import LEGS
from make_agent_ros.go2.state import projected_gravity

RAW_CHANNELS = 24
"""Angular velocity 3, gravity 3, gravity of the inverse attitude 3, gravity of the attitude read
as xyzw 3, joint angles 12."""
CHANNELS = 18
"""Angular velocity 3, projected gravity 3, joint angles 12."""
_GRAVITY, _INVERSE, _XYZW, _JOINTS = 3, 6, 9, 12

Reading = Callable[[np.ndarray], np.ndarray]
"""From raw channels (..., 24) to channels (..., 18)."""


@dataclass(frozen=True)
class Wiring:
    """One way to read the sensors."""

    name: str
    """Short, for figures: `legs FR FL RR RL`, `hips`, `gyro` ..."""
    remedy: str
    """What is wrong if this reading fits and the plain one does not, and what helps."""
    read: Reading


def raw_channels(
    quat_wxyz: np.ndarray, base_ang_vel: np.ndarray, joint_pos: np.ndarray
) -> np.ndarray:
    """Return what every reading needs, shape (..., 24), from (..., 4), (..., 3) and (..., 12)."""
    inverse = quat_wxyz * np.array([1.0, -1.0, -1.0, -1.0])
    return np.concatenate(
        (
            base_ang_vel,
            projected_gravity(quat_wxyz),
            projected_gravity(inverse),
            projected_gravity(quat_wxyz[..., [3, 0, 1, 2]]),
            joint_pos,
        ),
        axis=-1,
    )


def plain(raw: np.ndarray) -> np.ndarray:
    """Return the channels as the recording names them, (..., 18)."""
    return raw[..., [*range(_INVERSE), *range(_JOINTS, RAW_CHANNELS)]]


def _columns(gravity: int, legs: tuple[int, ...]) -> Reading:
    joints = [_JOINTS + 3 * leg + k for leg in legs for k in range(3)]
    index = [0, 1, 2, *range(gravity, gravity + 3), *joints]
    return lambda raw: raw[..., index]


def _turned(channels: tuple[int, ...]) -> Reading:
    sign = np.ones(CHANNELS)
    sign[list(channels)] = -1.0
    return lambda raw: plain(raw) * sign


def _imu_yaw(angle_rad: float) -> Reading:
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])

    def read(raw: np.ndarray) -> np.ndarray:
        x = plain(raw)
        return np.concatenate((x[..., :3] @ turn.T, x[..., 3:6] @ turn.T, x[..., 6:]), axis=-1)

    return read


def _legs(order: tuple[int, ...]) -> Wiring:
    names = ' '.join(LEGS[i] for i in order)
    return Wiring(
        f'legs {names}',
        f'its legs come in another order: it walks like a robot whose {" ".join(LEGS)} were '
        f'recorded as {names}; map the joints by name',
        _columns(_GRAVITY, order),
    )


def _hips(name: str, legs: tuple[int, ...]) -> Wiring:
    which = ', '.join(LEGS[i] for i in legs)
    return Wiring(
        name,
        f'the sign of the hip joints of {which} is turned; outward is positive on the left and '
        'negative on the right (URDF axes +x)',
        _turned(tuple(6 + 3 * leg for leg in legs)),
    )


WIRINGS: tuple[Wiring, ...] = (
    *(_legs(order) for order in itertools.permutations(range(4)) if order != (0, 1, 2, 3)),
    _hips('hips', (0, 1, 2, 3)),
    _hips('right hips', (1, 3)),
    _hips('left hips', (0, 2)),
    _hips('front hips', (0, 1)),
    _hips('rear hips', (2, 3)),
    Wiring(
        'gyro',
        'the signs of the gyroscope are turned; angular velocity is in the body frame, x forward',
        _turned((0, 1, 2)),
    ),
    Wiring(
        'inverse attitude',
        'its attitude turns the wrong way; the quaternion is to be body-to-world, invert it',
        _columns(_INVERSE, (0, 1, 2, 3)),
    ),
    Wiring(
        'xyzw attitude',
        'its quaternion is in the order x y z w; expected is w x y z',
        _columns(_XYZW, (0, 1, 2, 3)),
    ),
    *(
        Wiring(
            f'imu {degrees}',
            f'its IMU is turned by {degrees} degrees about the vertical against the legs; turn '
            'angular velocity and attitude into the body frame, x forward',
            _imu_yaw(np.deg2rad(degrees)),
        )
        for degrees in (90, 180, 270)
    ),
)
"""Every reading that is tried beside the plain one."""

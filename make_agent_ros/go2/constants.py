"""The Go2 in numbers: joint names and orders, limits, link geometry, poses.

Sources, named beside each table:
  [URDF]  unitree_ros, robots/go2_description/urdf/go2_description.urdf (commit d6f13aa).
  [MJCF]  MuJoCo Menagerie unitree_go2/go2.xml.
  [SDK]   unitree_sdk2, unitree_legged_const.h and the low-level examples.

Every array is in the package's joint order (`JOINT_NAMES`): FL, FR, RL, RR x hip, thigh, calf.
Only the wire codec knows the SDK's order; it maps by name with `SDK_JOINT_NAMES`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LEGS = ('FL', 'FR', 'RL', 'RR')
"""Legs in package order: front left, front right, rear left, rear right."""

SEGMENTS = ('hip', 'thigh', 'calf')

JOINT_NAMES: tuple[str, ...] = tuple(f'{leg}_{seg}_joint' for leg in LEGS for seg in SEGMENTS)
"""URDF names of the twelve joints in package order."""

SDK_LEGS = ('FR', 'FL', 'RR', 'RL')
"""Legs in the order of the motor slots on the wire [SDK]."""

SDK_JOINT_NAMES: tuple[str, ...] = tuple(
    f'{leg}_{seg}_joint' for leg in SDK_LEGS for seg in SEGMENTS
)

N_JOINTS = 12
N_MOTOR_SLOTS = 20
"""Motor slots in LowCmd and LowState; slots 12-19 are unused on a Go2 [SDK]."""


def joint_index_map(source: Sequence[str], target: Sequence[str]) -> np.ndarray:
    """Return `index` so that `values_in_source_order[index]` is in target order.

    Args:
        source: joint names in the order of the data at hand.
        target: joint names in the order wanted; each must occur in `source`.

    Returns:
        Integer array, shape (len(target),).

    Raises:
        ValueError: a name is missing or occurs twice; the message lists them.
    """
    duplicates = sorted({name for name in source if list(source).count(name) > 1})
    if duplicates:
        raise ValueError(f'joint names occur twice: {", ".join(duplicates)}; name each joint once')
    missing = [name for name in target if name not in source]
    if missing:
        raise ValueError(
            f'joints missing: {", ".join(missing)}; the source names {", ".join(source)}. '
            'Use the URDF names, e.g. FL_hip_joint'
        )
    position = {name: i for i, name in enumerate(source)}
    return np.array([position[name] for name in target], dtype=np.intp)


def _per_joint(hip: float, thigh: float, calf: float) -> np.ndarray:
    values = np.tile(np.array([hip, thigh, calf], dtype=np.float64), 4)
    values.flags.writeable = False
    return values


def _limits(bound: int) -> np.ndarray:
    front = ((-1.0472, 1.0472), (-1.5708, 3.4907), (-2.7227, -0.83776))
    rear = ((-1.0472, 1.0472), (-0.5236, 4.5379), (-2.7227, -0.83776))
    values = np.array([joint[bound] for leg in (front, front, rear, rear) for joint in leg])
    values.flags.writeable = False
    return values


JOINT_LOWER_RAD = _limits(0)
"""Lower joint limits, rad [URDF]."""
JOINT_UPPER_RAD = _limits(1)
"""Upper joint limits, rad [URDF]."""

TORQUE_LIMIT_NM = _per_joint(23.7, 23.7, 35.55)
"""Torque used as the limit, N m. Hip and thigh [URDF, MJCF]; calf: published figures disagree
(35.55 in Unitree's legged_gym URDF, 45.43 in [URDF] and [MJCF]), the lower one is kept."""

DRIVE_FRICTION_NM = _per_joint(0.29, 0.17, 1.02)
"""Dry friction of a drive, N m, as identified on a Go2 [MJCF, rounded]. Our model has none, for it
slows simulation by a fifth; training and check vary it."""

JOINT_VELOCITY_LIMIT_RAD_S = _per_joint(30.1, 30.1, 20.07)
"""No-load joint speeds, rad/s: hip and thigh [URDF]; calf 20.07 (23.7 * 30.1 / 35.55)."""

HIP_OFFSET_M = np.array(
    [
        [0.1934, 0.0465, 0.0],
        [0.1934, -0.0465, 0.0],
        [-0.1934, 0.0465, 0.0],
        [-0.1934, -0.0465, 0.0],
    ]
)
"""Hip joint origins in the base frame, shape (4, 3), m [URDF]."""
HIP_OFFSET_M.flags.writeable = False

ABDUCTION_M = 0.0955
"""Lateral distance from hip axis to thigh axis, m [URDF]."""
THIGH_M = 0.213
"""Thigh length, m [URDF]."""
CALF_M = 0.213
"""Calf length to the centre of the foot sphere, m [URDF]."""
FOOT_RADIUS_M = 0.022
"""Foot sphere, m [URDF]."""

TRUNK_HALF_M = np.array([0.1881, 0.04675, 0.057])
"""Half the trunk's box, centred on the base frame, m [URDF]."""
TRUNK_HALF_M.flags.writeable = False
HEAD_LOW_M = np.array([0.293, 0.0, -0.107])
"""Lowest point of the head in the base frame, m [URDF]."""
HEAD_LOW_M.flags.writeable = False

SIDE_SIGN = np.array([1.0, -1.0, 1.0, -1.0])
"""+1 for left legs, -1 for right legs."""
SIDE_SIGN.flags.writeable = False

NOMINAL_JOINT_POS = _per_joint(0.0, 0.9, -1.8)
"""Standing pose with the feet under the hips, rad (the `home` keyframe of [MJCF])."""

LYING_JOINT_POS = _per_joint(0.0, 1.36, -2.65)
"""Folded pose, trunk on the ground, rad ([SDK] go2_stand_example)."""

POLICY_STIFFNESS = 30.0
"""Position gain of the policies trained here, N m/rad (fielded policies use 20-40)."""
POLICY_DAMPING = 0.75
"""Velocity gain of the policies trained here, N m s/rad (fielded policies use 0.5-1)."""
ACTION_SCALE = 0.25
"""Radians of joint target per unit of action, the field's usual value."""

CONTROL_DT_S = 0.02
"""Policy period, s: 50 Hz."""
LOWSTATE_DT_S = 0.002
"""Period of rt/lowstate on the robot, s: 500 Hz [SDK]."""

"""Which feet stand, by the torques of the legs, and the gait that they tell.

Joints and attitude alone leave it open whether legs fold or the base leaps (`recording.ground`).
On 4 s walks of 100 held-out behaviours they put a leg's phase more than 0.1 cycle off what true
contacts say in one walk in four, with torques in one in a hundred.

A motor also drives the leg itself: its inertia, and the friction and damping of its gears. What
that takes is told by the legs while they are surely in the air (`leg_torque`) and taken off. With
the friction and damping that were identified on a real Go2 (MuJoCo Menagerie's model, walked by
two other controllers), a phase is more than 0.1 cycle off in 15 and 11 % of walks in place of 31
and 25 %.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from make_agent_ros.go2.kinematics import foot_jacobian, foot_positions
from make_agent_ros.go2.state import projected_gravity
from make_agent_ros.recording.gait import Gait, describe_gait, foot_lift
from make_agent_ros.recording.gait_change import mean_gait
from make_agent_ros.recording.trajectory import Trajectory

LOAD_N = 12.0
"""Upward force that tells a standing foot: a twelfth of the robot's weight."""
SURELY_UP_M = 0.03
"""So far above the lowest foot, a foot is in the air."""
AIR_SAMPLES = 20
"""Fewer samples of legs in the air tell nothing about friction."""
SLOW_RAD_S = 0.5
"""Joint speed over which dry friction changes its sign."""


def foot_load(
    joint_pos: np.ndarray, joint_torque: np.ndarray, gravity_b: np.ndarray
) -> np.ndarray:
    """Upward force of the ground on each foot from static leg torques, N, shape (..., 4)."""
    lead = joint_pos.shape[:-1]
    jacobian = np.swapaxes(foot_jacobian(joint_pos), -1, -2)
    # a stretched leg makes the Jacobian singular; a little damping keeps the force finite
    normal = jacobian @ np.swapaxes(jacobian, -1, -2) + 1e-5 * np.eye(3)
    torque = joint_torque.reshape(*lead, 4, 3, 1)
    force = np.swapaxes(jacobian, -1, -2) @ np.linalg.solve(normal, torque)
    # the foot pushes the ground along +force; the ground pushes back
    return np.asarray((force[..., 0] * gravity_b[..., None, :]).sum(axis=-1))


def leg_torque(
    joint_pos: np.ndarray,
    joint_vel: np.ndarray,
    joint_torque: np.ndarray,
    gravity_b: np.ndarray,
    rate_hz: float,
) -> np.ndarray:
    """Return the torque that moves the legs themselves, N m, (..., T, 12).

    It is a fit, for hips, thighs and calves apart, to the torques of legs in the air: inertia,
    viscous and dry friction, and for thigh and calf weight. Where too few are, it is 0.

    Args:
        joint_pos: package order, rad, (..., T, 12).
        joint_vel: rad/s, (..., T, 12).
        joint_torque: N m, (..., T, 12).
        gravity_b: projected gravity, (..., T, 3).
        rate_hz: samples per second.
    """
    lead, steps = joint_pos.shape[:-2], joint_pos.shape[-2]
    if steps < 2:
        return np.zeros_like(joint_torque)
    depth = (foot_positions(joint_pos) * gravity_b[..., None, :]).sum(axis=-1)
    in_air = (depth.max(axis=-1, keepdims=True) - depth > SURELY_UP_M).reshape(*lead, -1, 1)
    known = (in_air.sum(axis=-2) >= AIR_SAMPLES)[..., None]
    result = np.zeros_like(joint_torque)
    for joint in range(3):
        part = (..., slice(joint, None, 3))
        speed = joint_vel[part]
        causes = [np.gradient(speed, 1.0 / rate_hz, axis=-2), speed, np.tanh(speed / SLOW_RAD_S)]
        if joint:
            causes += [np.ones_like(speed), np.sin(joint_pos[part])]
        x = np.stack(causes, axis=-1).reshape(*lead, -1, len(causes))
        seen = np.swapaxes(x * in_air, -1, -2)
        square = seen @ x
        # A little ridge: at a speed that hardly changes, both frictions look alike.
        ridge = 1e-3 * np.diagonal(square, axis1=-2, axis2=-1)[..., None] + 1e-6
        square = square + ridge * np.eye(len(causes))
        share = np.linalg.solve(square, seen @ joint_torque[part].reshape(*lead, -1, 1))
        result[part] = (known * (x @ share)).reshape(*lead, steps, 4)
    return result


def loaded_feet(
    joint_pos: np.ndarray,
    joint_vel: np.ndarray,
    joint_torque: np.ndarray,
    gravity_b: np.ndarray,
    rate_hz: float,
) -> np.ndarray:
    """Return which feet stand, by the load that the leg torques hold, bool, shape (..., T, 4).

    Arguments as those of `leg_torque`.
    """
    own = leg_torque(joint_pos, joint_vel, joint_torque, gravity_b, rate_hz)
    return np.asarray(foot_load(joint_pos, joint_torque - own, gravity_b) > LOAD_N)


def _loaded(trajectory: Trajectory) -> np.ndarray | None:
    """Return `loaded_feet` of a uniform recording; None where it has no torques."""
    if not trajectory.joint_torque.any():
        return None
    return loaded_feet(
        trajectory.joint_pos,
        trajectory.joint_vel,
        trajectory.joint_torque,
        projected_gravity(trajectory.quat_wxyz),
        trajectory.rate_hz,
    )


def lift_of_feet(trajectory: Trajectory) -> np.ndarray:
    """Return how far each foot leaves the ground in a uniform recording, m, (4,)."""
    gravity = projected_gravity(trajectory.quat_wxyz)
    contact = _loaded(trajectory)
    lift = foot_lift(
        trajectory.joint_pos[None],
        gravity[None],
        trajectory.rate_hz,
        None if contact is None else contact[None],
    )
    return np.asarray(lift[0])


def known_contact(trajectory: Trajectory) -> np.ndarray | None:
    """Return which feet stand in a uniform recording, bool, (T, 4); None where nothing tells.

    Torques that are absent, or say that a foot always stands or never does, tell nothing.
    """
    if (loaded := _loaded(trajectory)) is None:
        return None
    share = loaded.mean(axis=-2)
    told = (share > 0.05) & (share < 0.95)
    return loaded if bool(told.all()) else None


def gait_of_trajectory(trajectory: Trajectory) -> Gait:
    """Describe the gait of a uniform recording, with its torques where it has any."""
    gravity = projected_gravity(trajectory.quat_wxyz)
    contact = known_contact(trajectory)
    return describe_gait(trajectory.joint_pos, gravity, trajectory.rate_hz, contact=contact)


def gait_of_prompts(prompts: Trajectory | Sequence[Trajectory]) -> Gait:
    """Describe the gait that a uniform recording shows, or several of one style on average."""
    each = [prompts] if isinstance(prompts, Trajectory) else prompts
    return mean_gait(Gait.concatenate([gait_of_trajectory(p)[None] for p in each]))


def gait_by_load(
    joint_pos: np.ndarray,
    joint_vel: np.ndarray,
    joint_torque: np.ndarray,
    quat_wxyz: np.ndarray,
    rate_hz: float,
) -> Gait:
    """Describe windows of simulated walks, (...).

    Args:
        joint_pos: package order, rad, (..., T, 12).
        joint_vel: rad/s, (..., T, 12).
        joint_torque: N m, (..., T, 12).
        quat_wxyz: body to world, (..., T, 4).
        rate_hz: samples per second.
    """
    gravity = projected_gravity(quat_wxyz)
    feet = loaded_feet(joint_pos, joint_vel, joint_torque, gravity, rate_hz)
    return describe_gait(joint_pos, gravity, rate_hz, contact=feet)

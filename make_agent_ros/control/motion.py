"""Standing up, holding and lying down: joint trajectories with gains, by measured start pose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from make_agent_ros.go2.command import JointCommand
from make_agent_ros.go2.constants import LYING_JOINT_POS

STAND_STIFFNESS = 60.0
"""N m/rad (fielded stacks stand with 60-80)."""
STAND_DAMPING = 5.0
"""N m s/rad (fielded stacks stand with 3-5)."""


@dataclass(frozen=True)
class Waypoint:
    """A pose to reach and the time to take for it."""

    joint_pos: np.ndarray
    """Package order, rad, shape (12,)."""
    duration_s: float


class Motion:
    """A smooth path through waypoints from where the joints are, with gains that fade in.

    Each leg of the path follows 3 s^2 - 2 s^3, so velocity is zero at both ends.
    """

    def __init__(
        self,
        start_s: float,
        command: JointCommand,
        waypoints: Sequence[Waypoint],
        stiffness: float = STAND_STIFFNESS,
        damping: float = STAND_DAMPING,
        gain_blend_s: float = 0.2,
    ) -> None:
        """Plan from `command`, whose target is where the path begins.

        Args:
            start_s: monotonic time of the first point, s.
            command: what the motors were told last; its gains fade into the motion's.
            waypoints: poses in order; the last one is held.
            stiffness: kp of the motion, N m/rad.
            damping: kd of the motion, N m s/rad.
            gain_blend_s: how long the gains take to reach these values, s.
        """
        self._start_s = start_s
        self._poses: list[np.ndarray] = [command.joint_pos.copy()] + [
            w.joint_pos.copy() for w in waypoints
        ]
        ends = np.cumsum([w.duration_s for w in waypoints]).tolist()
        self._ends_s: list[float] = [0.0, *ends]
        self._kp0, self._kd0 = command.stiffness.copy(), command.damping.copy()
        self._kp, self._kd = stiffness, damping
        self._blend_s = gain_blend_s

    @property
    def duration_s(self) -> float:
        """Time from the start to the last waypoint, s."""
        return self._ends_s[-1]

    @property
    def goal(self) -> np.ndarray:
        """The pose that is held at the end, rad, shape (12,)."""
        return self._poses[-1]

    def done(self, now_s: float) -> bool:
        """Whether the last waypoint has been reached."""
        return now_s - self._start_s >= self.duration_s

    def write(self, now_s: float, command: JointCommand) -> None:
        """Write the command of this instant into `command`."""
        t = now_s - self._start_s
        leg = 0
        while leg < len(self._ends_s) - 2 and t >= self._ends_s[leg + 1]:
            leg += 1
        begin, end = self._ends_s[leg], self._ends_s[leg + 1]
        s = min(max((t - begin) / max(end - begin, 1e-6), 0.0), 1.0)
        s = s * s * (3.0 - 2.0 * s)
        start, goal = self._poses[leg], self._poses[leg + 1]
        np.add(start, s * (goal - start), out=command.joint_pos)
        fade = min(max(t / self._blend_s, 0.0), 1.0)
        np.add(self._kp0, fade * (self._kp - self._kp0), out=command.stiffness)
        np.add(self._kd0, fade * (self._kd - self._kd0), out=command.damping)
        command.joint_vel.fill(0.0)
        command.torque.fill(0.0)
        command.enabled = True


def stand_up(
    now_s: float, measured: np.ndarray, stand_pose: np.ndarray, duration_s: float
) -> Motion:
    """From the measured pose via the folded pose to `stand_pose`, `duration_s` each.

    The first leg takes 0.2 s when the robot already lies folded.
    """
    far = float(np.abs(measured - LYING_JOINT_POS).max())
    fold_s = duration_s * min(max(far / 0.5, 0.2), 1.0)
    start = JointCommand(joint_pos=measured.copy(), damping=np.full(12, STAND_DAMPING))
    return Motion(
        now_s,
        start,
        [Waypoint(LYING_JOINT_POS, fold_s), Waypoint(stand_pose, duration_s)],
    )


def move_to(now_s: float, last: JointCommand, pose: np.ndarray, duration_s: float) -> Motion:
    """From the last commanded target straight to `pose`."""
    return Motion(now_s, last, [Waypoint(pose, duration_s)])


def lie_down(
    now_s: float,
    last: JointCommand,
    stand_pose: np.ndarray,
    stand_s: float,
    duration_s: float,
) -> Motion:
    """From the last commanded target to the folded pose.

    Args:
        now_s: monotonic time, s.
        last: what the motors were told last.
        stand_pose: where the joints go first when the robot walks, rad, shape (12,).
        stand_s: time for that; 0 goes straight down. Folding with two feet in the air tips over.
        duration_s: time from there to the ground, s.
    """
    down = Waypoint(LYING_JOINT_POS, duration_s)
    first = [Waypoint(stand_pose, stand_s)] if stand_s > 0.0 else []
    return Motion(now_s, last, [*first, down])

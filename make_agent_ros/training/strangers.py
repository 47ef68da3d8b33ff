"""Controllers from outside the zoo's lineage, and how they walk in any physics engine."""

from __future__ import annotations

from functools import cache
from typing import Protocol

import numpy as np

from make_agent_ros.checking.episode import Engine
from make_agent_ros.checking.metrics import heading_velocity
from make_agent_ros.go2 import POLICY_SCALES, POLICY_TERMS, ObservationBuilder, RobotState
from make_agent_ros.go2.constants import (
    ACTION_SCALE,
    NOMINAL_JOINT_POS,
    POLICY_DAMPING,
    POLICY_STIFFNESS,
)
from make_agent_ros.resources import resource_path
from make_agent_ros.training.behaviour import Styles
from make_agent_ros.training.env import teacher_observation
from make_agent_ros.training.reference import reference_action, reference_joint_pos
from make_agent_ros.training.teacher import Teacher
from make_agent_ros.training.walks import Walks

START_S = 1.0
"""Time in which a controller takes up speed."""


class Stranger(Protocol):
    """The controller of n robots."""

    styles: Styles
    command: np.ndarray
    """vx, vy m/s and wz rad/s, (n, 3)."""
    cycles: np.ndarray
    """Gait clocks, (n,)."""

    def target(self, state: RobotState, dt_s: float, share: float = 1.0) -> np.ndarray:
        """Return joint targets, rad, (n, 12), and go on by one control step.

        Args:
            state: of n robots.
            dt_s: control period.
            share: of the command, 0..1: from 0 on it starts a robot at rest.
        """


class OtherTeacher:
    """A `Stranger`: a teacher that was trained from another seed (`make-agent train other`).

    It is told the velocity command as it is, without a calibration.
    """

    def __init__(
        self, styles: Styles, command: np.ndarray, teacher: Teacher | None = None
    ) -> None:
        """Take what to walk.

        Args:
            styles: n styles.
            command: vx, vy m/s and wz rad/s, (n, 3).
            teacher: the shipped one of another seed when omitted.
        """
        self.styles, self.command = styles, command
        self.cycles = np.zeros(len(styles))
        self._teacher = teacher or other_teacher()
        self._builder = ObservationBuilder(POLICY_TERMS, POLICY_SCALES, NOMINAL_JOINT_POS)
        pose = reference_joint_pos(styles, self.cycles, 0.0 * command)
        self._action = reference_action(pose, ACTION_SCALE)

    def target(self, state: RobotState, dt_s: float, share: float = 1.0) -> np.ndarray:
        """See `Stranger.target`."""
        told = share * self.command
        reference = reference_action(
            reference_joint_pos(self.styles, self.cycles, told), ACTION_SCALE
        )
        obs = self._builder.build(state, told, self._action, self.cycles)
        self._action = reference + self._teacher.residual(
            teacher_observation(obs, told, self.styles, self.cycles, reference)
        )
        self.cycles += self.styles.frequency_hz * dt_s
        return np.asarray(NOMINAL_JOINT_POS + ACTION_SCALE * self._action)


@cache
def other_teacher() -> Teacher:
    """Load the shipped teacher of another seed."""
    return Teacher.load(resource_path('models/other_teacher'))


def stranger_episode(engine: Engine, controller: Stranger, seconds: float) -> Walks:
    """Walk a controller's n robots from standing, with perfect sensors.

    Args:
        engine: holds n robots.
        controller: of theirs.
        seconds: duration.
    """
    n, dt = len(controller.styles), engine.control_dt_s
    pose = reference_joint_pos(controller.styles, controller.cycles, 0.0 * controller.command)
    position = np.zeros((n, 3))
    position[:, 2] = controller.styles.body_height_m + 0.01
    engine.reset(pose, position, np.tile([1.0, 0.0, 0.0, 0.0], (n, 1)))
    engine.set_gains(np.full((n, 12), POLICY_STIFFNESS), np.full((n, 12), POLICY_DAMPING))
    rows: list[tuple[np.ndarray, ...]] = []
    for step in range(round(seconds / dt)):
        engine.step(controller.target(engine.observe(), dt, min(1.0, step * dt / START_S)))
        state, truth = engine.observe(), engine.truth()
        velocity = np.column_stack(
            (heading_velocity(state.quat_wxyz, truth.lin_vel_w), state.base_ang_vel[:, 2])
        )
        rows.append(
            (state.quat_wxyz, state.base_ang_vel, state.joint_pos, state.joint_vel,
             truth.joint_torque, velocity, truth.position_w, truth.foot_contact)
        )  # fmt: skip
    return Walks(np.arange(n), *(np.stack(column, axis=1) for column in zip(*rows, strict=True)))

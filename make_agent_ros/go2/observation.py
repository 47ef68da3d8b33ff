"""The one observation builder: controller, MuJoCo, PhysX and Isaac Gym all use this class.

A policy's input is a list of named terms, in the order its bundle names them, each times one
scale. The terms and their units are those of the bundle contract (`docs/architecture.md`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from make_agent_ros.go2.state import RobotState, projected_gravity

TERM_SIZES: dict[str, int] = {
    'base_ang_vel': 3,
    'projected_gravity': 3,
    'command': 3,
    'joint_pos': 12,
    'joint_vel': 12,
    'actions': 12,
    'gait_clock': 2,
}
"""Term -> number of values: body frame rad/s; unit vector; (vx m/s, vy m/s, wz rad/s);
rad minus default; rad/s; last raw action; sin and cos of 2 pi f t."""

POLICY_TERMS: tuple[str, ...] = tuple(TERM_SIZES)
"""The terms of the policies trained here, in their order."""

POLICY_SCALES: tuple[float, ...] = (0.25, 1.0, 1.0, 1.0, 0.05, 0.25, 1.0)
"""One scale per term of `POLICY_TERMS`: 0.25 and 0.05 are the field's usual ones; the last action
is in units of `ACTION_SCALE`, which makes it radians like the joint positions."""


class ObservationBuilder:
    """Builds a policy's input vector from robot state, command, last action and gait phase."""

    def __init__(
        self,
        terms: Sequence[str],
        scales: Sequence[float],
        default_joint_pos: np.ndarray,
        joint_index: np.ndarray | None = None,
    ) -> None:
        """Fix the layout.

        Args:
            terms: names from `TERM_SIZES`, each at most once, in input order.
            scales: one factor per term.
            default_joint_pos: subtracted from the joint angles, policy order, rad, shape (12,).
            joint_index: maps package order to the policy's joint order; identity when omitted.

        Raises:
            ValueError: an unknown or repeated term, or not one scale per term.
        """
        unknown = [term for term in terms if term not in TERM_SIZES]
        if unknown:
            raise ValueError(
                f'unknown observation terms: {", ".join(unknown)}; known: {", ".join(TERM_SIZES)}'
            )
        if len(set(terms)) != len(terms):
            raise ValueError(f'observation terms occur twice in {", ".join(terms)}')
        if len(scales) != len(terms):
            raise ValueError(
                f'{len(scales)} observation scales for {len(terms)} terms; give one scale per term'
            )
        self.terms = tuple(terms)
        self.scales = tuple(float(s) for s in scales)
        self.default_joint_pos = np.asarray(default_joint_pos, dtype=np.float64)
        self.joint_index = np.arange(12) if joint_index is None else np.asarray(joint_index)
        self.slices: dict[str, slice] = {}
        start = 0
        for term in self.terms:
            self.slices[term] = slice(start, start + TERM_SIZES[term])
            start += TERM_SIZES[term]
        self.size = start

    def build(
        self,
        state: RobotState,
        command: np.ndarray,
        last_action: np.ndarray,
        gait_phase: np.ndarray | float,
        out: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the observation, float32, shape (..., size).

        Args:
            state: proprioception with leading shape (...,), package joint order.
            command: vx m/s, vy m/s, wz rad/s, shape (..., 3).
            last_action: previous raw action, policy joint order, shape (..., 12).
            gait_phase: gait cycles since WALK began, f * t, shape (...).
            out: written into when given; float32, shape (..., size).
        """
        if out is None:
            out = np.empty((*state.joint_pos.shape[:-1], self.size), dtype=np.float32)
        for i, term in enumerate(self.terms):
            np.multiply(
                self._term(term, state, command, last_action, gait_phase),
                self.scales[i],
                out=out[..., self.slices[term]],
                casting='same_kind',
            )
        return out

    def _term(
        self,
        term: str,
        state: RobotState,
        command: np.ndarray,
        last_action: np.ndarray,
        gait_phase: np.ndarray | float,
    ) -> np.ndarray:
        if term == 'base_ang_vel':
            return state.base_ang_vel
        if term == 'projected_gravity':
            return projected_gravity(state.quat_wxyz)
        if term == 'command':
            return command
        if term == 'joint_pos':
            return state.joint_pos[..., self.joint_index] - self.default_joint_pos
        if term == 'joint_vel':
            return state.joint_vel[..., self.joint_index]
        if term == 'actions':
            return last_action
        if isinstance(gait_phase, float):
            turn = 2.0 * math.pi * gait_phase
            return np.array((math.sin(turn), math.cos(turn)))
        angle = 2.0 * np.pi * np.asarray(gait_phase)
        return np.stack((np.sin(angle), np.cos(angle)), axis=-1)

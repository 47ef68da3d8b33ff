"""A policy from outside as training data: checked, walked, and distilled into the zoo's space.

Whoever trained it and however: its weights lie anywhere, and weights that share no start cannot be
generated (see `training.zoo`). So students that start from the zoo's common net learn what it does
on the states that they visit, as the zoo's own students learn from the teacher.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from make_agent_ros.generator.embedding import RATE_HZ
from make_agent_ros.go2.constants import (
    ACTION_SCALE,
    CONTROL_DT_S,
    JOINT_NAMES,
    NOMINAL_JOINT_POS,
    POLICY_DAMPING,
    POLICY_STIFFNESS,
)
from make_agent_ros.go2.kinematics import foot_positions
from make_agent_ros.go2.observation import POLICY_SCALES, POLICY_TERMS
from make_agent_ros.go2.state import projected_gravity
from make_agent_ros.policy.bundle import Bundle
from make_agent_ros.policy.mlp import MlpBatch, MlpShape
from make_agent_ros.recording.gait import Gait, describe_gait
from make_agent_ros.recording.prompt import MIN_PERIODICITY
from make_agent_ros.simulation.model import WorldRanges, randomised_worlds
from make_agent_ros.simulation.rollout import mlp_shape, rollout
from make_agent_ros.training.behaviour import (
    DUTY_RANGE,
    RANGES,
    SWING_HEIGHT_RANGE_M,
    BehaviourSet,
    Styles,
    moving,
)
from make_agent_ros.training.distil import distil
from make_agent_ros.training.fine_tuning import AddConfig, Lesson
from make_agent_ros.training.prompts import SETTLE_S, PromptData, record_prompts
from make_agent_ros.training.teacher import Teacher
from make_agent_ros.training.zoo import POLICY_SHAPE

LOOK_S = 4.0
"""Steady walking from which a policy's style is read."""


class AddError(ValueError):
    """A policy that cannot be added; the message says why and what helps."""


def require_addable(name: str, bundle: Bundle) -> None:
    """Compare a policy's inputs and outputs with those of the policies that are generated.

    The hidden layers may have any size: the policy is only asked what it would do.

    Raises:
        AddError: naming every difference.
    """
    expected: dict[str, tuple[object, object]] = {
        'observation_names': (bundle.observation_names, POLICY_TERMS),
        'observation_scales': (bundle.observation_scales, POLICY_SCALES),
        'joint_names': (bundle.joint_names, JOINT_NAMES),
        'control_dt': (bundle.control_dt, CONTROL_DT_S),
    }
    for key, wanted in (
        ('default_joint_pos', NOMINAL_JOINT_POS),
        ('action_scale', np.full(12, ACTION_SCALE)),
        ('joint_stiffness', np.full(12, POLICY_STIFFNESS)),
        ('joint_damping', np.full(12, POLICY_DAMPING)),
    ):
        found = getattr(bundle, key)
        expected[key] = tuple(np.round(found, 4).tolist()), tuple(np.round(wanted, 4).tolist())
    wrong = [f'{key} {has}, expected {wants}' for key, (has, wants) in expected.items()
             if has != wants]  # fmt: skip
    if wrong:
        raise AddError(
            f'{name} sees or moves the robot otherwise than generated policies do: '
            f'{"; ".join(wrong)}. Train or export it with this layout (docs/architecture.md)'
        )
    if moving(bundle.default_command) < 1.0:
        raise AddError(
            f'{name}: at its default command {bundle.default_command.tolist()} it stands, which '
            'shows no style; set default_command to a velocity that it walks at, e.g. 0.5, 0, 0'
        )


class PolicyTeacher(Teacher):
    """Policies in the teacher's place: each labels the states of its own students."""

    def __init__(self, bundles: Sequence[Bundle]) -> None:
        """Take n policies with the inputs and outputs of `require_addable`."""
        self.nets = [MlpBatch(mlp_shape(b), MlpShape.flatten(b.layers)[None]) for b in bundles]

    def residual(self, obs: np.ndarray) -> np.ndarray:
        """Map teacher observations (n x k, 86) to what each policy adds to the reference."""
        # The teacher sees what the policy sees, and last the reference as joint angles.
        own = obs[:, : POLICY_SHAPE.inputs].reshape(len(self.nets), 1, -1, POLICY_SHAPE.inputs)
        action = [net(rows)[0] for net, rows in zip(self.nets, own, strict=True)]
        return np.asarray(np.concatenate(action) - obs[:, -12:] / ACTION_SCALE, dtype=np.float64)


def measured_styles(gait: Gait, joint_pos: np.ndarray, frequency_hz: np.ndarray) -> Styles:
    """Return the styles that n walks show, at least as near as the space of styles comes.

    Args:
        gait: of the walks, (n,).
        joint_pos: rad, (n, T, 12).
        frequency_hz: of the policies' gait clocks, (n,).
    """
    duty = gait.duty_factor.clip(*DUTY_RANGE)
    mid_swing = (1.0 + duty) / 2.0
    y = foot_positions(joint_pos)[..., 1].mean(axis=1)
    width = 0.5 * (y[:, 0] + y[:, 2] - y[:, 1] - y[:, 3])
    return Styles(
        offsets=(gait.phase_offset + mid_swing - mid_swing[:, :1]) % 1.0,
        frequency_hz=frequency_hz,
        duty=duty,
        body_height_m=gait.body_height_m.clip(*RANGES['body_height_m']),
        pitch_rad=gait.pitch_rad.clip(*RANGES['pitch_rad']),
        stance_width_m=width.clip(*RANGES['stance_width_m']),
        swing_height_m=np.repeat(gait.swing_height_m[:, None], 4, 1).clip(*SWING_HEIGHT_RANGE_M),
    )


def shown_behaviours(bundles: Sequence[Bundle], seed: int) -> tuple[BehaviourSet, np.ndarray]:
    """Walk n policies at their default commands in a nominal world and read off their styles.

    Returns:
        Their behaviours, and which of them stayed up and moved periodically, bool, (n,).
    """
    command = np.stack([b.default_command for b in bundles])
    worlds = randomised_worlds(1, seed, WorldRanges.nominal())
    log = rollout(bundles, worlds, command, SETTLE_S + LOOK_S, seed=seed)
    skip = round(SETTLE_S * RATE_HZ)
    joint_pos = log.joint_pos[:, 0, skip:]
    gait = describe_gait(joint_pos, projected_gravity(log.quat_wxyz[:, 0, skip:]), RATE_HZ)
    frequency = np.array([b.gait_frequency_hz for b in bundles])
    walks = ~log.fell[:, 0] & (gait.periodicity >= MIN_PERIODICITY)
    return BehaviourSet(measured_styles(gait, joint_pos, frequency), command), walks


def lesson_from(
    names: Sequence[str], bundles: Sequence[Bundle], base: np.ndarray, config: AddConfig
) -> Lesson:
    """Make training data of policies from outside.

    Each has `config.copies` students, taught on data of their own: they differ as much as the
    zoo's students differ by chance.

    Args:
        names: of n policies, for messages.
        bundles: the policies.
        base: net that the zoo's policies began as, (8012,).
        config: sizes and seed.

    Returns:
        n x copies rows, those of a policy in a row.

    Raises:
        AddError: a policy does not walk.
    """
    behaviours, walks = shown_behaviours(bundles, config.seed)
    prompts = record_prompts(bundles, behaviours, config.prompt_s, config.seed, config.takes)
    for i, name in enumerate(names):
        if not walks[i] or not prompts.valid[i].any():
            command = np.round(behaviours.default_command[i], 2).tolist()
            raise AddError(
                f'{name} does not walk: at its default command {command} it fell or did not step '
                f'evenly, or it fell in all of {config.takes} randomised worlds; look at it with '
                'make-agent check'
            )
    rows = np.repeat(np.arange(len(bundles)), config.copies)
    teacher = PolicyTeacher([bundles[i] for i in rows])
    zoo = distil(teacher, behaviours[rows], base, config.zoo, config.seed)
    return Lesson(zoo, PromptData(*(part[rows] for part in vars(prompts).values())))

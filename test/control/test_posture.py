from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from make_agent_ros.control import ControllerConfig, Mode, Request, SafetyLimits
from make_agent_ros.control.posture import KNOWN_POSES, MIX_UPS, judge, misfit, posture_doubt
from make_agent_ros.go2.constants import LYING_JOINT_POS, NOMINAL_JOINT_POS
from make_agent_ros.go2.state import RobotState
from make_agent_ros.simulation.faults import Faults
from make_agent_ros.simulation.robot import SimulatedRobot

from .harness import World
from .resting import GROUPS, mixed, rests, seen

DOWN = np.array([0.0, 0.0, -1.0])
BY_NAME = {mix_up.name: mix_up for mix_up in MIX_UPS}
LEG_ORDERS = [
    mix_up
    for mix_up in MIX_UPS
    if (mix_up.sign > 0).all() and not ((mix_up.index - np.arange(12)) % 3).any()
]
LIMP = next(pose.joint_pos for pose in KNOWN_POSES if pose.name == 'limp')


def resting(**changes) -> RobotState:
    state = RobotState(
        quat_wxyz=np.array([1.0, 0.0, 0.0, 0.0]),
        base_ang_vel=np.zeros(3),
        joint_pos=LIMP.copy(),
        joint_vel=np.zeros(12),
        base_lin_acc=np.array([0.0, 0.0, 9.81]),
    )
    return replace(state, **changes)


def test_the_limp_pose_is_where_the_simulated_robot_comes_to_rest():
    robot = SimulatedRobot()
    for _ in range(1000):
        robot.step()
    np.testing.assert_allclose(robot.measure().joint_pos, LIMP, atol=0.03)


def test_every_leg_order_and_every_sign_is_considered_once():
    keys = {(tuple(m.index), tuple(m.sign)) for m in MIX_UPS}
    assert len(keys) == len(MIX_UPS) == len(BY_NAME) == 65
    assert len(LEG_ORDERS) == 23
    for mix_up in MIX_UPS:
        undone = mixed(LIMP, mix_up)[mix_up.index] * mix_up.sign
        np.testing.assert_array_equal(undone, LIMP)


def test_undoing_nothing_leaves_the_misfit_as_it_is():
    judged = judge(LIMP, DOWN)
    assert judged.misfit == pytest.approx(float(misfit(LIMP[None], DOWN)[0]))
    assert judged.best_misfit <= judged.misfit
    assert judged.best == ()


@pytest.mark.parametrize('pose', KNOWN_POSES, ids=lambda pose: pose.name)
def test_a_known_pose_raises_no_doubt(pose):
    assert not judge(pose.joint_pos, DOWN).doubtful


@pytest.mark.parametrize(
    'name',
    [
        'left and right legs exchanged',
        'front and rear legs exchanged',
        'FL and FR legs exchanged',
        'thigh and calf exchanged in RR',
        'the sign of thigh reversed in the right legs',
    ],
)
def test_a_lying_robot_names_the_mix_up(name):
    sentence = posture_doubt(resting(joint_pos=mixed(LIMP, BY_NAME[name])))
    assert name in sentence
    assert 'folded legs' in sentence


def test_a_symmetric_pose_cannot_tell_legs_apart():
    """What the test is blind to: all legs alike, trunk level."""
    for pose in (LYING_JOINT_POS, NOMINAL_JOINT_POS):
        for mix_up in LEG_ORDERS:
            assert not judge(mixed(pose, mix_up), DOWN).doubtful


def test_a_moving_robot_is_asked_to_wait():
    sentence = posture_doubt(resting(joint_vel=np.full(12, 2.0)))
    assert 'still moves (2.0 rad/s' in sentence
    assert 'still moves' in posture_doubt(resting(base_ang_vel=np.array([0.0, 1.5, 0.0])))


def test_an_accelerometer_that_feels_another_down_is_named():
    assert 'disagree' in posture_doubt(resting(base_lin_acc=np.array([9.81, 0.0, 0.0])))
    tilted = np.array([np.cos(0.1), np.sin(0.1), 0.0, 0.0])  # rolled by 0.2 rad
    felt = 9.81 * np.array([0.0, np.sin(0.2), np.cos(0.2)])
    assert 'disagree' not in posture_doubt(resting(quat_wxyz=tilted, base_lin_acc=felt))


@pytest.fixture(scope='module')
def lying():
    return rests('lying', 60)


@pytest.fixture(scope='module')
def standing():
    return rests('standing, tilted', 40)


@pytest.mark.slow
class TestRates:
    """Rates over simulated robots at rest; `resting.py` prints the table of docs/field.md."""

    @staticmethod
    def shares(found, group: str) -> list[float]:
        return [seen(found, mix_up) for mix_up in MIX_UPS if GROUPS[group](mix_up.name)]

    def test_a_robot_laid_down_in_order_is_never_refused(self, lying):
        tidy = [rest for rest in lying if rest.legs_under_it]
        assert len(tidy) > 50
        assert not [r for r in tidy if judge(r.joint_pos, r.gravity_b).doubtful]

    def test_a_standing_robot_in_order_is_never_refused(self, standing):
        assert not [r for r in standing if judge(r.joint_pos, r.gravity_b).doubtful]

    @pytest.mark.parametrize(
        ('group', 'least'),
        [
            ('left and right legs exchanged (the SDK order taken for ours)', 0.98),
            ('front and rear legs exchanged', 0.98),
            ('FL and FR exchanged', 0.9),
            ('RL and RR exchanged', 0.98),
            ('any other leg order (19)', 0.95),
            ('two joints exchanged, in one leg or all (15)', 0.95),
            ('sign of thigh or calf reversed (18)', 0.98),
            ('sign of hip reversed, all or a pair of legs (5)', 0.85),
            ('sign of hip reversed in one rear leg', 0.95),
        ],
    )
    def test_a_lying_robot_gives_mix_ups_away(self, lying, group, least):
        assert min(self.shares(lying, group)) >= least

    def test_a_standing_robot_gives_away_joints_and_signs_but_few_leg_orders(self, standing):
        assert min(self.shares(standing, 'sign of thigh or calf reversed (18)')) > 0.98
        assert min(self.shares(standing, 'two joints exchanged, in one leg or all (15)')) > 0.9
        assert max(self.shares(standing, 'RL and RR exchanged')) < 0.6


class TestBeforeStandingUp:
    def world(self, **limits) -> World:
        world = World(ControllerConfig(limits=SafetyLimits(**limits)))
        world.robot.set_faults(Faults(corrupt='swap_legs'))
        world.bring_to(Mode.DAMPING)
        world.run(0.1)
        return world

    def test_swapped_legs_keep_the_robot_down_until_they_are_put_right(self):
        world = self.world()
        reply = world.ask(Request.STAND_UP)
        assert not reply.accepted
        assert 'not standing up: the measured pose looks like' in reply.sentence
        assert 'FL and FR legs exchanged' in reply.sentence
        world.run(0.1)
        assert world.mode is Mode.DAMPING
        world.robot.set_faults(Faults())
        world.run(0.1)
        assert world.ask(Request.STAND_UP).accepted

    def test_whoever_switches_the_test_off_is_not_stopped_by_it(self):
        world = self.world(check_joint_order=False)
        assert world.ask(Request.STAND_UP).accepted

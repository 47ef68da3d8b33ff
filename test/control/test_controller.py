from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from make_agent_ros.control import ControllerConfig, FaultCode, Mode, Request, SafetyLimits
from make_agent_ros.control.safety import tilt
from make_agent_ros.control.walker import WalkConfig
from make_agent_ros.go2.constants import (
    JOINT_LOWER_RAD,
    JOINT_NAMES,
    JOINT_UPPER_RAD,
    NOMINAL_JOINT_POS,
    SDK_JOINT_NAMES,
    TORQUE_LIMIT_NM,
    joint_index_map,
)
from make_agent_ros.go2.remote import Button, Remote, encode_remote
from make_agent_ros.policy import load
from make_agent_ros.resources import resource_path
from make_agent_ros.simulation.faults import Faults

from .harness import TICK_S, World, constant_bundle, explosive_bundle, is_damping

ARMED = [Mode.DAMPING, Mode.STAND_UP, Mode.STAND, Mode.WALK, Mode.LIE_DOWN, Mode.FAULT]


@pytest.fixture
def world() -> World:
    return World()


def test_the_robot_stands_up_stands_walks_in_place_lies_down_and_is_let_go(world):
    assert world.step() is None, 'disarmed: nothing is sent'
    world.bring_to(Mode.STAND)
    assert world.mode is Mode.STAND
    assert 0.24 < world.height_m < 0.30
    np.testing.assert_allclose(world.state.joint_pos, NOMINAL_JOINT_POS, atol=0.15)
    assert world.ask(Request.WALK).accepted
    world.run(2.0)
    assert world.mode is Mode.WALK
    assert 0.18 < world.height_m < 0.30
    assert world.ask(Request.LIE_DOWN).accepted
    world.run(2.5)
    assert world.mode is Mode.DAMPING
    assert world.height_m < 0.1
    assert world.ask(Request.DISARM).accepted
    assert world.step() is None


def test_walking_uses_the_gains_of_the_policy_after_the_blend(world):
    world.bring_to(Mode.STAND)
    world.offer(constant_bundle(joint_stiffness=np.full(12, 31.0), joint_damping=np.full(12, 0.9)))
    world.ask(Request.WALK)
    command = world.step()
    assert command.stiffness.min() > 55.0, 'the blend begins at the gains of STAND'
    world.run(0.4)
    np.testing.assert_allclose(world.last.stiffness, 31.0)
    np.testing.assert_allclose(world.last.damping, 0.9)


def test_the_policy_runs_at_50_hz_and_targets_are_held_between(world):
    world.bring_to(Mode.WALK)
    ran = []
    for _ in range(500):
        world.step()
        ran.append(world.controller.walker.ran)
    steps = np.flatnonzero(ran)
    assert len(steps) == 50
    assert set(np.diff(steps)) == {10}


def test_the_gait_clock_starts_with_walk_and_runs_on_through_a_swap(world):
    world.bring_to(Mode.WALK)
    world.run(0.75)
    walker = world.controller.walker
    assert walker.phase == pytest.approx(2.0 * 1.25, abs=0.05)
    before = walker.phase
    world.offer(constant_bundle(0.1, gait_frequency_hz=3.0), 'second')
    world.run(0.1)
    assert before < walker.phase < before + 3.0 * 0.13


@pytest.mark.parametrize('mode', ARMED)
@pytest.mark.parametrize('poison', ['joint_pos', 'joint_vel', 'quat_wxyz', 'base_ang_vel'])
def test_nan_is_answered_with_damping_at_the_same_tick_in_every_mode(world, mode, poison):
    world.bring_to(mode)
    size = getattr(world.state, poison).shape
    world.change = lambda state: replace(state, **{poison: np.full(size, np.nan)})
    assert is_damping(world.step())
    assert world.mode is Mode.FAULT


FAULTS = [
    (Faults(corrupt='nan'), FaultCode.STATE_NOT_FINITE, 2),
    (Faults(corrupt='swap_legs'), FaultCode.JOINT_JUMP, 2),
    (Faults(drop_state=1.0), FaultCode.STATE_AGE, 54),
    (Faults(delay_state_s=0.5), FaultCode.STATE_AGE, 54),
    (Faults(freeze='all'), FaultCode.STATE_FROZEN, 58),
    (Faults(freeze='values'), FaultCode.STATE_FROZEN, 58),
]


@pytest.mark.parametrize(
    ('faults', 'code', 'within_ms'), FAULTS, ids=[f'{c.value}-{i}' for i, (_, c, _) in
                                                 enumerate(FAULTS)]
)  # fmt: skip
def test_an_injected_wire_fault_is_damped_within_its_time(world, faults, code, within_ms):
    world.bring_to(Mode.WALK)
    if faults.corrupt == 'swap_legs':
        # Exchanged legs can only be told apart where they differ.
        world.offer(leaning_bundle(), 'lean')
        world.run(0.5)
    world.robot.set_faults(faults)
    ticks = 0
    while not is_damping(world.step()):
        ticks += 1
        assert 2 * ticks <= within_ms + 4, f'{code.value} not damped within {within_ms} ms'
    assert world.controller.machine.fault.code is code


def leaning_bundle():
    action = np.zeros(12, np.float32)
    action[JOINT_NAMES.index('FL_thigh_joint')] = 0.8
    bundle = constant_bundle()
    return replace(bundle, layers=[*bundle.layers[:-1], (bundle.layers[-1][0], action)])


@pytest.mark.parametrize(
    ('faults', 'code'),
    [
        (Faults(battery_soc=5.0), FaultCode.BATTERY),
        (Faults(motor_temperature_c=95.0), FaultCode.MOTOR_TEMPERATURE),
    ],
)
def test_an_exhausted_robot_lies_down_and_stays_there(world, faults, code):
    world.bring_to(Mode.WALK)
    world.robot.set_faults(faults)
    world.step()
    assert world.mode is Mode.LIE_DOWN
    world.run(2.5)
    assert world.mode is Mode.FAULT
    assert world.controller.machine.fault.code is code
    assert is_damping(world.last)
    assert world.height_m < 0.1
    assert not world.ask(Request.STAND_UP).accepted
    assert not world.ask(Request.RESET).accepted, 'still empty'


def test_a_push_over_is_damped_before_the_robot_lies_on_its_back(world):
    world.bring_to(Mode.STAND)
    world.robot.push(np.array([0.0, 6.0, 1.0]))
    world.run(1.0)
    assert world.mode is Mode.FAULT
    assert world.controller.machine.fault.code in (FaultCode.TILT, FaultCode.JOINT_VELOCITY)


def test_a_lost_motor_never_leaves_the_controller_in_a_moving_mode_on_a_fallen_robot(world):
    world.bring_to(Mode.WALK)
    world.robot.set_faults(Faults(lost_motor='FL_calf_joint'))
    world.run(3.0)
    _w, x, y, _z = world.robot.data.qpos[3:7]
    upright = 1.0 - 2.0 * (x * x + y * y)
    assert upright > 0.6 or world.mode is Mode.FAULT


@pytest.mark.slow
@pytest.mark.parametrize('gait', ['trot', 'pace'])
@pytest.mark.parametrize('how', [Request.LIE_DOWN, Request.STAND_UP])
def test_a_walk_may_be_ended_at_any_moment_of_the_stride(world, gait, how):
    """The feet come down first: folded or held as they are, a pacing robot rolls over."""
    world.bring_to(Mode.STAND)
    world.offer(load(resource_path(f'models/{gait}.onnx')))
    world.run(0.6)
    assert world.ask(Request.WALK).accepted

    def drive(seconds: float) -> None:
        for _ in range(round(seconds / TICK_S)):
            world.controller.inputs.velocity = (0.4, 0.0, 0.0, world.now_s)
            world.step()

    drive(1.5)
    for _ in range(5):
        drive(0.09)
        end = copy.deepcopy(world)
        assert end.ask(how).accepted
        for _ in range(500):
            end.step()
            assert max(map(abs, tilt(*end.state.quat_wxyz.tolist()))) < 0.6
        assert end.controller.machine.fault is None
        assert end.mode in (Mode.STAND, Mode.LIE_DOWN)


def test_damping_goes_on_until_disarmed_whatever_arrives(world):
    world.bring_to(Mode.FAULT)
    for _ in range(1000):
        assert is_damping(world.step())
    assert world.ask(Request.RESET).accepted
    assert is_damping(world.step())
    world.run(0.6)
    assert world.ask(Request.DISARM).accepted
    assert world.step() is None


@pytest.mark.parametrize('mode', ARMED)
def test_the_stop_button_of_the_remote_damps_in_every_mode(world, mode):
    world.bring_to(mode)
    remote = encode_remote(Remote(Button.L2 | Button.B, 0.0, 0.0, 0.0, 0.0))
    world.change = lambda state: replace(state, wireless_remote=remote)
    assert is_damping(world.step())


def test_a_silent_operator_means_zero_velocity_but_the_robot_keeps_balancing(world):
    world.bring_to(Mode.WALK)
    world.controller.inputs.velocity = (0.5, 0.0, 0.0, world.now_s)
    world.run(0.45)
    assert world.controller.velocity[0] == pytest.approx(0.5)
    world.run(0.5)
    assert world.controller.velocity[0] == 0.0
    assert world.controller.command_stale
    assert world.mode is Mode.WALK


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_a_velocity_that_is_no_number_counts_as_zero(world, bad):
    world.bring_to(Mode.WALK)
    world.controller.inputs.velocity = (bad, 0.0, 0.0, world.now_s)
    world.run(0.1)
    np.testing.assert_array_equal(world.controller.velocity, 0.0)


def test_the_velocity_command_is_limited_in_size_and_rate(world):
    world.bring_to(Mode.WALK)
    world.controller.inputs.velocity = (9.0, -9.0, 9.0, world.now_s)
    world.step()
    assert world.controller.velocity[0] <= 2.0 * TICK_S + 1e-9
    for _ in range(700):
        world.controller.inputs.velocity = (9.0, -9.0, 9.0, world.now_s)
        world.step()
    np.testing.assert_allclose(world.controller.velocity, (1.2, -0.4, 1.0))


def test_a_policy_that_asks_for_it_is_told_more_while_the_robot_stands_on_the_spot(world):
    world.bring_to(Mode.WALK)
    world.offer(constant_bundle(velocity_gain=0.5), 'held')
    for _ in range(round(3.0 / TICK_S)):
        world.controller.inputs.velocity = (0.5, 0.0, 0.0, world.now_s)
        world.step()
    runner = world.controller.walker.current
    told = runner.observation[runner.builder.slices['command']]
    assert world.controller.velocity[0] == pytest.approx(0.5)
    assert told[0] > 0.6
    assert abs(told[1]) < 0.1


def test_a_swap_blends_without_a_step_in_the_command(world):
    world.bring_to(Mode.WALK)
    world.run(0.5)
    before = world.last.joint_pos.copy()
    world.offer(constant_bundle(0.6), 'second')
    largest = 0.0
    for _ in range(200):
        world.step()
        largest = max(largest, float(np.abs(world.last.joint_pos - before).max()))
        before = world.last.joint_pos.copy()
    assert world.controller.walker.current.digest == 'second'
    assert largest < 0.01, 'radians per tick'


@pytest.mark.filterwarnings('ignore:overflow')
def test_a_policy_that_computes_nan_in_its_first_second_gives_way_to_the_one_before(world):
    world.bring_to(Mode.WALK)
    world.run(1.1)
    world.offer(explosive_bundle(), 'bad')
    world.run(0.5)
    assert world.mode is Mode.WALK
    assert world.controller.walker.current.digest == 'first'
    assert any('NaN' in sentence and 'runs again' in sentence for sentence in
               world.controller.events)  # fmt: skip
    assert np.isfinite(world.last.joint_pos).all()


@pytest.mark.filterwarnings('ignore:overflow')
def test_a_first_policy_that_computes_nan_leaves_the_robot_standing(world):
    world.bring_to(Mode.STAND)
    world.offer(explosive_bundle(), 'bad')
    world.ask(Request.WALK)
    world.run(1.0)
    assert world.mode is Mode.STAND
    assert 0.24 < world.height_m < 0.30
    assert not world.ask(Request.WALK).accepted, 'the bad policy is gone'


def test_a_policy_that_tilts_the_robot_in_its_first_second_is_taken_back():
    world = World(ControllerConfig(walk=WalkConfig(probation_tilt_rad=0.28)))
    world.bring_to(Mode.WALK)
    world.run(1.1)
    action = np.zeros(12, np.float32)
    action[[1, 4]], action[[2, 5]] = -2.0, 2.0
    bundle = constant_bundle()
    kneeling = replace(bundle, layers=[*bundle.layers[:-1], (bundle.layers[-1][0], action)])
    world.offer(kneeling, 'kneel')
    world.run(1.0)
    assert world.controller.walker.current.digest == 'first'
    assert world.mode is Mode.WALK


def test_nan_after_probation_is_a_damping_fault(world):
    world.bring_to(Mode.WALK)
    world.run(1.5)
    world.controller.walker.current._policy = lambda obs: np.full(12, np.nan, np.float32)
    world.run(0.03)
    assert world.controller.machine.fault.code is FaultCode.POLICY_NOT_FINITE
    assert is_damping(world.last)


def test_a_policy_in_another_joint_order_and_default_pose_moves_the_same_joints(world):
    order = joint_index_map(JOINT_NAMES, SDK_JOINT_NAMES)
    pose = NOMINAL_JOINT_POS + np.linspace(-0.1, 0.1, 12)
    world.bring_to(Mode.STAND)
    world.offer(
        constant_bundle(
            joint_names=SDK_JOINT_NAMES,
            default_joint_pos=pose[order],
            joint_stiffness=np.linspace(20, 40, 12)[order],
            observation_names=('projected_gravity', 'joint_pos', 'actions'),
            observation_scales=(1.0, 1.0, 1.0),
        )
    )
    world.ask(Request.WALK)
    world.run(0.5)
    np.testing.assert_allclose(world.last.stiffness, np.linspace(20, 40, 12))
    np.testing.assert_allclose(world.controller.walker.current.target, pose, atol=1e-6)


def test_losing_a_policy_tick_for_60_ms_is_a_fault(world):
    world.bring_to(Mode.WALK)
    world.now_s += 0.07
    world.step()
    assert world.controller.machine.fault.code is FaultCode.POLICY_AGE


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_no_random_operator_makes_a_command_leave_the_limits(data):
    world = World(ControllerConfig(limits=SafetyLimits()), seed=data.draw(st.integers(0, 99)))
    world.bring_to(Mode.DAMPING)
    for _ in range(data.draw(st.integers(1, 8))):
        act = data.draw(st.sampled_from([*Request, 'policy', 'velocity', 'fault', 'heal']))
        if isinstance(act, Request):
            world.ask(act)
        elif act == 'policy':
            world.offer(constant_bundle(data.draw(st.floats(-8.0, 8.0))), str(world.now_s))
        elif act == 'velocity':
            world.controller.inputs.velocity = (data.draw(st.floats()), 0.0, 0.0, world.now_s)
        elif act == 'fault':
            faults = data.draw(st.sampled_from([f for f, _, _ in FAULTS]))
            world.robot.set_faults(faults)
        else:
            world.robot.set_faults(Faults())
        for _ in range(data.draw(st.integers(1, 400))):
            latched = world.controller.machine.fault
            q, dq = world.state.joint_pos, world.state.joint_vel
            command = world.step()
            if latched is not None:
                assert world.mode in (Mode.FAULT, Mode.LIE_DOWN)
            if command is None:
                continue
            assert np.isfinite(command.joint_pos).all()
            if is_damping(command):
                continue
            q, dq = world.state.joint_pos, world.state.joint_vel
            torque = command.stiffness * (command.joint_pos - q) - command.damping * dq
            assert (np.abs(torque) <= TORQUE_LIMIT_NM * (1 + 1e-9)).all()
            assert (command.joint_pos >= JOINT_LOWER_RAD).all()
            assert (command.joint_pos <= JOINT_UPPER_RAD).all()

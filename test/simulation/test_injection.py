from __future__ import annotations

import numpy as np
import pytest

from make_agent_ros.go2.command import JointCommand
from make_agent_ros.go2.constants import JOINT_NAMES, LYING_JOINT_POS, NOMINAL_JOINT_POS
from make_agent_ros.go2.wire import CrcError, decode_lowstate, encode_lowcmd
from make_agent_ros.simulation.faults import Faults
from make_agent_ros.simulation.robot import SimulatedRobot
from make_agent_ros.simulation.sensors import Noise

STAND = encode_lowcmd(
    JointCommand(
        joint_pos=np.array(NOMINAL_JOINT_POS),
        stiffness=np.full(12, 60.0),
        damping=np.full(12, 5.0),
    )
)


@pytest.fixture
def robot():
    return SimulatedRobot()


def samples(robot: SimulatedRobot, steps: int, command: bytes | None = None) -> list[list[bytes]]:
    return [robot.step(command) for _ in range(steps)]


def test_a_healthy_robot_sends_one_good_sample_per_step(robot):
    for step in samples(robot, 20):
        (sample,) = step
        decode_lowstate(sample, check_crc=True)


def test_dropped_states_are_missing_in_the_share_asked_for(robot):
    robot.set_faults(Faults(drop_state=0.3))
    sent = sum(map(len, samples(robot, 2000)))
    assert sent == pytest.approx(1400, abs=80)
    robot.set_faults(Faults(drop_state=1.0))
    assert sum(map(len, samples(robot, 100))) == 0


def test_dropped_commands_are_not_obeyed(robot):
    robot.set_faults(Faults(drop_command=1.0))
    samples(robot, 10, STAND)
    assert robot.commands == 0
    robot.set_faults(Faults())
    samples(robot, 10, STAND)
    assert robot.commands == 10


def test_a_delayed_state_arrives_late_and_none_is_lost(robot):
    reference = SimulatedRobot()
    robot.set_faults(Faults(delay_state_s=0.02))
    late, on_time = samples(robot, 30), samples(reference, 30)
    assert late[:10] == [[]] * 10
    assert late[10:] == on_time[:20]


def test_when_a_delay_ends_the_backlog_comes_out_in_order(robot):
    robot.set_faults(Faults(delay_state_s=0.02))
    first = samples(robot, 5)
    robot.set_faults(Faults())
    later = samples(robot, 10)
    ticks = [decode_lowstate(s).tick for step in first + later for s in step]
    assert len(ticks) == 15
    assert (np.diff(ticks) == 2).all()


def test_a_delayed_command_acts_later(robot):
    robot.set_faults(Faults(delay_command_s=0.01))
    for step in range(8):
        robot.step(STAND)
        assert robot.commands == max(0, step - 4)


def test_frozen_values_repeat_while_the_tick_runs(robot):
    samples(robot, 3)
    robot.set_faults(Faults(freeze='values'))
    states = [decode_lowstate(step[0], check_crc=True) for step in samples(robot, 10, STAND)]
    for state in states[1:]:
        np.testing.assert_array_equal(state.joint_pos, states[0].joint_pos)
        np.testing.assert_array_equal(state.base_ang_vel, states[0].base_ang_vel)
    assert (np.diff([s.tick for s in states]) == 2).all()
    robot.set_faults(Faults())
    assert not np.array_equal(decode_lowstate(robot.step()[0]).joint_pos, states[0].joint_pos)


def test_a_frozen_stream_repeats_the_same_bytes(robot):
    samples(robot, 3)
    robot.set_faults(Faults(freeze='all'))
    stream = samples(robot, 10)
    assert len({step[0] for step in stream}) == 1
    robot.set_faults(Faults())
    assert robot.step() != stream[0]


def test_corruption_reaches_the_wire_as_named(robot):
    robot.set_faults(Faults(corrupt='nan'))
    state = decode_lowstate(robot.step()[0], check_crc=True)
    assert np.isnan(state.joint_pos).sum() == 1
    robot.set_faults(Faults(corrupt='crc'))
    with pytest.raises(CrcError):
        decode_lowstate(robot.step()[0], check_crc=True)


def test_swapped_legs_exchange_the_front_legs_and_nothing_else():
    robots = [SimulatedRobot(noise=Noise.none()) for _ in range(2)]
    pose = np.array(LYING_JOINT_POS)
    pose[0:3] += (0.2, 0.3, 0.4)
    command = encode_lowcmd(
        JointCommand(joint_pos=pose, stiffness=np.full(12, 60.0), damping=np.full(12, 3.0))
    )
    robots[1].set_faults(Faults(corrupt='swap_legs'))
    true, swapped = (decode_lowstate(samples(r, 200, command)[-1][0]) for r in robots)
    np.testing.assert_array_equal(swapped.joint_pos[0:3], true.joint_pos[3:6])
    np.testing.assert_array_equal(swapped.joint_pos[3:6], true.joint_pos[0:3])
    np.testing.assert_array_equal(swapped.joint_pos[6:], true.joint_pos[6:])
    assert np.abs(true.joint_pos[0:3] - true.joint_pos[3:6]).max() > 0.1


def test_a_lost_motor_gives_no_torque_and_the_others_do(robot):
    robot.noise = Noise.none()
    robot.set_faults(Faults(lost_motor='RL_calf_joint'))
    state = decode_lowstate(samples(robot, 5, STAND)[-1][0])
    lost = JOINT_NAMES.index('RL_calf_joint')
    assert state.joint_torque[lost] == 0.0
    assert (np.abs(np.delete(state.joint_torque, lost)) > 0.0).all()


def test_weak_motors_give_their_share():
    torques = []
    for strength in (1.0, 0.5):
        robot = SimulatedRobot(noise=Noise.none())
        robot.set_faults(Faults(motor_strength=strength))
        torques.append(decode_lowstate(robot.step(STAND)[0]).joint_torque)
    np.testing.assert_allclose(torques[1], 0.5 * torques[0], rtol=1e-6)


def test_payload_weighs_on_the_feet_and_comes_off_again():
    forces = []
    robot = SimulatedRobot(noise=Noise.none())
    pose = np.array(LYING_JOINT_POS)
    for share in np.linspace(0.0, 1.0, 750):
        target = (1.0 - share) * pose + share * NOMINAL_JOINT_POS
        robot.step(
            encode_lowcmd(
                JointCommand(target, stiffness=np.full(12, 80.0), damping=np.full(12, 5.0))
            )
        )
    for payload in (0.0, 3.0, 0.0):
        robot.set_faults(Faults(payload_kg=payload))
        samples(robot, 1500)
        forces.append(robot.measure().foot_force.sum())
    assert forces[1] - forces[0] == pytest.approx(3.0 * 9.81, rel=0.1)
    assert forces[2] == pytest.approx(forces[0], rel=0.02)


def test_low_friction_lets_a_pushed_robot_slide():
    """A crouching robot that is shoved slides v^2 / (2 mu g): further on ice."""
    slides = []
    for friction in (0.8, 0.1):
        robot = SimulatedRobot(noise=Noise.none())
        robot.set_faults(Faults(friction=friction))
        for share in np.linspace(0.0, 1.0, 1000):
            target = (1.0 - share) * LYING_JOINT_POS + share * NOMINAL_JOINT_POS
            command = JointCommand(target, stiffness=np.full(12, 80.0), damping=np.full(12, 5.0))
            robot.step(encode_lowcmd(command))
        samples(robot, 1000)
        before = robot.truth().position_w
        robot.push(np.array([0.8, 0.0, 0.0]))
        samples(robot, 500)
        slides.append(robot.truth().position_w[0] - before[0])
    assert slides[1] > 3.0 * slides[0]
    assert slides[1] > 0.1


def test_charge_and_heat_can_be_claimed_without_being_so(robot):
    robot.set_faults(Faults(battery_soc=3.0, motor_temperature_c=95.0))
    state = decode_lowstate(robot.step()[0])
    assert state.battery_soc == 3.0
    np.testing.assert_array_equal(state.motor_temperature_c, 95.0)
    robot.set_faults(Faults())
    state = decode_lowstate(robot.step()[0])
    assert state.battery_soc > 80.0
    assert (state.motor_temperature_c < 40.0).all()


def test_faults_that_were_set_and_cleared_leave_no_trace():
    """The stream is byte for byte that of a robot which never had one."""
    untouched, cleared = SimulatedRobot(seed=3), SimulatedRobot(seed=3)
    cleared.set_faults(
        Faults(drop_state=1.0, freeze='all', corrupt='nan', payload_kg=5.0, friction=0.1)
    )
    cleared.set_faults(Faults())
    assert samples(cleared, 50, STAND) == samples(untouched, 50, STAND)

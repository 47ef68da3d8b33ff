from __future__ import annotations

import mujoco
import numpy as np
import pytest

from make_agent_ros.go2.command import JointCommand, damping_command
from make_agent_ros.go2.constants import (
    JOINT_LOWER_RAD,
    JOINT_NAMES,
    JOINT_UPPER_RAD,
    LYING_JOINT_POS,
    NOMINAL_JOINT_POS,
)
from make_agent_ros.go2.kinematics import foot_positions
from make_agent_ros.go2.state import projected_gravity
from make_agent_ros.go2.wire import decode_lowstate, encode_lowcmd
from make_agent_ros.simulation.robot import SimulatedRobot
from make_agent_ros.simulation.sensors import Noise

GRAVITY = 9.81
FOOT_RADIUS_M = 0.022


@pytest.fixture
def robot():
    return SimulatedRobot(noise=Noise.none())


def towards(target: np.ndarray, kp: float = 60.0, kd: float = 5.0) -> bytes:
    return encode_lowcmd(
        JointCommand(joint_pos=target, stiffness=np.full(12, kp), damping=np.full(12, kd))
    )


def drive(robot: SimulatedRobot, target: np.ndarray, seconds: float) -> None:
    """Lead the joints from where they are to `target` in a straight line."""
    start = robot.data.qpos[robot._sensors.qpos].copy()
    steps = round(seconds / 0.002)
    for i in range(steps):
        share = (i + 1) / steps
        robot.step(towards((1.0 - share) * start + share * target))


def stand(robot: SimulatedRobot) -> None:
    drive(robot, LYING_JOINT_POS, 1.0)
    drive(robot, NOMINAL_JOINT_POS, 1.5)
    for _ in range(1000):
        robot.step(towards(NOMINAL_JOINT_POS))


def lift(robot: SimulatedRobot, height_m: float) -> None:
    robot.data.qpos[2] = height_m
    robot.data.qpos[3:7] = (1.0, 0.0, 0.0, 0.0)
    robot.data.qvel[:] = 0.0


def test_it_starts_lying_on_its_belly_with_folded_legs_and_motors_off(robot):
    state = decode_lowstate(robot.step()[0])
    assert robot.truth().position_w[2] < 0.12
    assert projected_gravity(state.quat_wxyz)[2] < -0.98
    # The joints rest against their stops; the stops give by a few milliradians.
    assert (state.joint_pos > JOINT_LOWER_RAD - 0.01).all()
    assert (state.joint_pos < JOINT_UPPER_RAD + 0.01).all()
    assert np.abs(state.joint_pos - LYING_JOINT_POS).max() < 0.6
    np.testing.assert_array_equal(state.joint_torque, 0.0)


def test_it_lies_still_when_nobody_commands(robot):
    before = robot.truth().position_w
    for _ in range(1000):
        robot.step()
    assert np.linalg.norm(robot.truth().position_w - before) < 0.01


def test_pd_commands_stand_it_up_through_the_folded_pose(robot):
    stand(robot)
    state = robot.measure()
    # The body rides where the measured legs put it, level, feet under the body.
    legs_m = -foot_positions(state.joint_pos)[:, 2].mean() + FOOT_RADIUS_M
    height_m = robot.truth().position_w[2]
    assert height_m == pytest.approx(legs_m, abs=0.006)
    assert 0.24 < height_m < 0.287
    assert projected_gravity(state.quat_wxyz)[2] < -0.999
    assert np.abs(state.joint_vel).max() < 0.05
    # Springs of 60 N m/rad under load: the error is torque over stiffness.
    np.testing.assert_allclose(
        60.0 * (NOMINAL_JOINT_POS - state.joint_pos), state.joint_torque, atol=0.2
    )


def test_standing_feet_carry_the_robots_weight(robot):
    stand(robot)
    weight_n = robot.model.body_subtreemass[1] * GRAVITY
    assert robot.measure().foot_force.sum() == pytest.approx(weight_n, rel=0.03)


def test_an_accelerometer_reads_gravity_at_rest_and_nothing_in_free_fall(robot):
    np.testing.assert_allclose(np.linalg.norm(robot.measure().base_lin_acc), GRAVITY, atol=0.05)
    lift(robot, 2.0)
    for _ in range(50):
        robot.step()
    assert np.linalg.norm(robot.measure().base_lin_acc) < 0.3


def test_it_falls_as_newton_says(robot):
    lift(robot, 2.0)
    steps = 200
    for _ in range(steps):
        robot.step()
    time_s = steps * 0.002
    fall_m = 2.0 - robot.truth().position_w[2]
    assert fall_m == pytest.approx(0.5 * GRAVITY * time_s**2, rel=0.02)


def test_a_free_leg_swings_at_the_frequency_of_its_spring_and_inertia(robot):
    """kp on one hip of a robot held in the air: omega = sqrt(kp / I), I from the mass matrix."""
    model, data = robot.model, robot.data
    model.opt.gravity[:] = 0.0
    model.dof_damping[:] = 0.0
    lift(robot, 2.0)
    data.qpos[robot._sensors.qpos] = NOMINAL_JOINT_POS
    model.body_mass[1] *= 1e6  # the trunk does not follow
    model.body_inertia[1] *= 1e6
    mujoco.mj_forward(model, data)
    dof = robot._sensors.dofs[0]
    inertia = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, inertia)
    kp = 10.0
    expected_s = 2.0 * np.pi * np.sqrt(inertia[dof, dof] / kp)
    stiffness = np.full(12, 400.0)
    damping = np.full(12, 4.0)
    stiffness[0], damping[0] = kp, 0.0
    target = NOMINAL_JOINT_POS.copy()
    data.qpos[robot._sensors.qpos[0]] += 0.1
    command = encode_lowcmd(JointCommand(target, stiffness=stiffness, damping=damping))
    angle = []
    for _ in range(500):
        robot.step(command)
        angle.append(data.qpos[robot._sensors.qpos[0]])
    angle = np.array(angle)
    crossings = np.flatnonzero((angle[:-1] > 0.0) & (angle[1:] <= 0.0))
    period_s = np.diff(crossings).mean() * 0.002
    assert period_s == pytest.approx(expected_s, rel=0.08)


def test_torque_follows_the_joints_between_commands(robot):
    """One command, then none: the drives keep computing torque at every step."""
    lift(robot, 2.0)
    robot.step(towards(NOMINAL_JOINT_POS, kp=20.0, kd=0.5))
    torques = []
    for _ in range(20):
        robot.step()
        torques.append(robot.measure().joint_torque.copy())
    assert np.ptp(np.array(torques), axis=0).max() > 1.0
    # Without the springs' work in between, the legs would not have come near the target.
    for _ in range(500):
        robot.step()
        lift(robot, 2.0) if robot.truth().position_w[2] < 1.0 else None
    assert np.abs(robot.measure().joint_pos - NOMINAL_JOINT_POS).max() < 0.1


def test_the_last_command_holds_when_commands_stop(robot):
    stand(robot)
    height_m = robot.truth().position_w[2]
    for _ in range(1000):
        robot.step()
    assert robot.truth().position_w[2] == pytest.approx(height_m, abs=0.005)


def test_damping_lets_a_standing_robot_sink_slowly(robot):
    stand(robot)
    start_m = robot.truth().position_w[2]
    robot.step(encode_lowcmd(damping_command()))
    fastest = 0.0
    for _ in range(1500):
        robot.step()
        fastest = max(fastest, -float(robot.data.qvel[2]))
    assert robot.truth().position_w[2] < start_m - 0.1
    assert fastest < 0.6  # a drop from this height would reach 1.9 m/s


def test_switching_the_motors_off_drops_it(robot):
    stand(robot)
    robot.step(encode_lowcmd(JointCommand(enabled=False)))
    fastest = 0.0
    for _ in range(300):
        robot.step()
        fastest = max(fastest, -float(robot.data.qvel[2]))
    assert fastest > 1.0


def test_the_same_seed_gives_the_same_samples_and_another_does_not():
    runs = [SimulatedRobot(seed=seed) for seed in (1, 1, 2)]
    samples = [[robot.step()[0] for _ in range(10)] for robot in runs]
    assert samples[0] == samples[1]
    assert samples[0] != samples[2]


def test_noise_has_the_size_that_was_asked_for():
    robot = SimulatedRobot(noise=Noise(gyro_rad_s=0.02, joint_pos_rad=0.003, attitude_rad=0.01))
    states = [robot.measure() for _ in range(2000)]
    assert np.std([s.base_ang_vel for s in states], axis=0) == pytest.approx(0.02, rel=0.1)
    assert np.std([s.joint_pos for s in states], axis=0) == pytest.approx(0.003, rel=0.1)
    norms = np.linalg.norm([s.quat_wxyz for s in states], axis=1)
    np.testing.assert_allclose(norms, 1.0, atol=1e-12)
    gravity = np.array([projected_gravity(s.quat_wxyz) for s in states])
    assert np.std(gravity[:, :2], axis=0) == pytest.approx(0.01, rel=0.15)


def test_tick_counts_milliseconds_and_survives_a_reset(robot):
    ticks = [decode_lowstate(robot.step()[0]).tick for _ in range(5)]
    robot.reset()
    ticks.append(decode_lowstate(robot.step()[0]).tick)
    assert (np.diff(ticks) == 2).all()


def test_commands_with_a_wrong_crc_are_counted_and_ignored(robot):
    good = towards(NOMINAL_JOINT_POS)
    robot.step(good[:-1] + bytes([good[-1] ^ 1]))
    assert (robot.bad_commands, robot.commands) == (1, 0)
    assert 'CRC' in robot.last_bad_command
    np.testing.assert_array_equal(robot.measure().joint_torque, 0.0)
    robot.step(good)
    assert (robot.bad_commands, robot.commands) == (1, 1)


@pytest.mark.parametrize('direction', [(0.5, 0.0, 0.0), (0.0, -0.5, 0.0), (0.0, 0.0, 0.5)])
def test_a_push_changes_the_velocity_by_what_was_asked(robot, direction):
    lift(robot, 3.0)
    robot.model.opt.gravity[:] = 0.0
    before = robot.data.qvel[:3].copy()
    robot.push(np.array(direction))
    for _ in range(60):
        robot.step()
    mujoco.mj_subtreeVel(robot.model, robot.data)
    np.testing.assert_allclose(robot.data.subtree_linvel[1] - before, direction, atol=0.02)


def test_joint_names_and_slots_agree_with_the_model(robot):
    """A torque on one joint by name accelerates that joint the most, through the wire and back."""
    for name in JOINT_NAMES[::4]:
        lift(robot, 2.0)
        robot.model.opt.gravity[:] = 0.0
        torque = np.zeros(12)
        torque[JOINT_NAMES.index(name)] = 3.0
        before = robot.measure().joint_vel
        for _ in range(5):
            robot.step(encode_lowcmd(JointCommand(torque=torque)))
        state = robot.measure()
        moved = state.joint_vel - before
        assert JOINT_NAMES[int(np.argmax(np.abs(moved)))] == name
        assert moved[JOINT_NAMES.index(name)] > 0.0
        robot.reset()

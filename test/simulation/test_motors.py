from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from make_agent_ros.go2.command import JointCommand
from make_agent_ros.go2.constants import JOINT_VELOCITY_LIMIT_RAD_S, TORQUE_LIMIT_NM
from make_agent_ros.go2.wire import MODE_OFF, MODE_SERVO, POS_STOP, VEL_STOP
from make_agent_ros.simulation.motors import (
    AMBIENT_C,
    DRIVING_TORQUE_RATIO,
    KNEE_SPEED_RATIO,
    PowerPlant,
    limit_torque,
    motor_torque,
)

SERVO = np.full(12, MODE_SERVO, dtype=np.uint8)
twelve = arrays(np.float64, 12, elements=st.floats(-100.0, 100.0))


def command(**fields: float) -> JointCommand:
    return JointCommand(**{name: np.full(12, value) for name, value in fields.items()})


def test_torque_is_feedforward_plus_spring_plus_damper():
    asked = command(joint_pos=0.5, joint_vel=1.0, stiffness=20.0, damping=2.0, torque=3.0)
    torque = motor_torque(asked, SERVO, np.full(12, 0.2), np.full(12, -0.5))
    np.testing.assert_allclose(torque, 3.0 + 20.0 * 0.3 + 2.0 * 1.5)


def test_a_motor_that_is_off_gives_no_torque_whatever_is_asked():
    modes = SERVO.copy()
    modes[4] = MODE_OFF
    torque = motor_torque(command(torque=5.0), modes, np.zeros(12), np.zeros(12))
    assert torque[4] == 0.0
    assert (np.delete(torque, 4) == 5.0).all()


def test_stop_values_switch_their_term_off_and_leave_the_other():
    stopped = command(joint_pos=POS_STOP, joint_vel=2.0, stiffness=50.0, damping=3.0)
    np.testing.assert_allclose(motor_torque(stopped, SERVO, np.zeros(12), np.zeros(12)), 6.0)
    stopped = command(joint_pos=0.1, joint_vel=VEL_STOP, stiffness=50.0, damping=3.0)
    np.testing.assert_allclose(motor_torque(stopped, SERVO, np.zeros(12), np.ones(12)), 5.0)


def test_a_command_that_is_not_finite_gives_no_torque():
    asked = command(torque=1.0)
    asked.joint_pos[3], asked.stiffness[:] = np.nan, 10.0
    torque = motor_torque(asked, SERVO, np.zeros(12), np.zeros(12))
    assert torque[3] == 0.0
    assert (np.delete(torque, 3) == 1.0).all()


@given(twelve, twelve)
def test_no_torque_leaves_the_limits(torque, joint_vel):
    assert (np.abs(limit_torque(torque, joint_vel)) <= TORQUE_LIMIT_NM).all()


@given(twelve, twelve)
def test_the_curve_is_the_same_in_both_directions(torque, joint_vel):
    np.testing.assert_array_equal(
        limit_torque(torque, joint_vel), -limit_torque(-torque, -joint_vel)
    )


@pytest.mark.parametrize(
    ('speed_ratio', 'share'),
    [(KNEE_SPEED_RATIO, 1.0), (0.5 * (1.0 + KNEE_SPEED_RATIO), 0.5), (1.0, 0.0), (1.5, 0.0)],
)
def test_driving_torque_falls_from_the_knee_to_nothing_at_no_load_speed(speed_ratio, share):
    speed = speed_ratio * JOINT_VELOCITY_LIMIT_RAD_S
    driving = limit_torque(np.full(12, 1e3), speed)
    np.testing.assert_allclose(driving, share * DRIVING_TORQUE_RATIO * TORQUE_LIMIT_NM, atol=1e-9)
    np.testing.assert_allclose(limit_torque(np.full(12, -1e3), speed), -TORQUE_LIMIT_NM)


def test_motors_heat_up_towards_a_bound_and_cool_down_again():
    plant = PowerPlant.cold(100.0)
    for _ in range(2000):
        plant.step(np.full(12, 10.0), np.zeros(12), 1.0)
    hot = plant.temperature_c.copy()
    np.testing.assert_allclose(hot, AMBIENT_C + 25.0, atol=0.1)
    for _ in range(2000):
        plant.step(np.zeros(12), np.zeros(12), 1.0)
    np.testing.assert_allclose(plant.temperature_c, AMBIENT_C, atol=0.1)


def test_the_battery_gives_its_energy_and_not_more():
    plant = PowerPlant.cold(100.0)
    full_v = plant.voltage_v
    hours, energy_wh = 0.0, 0.0
    while plant.soc > 0.0 and hours < 24.0:
        plant.step(np.full(12, 5.0), np.full(12, 2.0), 10.0)
        energy_wh += plant.current_a * plant.voltage_v * 10.0 / 3600.0
        hours += 10.0 / 3600.0
    assert energy_wh == pytest.approx(236.8, rel=0.01)
    assert 0.5 < hours < 3.0  # a Go2 walks one to two hours
    assert full_v == pytest.approx(33.6)
    assert plant.voltage_v == pytest.approx(25.6)

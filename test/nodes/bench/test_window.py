"""What a window says about commands, silence and bad states."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from make_agent_ros.go2.command import JointCommand
from make_agent_ros.go2.remote import Button, Remote, encode_remote
from make_agent_ros.nodes.bench.window import SIGNS, Window

from .wire import DAMP, HOLD, OFF, PUSH, every, standing, window


def test_only_servo_commands_with_gain_or_torque_drive_and_only_braking_ones_damp():
    wire = window([(0.0, HOLD), (0.1, DAMP), (0.2, OFF), (0.3, PUSH)])
    assert wire.active.tolist() == [True, False, False, True]
    assert wire.damping.tolist() == [False, True, False, False]


def test_one_joint_that_is_held_makes_a_command_active():
    stiffness = np.zeros(12)
    stiffness[7] = 5.0
    wire = window([(0.0, JointCommand(stiffness=stiffness, damping=DAMP.damping))])
    assert wire.active.tolist() == [True]
    assert wire.damping.tolist() == [False]


def test_the_first_damping_command_after_a_moment_is_found():
    wire = window([(0.1, DAMP), (0.2, HOLD), (0.3, DAMP), (0.4, DAMP)])
    assert wire.first_damping_s(0.15) == 0.3
    assert math.isnan(wire.first_damping_s(0.5))
    assert wire.active_after(0.15) == 1
    assert wire.active_after(0.2) == 0


def test_a_gap_counts_from_the_last_command_before_and_to_the_end_only_when_asked():
    wire = window([(0.0, HOLD), (0.1, HOLD), (0.4, HOLD), (0.5, HOLD)], end_s=2.0)
    assert wire.gap_s_max(0.3) == pytest.approx(0.3)
    assert wire.gap_s_max(0.45) == pytest.approx(0.1)
    assert wire.gap_s_max(0.45, until_s=2.0) == pytest.approx(1.5)
    assert window(end_s=1.0).gap_s_max(0.0, 1.0) == math.inf


def test_an_active_command_is_stale_for_as_long_as_nothing_replaces_it():
    assert window([(0.0, HOLD), (0.2, DAMP)], end_s=9.0).stale_s_max() == pytest.approx(0.2)
    assert window([(0.0, DAMP), (0.2, HOLD)], end_s=9.0).stale_s_max() == pytest.approx(8.8)
    assert window([(0.0, DAMP)], end_s=9.0).stale_s_max() == 0.0
    assert window(end_s=9.0).stale_s_max() == 0.0


@given(
    st.lists(
        st.tuples(st.floats(0.0, 1.0), st.sampled_from([HOLD, DAMP, OFF])), min_size=1, max_size=12
    )
)
def test_no_active_command_is_stale_for_longer_than_the_longest_gap(commands):
    wire = window(sorted(commands, key=lambda item: item[0]), end_s=1.0)
    assert 0.0 <= wire.stale_s_max() <= wire.gap_s_max(0.0, 1.0) + 1e-12
    assert not (wire.active & wire.damping).any()


def test_a_healthy_robot_shows_no_sign_of_trouble():
    wire = window(states=standing())
    for sign in SIGNS:
        assert math.isnan(wire.first_bad_s(sign, 0.0)), sign


def changed(at: int, **fields) -> Window:
    states = standing()
    time_s, state = states[at]
    states[at] = (time_s, replace(state, **fields))
    return window(states=states, end_s=0.5)


def rolled(angle: float) -> np.ndarray:
    return np.array([math.cos(angle / 2), math.sin(angle / 2), 0.0, 0.0])


@pytest.mark.parametrize(
    ('sign', 'fields'),
    [
        ('nan', {'joint_pos': np.full(12, np.nan)}),
        ('jump', {'joint_pos': np.full(12, 0.5)}),
        ('tilt', {'quat_wxyz': rolled(0.95)}),
        ('battery', {'battery_soc': 7.0}),
        ('hot', {'motor_temperature_c': np.full(12, 90.0)}),
        ('remote', {'wireless_remote': encode_remote(Remote(Button.L2, 0.0, 0.0, 0.0, 0.0))}),
    ],
)
def test_the_first_state_that_carries_a_sign_is_found(sign, fields):
    wire = changed(20, **fields)
    assert wire.first_bad_s(sign, 0.0) == pytest.approx(0.2)
    assert math.isnan(wire.first_bad_s(sign, 0.25)) or sign == 'jump'


def test_a_tilt_below_the_limit_is_none():
    assert math.isnan(changed(20, quat_wxyz=rolled(0.85)).first_bad_s('tilt', 0.0))


@pytest.mark.parametrize('what', ['tick and values', 'values'])
def test_a_state_that_repeats_the_one_before_is_found(what):
    states = standing()
    frozen = states[20][1]
    for i in range(20, 50):
        tick = frozen.tick if what == 'tick and values' else 2 * i
        states[i] = (states[i][0], replace(frozen, tick=tick))
    assert window(states=states).first_bad_s('repeated', 0.0) == pytest.approx(0.21)


def test_a_wrong_crc_is_found():
    wire = window(states=standing())
    states = wire.states.copy()
    states[10, -1] ^= 0xFF
    assert replace(wire, states=states).first_bad_s('crc', 0.0) == pytest.approx(0.1)


def test_silence_begins_with_the_last_state_before_it():
    states = [item for item in standing() if not 0.2 < item[0] < 0.3]
    assert window(states=states, end_s=0.5).first_bad_s('silence', 0.205) == pytest.approx(0.2)
    assert window(states=standing(20), end_s=0.5).first_bad_s('silence', 0.1) == pytest.approx(
        0.19
    )
    assert math.isnan(window(states=standing(), end_s=0.5).first_bad_s('silence', 0.1))


def test_a_window_survives_its_file(tmp_path):
    wire = window(every(0.0, 0.1, HOLD), standing(5))
    wire.save(tmp_path / 'window.npz')
    again = Window.load(tmp_path / 'window.npz')
    assert again.end_s == wire.end_s
    assert (again.commands == wire.commands).all()
    assert (again.measured == wire.measured).all()
    assert again.active.all()

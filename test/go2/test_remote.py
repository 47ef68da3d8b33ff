from __future__ import annotations

import struct

import pytest

from make_agent_ros.control.machine import Request
from make_agent_ros.control.operator import COMBINATIONS, RemoteOperator
from make_agent_ros.go2.remote import Button, Remote, encode_remote, parse_remote

REST = Remote(Button(0), 0.0, 0.0, 0.0, 0.0)


def pressed(buttons: Button) -> bytes:
    return encode_remote(Remote(buttons, 0.0, 0.0, 0.0, 0.0))


def test_the_layout_is_that_of_the_sdk():
    """Bytes 2-3 hold the buttons, floats lx, rx, ry, L2, ly begin at byte 4."""
    data = bytearray(40)
    data[2:4] = struct.pack('<H', 1 << 9 | 1 << 5)
    for offset, value in ((4, 0.1), (8, 0.2), (12, 0.3), (20, 0.4)):
        data[offset : offset + 4] = struct.pack('<f', value)
    remote = parse_remote(bytes(data))
    assert remote.buttons == Button.B | Button.L2
    assert (remote.left_x, remote.right_x, remote.right_y, remote.left_y) == pytest.approx(
        (0.1, 0.2, 0.3, 0.4)
    )


def test_encoding_and_parsing_are_inverse():
    remote = Remote(Button.A | Button.R2, -1.0, 0.5, 0.25, -0.125)
    assert parse_remote(encode_remote(remote)) == remote


@pytest.mark.parametrize('data', [b'', b'\0' * 39, b'\xff' * 40])
def test_no_remote_or_noise_moves_nothing(data):
    assert parse_remote(data) is None
    assert RemoteOperator.velocity(data, (-1, -1, -1), (1, 1, 1)) is None


@pytest.mark.parametrize(('buttons', 'request_'), COMBINATIONS)
def test_each_combination_asks_once_per_press_and_stop_for_as_long_as_it_is_held(
    buttons, request_
):
    operator = RemoteOperator()
    first = operator.requests(pressed(buttons))
    held = operator.requests(pressed(buttons))
    operator.requests(pressed(Button(0)))
    again = operator.requests(pressed(buttons))
    assert first is again is request_
    assert held is (Request.STOP if request_ is Request.STOP else None)


def test_stop_wins_over_everything_pressed_with_it():
    everything = Button(0xFFFF)
    assert RemoteOperator().requests(pressed(everything)) is Request.STOP


def test_sticks_are_ros_velocities_forward_left_and_anticlockwise():
    low, high = (-0.6, -0.4, -1.0), (1.2, 0.4, 1.0)
    forward = encode_remote(Remote(Button(0), 0.0, 1.0, 0.0, 0.0))
    left = encode_remote(Remote(Button(0), -1.0, 0.0, 0.0, 0.0))
    turn_right = encode_remote(Remote(Button(0), 0.0, 0.0, 1.0, 0.0))
    backward = encode_remote(Remote(Button(0), 0.0, -1.0, 0.0, 0.0))
    velocity = RemoteOperator.velocity
    assert velocity(forward, low, high) == pytest.approx((1.2, 0.0, 0.0))
    assert velocity(left, low, high) == pytest.approx((0.0, 0.4, 0.0))
    assert velocity(turn_right, low, high) == pytest.approx((0.0, 0.0, -1.0))
    assert velocity(backward, low, high) == pytest.approx((-0.6, 0.0, 0.0))
    assert velocity(encode_remote(REST), low, high) is None

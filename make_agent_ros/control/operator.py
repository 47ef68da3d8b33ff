"""The operator's hand: Unitree's remote, read from every sample, inside the loop.

It works without ROS, so the stop button does too. Combinations follow Unitree's own: L2 + B damps.
"""

from __future__ import annotations

from make_agent_ros.control.machine import Request
from make_agent_ros.go2.remote import Button, button_bits, parse_remote

COMBINATIONS: tuple[tuple[Button, Request], ...] = (
    (Button.L2 | Button.B, Request.STOP),
    (Button.L2 | Button.A, Request.STAND_UP),
    (Button.L2 | Button.X, Request.LIE_DOWN),
    (Button.R2 | Button.A, Request.WALK),
    (Button.L1 | Button.START, Request.RESET),
)
"""Buttons -> request. STOP comes first: pressed with others, it wins."""

STICK_DEADBAND = 0.08


class RemoteOperator:
    """Turns button presses into requests, once per press, and sticks into a velocity."""

    def __init__(self) -> None:
        self._bits = 0

    def requests(self, data: bytes) -> Request | None:
        """Return what was asked since the last sample.

        STOP is repeated for as long as it is held; the others need a new press.
        """
        bits = button_bits(data)
        before, self._bits = self._bits, bits
        if bits == 0:
            return None
        for buttons, request in COMBINATIONS:
            if bits & buttons == buttons:
                new = before & buttons != buttons
                return request if new or request is Request.STOP else None
        return None

    @staticmethod
    def velocity(
        data: bytes, low: tuple[float, float, float], high: tuple[float, float, float]
    ) -> tuple[float, float, float] | None:
        """Return (vx, vy m/s, wz rad/s) of the sticks; None with both at rest or no remote.

        Args:
            data: the remote's bytes.
            low: velocity at full stick backwards, right and clockwise.
            high: velocity at full stick forwards, left and anticlockwise.
        """
        if not any(data):
            return None
        remote = parse_remote(data)
        if remote is None:
            return None
        sticks = (remote.left_y, -remote.left_x, -remote.right_x)
        if max(map(abs, sticks)) < STICK_DEADBAND:
            return None
        vx, vy, wz = (
            stick * (top if stick > 0.0 else -bottom)
            for stick, bottom, top in zip(sticks, low, high, strict=True)
        )
        return vx, vy, wz

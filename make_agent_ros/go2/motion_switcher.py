"""Which controller holds the motors: asking Unitree's own to let go, and giving them back.

A Go2 boots into its sport mode, which writes `rt/lowcmd` all the time. It must be released before
anybody else commands the motors.
"""

from __future__ import annotations

import json
import time

from make_agent_ros.go2.dds import Participant
from make_agent_ros.go2.rpc import ERROR_SEND, ERROR_TIMEOUT, OK, RpcClient

CHECK_MODE = 1001
SELECT_MODE = 1002
RELEASE_MODE = 1003
"""Calls of the service `motion_switcher` [SDK]."""
STAND_DOWN = 1005
"""Call of the service `sport` [SDK]."""

KNOWN_MODES = ('normal', 'ai', 'advanced', 'mcf')
"""Names seen on Go2s; a firmware may have others, which are released and selected all the same."""

CALL_TIMEOUT_S = 2.0
CHECK_PERIOD_S = 0.5
STAND_DOWN_S = 3.0
"""How long sport mode takes to lie down; releasing it earlier would drop the robot."""


class MotionSwitcherError(RuntimeError):
    """The robot's own controller could not be asked, released or started."""


class MotionSwitcher:
    """Client of the robot's motion switcher. A context manager."""

    def __init__(self, interface: str = 'lo', domain: int = 0) -> None:
        """Join the robot's DDS domain.

        Raises:
            LinkError: the interface or the domain cannot be used.
        """
        self._participant = Participant(interface, domain)
        self._switcher = RpcClient(self._participant, 'motion_switcher')
        self._sport = RpcClient(self._participant, 'sport')

    def __enter__(self) -> MotionSwitcher:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the domain."""
        self.close()

    def close(self) -> None:
        """Leave the domain."""
        self._participant.close()

    def check_mode(self, timeout_s: float = CALL_TIMEOUT_S) -> tuple[int, str | None]:
        """Ask which controller holds the motors.

        Returns:
            (0, name), the name empty when none does; (error code, None) when the call failed.
        """
        code, data = self._switcher.call(CHECK_MODE, '{}', timeout_s)
        if code != OK or data is None:
            return code, None
        try:
            return OK, str(json.loads(data).get('name') or '')
        except (ValueError, AttributeError):
            raise MotionSwitcherError(
                f'the motion switcher answered {data!r}, expected JSON with a name; '
                'this firmware speaks another version of the service'
            ) from None

    def release(self, timeout_s: float = 30.0, stand_down_s: float = STAND_DOWN_S) -> str:
        """Let the robot lie down and take its own controller off the motors.

        Args:
            timeout_s: deadline for the whole, s.
            stand_down_s: time left to the robot for lying down before the first release, s.

        Returns:
            The name of the controller that was released; empty when none held the motors.

        Raises:
            MotionSwitcherError: no answer, or still not released at the deadline; the message
                says which and what to do.
        """
        deadline = time.monotonic() + timeout_s
        first = name = self._name(deadline)
        if not name:
            return ''
        code, _ = self._sport.call(STAND_DOWN, '{}', self._until(deadline))
        if code == OK:
            time.sleep(max(0.0, min(stand_down_s, deadline - time.monotonic())))
        while name and time.monotonic() < deadline:
            code, _ = self._switcher.call(RELEASE_MODE, '{}', self._until(deadline))
            name = self._name(deadline)
            if name:
                time.sleep(max(0.0, min(CHECK_PERIOD_S, deadline - time.monotonic())))
        if name:
            raise MotionSwitcherError(
                f'mode {name!r} still holds the motors after {timeout_s:.0f} s (last release '
                f'answered {code}); switch sport mode off in the Unitree app, then try again'
            )
        return first

    def select(self, name: str, timeout_s: float = 10.0) -> None:
        """Start the robot's own controller of this name; an empty name starts none.

        Raises:
            MotionSwitcherError: it was not started within `timeout_s`.
        """
        if not name:
            return
        deadline = time.monotonic() + timeout_s
        parameter = json.dumps({'name': name})
        code, _ = self._switcher.call(SELECT_MODE, parameter, self._until(deadline))
        if code != OK:
            raise MotionSwitcherError(f'mode {name!r} was not started: {_explain(code)}')
        while (current := self._name(deadline)) != name:
            if time.monotonic() >= deadline:
                raise MotionSwitcherError(
                    f'mode {name!r} was accepted but {current or "none"!r} is active after '
                    f'{timeout_s:.0f} s; start it with the remote or the Unitree app'
                )
            time.sleep(min(CHECK_PERIOD_S, max(0.0, deadline - time.monotonic())))

    def _name(self, deadline: float) -> str:
        """Ask until there is an answer; one lost answer is no reason to give up."""
        while True:
            code, name = self.check_mode(self._until(deadline))
            if name is not None:
                return name
            if time.monotonic() >= deadline:
                raise MotionSwitcherError(f'CheckMode failed: {_explain(code)}')
            # An error that comes back at once must not be asked for in a tight loop.
            time.sleep(min(CHECK_PERIOD_S, max(0.0, deadline - time.monotonic())))

    @staticmethod
    def _until(deadline: float) -> float:
        return max(0.0, min(CALL_TIMEOUT_S, deadline - time.monotonic()))


def _explain(code: int) -> str:
    if code == ERROR_SEND:
        return (
            f'code {code}, nobody offers the service motion_switcher; is the robot switched on '
            'and is this its interface and DDS domain (0)?'
        )
    if code == ERROR_TIMEOUT:
        return f'code {code}, the robot did not answer in time; try again, then reboot it'
    return f'the robot answered with code {code}'

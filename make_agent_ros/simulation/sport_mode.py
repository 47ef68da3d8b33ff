"""The robot's own controller as others see it: two services, and a writer on `rt/lowcmd`.

Not a walking controller. It is there so that taking the motors over, with its deadline and its
second writer, is tried against something that behaves like the robot.
"""

from __future__ import annotations

import json
import threading

from make_agent_ros.go2.command import damping_command
from make_agent_ros.go2.dds import LOWCMD_TOPIC, Participant, RawTopicWriter
from make_agent_ros.go2.motion_switcher import (
    CHECK_MODE,
    KNOWN_MODES,
    RELEASE_MODE,
    SELECT_MODE,
    STAND_DOWN,
)
from make_agent_ros.go2.rpc import ERROR_NOT_IMPLEMENTED, OK, RpcServer
from make_agent_ros.go2.wire import encode_lowcmd

ERROR_UNKNOWN_MODE = 7002
"""Any non-zero code would do; the robot's are not published."""
COMMAND_PERIOD_S = 0.005


class _Switcher(RpcServer):
    def __init__(self, participant: Participant, owner: SportMode) -> None:
        self._owner = owner
        super().__init__(participant, 'motion_switcher')

    def handle(self, api_id: int, parameter: str) -> tuple[int, str] | None:
        if self._owner.silent:
            return None
        if api_id == CHECK_MODE:
            return OK, json.dumps({'form': '0', 'name': self._owner.name})
        if api_id == RELEASE_MODE:
            self._owner.release()
            return OK, ''
        if api_id == SELECT_MODE:
            name = json.loads(parameter).get('name', '')
            if name not in KNOWN_MODES:
                return ERROR_UNKNOWN_MODE, ''
            self._owner.take(name)
            return OK, ''
        return ERROR_NOT_IMPLEMENTED, ''


class _Sport(RpcServer):
    def __init__(self, participant: Participant, owner: SportMode) -> None:
        self._owner = owner
        super().__init__(participant, 'sport')

    def handle(self, api_id: int, parameter: str) -> tuple[int, str] | None:
        if self._owner.silent or not self._owner.name:
            return None
        if api_id == STAND_DOWN:
            self._owner.stood_down = True
            return OK, ''
        return ERROR_NOT_IMPLEMENTED, ''


class SportMode:
    """Unitree's controller: holds the motors under a name until it is released."""

    def __init__(self, interface: str, domain: int, name: str = 'normal') -> None:
        """Come up in mode `name`; an empty name is a robot already released.

        Raises:
            LinkError: the interface or the domain cannot be used.
        """
        self.silent = False
        """Set: the services hear but do not answer."""
        self.stubborn = 0
        """This many releases are answered with OK and ignored, as robots have been seen to do."""
        self.stood_down = False
        self.releases = 0
        """Releases asked for."""
        self.name = ''
        self._participant = Participant(interface, domain)
        self._writer: RawTopicWriter | None = None
        self._wake = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._command, name='sport mode', daemon=True)
        self._thread.start()
        if name:
            self.take(name)
        self._services = (_Switcher(self._participant, self), _Sport(self._participant, self))

    def take(self, name: str) -> None:
        """Hold the motors."""
        self.name = name
        self._wake.set()

    def release(self) -> None:
        """Let the motors go."""
        self.releases += 1
        if self.stubborn > 0:
            self.stubborn -= 1
            return
        self.name = ''

    def close(self) -> None:
        """Switch off."""
        self._closed = True
        self._wake.set()
        for service in self._services:
            service.close()
        self._thread.join(timeout=2.0)
        self._participant.close()

    def _command(self) -> None:
        """Write damping commands while a mode is active; have no writer while none is."""
        sample = encode_lowcmd(damping_command())
        pause = threading.Event()
        while not self._closed:
            if not self.name:
                self._writer = None
                self._wake.wait()
                self._wake.clear()
                continue
            if self._writer is None:
                self._writer = self._participant.writer(LOWCMD_TOPIC)
            self._writer.write(sample)
            pause.wait(COMMAND_PERIOD_S)
        self._writer = None

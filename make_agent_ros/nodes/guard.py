"""The dead man's guard: damps the robot when the controller process dies or hangs.

What a Go2 does when LowCmd stops is not published, and nothing inside a process survives
`kill -9`. So the controller starts this second process and tells it over a pipe, many times a
second, whether the motors are armed. When the pipe closes or falls silent while they are, the
guard sends damping until somebody else commands the motors or the robot is gone.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time

from make_agent_ros.go2.command import damping_command
from make_agent_ros.go2.dds import LOWCMD_TOPIC, LOWSTATE_TOPIC, LinkError, Participant
from make_agent_ros.go2.wire import LowCmdEncoder

ARMED, DISARMED = b'A', b'D'
PERIOD_S = 0.002
ROBOT_GONE_S = 3.0
"""Without a lowstate for this long there is nobody left to damp, s."""
WRITER_CHECK_S = 0.1


class Guard:
    """The controller's side: starts the process and feeds it."""

    def __init__(self, interface: str, domain: int, timeout_s: float, kd: float) -> None:
        """Start the guard.

        Args:
            interface: as in `RobotLink`.
            domain: as in `RobotLink`.
            timeout_s: silence after which the guard takes over, s.
            kd: velocity gain of its damping, N m s/rad.
        """
        self._command = [
            sys.executable, '-m', 'make_agent_ros.nodes.guard',
            interface, str(domain), str(timeout_s), str(kd),
        ]  # fmt: skip
        self._process, self._pipe = self._start()
        self.lost = False
        """Whether the guard process is gone."""

    def _start(self) -> tuple[subprocess.Popen[bytes], int]:
        # It inherits the helpers' priority: on a busy computer it must not be late for its post.
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            # Ctrl-C in the terminal is for the controller; the guard outlives it if need be.
            start_new_session=True,
        )
        assert process.stdin is not None
        pipe = process.stdin.fileno()
        os.set_blocking(pipe, False)
        return process, pipe

    def revive(self) -> None:
        """Start a lost guard again; the loop goes on beating meanwhile."""
        dead = self._process
        dead.wait()
        process, pipe = self._start()
        # The loop's descriptor changes its meaning in one step: it never writes to a closed one.
        os.dup2(pipe, self._pipe, inheritable=False)
        assert process.stdin is not None
        assert dead.stdin is not None
        process.stdin.close()
        process.stdin = dead.stdin
        self._process = process
        self.lost = False

    def beat(self, armed: bool) -> None:
        """Tell the guard that the controller lives; called by the control loop."""
        try:
            os.write(self._pipe, ARMED if armed else DISARMED)
        except BlockingIOError:
            return  # the guard is behind; what it has to read says that we live
        except OSError:
            self.lost = True

    def close(self) -> None:
        """End the guard; the robot is disarmed or damped by now."""
        self.beat(False)
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Watchdog:
    """The guard process: follows the pipe and, when it must, commands the motors."""

    def __init__(self, pipe: int, interface: str, domain: int, timeout_s: float) -> None:
        """Join the robot's domain; a writer is made only in need, for two are one too many.

        Args:
            pipe: file descriptor that `Guard.beat` feeds.
            interface: as in `RobotLink`.
            domain: as in `RobotLink`.
            timeout_s: silence after which the controller counts as lost, s.
        """
        self._pipe = pipe
        self._timeout_s = timeout_s
        self._participant = Participant(interface, domain)
        self._open = True

    def controller_lost(self) -> bool:
        """Block until the controller is lost while armed (True) or has ended well (False)."""
        armed = False
        while True:
            readable, _, _ = select.select(
                [self._pipe], [], [], self._timeout_s if armed else None
            )
            data = os.read(self._pipe, 4096) if readable else None
            if data is None:
                return True
            if not data:
                self._open = False
                return armed
            armed = data[-1:] == ARMED

    def damp(self, kd: float) -> str:
        """Send damping until it is no longer needed; return why it ended."""
        before = set(self._participant.writers_on(LOWCMD_TOPIC))
        writer = self._participant.writer(LOWCMD_TOPIC)
        reader = self._participant.reader(LOWSTATE_TOPIC)
        command = LowCmdEncoder().encode(damping_command(kd))
        next_s = check_s = heard_s = time.monotonic()
        while True:
            writer.write(command)
            next_s += PERIOD_S
            now_s = time.monotonic()
            if reader.take(1):
                heard_s = now_s
            if now_s - heard_s > ROBOT_GONE_S:
                return 'the robot is gone'
            if self._open and select.select([self._pipe], [], [], 0.0)[0]:
                self._open = bool(os.read(self._pipe, 4096))
                if self._open:
                    return 'the controller is back'
            if now_s >= check_s:
                check_s = now_s + WRITER_CHECK_S
                # Ghosts of the lost controller are known for a while longer; they do not count.
                others = self._participant.writers_on(LOWCMD_TOPIC)
                names = [n for guid, n in others.items() if guid not in before | {writer.guid}]
                if names:
                    return f'{names[0]} commands the motors now'
            time.sleep(max(next_s - time.monotonic(), 0.0))

    def run(self, kd: float) -> None:
        """Guard until the controller has ended."""
        while self._open and self.controller_lost():
            sys.stderr.write('guard: the controller is lost, damping the robot\n')
            sys.stderr.write(f'guard: stopped damping: {self.damp(kd)}\n')


def main() -> None:
    """Run the guard: INTERFACE DOMAIN TIMEOUT_S KD, the pipe on stdin."""
    if len(sys.argv) != 5:
        sys.exit('usage: python -m make_agent_ros.nodes.guard INTERFACE DOMAIN TIMEOUT_S KD')
    interface, domain, timeout_s, kd = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        Watchdog(sys.stdin.fileno(), interface, int(domain), float(timeout_s)).run(float(kd))
    except LinkError as error:
        sys.exit(f'guard: cannot damp the robot: {error}')


if __name__ == '__main__':
    main()

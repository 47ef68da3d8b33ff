"""The graph as plain subprocesses: `make-agent deploy` on machines without ROS 2's launch.

Behaves like `ros2 launch`: output prefixed with the node's name, Ctrl-C and SIGTERM reach every
node as SIGINT, a node that does not end in time gets SIGTERM and then SIGKILL, exit codes are
reported, and the end of an essential node ends all.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType, TracebackType
from typing import IO

from make_agent_ros.nodes.graph import Process

STOP_S = 5.0
"""Time for damping the robot and closing the bag after SIGINT; then SIGTERM, then SIGKILL."""
POLL_S = 0.05

PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that a process gets when its parent dies."""
_libc = ctypes.CDLL(None)

Sink = Callable[[str, str], None]
"""Takes (node, line)."""


def print_line(node: str, line: str) -> None:
    """Write a node's line to this process's stdout."""
    sys.stdout.write(f'[{node}] {line}\n')
    sys.stdout.flush()


def _follow_parent() -> None:
    """End with the parent, even if that is killed: no node is left alone with the robot."""
    _libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGINT))


class Graph:
    """Running nodes. A context manager: whatever happens inside, no process is left behind."""

    def __init__(
        self,
        processes: Sequence[Process],
        sink: Sink = print_line,
        environment: dict[str, str] | None = None,
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            processes: what to start, in order.
            sink: receives every line that a node prints.
            environment: added to this process's own.
        """
        self._planned = list(processes)
        self._sink = sink
        self._environment = {**os.environ, 'PYTHONUNBUFFERED': '1', **(environment or {})}
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._essential = {process.node for process in processes if process.essential}
        self._readers: list[threading.Thread] = []

    def __enter__(self) -> Graph:
        try:
            for process in self._planned:
                self._start(process)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _start(self, process: Process) -> None:
        # A session of its own: the terminal's Ctrl-C must not reach the nodes before we say so,
        # or the simulator would be gone before the controller has damped the robot.
        child = subprocess.Popen(
            process.command(),
            env={**self._environment, **process.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors='replace',
            start_new_session=True,
            preexec_fn=_follow_parent,
        )
        self._running[process.node] = child
        assert child.stdout is not None
        reader = threading.Thread(
            target=self._read, args=(process.node, child.stdout), daemon=True
        )
        reader.start()
        self._readers.append(reader)

    def _read(self, node: str, stream: IO[str]) -> None:
        for line in stream:
            self._sink(node, line.rstrip('\n'))

    def kill(self, node: str) -> None:
        """Kill a node (SIGKILL) and wait until it is gone; `start_again` brings it back."""
        self._running[node].kill()
        self._running[node].wait()

    def start_again(self, node: str) -> None:
        """Start a planned node that has ended."""
        if self._running[node].poll() is None:
            raise RuntimeError(f'{node} still runs; stop or kill it first')
        self._start(next(process for process in self._planned if process.node == node))

    def pid(self, node: str) -> int:
        """Return a node's process id."""
        return self._running[node].pid

    def exit_codes(self) -> dict[str, int | None]:
        """Return node -> exit code, None while it runs."""
        return {node: child.poll() for node, child in self._running.items()}

    def ended(self) -> list[str]:
        """Return the essential nodes that are not running any more."""
        codes = self.exit_codes()
        return [node for node in codes if node in self._essential and codes[node] is not None]

    def stop(self) -> dict[str, int | None]:
        """Stop all nodes and return their exit codes; the simulator goes last.

        The controller damps the robot first, while there is still a robot to damp.
        """
        order = [node for node in self._running if node != 'simulator']
        for group in (order, [node for node in self._running if node == 'simulator']):
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
                self._signal(group, number)
                if self._wait(group, STOP_S):
                    break
        for reader in self._readers:
            reader.join(timeout=1.0)
        return self.exit_codes()

    def _signal(self, nodes: Sequence[str], number: signal.Signals) -> None:
        for node in nodes:
            if self._running[node].poll() is None:
                if number is not signal.SIGINT:
                    self._sink(node, f'does not end within {STOP_S:.0f} s: {number.name}')
                self._running[node].send_signal(number)

    def _wait(self, nodes: Sequence[str], timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while any(self._running[node].poll() is None for node in nodes):
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        return True


def run(processes: Sequence[Process], sink: Sink = print_line, for_s: float = 0.0) -> int:
    """Start the graph and stay until Ctrl-C, SIGTERM or the end of an essential node.

    Args:
        processes: what to start.
        sink: receives every line that a node prints.
        for_s: stop after this long; 0 for no limit, s.

    Returns:
        0 when every node ended with 0 after a stop that was asked for, else 1.
    """
    end_s = time.monotonic() + for_s if for_s else float('inf')
    asked = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        asked.set()

    previous = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with Graph(processes, sink) as graph:
            told: set[str] = set()
            while not asked.is_set() and not graph.ended():
                asked.wait(0.2)
                codes = graph.exit_codes()
                for node in {n for n, code in codes.items() if code is not None} - told:
                    told.add(node)
                    if node not in graph.ended():
                        sink(
                            node,
                            f'has ended (exit code {codes[node]}); the others go on without it. '
                            'Stop and start again to have it back',
                        )
                if time.monotonic() > end_s:
                    asked.set()
            for node in graph.ended():
                sink(node, f'has ended (exit code {graph.exit_codes()[node]}); stopping the rest')
            codes = graph.stop()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    for node, code in codes.items():
        sink(node, f'exit code {code}')
    return 0 if asked.is_set() and not any(codes.values()) else 1

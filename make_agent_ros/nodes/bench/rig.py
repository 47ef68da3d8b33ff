"""The test bench: the graph of `deploy` on its own domains, an operator, a tap on the wire."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from make_agent_ros.control import realtime
from make_agent_ros.nodes import arguments, graph
from make_agent_ros.nodes.bench import BenchError
from make_agent_ros.nodes.bench.child import Child
from make_agent_ros.nodes.bench.usage import child_of
from make_agent_ros.nodes.bench.window import Window
from make_agent_ros.nodes.deploy import Graph
from make_agent_ros.nodes.network import free_domains
from make_agent_ros.resources import resource_path

if TYPE_CHECKING:
    from make_agent_ros.nodes.client import Operator

POLICY = 'models/trot.onnx'
"""What walks in every measurement."""
FORWARD = (0.4, 0.0, 0.0)
PROVEN_S = 1.2
"""Walking time after which a policy is off probation, s."""
START_S, MODE_S, CALL_S = 240.0, 15.0, 2.0
TRIES = 3
MOVING = ('STAND_UP', 'STAND', 'WALK', 'LIE_DOWN')
GUARD = 'make_agent_ros.nodes.guard'


class Rig:
    """A context manager: nodes, tap and operator; nothing is left behind."""

    def __init__(self, *nodes: str, **parameters: graph.Parameters) -> None:
        """Prepare.

        Args:
            nodes: of the deploy graph, e.g. `simulator`, `controller`.
            parameters: by node, added to the shipped ones.
        """
        self._nodes, self._parameters = nodes, parameters
        self._stack = contextlib.ExitStack()
        self.lines: deque[str] = deque(maxlen=40)
        """What the nodes said last."""
        self.graph: Graph
        self.operator: Operator
        self.folder: Path

    def __enter__(self) -> Rig:
        with contextlib.ExitStack() as stack:
            enter = stack.enter_context
            temporary = tempfile.TemporaryDirectory(
                prefix='make-agent-bench-', ignore_cleanup_errors=True
            )
            self.folder = Path(enter(temporary))
            ros_domain, self.dds_domain = free_domains(2)
            environment = {
                'ROS_DOMAIN_ID': str(ros_domain),
                'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
                'OMP_NUM_THREADS': '1',
            }
            os.environ.update(environment)
            from make_agent_ros.nodes.client import Operator

            # Operator and conductor stand for people and computers beside this one; what they do
            # must not wait for this one's other work. The nodes are what is measured.
            realtime.prepare_helpers(2)
            stack.callback(realtime.leave_realtime)
            self.operator = enter(Operator(ros_domain))
            realtime.keep_priority()
            self.tap = enter(Child('make_agent_ros.nodes.bench.tap', str(self.dds_domain)))
            self.graph = enter(Graph(self._plan(), self._hear, environment))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def bags(self) -> Path:
        """Where the recorder puts its bags."""
        return self.folder / 'bags'

    def _plan(self) -> list[graph.Process]:
        policy = str(resource_path(POLICY))
        values = {'domain': str(self.dds_domain), 'policy': policy}
        planned = graph.plan('deploy', arguments.settings_from(values))
        boxes: graph.Parameters = {
            'black_box_dir': str(self.folder / 'boxes'), 'black_box_s': 5.0, 'stand_up_s': 0.6,
        }  # fmt: skip
        given = {**self._parameters}
        given['controller'] = {**boxes, **given.get('controller', {})}
        given['recorder'] = {'directory': str(self.bags), **given.get('recorder', {})}
        chosen = [process for process in planned if process.node in self._nodes]
        return graph.with_parameters(chosen, **given)

    def _hear(self, node: str, line: str) -> None:
        self.lines.append(f'[{node}] {line}')

    # -- the wire ------------------------------------------------------------------------------

    def window(self, start_s: float) -> Window:
        """Return what was on the wire from a moment (monotonic, s) until now."""
        path = self.folder / 'window.npz'
        self.tap.ask(f'window {start_s!r} {path}')
        return Window.load(path)

    # -- nodes ---------------------------------------------------------------------------------

    def alive(self, node: str) -> bool:
        """Whether a node's process runs (stopped ones do)."""
        return self.graph.exit_codes()[node] is None

    def signal(self, node: str, number: signal.Signals) -> None:
        """Send a signal to a node."""
        os.kill(self.graph.pid(node), number)

    def guard_pid(self) -> int | None:
        """Return the pid of the controller's guard; None without one."""
        return child_of(self.graph.pid('controller'), GUARD)

    def await_nodes(self) -> None:
        """Wait until every node has said something and the controller has armed."""
        for node in self._nodes:
            self._wait(node, lambda state: True, START_S, 'ready')
        self.await_mode('DAMPING', START_S)

    def relaunch(self, node: str, *, wait: bool = True) -> None:
        """Start a dead node again; with `wait`, until it says something."""
        self.operator.forget(node)
        self.graph.start_again(node)
        if wait:
            self._wait(node, lambda state: True, START_S, 'ready again')

    # -- the robot -----------------------------------------------------------------------------

    @property
    def state(self) -> dict[str, Any]:
        """The controller's newest state; empty before the first."""
        return self.operator.state('controller')

    def await_mode(self, mode: str, timeout_s: float = MODE_S) -> None:
        """Wait for a mode of the controller."""
        self._wait('controller', lambda state: state['mode'] == mode, timeout_s, f'mode {mode}')

    def call(self, service: str, tries: int = TRIES) -> str:
        """Call a service; again when nobody answers, for a killed node's name may linger."""
        from make_agent_ros.nodes.client import OperatorError

        try:
            return self.operator.call(service, CALL_S)
        except OperatorError as error:
            if tries <= 1:
                raise self._error(str(error)) from error
        time.sleep(0.1)
        return self.call(service, tries - 1)

    def walk(self, tries: int = TRIES) -> None:
        """Stand up, walk and drive forward until the policy is off probation.

        Tried again after a fault: a machine with other work may be too slow once.
        """
        try:
            self._walk()
        except BenchError:
            if tries <= 1:
                raise
            self.recover()
            self.walk(tries - 1)

    def _walk(self) -> None:
        if self.state['mode'] != 'WALK':
            if self.state['mode'] != 'STAND':
                self.call('controller/stand_up')
                self.await_mode('STAND')
            self.call('controller/walk')
            self.await_mode('WALK')
        self.operator.drive(FORWARD)
        time.sleep(PROVEN_S)
        self.await_mode('WALK', 0.5)

    def recover(self) -> None:
        """Lay a healthy robot down, damped, whatever happened to it; latched faults are reset."""
        self.operator.drive(None)
        with contextlib.suppress(BenchError):
            self.call('controller/stop', tries=1)
        self.call('simulator/clear_faults')
        self.call('simulator/reset')
        deadline = time.monotonic() + START_S
        quiet_s = time.monotonic()
        while time.monotonic() - quiet_s < 0.3:
            if self.state.get('mode') != 'DAMPING':
                with contextlib.suppress(BenchError):
                    self.call('controller/reset', tries=1)
                quiet_s = time.monotonic()
                if self.state.get('mode') in MOVING:
                    self.call('controller/stop')
            if time.monotonic() > deadline:
                raise self._error(f'the controller does not get back to DAMPING: {self.state}')
            time.sleep(0.02)

    def height_m(self) -> float:
        """Return the trunk's height by the newest odometry; NaN before the first."""
        newest = self.operator.newest()
        return float('nan') if newest is None else float(newest.position[0, 2])

    def _wait(self, node: str, condition: Any, timeout_s: float, what: str) -> None:
        deadline = time.monotonic() + timeout_s
        while not ((state := self.operator.state(node)) and condition(state)):
            if not self.alive(node):
                raise self._error(f'{node} ended with exit code {self.graph.exit_codes()[node]}')
            if time.monotonic() > deadline:
                within = f'{what} not within {timeout_s:.0f} s'
                raise self._error(f'{node}: {within}; its state is {state or "unknown"}')
            time.sleep(0.01)

    def _error(self, sentence: str) -> BenchError:
        said = '\n'.join(list(self.lines)[-8:])
        return BenchError(f'{sentence}\nlast lines of the nodes:\n{said}')

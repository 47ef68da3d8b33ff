"""An operator as a program: calls services, drives `/cmd_vel`, follows states and odometry."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from rcl_interfaces.srv import SetParameters
from rclpy.client import Client
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future
from sensor_msgs.msg import JointState
from std_msgs.msg import Empty, String
from std_srvs.srv import SetBool, Trigger

from make_agent_ros.go2.constants import JOINT_NAMES, joint_index_map
from make_agent_ros.nodes.track import Track

LATCHED = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
COMMAND_PERIOD_S = 0.05
"""/cmd_vel goes out at 20 Hz; the controller takes 0.5 s of silence for a lost operator."""
HEARTBEAT_PERIOD_S = 0.2

WATCH_S = 0.1


class OperatorError(RuntimeError):
    """The graph did not do what was asked; the message holds the node's own sentence."""


class Operator:
    """A context manager around one node with its executor in a thread."""

    def __init__(self, domain_id: int | None = None, namespace: str = '') -> None:
        """Prepare.

        Args:
            domain_id: ROS domain; the environment's when omitted.
            namespace: of the graph's nodes.
        """
        self._domain_id = domain_id
        self._namespace = namespace
        self._states: dict[str, dict[str, Any]] = {}
        self._rows: list[tuple[np.ndarray, ...]] = []
        self._joints = np.full(12, np.nan)
        self._joint_map: np.ndarray | None = None
        self._command: tuple[float, float, float] | None = None
        self._beating = False
        self._lock = threading.Lock()
        self._clients: dict[str, Client[Any, Any]] = {}

    def __enter__(self) -> Operator:
        self._context = rclpy.Context()
        # Signals stay with the caller, who must still be able to ask for damping after Ctrl-C.
        rclpy.init(
            context=self._context,
            domain_id=self._domain_id,
            signal_handler_options=SignalHandlerOptions.NO,
        )
        node = rclpy.create_node('operator', context=self._context, namespace=self._namespace)
        self.node = node
        self._twist = node.create_publisher(Twist, 'cmd_vel', 1)
        for name in ('controller', 'recorder', 'generator', 'simulator'):
            node.create_subscription(String, f'{name}/state', self._state_callback(name), LATCHED)
        node.create_subscription(Odometry, 'odom', self._on_odometry, qos_profile_sensor_data)
        node.create_subscription(
            JointState, 'joint_states', self._on_joints, qos_profile_sensor_data
        )
        self._heartbeat = node.create_publisher(Empty, 'controller/heartbeat', 1)
        node.create_timer(COMMAND_PERIOD_S, self._publish_command)
        node.create_timer(HEARTBEAT_PERIOD_S, self._publish_heartbeat)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(node)
        self._leaving: Future[None] = Future()
        self._thread = threading.Thread(target=self._spin, name='operator', daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Nothing may be destroyed under a thread that still waits on it or runs a callback with
        # it, however busy the machine: first the thread is woken and ends, then the rest goes.
        self._leaving.set_result(None)
        self._thread.join()
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)

    def _spin(self) -> None:
        self._executor.spin_until_future_complete(self._leaving)

    # -- driving --------------------------------------------------------------------------------

    def drive(self, command: tuple[float, float, float] | None) -> None:
        """Publish this velocity from now on (vx, vy m/s, wz rad/s); None: say nothing."""
        self._command = command

    def _publish_command(self) -> None:
        if self._command is not None:
            message = Twist()
            message.linear.x, message.linear.y, message.angular.z = map(float, self._command)
            self._twist.publish(message)

    def beat(self, on: bool) -> None:
        """Publish the operator's heartbeat from now on, or stop doing so."""
        self._beating = on

    def _publish_heartbeat(self) -> None:
        if self._beating:
            self._heartbeat.publish(Empty())

    # -- asking ---------------------------------------------------------------------------------

    def call(
        self,
        service: str,
        timeout_s: float = 5.0,
        *,
        data: bool | None = None,
        watch: Callable[[], None] = lambda: None,
    ) -> str:
        """Call a service and return its sentence.

        Args:
            service: name, e.g. `controller/walk`.
            timeout_s: for the answer, s.
            data: for a SetBool service; without it the service is a Trigger.
            watch: called every 0.1 s while waiting; what it raises ends the wait.

        Raises:
            OperatorError: no such service, no answer in time, or a refusal with its reason.
        """
        kind, request = (Trigger, Trigger.Request())
        if data is not None:
            kind, request = (SetBool, SetBool.Request(data=data))
        answer = self.ask(kind, service, request, timeout_s, watch)
        if not answer.success:
            raise OperatorError(f'{service}: {answer.message}')
        return str(answer.message)

    def set_parameters(self, node: str, timeout_s: float = 5.0, **values: Any) -> None:
        """Set parameters of a node; `__` in a name stands for the dot of a group.

        Raises:
            OperatorError: no such node, no answer in time, or a refusal with its reason.
        """
        parameters = [
            Parameter(name.replace('__', '.'), value=value).to_parameter_msg()
            for name, value in values.items()
        ]
        service = f'{node}/set_parameters'
        request = SetParameters.Request(parameters=parameters)
        for result in self.ask(SetParameters, service, request, timeout_s).results:
            if not result.successful:
                raise OperatorError(f'{service}: {result.reason}')

    def ask(
        self,
        kind: Any,
        service: str,
        request: Any,
        timeout_s: float,
        watch: Callable[[], None] = lambda: None,
    ) -> Any:
        """Call a service of any type and return its response.

        Raises:
            OperatorError: no such service or no answer in time.
        """
        client = self._client(kind, service)
        if not client.wait_for_service(timeout_sec=min(timeout_s, 10.0)):
            raise OperatorError(f'{service}: nobody offers this service')
        done = threading.Event()
        future = client.call_async(request)
        future.add_done_callback(lambda _: done.set())
        deadline = time.monotonic() + timeout_s
        try:
            while not done.wait(WATCH_S):
                watch()
                if time.monotonic() > deadline:
                    raise OperatorError(f'{service}: no answer within {timeout_s:.0f} s')
        finally:
            if not done.is_set():
                client.remove_pending_request(future)
        return future.result()

    def _client(self, kind: Any, service: str) -> Client[Any, Any]:
        """Return the client of a service; kept until the end, for the executor may wait on it."""
        if service not in self._clients:
            self._clients[service] = self.node.create_client(kind, service)
        return self._clients[service]

    def state(self, node: str) -> dict[str, Any]:
        """Return the newest state of a node; empty before the first."""
        return self._states.get(node, {})

    def forget(self, node: str) -> None:
        """Drop the last state of a node, e.g. before it is started again."""
        self._states.pop(node, None)

    def wait_for(
        self, node: str, condition: Callable[[dict[str, Any]], bool], timeout_s: float, what: str
    ) -> dict[str, Any]:
        """Wait until a node's state meets a condition.

        Raises:
            OperatorError: not within `timeout_s`; names the node's last state.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            state = self.state(node)
            if state and condition(state):
                return state
            time.sleep(0.02)
        raise OperatorError(
            f'{node}: {what} not within {timeout_s:.0f} s; its state is '
            f'{json.dumps(self.state(node)) or "unknown"}'
        )

    # -- listening ------------------------------------------------------------------------------

    def track(self) -> Track:
        """Return everything heard so far."""
        with self._lock:
            rows = list(self._rows)
        columns = [np.array(column) for column in zip(*rows, strict=True)]
        if not columns:
            raise OperatorError('no /odom has arrived; is the simulator running?')
        return Track(*columns)

    def newest(self) -> Track | None:
        """Return the newest odometry sample as a track of one row; None before the first."""
        with self._lock:
            row = self._rows[-1] if self._rows else None
        return None if row is None else Track(*(np.array([value]) for value in row))

    def forget_track(self) -> None:
        """Drop the odometry heard so far."""
        with self._lock:
            self._rows.clear()

    def _state_callback(self, name: str) -> Callable[[String], None]:
        def on_state(message: String) -> None:
            self._states[name] = json.loads(message.data)

        return on_state

    def _on_joints(self, message: JointState) -> None:
        if self._joint_map is None:
            self._joint_map = joint_index_map(list(message.name), JOINT_NAMES)
        self._joints = np.array(message.position)[self._joint_map]

    def _on_odometry(self, message: Odometry) -> None:
        pose, twist = message.pose.pose, message.twist.twist
        p, q = pose.position, pose.orientation
        row = (
            np.float64(time.monotonic()),
            np.array([p.x, p.y, p.z]),
            np.array([q.w, q.x, q.y, q.z]),
            np.array([twist.linear.x, twist.linear.y, twist.angular.z]),
            np.array(self._command or (0.0, 0.0, 0.0)),
            self._joints,
        )
        with self._lock:
            self._rows.append(row)

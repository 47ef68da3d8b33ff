"""Controller node: ROS on one side, the real-time loop and the robot link on the other."""

from __future__ import annotations

import sys
import time
from functools import partial

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Twist
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import Imu, JointState, Joy
from std_msgs.msg import Empty, String, UInt8MultiArray

from make_agent_ros.control import realtime
from make_agent_ros.control.blackbox import BlackBox
from make_agent_ros.control.controller import Controller
from make_agent_ros.control.faults import Fault
from make_agent_ros.control.loop import RealtimeLoop
from make_agent_ros.control.machine import Reply, Request
from make_agent_ros.go2.link import LinkError, RobotLink
from make_agent_ros.nodes import controller_messages as messages
from make_agent_ros.nodes.controller_config import ControllerNodeConfig
from make_agent_ros.nodes.controller_work import ControllerWork, start_guard
from make_agent_ros.nodes.parameters import ParameterError, follow_parameters, load_parameters
from make_agent_ros.nodes.process import ros
from make_agent_ros.nodes.services import Services

LATCHED = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
HOUSEKEEPING_S, STATE_REPEAT_S = 0.02, 1.0
JOY_STOP_BUTTON = 1
"""B (circle) on the common drivers' layout: stop, like L2 + B on Unitree's remote."""


class ControllerNode(Node):
    """Hands messages to the loop and its status to the graph; decides nothing itself."""

    def __init__(self) -> None:
        super().__init__('controller')
        self.config = config = load_parameters(self, ControllerNodeConfig)
        realtime.prepare_helpers(config.realtime_priority)
        self._note = 'stop: ~/stop, or L2 + B on the remote'
        self._fault: Fault | None = None
        self._said, self._said_s = '', 0.0
        box = BlackBox(config.rate_hz, config.black_box_s)
        with realtime.at_priority(config.realtime_priority):
            self.link = RobotLink(config.interface, config.domain, listen_only=config.dry_run)
        self.guard = start_guard(config)
        beat = None if self.guard is None else self.guard.beat
        controller = Controller(config.controller())
        self.loop = RealtimeLoop(self.link, controller, config.loop(), box, beat=beat)
        self.work = ControllerWork(config, self.loop, box, self._info, self._warn)
        self._joints = self.create_publisher(JointState, 'joint_states', qos_profile_sensor_data)
        self._imu = self.create_publisher(Imu, 'imu/data', qos_profile_sensor_data)
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 1)
        self._state = self.create_publisher(String, '~/state', LATCHED)
        self.create_subscription(Twist, 'cmd_vel', self._on_velocity, 1)
        self.create_subscription(UInt8MultiArray, 'policy', self._on_policy, LATCHED)
        self.create_subscription(Joy, 'joy', self._on_joy, 1)
        self.create_subscription(Empty, '~/heartbeat', lambda _: self.loop.heartbeat(), 1)
        services = Services(self)
        for request in (Request.STAND_UP, Request.WALK, Request.LIE_DOWN, Request.STOP,
                        Request.RESET):  # fmt: skip
            services.trigger(request.value, partial(self.loop.request, request))
        services.trigger('hand_back', self.work.hand_back)
        services.trigger('dump', self._dump, log=False)
        services.switch('arm', self._arm)
        follow_parameters(self, ControllerNodeConfig, self._set)
        self.create_timer(1.0 / config.publish_rate_hz, self._publish_sensors)
        self.create_timer(HOUSEKEEPING_S, self._keep_house)
        self.create_timer(1.0, self._publish_diagnostics)

    def begin(self) -> None:
        """Load the first policy, prepare the process, start the loop."""
        if self.config.policy:
            self.work.load_policy(self.config.policy)
        self.loop.missing_permissions += realtime.prepare_process()
        self.loop.start()
        mode = 'dry run: nothing is sent' if self.config.dry_run else 'motors can be armed'
        self._info(f'STOP: ~/stop, or L2 + B on the remote. Now in standby ({mode})')

    def end(self) -> None:
        """Damp if armed, finish a black box, leave the bus."""
        if self.loop.ident is not None:
            self.loop.stop()
            self.loop.join()
        if self.guard is not None:
            self.guard.close()
        self.work.close()
        self.link.close()

    # -- in ------------------------------------------------------------------------------------

    def _on_velocity(self, message: Twist) -> None:
        self.loop.set_velocity(message.linear.x, message.linear.y, message.angular.z)

    def _set(self, name: str, value: object) -> None:
        self.config = self.config.changed(name, value)
        self.loop.configure(self.config.controller())

    def _on_policy(self, message: UInt8MultiArray) -> None:
        self.work.offer(bytes(message.data))

    def _on_joy(self, message: Joy) -> None:
        self.loop.heartbeat()
        if len(message.buttons) > JOY_STOP_BUTTON and message.buttons[JOY_STOP_BUTTON]:
            self.loop.request(Request.STOP)

    def _arm(self, on: bool) -> Reply:
        return self.work.arm() if on else self.loop.request(Request.DISARM)

    def _dump(self) -> Reply:
        return Reply(True, f'the black box will be in {self.work.dump("request")}')

    # -- out -----------------------------------------------------------------------------------

    def _info(self, sentence: str) -> None:
        self._note = sentence
        self.get_logger().info(sentence)

    def _warn(self, sentence: str) -> None:
        self._note = sentence
        self.get_logger().warning(sentence)

    def _publish_sensors(self) -> None:
        status = self.loop.status
        if status is not None and status.state is not None:
            stamp = self.get_clock().now().to_msg()
            self._joints.publish(messages.joint_state(status.state, stamp))
            self._imu.publish(messages.imu(status.state, stamp))

    def _publish_diagnostics(self) -> None:
        stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(
            messages.diagnostics(self.loop, stamp, self.get_name(), self.config.dry_run)
        )

    def _keep_house(self) -> None:
        if not self.loop.is_alive():
            raise RuntimeError(f'the control loop ended: {self.loop.error!r}')
        self.work.keep_guard(self.guard)
        events = self.loop.controller.events
        while events:
            sentence = events.popleft()
            (self._warn if sentence.startswith('fault') else self._info)(sentence)
        status = self.loop.status
        if status is None:
            return
        if status.fault is not None and status.fault is not self._fault:
            self.work.dump(status.fault.code.value)
        self._fault = status.fault
        self.work.arm_simulator(status)
        now_s = time.monotonic()
        text = messages.state_json(status, self._note, self.config.dry_run)
        if text != self._said or now_s - self._said_s > STATE_REPEAT_S:
            self._said, self._said_s = text, now_s
            self._state.publish(String(data=text))


def main() -> None:
    """Run the node until Ctrl-C or SIGTERM; damp on the way out, whatever happens."""
    node = None
    with ros():
        try:
            node = ControllerNode()
            executor = SingleThreadedExecutor()
            executor.add_node(node)
            node.begin()
            executor.spin()
        except (LinkError, ParameterError) as error:
            sys.exit(f'controller: {error}')
        finally:
            if node is not None:
                node.end()
    sys.exit(1 if node is not None and node.loop.error is not None else 0)


if __name__ == '__main__':
    main()

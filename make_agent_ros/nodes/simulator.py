"""Simulator node: a Go2 in MuJoCo behind the robot's own DDS interface."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import sys
import threading
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from std_msgs.msg import String
from std_srvs.srv import Trigger

from make_agent_ros.control.realtime import prepare_helpers
from make_agent_ros.go2.link import LinkError, SimulatedRobotLink
from make_agent_ros.nodes import simulator_messages as messages
from make_agent_ros.nodes.parameters import ParameterError, follow_parameters, load_parameters
from make_agent_ros.nodes.process import ros
from make_agent_ros.nodes.simulator_messages import SimulatorConfig
from make_agent_ros.simulation.faults import Faults
from make_agent_ros.simulation.realtime import RealTimeRobot
from make_agent_ros.simulation.robot import SimulatedRobot
from make_agent_ros.simulation.sport_mode import SportMode

LATCHED = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
SWITCH_INTERVAL_S = 0.0005
"""Longest time that ROS callbacks may keep the interpreter from the 500 Hz thread."""
VIEWER_HZ = 60.0


class SimulatorNode(Node):
    """Hands parameters, pushes and faults to the simulated robot; publishes its truth."""

    def __init__(self) -> None:
        super().__init__('simulator')
        self.config = load_parameters(self, SimulatorConfig)
        # Threads must be gone before the interpreter is, whenever a signal comes.
        self._cleanup = contextlib.ExitStack()
        self._viewer: Any = None

    def begin(self) -> None:
        """Put the robot on the wire and on the graph; `close` takes back what was begun."""
        config = self.config
        robot = SimulatedRobot(config.seed, config.noise, config.battery_soc)
        robot.set_faults(config.faults)
        robot.remote = config.remote_bytes()
        link = SimulatedRobotLink(config.interface, config.domain)
        self._cleanup.callback(link.close)
        self.sim = RealTimeRobot(robot, link, config.real_time_factor)
        self._cleanup.callback(self.sim.stop)
        self._sport_mode = SportMode(config.interface, config.domain, config.sport_mode)
        self._cleanup.callback(self._sport_mode.close)
        self._odometry = self.create_publisher(Odometry, 'odom', qos_profile_sensor_data)
        self._state = self.create_publisher(String, '~/state', LATCHED)
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 1)
        self.create_timer(1.0 / config.odometry_hz, self._publish_odometry)
        self.create_timer(1.0, self._publish_figures)
        if config.publish_clock:
            self._clock_out = self.create_publisher(Clock, '/clock', 1)
            self.create_timer(0.01, self._publish_clock)
        for name, action in (
            ('reset', self._reset),
            ('push', self._push),
            ('clear_faults', self._clear_faults),
            ('reset_figures', self._reset_figures),
        ):
            self.create_service(Trigger, f'~/{name}', self._answer(action))
        follow_parameters(self, SimulatorConfig, self._set)
        if not config.headless:
            self._open_viewer()
        self.sim.start()
        self._publish_figures()
        self.get_logger().info(
            f'simulated Go2 on {config.interface}, DDS domain {config.domain}: rt/lowstate at '
            '500 Hz, waiting for rt/lowcmd'
        )

    def close(self) -> None:
        """Stop the robot and leave DDS."""
        self._cleanup.close()

    # -- publishing -----------------------------------------------------------------------------

    def _publish_odometry(self) -> None:
        if self.sim.error is not None:
            raise RuntimeError(f'the simulation stopped: {self.sim.error}') from self.sim.error
        with self.sim.lock:
            truth = self.sim.robot.truth()
        stamp = self.get_clock().now().to_msg()
        if self.config.publish_clock:
            stamp = messages.clock_time(self.sim.simulated_s)
        self._odometry.publish(messages.odometry(truth, stamp))

    def _publish_clock(self) -> None:
        # Time of the whole run: /clock must not jump back when the robot is reset.
        self._clock_out.publish(Clock(clock=messages.clock_time(self.sim.simulated_s)))

    def _publish_figures(self) -> None:
        sim = self.sim
        report, faults, writers = sim.report(), sim.robot.faults, sim.link.lowcmd_writers()
        text = messages.state_text(report, faults, writers, self._sport_mode.name)
        self._state.publish(String(data=text))
        self._diagnostics.publish(
            messages.diagnostics(
                report,
                self.config.real_time_factor,
                faults,
                writers,
                sim.robot.last_bad_command,
                self.get_clock().now().to_msg(),
            )
        )

    # -- acting ---------------------------------------------------------------------------------

    def _answer(self, action: Any) -> Any:
        def callback(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            response.success, response.message = True, action()
            return response

        return callback

    def _reset(self) -> str:
        self.sim.do(lambda robot: robot.reset())
        return 'the robot lies at the start again, motors off until the next LowCmd'

    def _push(self) -> str:
        x, y, z = self.config.push_velocity
        self.sim.do(lambda robot: robot.push(np.array([x, y, z])))
        return f'pushed by ({x:g}, {y:g}, {z:g}) m/s over 0.1 s'

    def _clear_faults(self) -> str:
        # Through the parameters, so that `ros2 param get` keeps telling the truth.
        active = messages.active_faults(self.sim.robot.faults)
        healthy = Faults()
        self.set_parameters(
            [rclpy.Parameter(f'faults.{name}', value=getattr(healthy, name)) for name in active]
        )
        return f'cleared: {", ".join(active)}' if active else 'there was no fault to clear'

    def _reset_figures(self) -> str:
        self.sim.reset_figures()
        return 'counting anew'

    def _set(self, name: str, value: Any) -> None:
        group, _, field = name.rpartition('.')
        if group:
            changed = dataclasses.replace(getattr(self.config, group), **{field: value})
            self.config = dataclasses.replace(self.config, **{group: changed})
        else:
            self.config = dataclasses.replace(self.config, **{name: value})
        with self.sim.lock:
            self.sim.robot.set_faults(self.config.faults)
            self.sim.robot.noise = self.config.noise
            self.sim.robot.remote = self.config.remote_bytes()

    def _open_viewer(self) -> None:
        from mujoco import viewer

        robot = self.sim.robot
        self._viewer = viewer.launch_passive(
            robot.model, robot.data, show_left_ui=False, show_right_ui=False
        )
        self._cleanup.callback(self._viewer.close)
        self.create_timer(1.0 / VIEWER_HZ, self._sync_viewer)

    def _sync_viewer(self) -> None:
        if not self._viewer.is_running():
            raise KeyboardInterrupt  # the window was closed: the same as Ctrl-C
        with self.sim.lock:
            self._viewer.sync()


def main() -> None:
    """Run the node until Ctrl-C, SIGTERM or, with a viewer, until its window is closed."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    threading.current_thread().name = 'ros'
    # A robot does not slow down because the machine beside it is ranking policies.
    prepare_helpers(2)
    node = None
    with ros():
        try:
            node = SimulatorNode()
            executor = SingleThreadedExecutor()
            executor.add_node(node)
            node.begin()
            gc.collect()
            gc.freeze()
            executor.spin()
        except (LinkError, ParameterError) as error:
            sys.exit(f'simulator: {error}')
        finally:
            if node is not None:
                node.close()


if __name__ == '__main__':
    main()

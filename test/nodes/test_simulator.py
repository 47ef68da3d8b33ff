from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

rclpy = pytest.importorskip('rclpy')
from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from nav_msgs.msg import Odometry  # noqa: E402
from rcl_interfaces.srv import SetParameters  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.qos import (  # noqa: E402
    DurabilityPolicy,
    QoSProfile,
    ReliabilityPolicy,
    qos_profile_sensor_data,
)
from rosgraph_msgs.msg import Clock  # noqa: E402
from std_msgs.msg import String  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from make_agent_ros.go2.command import damping_command  # noqa: E402
from make_agent_ros.go2.link import RobotLink  # noqa: E402
from make_agent_ros.go2.remote import Button, parse_remote  # noqa: E402
from make_agent_ros.nodes.parameters import yaml_text  # noqa: E402
from make_agent_ros.nodes.simulator_messages import SimulatorConfig  # noqa: E402
from make_agent_ros.resources import resource_path  # noqa: E402

LATCHED = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)


class Graph:
    """The simulator as a process, and a node that listens to it."""

    def __init__(
        self, domain: int, ros_domain: int, *parameters: str, namespace: str = '/'
    ) -> None:
        self.domain, self.ros_domain = domain, ros_domain
        arguments = ['--ros-args', '-r', f'__ns:={namespace}', '-p', f'domain:={self.domain}']
        for parameter in parameters:
            arguments += ['-p', parameter]
        self.process = subprocess.Popen(
            [sys.executable, '-m', 'make_agent_ros.nodes.simulator', *arguments],
            env={**os.environ, 'ROS_DOMAIN_ID': str(self.ros_domain)},
            stderr=subprocess.PIPE,
            text=True,
        )
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=self.ros_domain)
        self.node = rclpy.create_node('listener', context=self.context, namespace=namespace)
        self.odometry: list[Odometry] = []
        self.clock: list[Clock] = []
        self.states: list[dict] = []
        self.diagnostics: list[DiagnosticArray] = []
        listen = self.node.create_subscription
        listen(Odometry, 'odom', self.odometry.append, qos_profile_sensor_data)
        listen(Clock, '/clock', self.clock.append, 10)
        listen(DiagnosticArray, '/diagnostics', self.diagnostics.append, 10)
        listen(
            String, 'simulator/state', lambda m: self.states.append(json.loads(m.data)), LATCHED
        )
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.spin, daemon=True)
        self.thread.start()

    def spin(self) -> None:
        while not self.stop.is_set():
            self.executor.spin_once(timeout_sec=0.1)

    def call(self, kind, name: str, request, timeout_s: float = 20.0):
        client = self.node.create_client(kind, name)
        assert client.wait_for_service(timeout_sec=timeout_s)
        done = threading.Event()
        future = client.call_async(request)
        future.add_done_callback(lambda _: done.set())
        assert done.wait(timeout_s)
        return future.result()

    def trigger(self, name: str) -> str:
        answer = self.call(Trigger, f'simulator/{name}', Trigger.Request())
        assert answer.success
        return answer.message

    def set(self, name: str, value: float | str | list[float]):
        field = Parameter(name, value=value).to_parameter_msg()
        request = SetParameters.Request(parameters=[field])
        (result,) = self.call(SetParameters, 'simulator/set_parameters', request).results
        return result

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        # Nothing of ROS may go while the thread is still in it: rclpy does not survive that.
        self.stop.set()
        self.thread.join()
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def start(make_domain):
    graphs = []

    def make(*parameters: str, **options) -> Graph:
        graphs.append(Graph(make_domain(), make_domain(), *parameters, **options))
        return graphs[-1]

    yield make
    for graph in graphs:
        graph.close()


def test_the_parameter_file_is_the_dataclass():
    assert resource_path('config/simulator.yaml').read_text() == yaml_text(
        SimulatorConfig, 'simulator'
    )


def test_it_publishes_the_true_pose_of_a_lying_robot(start, wait_until):
    graph = start()
    wait_until(lambda: len(graph.odometry) > 30, timeout_s=30.0)
    message = graph.odometry[-1]
    assert (message.header.frame_id, message.child_frame_id) == ('odom', 'base')
    assert 0.05 < message.pose.pose.position.z < 0.12
    assert abs(message.twist.twist.linear.x) < 0.02
    stamps = [m.header.stamp.sec + 1e-9 * m.header.stamp.nanosec for m in graph.odometry[-20:]]
    assert 0.015 < (stamps[-1] - stamps[0]) / 19 < 0.1  # 50 Hz, less on a busy machine


@pytest.mark.parametrize('sent', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_exit_code_zero(start, wait_until, sent):
    graph = start()
    wait_until(lambda: graph.states, timeout_s=30.0)
    graph.process.send_signal(sent)
    assert graph.process.wait(timeout=10.0) == 0
    assert 'Traceback' not in graph.process.stderr.read()


@pytest.mark.parametrize(
    ('parameter', 'sentence'),
    [
        ('interface:=eth77', "network interface 'eth77' does not exist"),
        ('domain:=500', 'parameter domain'),
        ('faults.corrupt:=gamma_rays', "it accepts str \\('none', 'nan', 'crc', 'swap_legs'\\)"),
        ('push_velocity:=[1.0]', 'push_velocity has 1 values; it takes 3'),
        ('remote_buttons:=L2+Q', 'names Q; there are R1, L1, START'),
    ],
)
def test_a_setting_it_cannot_use_ends_it_with_one_sentence(start, parameter, sentence):
    graph = start(parameter)
    assert graph.process.wait(timeout=30.0) == 1
    error = graph.process.stderr.read()
    assert re.search(sentence, error)
    assert 'Traceback' not in error


def test_pushing_faults_and_reset_work_from_the_graph(start, wait_until):
    graph = start(namespace='/go2_1')
    wait_until(lambda: graph.odometry, timeout_s=30.0)
    link = RobotLink('lo', graph.domain)
    assert link.wait_state(10.0) is not None

    assert not graph.set('push_velocity', [1.0, 2.0]).successful
    assert graph.set('push_velocity', [0.0, 2.0, 0.0]).successful
    assert graph.trigger('push') == 'pushed by (0, 2, 0) m/s over 0.1 s'
    wait_until(lambda: abs(graph.odometry[-1].pose.pose.position.y) > 0.05)
    graph.trigger('reset')
    wait_until(lambda: abs(graph.odometry[-1].pose.pose.position.y) < 0.01)

    assert graph.set('faults.drop_state', 1.0).successful
    while link.wait_state(0.3) is not None:
        pass
    wait_until(lambda: graph.states and graph.states[-1]['faults'] == {'drop_state': 1.0})
    assert graph.trigger('clear_faults') == 'cleared: drop_state'
    assert link.wait_state(2.0) is not None
    refused = graph.set('faults.lost_motor', 'tail_joint')
    assert not refused.successful
    assert 'FL_hip_joint' in refused.reason
    link.close()


def test_the_remote_reaches_the_controller_inside_lowstate(start):
    graph = start()
    link = RobotLink('lo', graph.domain)
    state = link.wait_state(20.0)
    assert not any(state.wireless_remote)
    assert graph.set('remote_buttons', 'L2+B').successful
    assert graph.set('remote_sticks', [0.0, 0.5, 0.0, -1.0]).successful
    link.wait_state(1.0)
    remote = parse_remote(link.wait_state(1.0).wireless_remote)
    assert remote.buttons == Button.L2 | Button.B
    assert (remote.left_y, remote.right_y) == (0.5, -1.0)
    assert not graph.set('remote_buttons', 'Q').successful
    link.close()


def test_state_and_diagnostics_tell_what_arrives_on_the_wire(start, wait_until):
    graph = start()
    link = RobotLink('lo', graph.domain)
    assert link.wait_state(20.0) is not None
    end = time.monotonic() + 60.0
    while not (graph.states and graph.states[-1]['commands'] > 500):
        assert time.monotonic() < end
        if link.wait_state(0.1) is not None:
            link.write(damping_command())
    state = graph.states[-1]
    assert state['bad_commands'] == 0
    assert 0.0 < state['reply_us_p50'] < 1e5
    assert len(state['lowcmd_writers']) == 1
    assert f'pid {os.getpid()}' in state['lowcmd_writers'][0]
    second = RobotLink('lo', graph.domain)
    wait_until(lambda: any('2 writers on rt/lowcmd' in s.message for s in statuses(graph)))
    assert graph.trigger('reset_figures') == 'counting anew'
    second.close()
    link.close()


def statuses(graph: Graph):
    return [status for message in graph.diagnostics for status in message.status]


def test_clock_runs_with_simulated_time(start, wait_until):
    graph = start('publish_clock:=true', 'real_time_factor:=0.5')
    wait_until(lambda: len(graph.clock) > 20, timeout_s=30.0)

    def now() -> float:
        return graph.clock[-1].clock.sec + 1e-9 * graph.clock[-1].clock.nanosec

    first, wall = now(), time.monotonic()
    time.sleep(2.0)
    assert 0.1 < (now() - first) / (time.monotonic() - wall) < 0.55  # slower when starved


def test_a_robot_fresh_from_the_box_has_sport_mode_on_its_motors(start, wait_until):
    graph = start('sport_mode:=mcf')
    wait_until(lambda: graph.states and graph.states[-1]['lowcmd_writers'] != [], timeout_s=30.0)
    assert graph.states[-1]['sport_mode'] == 'mcf'

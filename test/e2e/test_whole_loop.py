"""The real nodes as processes: record a walking robot, generate, swap, keep walking, stop."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy')

from make_agent_ros.demo.measure import fell
from make_agent_ros.demo.stage import AGE_MAX_S
from make_agent_ros.go2.link import RawReader
from make_agent_ros.go2.wire import decode_lowcmd
from make_agent_ros.nodes import arguments, graph
from make_agent_ros.nodes.client import Operator, OperatorError
from make_agent_ros.nodes.deploy import Graph
from make_agent_ros.nodes.network import free_domains
from make_agent_ros.policy import load
from make_agent_ros.recording.bag import read_bag, resample
from make_agent_ros.resources import resource_path

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(280)]

FORWARD = (0.5, 0.0, 0.0)


class Loop:
    """The running graph and an operator beside it."""

    def __init__(self, folder, policy, **generator):
        ros_domain, self.robot_domain = free_domains(2)
        values = {'domain': str(self.robot_domain), 'policy': str(policy)}
        planned = graph.with_parameters(
            graph.plan('deploy', arguments.settings_from(values)),
            # As in the demo: one machine for everything, and CI may be slow.
            controller={'limits.state_age_max_s': AGE_MAX_S, 'limits.policy_age_max_s': AGE_MAX_S},
            recorder={'directory': str(folder / 'bags')},
            generator={'bag': str(folder / 'bags'), 'out': str(folder), **generator},
        )
        self.lines: list[str] = []
        environment = {'ROS_DOMAIN_ID': str(ros_domain), 'OMP_NUM_THREADS': '1'}
        os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
        self.graph = Graph(planned, lambda node, line: self.lines.append(line), environment)
        self.operator = Operator(ros_domain)

    def __enter__(self):
        self.graph.__enter__()
        self.operator.__enter__()
        return self

    def __exit__(self, *error):
        self.operator.__exit__(*error)
        self.graph.__exit__(*error)

    def mode(self, mode, timeout_s=30.0):
        return self.operator.wait_for('controller', lambda s: s['mode'] == mode, timeout_s, mode)

    def walk(self):
        for node in ('simulator', 'recorder', 'generator'):
            self.operator.wait_for(node, bool, 60.0, 'ready')
        self.mode('DAMPING', 60.0)
        for request, mode in (('stand_up', 'STAND'), ('walk', 'WALK')):
            self.operator.call(f'controller/{request}', 20.0)
            self.mode(mode)

    def record(self, seconds):
        self.operator.call('recorder/start', 20.0)
        time.sleep(seconds)
        return self.operator.call('recorder/stop', 20.0)


def shipped(path):
    try:
        return resource_path(path)
    except FileNotFoundError:
        pytest.skip(f'{path} is not there yet: make-agent train all, then train ship')


def test_a_recorded_gait_becomes_a_policy_that_walks_on(tmp_path):
    shipped('models/generator/generator.json')
    policy = shipped('models/demonstration.onnx')
    with Loop(tmp_path, policy, candidates=4) as loop:
        operator = loop.operator
        loop.walk()
        operator.drive(FORWARD)
        time.sleep(2.0)
        sentence = loop.record(7.0)
        assert ' 0 lost' in sentence
        before = operator.state('controller')['policy']
        operator.call('generator/generate', 120.0)
        after = operator.wait_for(
            'controller', lambda s: s['policy'] != before and s['mode'] == 'WALK', 20.0, 'swap'
        )
        assert operator.state('generator')['policy'] == after['policy']
        swapped_s = time.monotonic()
        time.sleep(6.0)
        walked = operator.track().between(swapped_s + 1.0, time.monotonic())
        operator.call('controller/lie_down', 20.0)
        loop.mode('DAMPING')
    assert not fell(walked)
    assert np.abs(walked.velocity[:, 0].mean() - FORWARD[0]) < 0.25
    assert set(loop.graph.exit_codes().values()) == {0}
    (bundle,) = tmp_path.glob('policy-*.onnx')
    assert load(bundle).provenance['candidates'] == 4
    recorded = resample(read_bag(next((tmp_path / 'bags').iterdir())))
    assert recorded.duration_s == pytest.approx(7.0, abs=1.5)


def test_bad_input_is_refused_and_the_running_policy_keeps_running(tmp_path, standing_policy):
    """A robot that stands shows no gait; a policy with NaN is no policy."""
    from array import array

    from std_msgs.msg import UInt8MultiArray

    from make_agent_ros.nodes.client import LATCHED

    with Loop(tmp_path, standing_policy) as loop:
        operator = loop.operator
        loop.walk()
        with pytest.raises(OperatorError, match='no bag at'):
            operator.call('generator/generate', 60.0)
        loop.record(5.0)
        with pytest.raises(OperatorError, match='generator/generate: '):
            operator.call('generator/generate', 60.0)
        assert operator.state('generator')['state'] == 'refused'
        running = operator.state('controller')['policy']
        publisher = operator.node.create_publisher(UInt8MultiArray, 'policy', LATCHED)
        data = bytearray(standing_policy.read_bytes())
        data[len(data) // 2] ^= 0xFF
        publisher.publish(UInt8MultiArray(data=array('B', bytes(data[: len(data) // 2]))))
        operator.wait_for('controller', lambda s: 'refused' in s['note'], 20.0, 'refusal')
        state = operator.state('controller')
        assert (state['policy'], state['mode']) == (running, 'WALK')
        operator.call('controller/stop', 20.0)
        loop.mode('DAMPING')
    assert set(loop.graph.exit_codes().values()) == {0}


def test_ctrl_c_in_the_middle_leaves_the_robot_damped_and_the_bag_readable(
    tmp_path, standing_policy
):
    with Loop(tmp_path, standing_policy) as loop:
        loop.walk()
        heard = RawReader('rt/lowcmd', 'lo', loop.robot_domain)
        loop.operator.call('recorder/start', 20.0)
        time.sleep(3.0)
        pids = [loop.graph.pid(node) for node in loop.graph.exit_codes()]
        codes = loop.graph.stop()
        commands = [decode_lowcmd(data) for data, _, _ in heard.take()]
        heard.close()
    assert set(codes.values()) == {0}, loop.lines
    assert not [pid for pid in pids if Path(f'/proc/{pid}').exists()]
    assert read_bag(next((tmp_path / 'bags').iterdir())).duration_s > 2.0
    # The last that the motors were told is damping: no stiffness, some damping.
    assert commands[0].stiffness.max() > 0.0
    assert commands[-1].stiffness.max() == 0.0
    assert commands[-1].damping.min() > 0.0

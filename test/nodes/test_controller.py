"""The controller node and the simulator as processes: DDS, services, topics, signals."""

from __future__ import annotations

import os
import signal
import time
from array import array
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip('rclpy')
from control.harness import constant_bundle, explosive_bundle
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Imu
from std_msgs.msg import UInt8MultiArray

from make_agent_ros.control.admission import bundle_digest
from make_agent_ros.control.blackbox import load
from make_agent_ros.go2.link import SimulatedRobotLink
from make_agent_ros.nodes.client import LATCHED, OperatorError
from make_agent_ros.nodes.controller_config import ControllerNodeConfig
from make_agent_ros.nodes.parameters import ParameterError, yaml_text
from make_agent_ros.policy import save, to_bytes
from make_agent_ros.resources import resource_path

from .robot_processes import Robot

START_S = 120.0
"""Two nodes import, join DDS and find each other within this time even on a busy machine."""

e2e = [pytest.mark.e2e, pytest.mark.slow]


def test_the_shipped_yaml_is_the_dataclass():
    shipped = resource_path('config/controller.yaml').read_text()
    assert shipped == yaml_text(ControllerNodeConfig, 'controller')


@pytest.mark.parametrize(
    'changes',
    [
        {'trusted_keys': ['not a key']},
        {'velocity_max': [1.0]},
        {'velocity_min': [0.1, 0.0, 0.0]},
        {'acceleration_max': [2.0, 0.0, 4.0]},
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused_by_name(changes):
    with pytest.raises(ParameterError, match=next(iter(changes))):
        ControllerNodeConfig(**changes)


def test_a_live_parameter_changes_alone_and_only_if_the_whole_still_makes_sense():
    config = ControllerNodeConfig()
    changed = config.changed('velocity_max', array('d', [0.5, 0.2, 0.4]))
    assert changed.controller().velocity_max == (0.5, 0.2, 0.4)
    assert replace(changed, velocity_max=config.velocity_max) == config
    with pytest.raises(ParameterError, match='enclose zero'):
        config.changed('velocity_max', [-0.1, 0.2, 0.4])


@pytest.fixture
def robot(tmp_path, dds_domain):
    with Robot(tmp_path, dds_domain, ros_domain=120 + os.getpid() % 100) as robot:
        yield robot


def publish_policy(robot: Robot, data: bytes) -> None:
    publisher = robot.operator.node.create_publisher(UInt8MultiArray, 'policy', LATCHED)
    publisher.publish(UInt8MultiArray(data=array('B', data)))


def bag_topics(folder) -> str:
    metadata = folder / 'metadata.yaml'
    return metadata.read_text() if metadata.exists() else ''


class TestWithSimulator:
    pytestmark = e2e

    def test_the_operator_can_stand_walk_swap_stop_and_let_go(self, robot, tmp_path):
        first = tmp_path / 'first.onnx'
        save(constant_bundle(), first)
        robot.start('simulator')
        controller = robot.start_controller(policy=str(first))
        robot.wait_mode('DAMPING', START_S)
        assert 'call ~/stand_up' in robot.refusal('walk')
        robot.call('stand_up')
        robot.wait_mode('STAND')
        robot.poll(lambda: 0.24 < robot.height_m() < 0.30, START_S, 'standing height')
        robot.call('walk')
        robot.wait_mode('WALK')
        time.sleep(1.2)

        second = to_bytes(constant_bundle(0.1))
        publish_policy(robot, second)
        robot.operator.wait_for(
            'controller', lambda s: s['policy'] == bundle_digest(second), 5.0, 'the swap'
        )
        for bad, words in (
            (b'nothing', 'not an ONNX'),
            (to_bytes(explosive_bundle()), 'NaN'),
            (to_bytes(constant_bundle(50.0)), 'plausible'),
        ):
            publish_policy(robot, bad)
            state = robot.operator.wait_for(
                'controller', lambda s, words=words: words in s['note'], 5.0, words
            )
            assert 'policy refused' in state['note']
            assert (state['mode'], state['policy']) == ('WALK', bundle_digest(second))

        robot.operator.set_parameters('controller', velocity_max=[0.5, 0.2, 0.4])
        for parameter in ({'velocity_max': [-1.0, 0.2, 0.4]}, {'limits__roll_max_rad': 3.0}):
            with pytest.raises(OperatorError):
                robot.operator.set_parameters('controller', **parameter)
        assert robot.mode() == 'WALK'

        robot.call('stop')
        assert robot.wait_mode('DAMPING')['fault'] is None
        robot.poll(lambda: robot.height_m() < 0.1, START_S, 'lying')
        robot.call('dump')
        boxes = tmp_path / 'boxes'
        robot.poll(lambda: list(boxes.glob('*request.npz')) != [], 10.0, 'the black box')
        box = load(next(boxes.glob('*request.npz')))
        assert {'STAND_UP', 'STAND', 'WALK', 'DAMPING'} <= set(box['mode'])
        bag = next(boxes.glob('*request.npz')).with_suffix('')
        robot.poll(lambda: 'lowcmd' in bag_topics(bag), 60.0, 'the bag of the black box')
        robot.call('hand_back')
        robot.wait_mode('PASSIVE')
        for called in ('walk: walking starts from STAND', 'stand_up: standing up', 'stop: damping',
                       'hand_back: lying down'):  # fmt: skip
            robot.poll(lambda c=called: f'called by /operator: ~/{c}' in robot.log('controller'),
                       5.0, f'the caller of {called}')  # fmt: skip
        controller.send_signal(signal.SIGINT)
        assert controller.wait(10.0) == 0

    def test_state_topics_carry_what_the_robot_measures(self, robot):
        robot.start('simulator')
        robot.start_controller()
        imus, diagnostics = [], []
        node = robot.operator.node
        node.create_subscription(Imu, 'imu/data', imus.append, qos_profile_sensor_data)
        node.create_subscription(DiagnosticArray, '/diagnostics', diagnostics.append, 5)
        robot.wait_mode('DAMPING', START_S)
        robot.poll(lambda: len(imus) > 20, 10.0, 'IMU messages')
        assert imus[-1].header.frame_id == 'imu_link'
        assert imus[-1].linear_acceleration.z == pytest.approx(9.81, abs=1.0)
        assert imus[-1].orientation.w == pytest.approx(1.0, abs=0.05)
        assert not np.isnan(robot.operator.track().joint_pos[-1]).any()
        robot.poll(
            lambda: any(s.name == 'controller: mode' for d in diagnostics for s in d.status),
            10.0,
            'diagnostics',
        )

    @pytest.mark.parametrize('how', [signal.SIGTERM, signal.SIGINT])
    def test_signals_while_standing_damp_for_half_a_second_however_many_come(self, robot, how):
        robot.start('simulator')
        controller = robot.start_controller()
        robot.wait_mode('DAMPING', START_S)
        robot.call('stand_up')
        robot.wait_mode('STAND')
        begin = time.monotonic()
        controller.send_signal(how)
        for impatient in (signal.SIGINT, signal.SIGINT, signal.SIGTERM):
            time.sleep(0.1)
            controller.send_signal(impatient)
        assert controller.wait(10.0) == 0
        assert 'Traceback' not in robot.log('controller')
        assert time.monotonic() - begin > 0.45
        robot.poll(lambda: robot.height_m() < 0.15, START_S, 'sinking')

    def test_killed_controllers_never_leave_a_stale_command(self, robot):
        """kill -9 while standing: the guard damps, and a new controller takes over from it."""
        robot.start('simulator')
        for _ in range(2):
            controller = robot.start_controller()
            robot.wait_mode('DAMPING', START_S)
            robot.call('stand_up')
            robot.wait_mode('STAND')
            controller.kill()
            controller.wait()
            robot.poll(lambda: robot.height_m() < 0.15, START_S, 'sinking')
        assert 'damping the robot' in robot.log('controller')

    def test_a_second_writer_keeps_the_controller_disarmed_and_is_named(self, robot):
        robot.start('simulator')
        from make_agent_ros.go2.command import damping_command
        from make_agent_ros.go2.link import RobotLink

        intruder = RobotLink('lo', robot.dds_domain)
        intruder.write(damping_command())
        robot.start_controller()
        state = robot.wait_mode('PASSIVE', START_S)
        state = robot.operator.wait_for(
            'controller', lambda s: s['violated'] != [], 10.0, 'the second writer'
        )
        assert state['violated'][0]['code'] == 'second_writer'
        assert not state['armed']
        intruder.close()

    def test_a_dry_run_sends_nothing_and_refuses_to_arm(self, robot):
        link = SimulatedRobotLink('lo', robot.dds_domain)
        robot.start_controller(dry_run='true', robot='go2')
        robot.wait_mode('PASSIVE', START_S)
        answer = robot.arm()
        assert not answer.success
        assert 'dry_run:=false' in answer.message
        time.sleep(0.5)
        assert link.take_command() is None
        link.close()

    def test_on_a_go2_arming_releases_sport_mode_and_hand_back_starts_it_again(self, robot):
        robot.start('simulator', sport_mode='normal')
        robot.start_controller(robot='go2')
        robot.wait_mode('PASSIVE', START_S)
        assert '~/arm' in robot.refusal('stand_up')
        robot.operator.wait_for(
            'simulator', lambda s: s['sport_mode'] == 'normal', 20.0, 'sport mode'
        )
        robot.arm()
        robot.wait_mode('DAMPING', START_S)
        robot.operator.wait_for('simulator', lambda s: not s['sport_mode'], 10.0, 'the release')
        robot.call('stand_up')
        robot.wait_mode('STAND')
        robot.call('hand_back')
        robot.wait_mode('PASSIVE')
        robot.operator.wait_for(
            'simulator', lambda s: s['sport_mode'] == 'normal', 20.0, 'sport mode again'
        )
        assert 'called by /operator: ~/arm true: releasing' in robot.log('controller')

    @pytest.mark.parametrize('kind', ['sim', 'go2'])
    def test_a_robot_whose_legs_are_swapped_is_not_stood_up(self, robot, kind):
        robot.start('simulator', **{'faults.corrupt': 'swap_legs'})
        robot.start_controller(robot=kind)
        if kind == 'go2':
            robot.wait_mode('PASSIVE', START_S)
            robot.arm()
        robot.wait_mode('DAMPING', START_S)
        sentence = robot.refusal('stand_up')
        assert 'the measured pose looks like' in sentence
        assert 'FL and FR legs exchanged' in sentence
        assert robot.mode() == 'DAMPING'
        robot.operator.call('simulator/clear_faults')
        robot.poll(lambda: robot.accepts('stand_up'), 10.0, 'standing up with the legs in order')
        robot.wait_mode('STAND')

    def test_a_fault_is_latched_told_and_boxed_and_reset_only_when_cured(self, robot, tmp_path):
        robot.start('simulator', **{'faults.battery_soc': '90.0'})
        robot.start_controller()
        robot.wait_mode('DAMPING', START_S)
        robot.call('stand_up')
        robot.wait_mode('STAND')
        robot.processes['simulator'].send_signal(signal.SIGSTOP)
        state = robot.wait_mode('FAULT')
        robot.processes['simulator'].send_signal(signal.SIGCONT)
        assert state['fault']['code'] == 'state_age'
        assert 'make-agent doctor' in state['fault']['sentence']
        time.sleep(0.3)
        assert '~/reset' in robot.refusal('stand_up')
        robot.poll(
            lambda: list((tmp_path / 'boxes').glob('*state_age.npz')) != [], 10.0, 'the black box'
        )
        # silent for as long as DDS waits for a peer (2 s), the robot may have to be found again
        robot.operator.wait_for('controller', lambda s: s['violated'] == [], 10.0, 'the cure')
        robot.call('reset')
        robot.wait_mode('DAMPING')


def test_only_a_signed_policy_gets_past_trusted_keys(tmp_path):
    from make_agent_ros.control.admission import AdmissionConfig, admit
    from make_agent_ros.policy import BundleError, signing

    public = signing.new_key(tmp_path / 'key.pem')
    config = replace(ControllerNodeConfig(), trusted_keys=[public]).admission()
    assert isinstance(config, AdmissionConfig)
    data = to_bytes(constant_bundle())
    admit(signing.sign(data, signing.load_key(tmp_path / 'key.pem')), config)
    with pytest.raises(BundleError, match='not signed'):
        admit(data, config)

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

pytest.importorskip('rclpy')

from std_msgs.msg import String

from make_agent_ros.go2.link import SimulatedRobotLink
from make_agent_ros.go2.state import RobotState
from make_agent_ros.go2.wire import LowStateEncoder
from make_agent_ros.nodes.client import Operator, OperatorError
from make_agent_ros.nodes.parameters import yaml_text
from make_agent_ros.nodes.recorder_config import RecorderConfig
from make_agent_ros.recording.bag import open_recording
from make_agent_ros.recording.storage import Findings, iter_messages
from make_agent_ros.resources import resource_path

DOMAIN = 1 + (os.getpid() + 37) % 200
ROS_DOMAIN = 1 + (os.getpid() + 37) % 100


class Robot:
    """Sends lowstate over DDS at 500 Hz from a thread."""

    def __enter__(self):
        self.link = SimulatedRobotLink('lo', DOMAIN)
        self.last_ns = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        self.link.close()

    def _run(self):
        encoder = LowStateEncoder()
        pose = np.tile([0.0, 0.9, -1.8], 4)
        state = RobotState(np.array([1.0, 0, 0, 0]), np.zeros(3), pose, np.zeros(12))
        start = time.monotonic()
        while not self._stop.is_set():
            state.tick += 2
            self.link.write_state(encoder.encode(state))
            self.last_ns = time.time_ns()
            time.sleep(max(0.0, start + state.tick * 1e-3 - time.monotonic()))


def start_recorder(folder, *parameters):
    arguments = ['--ros-args', '--params-file', str(resource_path('config/recorder.yaml'))]
    wanted = (f'domain:={DOMAIN}', f'directory:={folder}', 'min_free_mb:=0.0', *parameters)
    for parameter in wanted:
        arguments += ['-p', parameter]
    return subprocess.Popen(
        [sys.executable, '-m', 'make_agent_ros.nodes.recorder', *arguments],
        env={
            **os.environ,
            'ROS_DOMAIN_ID': str(ROS_DOMAIN),
            'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        },
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process):
    if process.poll() is None:
        process.kill()
    process.communicate()


@pytest.fixture(scope='module')
def operator():
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    with Operator(domain_id=ROS_DOMAIN) as operator:
        yield operator


def test_parameter_file_is_the_dataclass():
    path = resource_path('config/recorder.yaml')
    assert path.read_text(encoding='utf-8') == yaml_text(RecorderConfig, 'recorder')


@pytest.mark.e2e
def test_services_record_mark_and_save_without_losing_a_sample(operator, tmp_path):
    process = start_recorder(tmp_path)
    try:
        with Robot():
            operator.wait_for('recorder', lambda s: s.get('rate_hz', 0) > 300, 40, 'lowstate')
            with pytest.raises(OperatorError, match='start first'):
                operator.call('recorder/stop')
            path = Path(operator.call('recorder/start').split()[-1])
            with pytest.raises(OperatorError, match='already recording'):
                operator.call('recorder/start')
            operator.drive((0.5, 0.0, -0.2))
            marks = operator.node.create_publisher(String, 'recorder/mark_text', 1)
            time.sleep(1.5)
            operator.call('recorder/mark')
            marks.publish(String(data='kerb'))
            time.sleep(0.3)
            operator.drive(None)
            sentence = operator.call('recorder/stop')
            snapshot = Path(operator.call('recorder/snapshot').split()[-1])
        assert ' 0 lost' in sentence
        recording = open_recording(path)
        assert recording.lost == 0 and recording.notes == ()
        assert recording.trajectory.rate_hz == pytest.approx(500.0, rel=0.01)
        assert recording.metadata['robot'] == 'go2'
        found = {}
        for message in iter_messages(path, lambda kind: True, Findings()):
            found.setdefault(message.topic, []).append(message.data)
        assert np.frombuffer(found['/cmd_vel'][0][4:], '<f8')[[0, 5]].tolist() == [0.5, -0.2]
        assert [data[8:-1] for data in found['/marks']] == [b'mark', b'kerb']
        assert len(open_recording(snapshot).trajectory) >= len(recording.trajectory)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
    finally:
        end(process)


@pytest.mark.e2e
@pytest.mark.parametrize('ending', [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_ended_recorder_leaves_a_readable_bag(ending, operator, tmp_path):
    process = start_recorder(tmp_path, 'autostart:=true')
    try:
        with Robot() as robot:
            operator.wait_for(
                'recorder',
                lambda s: (
                    str(s.get('path', '')).startswith(str(tmp_path))
                    and s.get('seconds', 0) > 2.5
                    and s.get('rate_hz', 0) > 300
                ),
                60,
                'a recording',
            )
            process.send_signal(ending)
            last_ns = robot.last_ns
            code = process.wait(timeout=20)
        assert code == (-9 if ending == signal.SIGKILL else 0)
        (bag,) = tmp_path.iterdir()
        stamps = [m.log_ns for m in iter_messages(bag, lambda kind: True, Findings())]
        assert last_ns - stamps[-1] < 1_000_000_000
        recording = open_recording(bag)
        assert recording.lost == 0
        assert bool(recording.notes) == (ending == signal.SIGKILL)
    finally:
        end(process)


@pytest.mark.e2e
@pytest.mark.parametrize(
    ('parameter', 'sentence'),
    [('interface:=nosuch0', 'nosuch0'), ('ring_s:=-1.0', 'ring_s'), ('domain:=300', 'domain')],
)
def test_unusable_parameter_ends_the_node_with_a_sentence(parameter, sentence, tmp_path):
    process = start_recorder(tmp_path, parameter)
    try:
        error = process.communicate(timeout=60)[1]
        assert process.returncode != 0
        assert sentence in error and 'Traceback' not in error
    finally:
        end(process)


def await_bag(operator, folder, samples=500):
    return operator.wait_for(
        'recorder',
        lambda s: str(s.get('path', '')).startswith(str(folder)) and s.get('samples', 0) > samples,
        60,
        'a recording',
    )


@pytest.mark.e2e
def test_disk_that_is_full_ends_the_recording_and_not_the_node(operator, tmp_path):
    """The kernel refuses to let the node's files grow; then there is room again."""
    process = start_recorder(tmp_path, 'autostart:=true')
    try:
        with Robot():
            await_bag(operator, tmp_path)
            psutil.Process(process.pid).rlimit(psutil.RLIMIT_FSIZE, (200_000, 10**9))
            state = operator.wait_for('recorder', lambda s: s.get('error'), 60, 'the full disk')
            assert not state['recording'] and 'kept' in state['error']
            with pytest.raises(OperatorError, match='recording stopped'):
                operator.call('recorder/stop')
            recording = open_recording(Path(state['path']))
            assert recording.lost == 0
            assert len(recording.trajectory) > 0.4 * state['samples'] > 100
            psutil.Process(process.pid).rlimit(psutil.RLIMIT_FSIZE, (10**9, 10**9))
            again = Path(operator.call('recorder/start').split()[-1])
            await_bag(operator, again, 300)
            assert ' 0 lost' in operator.call('recorder/stop')
        assert len(open_recording(again).trajectory) > 300
    finally:
        end(process)


@pytest.mark.e2e
def test_ring_of_files_keeps_the_newest_and_says_what_it_is(operator, tmp_path):
    process = start_recorder(
        tmp_path, 'autostart:=true', 'max_file_s:=0.5', 'max_bag_mb:=0.5', 'overwrite_oldest:=true'
    )
    try:
        with Robot() as robot:
            bag = Path(await_bag(operator, tmp_path)['path'])
            first = set(bag.glob('*.mcap'))
            deadline = time.monotonic() + 60.0
            while first & set(bag.glob('*.mcap')):
                assert time.monotonic() < deadline, 'the oldest files stay'
                time.sleep(0.1)
            assert ' 0 lost' in operator.call('recorder/stop')
            last_ns = robot.last_ns
        assert len(list(bag.glob('*.mcap'))) > 1
        assert sum(file.stat().st_size for file in bag.glob('*.mcap')) < 0.6 * 2**20
        recording = open_recording(bag)
        assert recording.lost == 0
        assert recording.metadata['dropped'] == '0' and recording.metadata['end'] == 'stopped'
        stamps = [m.log_ns for m in iter_messages(bag, lambda kind: True, Findings())]
        assert last_ns - stamps[-1] < 1_000_000_000
    finally:
        end(process)

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from mcap.reader import make_reader
from rosbags.highlevel import AnyReader

from make_agent_ros.recording import RecordingError
from make_agent_ros.recording.bag import open_recording
from make_agent_ros.recording.messages import string_cdr
from make_agent_ros.recording.writer import BagFullError, BagWriter

from .bags import START_NS, lowstates, write_bag
from .synthetic import Walk, make_walk


@pytest.fixture(scope='module')
def walk():
    return make_walk(Walk(), 2.0, rate_hz=500.0)[0]


def test_rosbags_reads_and_decodes_our_bag(walk, tmp_path):
    """The schema text alone tells rosbags the fields; it knows nothing of this package."""
    samples = write_bag(tmp_path / 'bag', walk)
    with AnyReader([tmp_path / 'bag']) as reader:
        (connection,) = [c for c in reader.connections if c.topic == '/lowstate']
        assert connection.msgtype == 'unitree_go/msg/LowState'
        messages = list(reader.messages([connection]))
        assert [stamp for _, stamp, _ in messages] == [stamp for stamp, _ in samples]
        assert [bytes(raw) for _, _, raw in messages] == [data for _, data in samples]
        first = reader.deserialize(messages[7][2], connection.msgtype)
    # motor slot 0 is FR hip, which is joint 3 of the package
    assert first.motor_state[0].q == pytest.approx(walk.joint_pos[7, 3], abs=1e-6)
    assert first.motor_state[11].dq == pytest.approx(walk.joint_vel[7, 8], abs=1e-4)
    np.testing.assert_allclose(first.imu_state.quaternion, walk.quat_wxyz[7], atol=1e-6)
    assert first.tick == 1014
    assert first.bms_state.soc == 80
    assert first.power_v == pytest.approx(28.5)


def test_schemas_of_all_topics_decode_with_rosbags(tmp_path):
    from make_agent_ros.go2.command import JointCommand
    from make_agent_ros.go2.wire import encode_lowcmd

    writer = BagWriter(tmp_path / 'bag', min_free_bytes=0)
    command = JointCommand(joint_pos=np.linspace(-1, 1, 12), stiffness=np.full(12, 25.0))
    twist = b'\x00\x01\x00\x00' + np.array([0.5, 0, 0, 0, 0, -0.25]).tobytes()
    writer.write('/lowcmd', encode_lowcmd(command), START_NS)
    writer.write('/cmd_vel', twist, START_NS + 1)
    writer.write('/marks', string_cdr('häng'), START_NS + 2)
    writer.close()
    with AnyReader([tmp_path / 'bag']) as reader:
        decoded = {c.topic: reader.deserialize(raw, c.msgtype) for c, _, raw in reader.messages()}
    assert decoded['/lowcmd'].motor_cmd[3].q == pytest.approx(-1.0)
    assert decoded['/lowcmd'].motor_cmd[0].kp == 25.0
    assert decoded['/lowcmd'].motor_cmd[19].q == pytest.approx(2.146e9)
    assert decoded['/cmd_vel'].angular.z == -0.25
    assert decoded['/marks'].data == 'häng'


def test_metadata_record_travels_in_the_file(walk, tmp_path):
    write_bag(tmp_path / 'bag', walk, metadata={'robot': 'go2', 'policy': 'abc'})
    with (tmp_path / 'bag' / 'bag_0.mcap').open('rb') as file:
        records = {m.name: m.metadata for m in make_reader(file).iter_metadata()}
    assert records['make_agent_ros'] == {'robot': 'go2', 'policy': 'abc'}
    assert open_recording(tmp_path / 'bag').metadata['policy'] == 'abc'


def test_bag_is_split_by_duration_and_read_as_one(walk, tmp_path):
    write_bag(tmp_path / 'bag', walk, max_file_s=0.5)
    files = sorted((tmp_path / 'bag').glob('*.mcap'))
    assert len(files) == 4
    metadata = yaml.safe_load((tmp_path / 'bag' / 'metadata.yaml').read_text())
    information = metadata['rosbag2_bagfile_information']
    assert information['relative_file_paths'] == [file.name for file in files]
    assert information['message_count'] == 1000
    assert sum(f['message_count'] for f in information['files']) == 1000
    trajectory = open_recording(tmp_path / 'bag').trajectory
    assert len(trajectory) == 1000
    with AnyReader([tmp_path / 'bag']) as reader:
        assert reader.message_count == 1000


def test_bag_at_its_limit_is_closed_readable_and_says_so(tmp_path):
    walk = make_walk(Walk(), 10.0, rate_hz=500.0, noise_rad=0.01)[0]
    samples = lowstates(walk)
    writer = BagWriter(tmp_path / 'bag', max_bag_bytes=600_000, min_free_bytes=0, flush_s=0.0)
    with pytest.raises(BagFullError, match='limit of 600000 bytes'):
        for stamp, data in samples:
            writer.write('/lowstate', data, stamp)
    size = sum(file.stat().st_size for file in (tmp_path / 'bag').iterdir())
    assert 600_000 < size < 1_300_000
    recording = open_recording(tmp_path / 'bag')
    assert recording.notes == ()
    assert len(recording.trajectory) > 500
    with pytest.raises(RecordingError, match='is closed'):
        writer.write('/lowstate', samples[0][1], START_NS)


def test_overwriting_bag_keeps_the_newest_samples_within_its_limit(tmp_path):
    walk = make_walk(Walk(), 10.0, rate_hz=500.0, noise_rad=0.01)[0]
    limit = 3_000_000
    writer = BagWriter(
        tmp_path / 'bag', max_bag_bytes=limit, overwrite_oldest=True, min_free_bytes=0
    )
    largest = 0
    for _ in range(4):
        for i, (stamp, data) in enumerate(lowstates(walk)):
            writer.write('/lowstate', data, stamp)
            if i % 500 == 0:
                largest = max(largest, writer.bytes_written)
    writer.close()
    assert largest < 1.1 * limit
    assert writer.bytes_written > 0.5 * limit
    assert not (tmp_path / 'bag' / 'bag_0.mcap').exists()
    with AnyReader([tmp_path / 'bag']) as reader:
        assert reader.message_count == writer.message_count


def test_disk_with_too_little_space_is_refused_before_anything_is_lost(tmp_path):
    with pytest.raises(BagFullError, match='MiB free on the disk'):
        BagWriter(tmp_path / 'bag', min_free_bytes=1 << 60)


def test_folder_with_files_is_never_recorded_into(tmp_path):
    (tmp_path / 'precious').write_text('x')
    with pytest.raises(RecordingError, match='not empty'):
        BagWriter(tmp_path)


WRITE_FOR_EVER = textwrap.dedent("""
    import os, resource, signal, sys, time
    from pathlib import Path
    from make_agent_ros.recording.writer import BagFullError, BagWriter
    folder, limit = sys.argv[1], int(sys.argv[2])
    if limit:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    writer = BagWriter(folder, min_free_bytes=0)
    sample = bytearray(b'\\0\\1\\0\\0' + bytes(range(256)) * 4 + bytes(152))
    count = 0
    try:
        while True:
            count += 1
            sample[1100:1104] = (2 * count).to_bytes(4, 'little')
            now = time.time_ns()
            sample[4:600] = os.urandom(596)  # a disk is full sooner without compression
            sample[600:608] = now.to_bytes(8, 'little')
            writer.write('/lowstate', bytes(sample), now)
            print(now, flush=True)
            time.sleep(0.0 if limit else 0.002)
    except BagFullError as error:
        print('refused:', error, flush=True)
""")


def run_writer(tmp_path, limit):
    return subprocess.Popen(
        [sys.executable, '-c', WRITE_FOR_EVER, str(tmp_path / 'bag'), str(limit)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, 'PYTHONPATH': str(Path(__file__).parents[2])},
    )


def stamps_in(path):
    from make_agent_ros.recording.storage import Findings, iter_messages

    findings = Findings()
    stamps = [m.log_ns for m in iter_messages(path, lambda kind: True, findings)]
    return stamps, findings


def test_killed_writer_loses_less_than_a_second(tmp_path):
    process = run_writer(tmp_path, 0)
    last = 0
    deadline = time.monotonic() + 30
    first = int(process.stdout.readline())
    while time.monotonic() < deadline and last < first + 2_300_000_000:
        last = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    rest = [int(line) for line in process.stdout.read().split('\n')[:-1] if line.isdigit()]
    process.wait()
    last = max([last, *rest])
    stamps, findings = stamps_in(tmp_path / 'bag')
    assert stamps[0] == first
    assert last - stamps[-1] < 1_000_000_000
    assert (tmp_path / 'bag' / 'metadata.yaml').exists()
    assert len(findings.notes) == 1 and 'cut off' in findings.notes[0]


def test_full_disk_stops_with_a_sentence_and_keeps_what_was_written(tmp_path):
    """The kernel refuses to let the file grow, as it does on a full disk."""
    process = run_writer(tmp_path, 2_000_000)
    output = process.communicate(timeout=60)[0].splitlines()
    assert process.returncode == 0
    assert output[-1].startswith('refused:') and 'recording stopped' in output[-1]
    stamps, _ = stamps_in(tmp_path / 'bag')
    assert len(stamps) > 1000
    assert (tmp_path / 'bag' / 'bag_0.mcap').stat().st_size <= 2_000_000
    assert int(output[-2]) - stamps[-1] < 1_000_000_000

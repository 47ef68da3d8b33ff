from __future__ import annotations

import shutil
import sqlite3
from dataclasses import replace

import numpy as np
import pytest
from mcap.reader import make_reader
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from make_agent_ros.go2.constants import JOINT_NAMES
from make_agent_ros.recording import RecordingError, cut_prompt
from make_agent_ros.recording.bag import open_recording, read_bag
from make_agent_ros.recording.importing import import_recording
from make_agent_ros.recording.messages import LOWSTATE_TYPE, schema_text
from make_agent_ros.recording.trajectory import Trajectory

from .bags import START_NS, assert_same_motion, lowstates, write_bag
from .synthetic import Walk, make_walk

TYPES = get_typestore(Stores.ROS2_HUMBLE)
TYPES.register(
    {
        name: definition
        for part in schema_text(LOWSTATE_TYPE).split('=' * 80 + '\n')
        for name, definition in get_types_from_msg(
            part.split('\n', 1)[1] if part.startswith('MSG:') else part,
            part.split('\n', 1)[0][5:] if part.startswith('MSG:') else LOWSTATE_TYPE,
        ).items()
    }
)


@pytest.fixture(scope='module')
def walk():
    return make_walk(Walk(frequency_hz=2.3), 6.0, rate_hz=500.0)[0]


@pytest.fixture(scope='module')
def samples(walk):
    return lowstates(walk)


def write_with_rosbags(path, storage, messages):
    """What `ros2 bag record` leaves: one topic, arrival stamps, no word of ours."""
    plugin = {'mcap': StoragePlugin.MCAP, 'sqlite3': StoragePlugin.SQLITE3}[storage]
    with Writer(path, version=8, storage_plugin=plugin) as writer:
        connections = {}
        for topic, kind, stamp, data in messages:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=TYPES)
            writer.write(connections[topic], stamp, data)


def lowstate_messages(samples):
    return [('/lowstate', LOWSTATE_TYPE, stamp, data) for stamp, data in samples]


def test_our_bag_comes_back_as_it_went_in(walk, tmp_path):
    write_bag(tmp_path / 'bag', walk)
    assert_same_motion(read_bag(tmp_path / 'bag'), walk)
    assert_same_motion(read_bag(tmp_path / 'bag' / 'bag_0.mcap'), walk)


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_bag_of_ros2_bag_record_is_a_prompt(walk, samples, storage, tmp_path):
    write_with_rosbags(tmp_path / 'bag', storage, lowstate_messages(samples))
    trajectory = read_bag(tmp_path / 'bag')
    assert_same_motion(trajectory, walk)
    assert len(cut_prompt(trajectory, 4.0)) == 200
    (file,) = [*(tmp_path / 'bag').glob('*.db3'), *(tmp_path / 'bag').glob('*.mcap')]
    assert_same_motion(read_bag(file), walk)


def test_topic_with_most_samples_is_read_where_there_are_two(walk, samples, tmp_path):
    """A Go2 publishes /lf/lowstate beside /lowstate, at a fraction of the rate."""
    messages = lowstate_messages(samples)
    slow = [('/lf/lowstate', *message[1:]) for message in messages[::25]]
    write_with_rosbags(tmp_path / 'bag', 'mcap', slow + messages)
    recording = open_recording(tmp_path / 'bag')
    assert len(recording.trajectory) == len(walk)
    assert '/lf/lowstate is left out' in recording.notes[0]


@pytest.mark.parametrize('share', [0.3, 0.7, 0.99])
def test_truncated_bag_gives_what_is_left_and_says_what_is_lost(walk, share, tmp_path):
    write_bag(tmp_path / 'bag', walk, flush_s=0.05)
    file = tmp_path / 'bag' / 'bag_0.mcap'
    data = file.read_bytes()
    file.write_bytes(data[: int(share * len(data))])
    recording = open_recording(tmp_path / 'bag')
    part = recording.trajectory
    assert 0.5 * share < len(part) / len(walk) <= 1.0
    assert 'cut off' in recording.notes[0] and ('lost' in recording.notes[0] or share == 0.99)
    assert_same_motion(part, walk.rows(slice(0, len(part))))


def test_damaged_chunk_is_left_out_and_the_rest_is_read(walk, tmp_path):
    write_bag(tmp_path / 'bag', walk)
    file = tmp_path / 'bag' / 'bag_0.mcap'
    with file.open('rb') as stream:
        chunk = make_reader(stream).get_summary().chunk_indexes[1]
    data = bytearray(file.read_bytes())
    middle = chunk.chunk_start_offset + chunk.chunk_length // 2
    data[middle : middle + 40] = bytes(40)
    file.write_bytes(bytes(data))
    recording = open_recording(tmp_path / 'bag')
    assert 0.3 * len(walk) < len(recording.trajectory) < len(walk)
    assert any('1 damaged chunks' in note for note in recording.notes)
    assert recording.lost > 0


def test_truncated_database_gives_what_is_left(walk, samples, tmp_path):
    write_with_rosbags(tmp_path / 'bag', 'sqlite3', lowstate_messages(samples))
    (file,) = (tmp_path / 'bag').glob('*.db3')
    file.write_bytes(file.read_bytes()[:3_000_000])
    recording = open_recording(file)
    assert len(recording.trajectory) > 500
    assert 'damaged' in recording.notes[0]


@pytest.mark.parametrize(
    ('name', 'content', 'sentence'),
    [
        ('a.mcap', b'hello, I am no bag', 'does not begin like an MCAP file'),
        ('a.mcap', b'', 'the bag is empty'),
        ('a.db3', b'hello, I am no database' * 10, 'file is not a database'),
        ('a.bag', b'#ROSBAG V2.0', 'is not a bag'),
        ('a.csv', b'', 'no data'),
        ('a.npz', b'PK\x03\x04nonsense', 'not a readable NPZ'),
    ],
)
def test_file_that_is_no_recording_is_refused(name, content, sentence, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RecordingError, match=sentence):
        read_bag(tmp_path / name)


def test_missing_path_empty_folder_and_empty_bag_have_their_own_sentences(tmp_path):
    with pytest.raises(RecordingError, match='no such file'):
        read_bag(tmp_path / 'none')
    (tmp_path / 'folder').mkdir()
    with pytest.raises(RecordingError, match=r'no \.mcap or \.db3'):
        read_bag(tmp_path / 'folder')
    (tmp_path / 'folder' / 'x.mcap.zstd').write_bytes(b'x')
    with pytest.raises(RecordingError, match='zstd -d'):
        read_bag(tmp_path / 'folder')
    write_bag(tmp_path / 'bag', make_walk(Walk(), 1.0)[0].rows(slice(0, 0)))
    with pytest.raises(RecordingError, match='no sample of it'):
        read_bag(tmp_path / 'bag')


def test_bag_without_robot_names_the_topics_it_has(tmp_path):
    twist = b'\x00\x01\x00\x00' + bytes(48)
    messages = [('/cmd_vel', 'geometry_msgs/msg/Twist', START_NS, twist)]
    write_with_rosbags(tmp_path / 'bag', 'mcap', messages)
    with pytest.raises(RecordingError, match=r'/cmd_vel \(geometry_msgs/msg/Twist\)'):
        read_bag(tmp_path / 'bag')


def test_sample_of_another_size_is_refused_with_the_size(samples, tmp_path):
    messages = lowstate_messages(samples[:20])
    messages[7] = ('/lowstate', LOWSTATE_TYPE, START_NS + 7, messages[7][3][:-100])
    write_with_rosbags(tmp_path / 'bag', 'mcap', messages)
    with pytest.raises(RecordingError, match='1080 bytes, expected 1180'):
        read_bag(tmp_path / 'bag')


def test_links_out_of_the_bag_are_not_followed(walk, tmp_path):
    write_bag(tmp_path / 'private', walk)
    (tmp_path / 'bag').mkdir()
    (tmp_path / 'bag' / 'bag_0.mcap').symlink_to(tmp_path / 'private' / 'private_0.mcap')
    with pytest.raises(RecordingError, match='holds no'):
        read_bag(tmp_path / 'bag')


def test_metadata_yaml_cannot_point_anywhere(walk, tmp_path):
    write_bag(tmp_path / 'bag', walk)
    metadata = tmp_path / 'bag' / 'metadata.yaml'
    metadata.write_text(metadata.read_text().replace('bag_0.mcap', '/etc/passwd'))
    assert len(read_bag(tmp_path / 'bag')) == len(walk)


def test_database_whose_messages_are_an_endless_view_is_refused(tmp_path):
    connection = sqlite3.connect(tmp_path / 'evil.db3')
    connection.executescript(
        'CREATE TABLE topics (id INTEGER, name TEXT, type TEXT);'
        'CREATE VIEW messages AS WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM r)'
        ' SELECT n AS id, 1 AS topic_id, n AS timestamp, zeroblob(9) AS data FROM r;'
    )
    connection.close()
    with pytest.raises(RecordingError, match='no tables topics and messages'):
        read_bag(tmp_path / 'evil.db3')


# -- JointState + Imu ---------------------------------------------------------------------------


def joint_state_messages(walk, names, header=True):
    header_type = TYPES.types['std_msgs/msg/Header']
    time_type = TYPES.types['builtin_interfaces/msg/Time']
    joint_state = TYPES.types['sensor_msgs/msg/JointState']
    imu = TYPES.types['sensor_msgs/msg/Imu']
    quaternion = TYPES.types['geometry_msgs/msg/Quaternion']
    vector = TYPES.types['geometry_msgs/msg/Vector3']
    index = [JOINT_NAMES.index(name.split('/')[-1]) for name in names]
    messages = []
    for i in range(len(walk)):
        stamp = START_NS + round(walk.time_s[i] * 1e9)
        head = header_type(
            stamp=time_type(sec=stamp // 10**9, nanosec=stamp % 10**9)
            if header
            else time_type(sec=0, nanosec=0),
            frame_id='base',
        )
        joints = joint_state(
            header=head,
            name=list(names),
            position=walk.joint_pos[i][index],
            velocity=walk.joint_vel[i][index],
            effort=np.zeros(0),
        )
        w, x, y, z = walk.quat_wxyz[i].tolist()
        body = imu(
            header=head,
            orientation=quaternion(x=x, y=y, z=z, w=w),
            orientation_covariance=np.zeros(9),
            angular_velocity=vector(*walk.base_ang_vel[i].tolist()),
            angular_velocity_covariance=np.zeros(9),
            linear_acceleration=vector(*walk.base_lin_acc[i].tolist()),
            linear_acceleration_covariance=np.zeros(9),
        )
        for topic, message in (('/imu/data', body), ('/joint_states', joints)):
            kind = message.__msgtype__
            messages.append((topic, kind, stamp, bytes(TYPES.serialize_cdr(message, kind))))
    return messages


@pytest.mark.parametrize('header', [True, False])
def test_joint_states_in_any_order_with_prefixes_are_mapped_by_name(header, tmp_path):
    walk = make_walk(Walk(wz=0.4), 3.0, rate_hz=100.0)[0]
    names = [f'go2/{name}' for name in np.random.default_rng(0).permutation(JOINT_NAMES)]
    write_with_rosbags(tmp_path / 'bag', 'mcap', joint_state_messages(walk, names, header))
    trajectory = read_bag(tmp_path / 'bag')
    assert_same_motion(trajectory, walk)
    np.testing.assert_allclose(trajectory.base_lin_acc, walk.base_lin_acc, atol=1e-6)


def test_joint_states_without_a_leg_name_the_missing_joints(tmp_path):
    walk = make_walk(Walk(), 1.0)[0]
    write_with_rosbags(tmp_path / 'bag', 'mcap', joint_state_messages(walk, JOINT_NAMES[:9]))
    with pytest.raises(RecordingError, match='9 joints: joints missing: RR_hip_joint'):
        read_bag(tmp_path / 'bag')


def test_joint_states_without_imu_are_refused(tmp_path):
    walk = make_walk(Walk(), 1.0)[0]
    messages = [m for m in joint_state_messages(walk, JOINT_NAMES) if m[0] == '/joint_states']
    write_with_rosbags(tmp_path / 'bag', 'mcap', messages)
    with pytest.raises(RecordingError, match='needs joints and IMU'):
        read_bag(tmp_path / 'bag')


# -- tables -------------------------------------------------------------------------------------


def write_csv(path, walk, order):
    columns = {'time_s': walk.time_s + 12.0}
    columns |= {f'quat_{axis}': walk.quat_wxyz[:, i] for i, axis in enumerate('wxyz')}
    columns |= {f'ang_vel_{axis}': walk.base_ang_vel[:, i] for i, axis in enumerate('xyz')}
    columns |= {JOINT_NAMES[j]: walk.joint_pos[:, j] for j in order}
    columns |= {f'{JOINT_NAMES[j]}_vel': walk.joint_vel[:, j] for j in order}
    table = np.stack(list(columns.values()), axis=1)
    np.savetxt(path, table, delimiter=',', header=','.join(columns), comments='')


def test_csv_is_read_by_column_name(tmp_path):
    walk = make_walk(Walk(), 2.0)[0]
    write_csv(tmp_path / 'walk.csv', walk, range(11, -1, -1))
    assert_same_motion(import_recording(tmp_path / 'walk.csv'), walk)


def test_csv_with_a_broken_cell_names_the_line(tmp_path):
    walk = make_walk(Walk(), 2.0)[0]
    write_csv(tmp_path / 'walk.csv', walk, range(12))
    lines = (tmp_path / 'walk.csv').read_text().splitlines()
    lines[30] = lines[30].replace('e', 'x', 1)
    (tmp_path / 'walk.csv').write_text('\n'.join(lines))
    with pytest.raises(RecordingError, match='line 31'):
        read_bag(tmp_path / 'walk.csv')


def test_npz_with_another_joint_order_and_no_velocities(tmp_path):
    walk = make_walk(Walk(), 2.0, rate_hz=500.0)[0]
    order = np.random.default_rng(1).permutation(12)
    np.savez(
        tmp_path / 'walk.npz',
        time_s=walk.time_s,
        quat_wxyz=walk.quat_wxyz,
        base_ang_vel=walk.base_ang_vel,
        joint_pos=walk.joint_pos[:, order],
        joint_names=np.array(JOINT_NAMES)[order],
    )
    trajectory = read_bag(tmp_path / 'walk.npz')
    np.testing.assert_allclose(trajectory.joint_pos, walk.joint_pos)
    # numerical derivative, bad only where a foot touches down or lifts off
    error = np.abs(trajectory.joint_vel - walk.joint_vel)
    assert np.median(error) < 0.02


def test_saved_trajectory_is_a_recording(walk, tmp_path):
    walk.save(tmp_path / 'walk.npz')
    assert_same_motion(read_bag(tmp_path / 'walk.npz'), walk)
    assert isinstance(read_bag(tmp_path / 'walk.npz'), Trajectory)


def test_table_without_attitude_is_refused(tmp_path):
    np.savez(tmp_path / 'x.npz', time_s=np.arange(9.0), joint_pos=np.zeros((9, 12)))
    with pytest.raises(RecordingError, match='lacks quat_wxyz, base_ang_vel'):
        read_bag(tmp_path / 'x.npz')


def test_copy_of_a_bag_under_another_name_is_read(walk, tmp_path):
    write_bag(tmp_path / 'bag', walk, max_file_s=1.0)
    shutil.copytree(tmp_path / 'bag', tmp_path / 'copy')
    (tmp_path / 'copy' / 'metadata.yaml').unlink()
    assert_same_motion(read_bag(tmp_path / 'copy'), walk)


@pytest.mark.parametrize('garbage', [np.nan, np.inf, -np.inf, 1e300, -1e300])
@pytest.mark.parametrize('at', [0, 7])
def test_garbage_stamp_in_a_table_costs_one_sample(garbage, at, tmp_path):
    walk = make_walk(Walk(), 1.0)[0]
    time_s = walk.time_s.copy()
    time_s[at] = garbage
    replace(walk, time_s=time_s).save(tmp_path / 'walk.npz')
    read = open_recording(tmp_path / 'walk.npz').trajectory
    assert len(read) == len(walk) - 1
    np.testing.assert_allclose(np.diff(read.time_s).min(), 0.02, atol=1e-9)

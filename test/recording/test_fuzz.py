"""Readers on hostile input: a sentence or a trajectory, never a crash, a hang or a flood.

`FUZZ_EXAMPLES` sets the number of inputs per test (default 150); long runs raise it.
"""

from __future__ import annotations

import io
import os
import resource
import struct
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcap.writer import CompressionType, Writer

from make_agent_ros.recording import RecordingError, cut_prompt
from make_agent_ros.recording.bag import open_recording
from make_agent_ros.recording.messages import LOWSTATE_TYPE, schema_text
from make_agent_ros.recording.storage import Findings, iter_messages
from make_agent_ros.recording.trajectory import Trajectory

from .bags import START_NS, lowstates, write_bag
from .synthetic import Walk, make_walk
from .test_bag import joint_state_messages, lowstate_messages, write_csv, write_with_rosbags

EXAMPLES = int(os.environ.get('FUZZ_EXAMPLES', '150'))
MOST_SECONDS = 10.0
fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

edits = st.lists(
    st.tuples(
        st.sampled_from(['set', 'cut', 'insert', 'repeat', 'big']),
        st.floats(0.0, 1.0),
        st.binary(min_size=1, max_size=12),
    ),
    min_size=1,
    max_size=6,
)


def edited(data, changes):
    data = bytearray(data)
    for kind, place, content in changes:
        at = int(place * max(len(data) - 1, 0))
        if kind == 'set':
            data[at : at + len(content)] = content
        elif kind == 'cut':
            del data[at : at + 50 * len(content)]
        elif kind == 'insert':
            data[at:at] = content
        elif kind == 'repeat':
            data[at:at] = data[at : at + 200]
        else:
            data[at : at + 8] = struct.pack('<Q', 2 ** (5 * len(content)))
    return bytes(data)


def survives(suffix, content):
    """Read the bytes as a file; return the trajectory or None, fail on anything else."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f'x{suffix}'
        path.write_bytes(content)
        start = time.process_time()  # not the wall clock: other processes may hold the machine
        try:
            trajectory = open_recording(path).trajectory
            assert (np.diff(trajectory.time_s) > 0).all()
            assert np.isfinite(trajectory.time_s).all()
            with np.errstate(all='ignore'):
                cut_prompt(trajectory, 2.0)
        except RecordingError as error:
            assert len(str(error)) > 10
        assert time.process_time() - start < MOST_SECONDS


@pytest.fixture(scope='module')
def seeds(tmp_path_factory):
    folder = tmp_path_factory.mktemp('seeds')
    walk = make_walk(Walk(), 0.6, rate_hz=500.0)[0]
    write_bag(folder / 'ours', walk)
    slow = make_walk(Walk(), 0.5, rate_hz=100.0)[0]
    names = [f'{leg}_{seg}_joint' for leg in ('FL', 'FR', 'RL', 'RR')
             for seg in ('hip', 'thigh', 'calf')]  # fmt: skip
    write_with_rosbags(folder / 'js', 'mcap', joint_state_messages(slow, names))
    write_with_rosbags(folder / 'sql', 'sqlite3', lowstate_messages(lowstates(walk)[:60]))
    write_csv(folder / 'walk.csv', slow, range(12))
    slow.save(folder / 'walk.npz')
    plain = io.BytesIO()
    writer = Writer(plain, compression=CompressionType.NONE, use_chunking=True, chunk_size=20_000)
    writer.start(profile='ros2')
    schema = writer.register_schema(LOWSTATE_TYPE, 'ros2msg', schema_text(LOWSTATE_TYPE).encode())
    channel = writer.register_channel('/lowstate', 'cdr', schema)
    for stamp, data in lowstates(walk)[:80]:
        writer.add_message(channel, stamp, data, stamp)
    writer.finish()
    return {
        'ours.mcap': (folder / 'ours' / 'ours_0.mcap').read_bytes(),
        'plain.mcap': plain.getvalue(),
        'js.mcap': next((folder / 'js').glob('*.mcap')).read_bytes(),
        'sql.db3': next((folder / 'sql').glob('*.db3')).read_bytes(),
        'walk.csv': (folder / 'walk.csv').read_bytes(),
        'walk.npz': (folder / 'walk.npz').read_bytes(),
    }


SEEDS = ('ours.mcap', 'plain.mcap', 'js.mcap', 'sql.db3', 'walk.csv', 'walk.npz')


@pytest.mark.parametrize('seed', SEEDS)
@fuzz
@given(changes=edits)
def test_edited_recordings_give_a_trajectory_or_a_sentence(seeds, seed, changes):
    survives(Path(seed).suffix, edited(seeds[seed], changes))


@pytest.mark.parametrize('suffix', ['.mcap', '.db3', '.csv', '.npz'])
@fuzz
@given(content=st.binary(max_size=400))
def test_random_bytes_give_a_sentence(suffix, content):
    magic = {'.mcap': b'\x89MCAP0\r\n', '.db3': b'SQLite format 3\0', '.npz': b'PK\x03\x04'}
    survives(suffix, content)
    survives(suffix, magic.get(suffix, b'time_s,quat_w\n') + content)


@fuzz
@given(
    stamps=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=30),
    ticks=st.lists(st.integers(0, 2**32 - 1), min_size=30, max_size=30),
)
def test_any_stamps_and_ticks_give_increasing_times(seeds, stamps, ticks):
    del seeds
    samples = lowstates(make_walk(Walk(), 0.1, rate_hz=500.0)[0])
    plain = io.BytesIO()
    writer = Writer(plain)
    writer.start(profile='ros2')
    schema = writer.register_schema(LOWSTATE_TYPE, 'ros2msg', b'')
    channel = writer.register_channel('/lowstate', 'cdr', schema)
    for stamp, tick, (_, data) in zip(stamps, ticks, samples, strict=False):
        changed = data[:1100] + struct.pack('<I', tick) + data[1104:]
        writer.add_message(channel, stamp, changed, stamp)
    writer.finish()
    survives('.mcap', plain.getvalue())


@fuzz
@given(values=st.binary(min_size=1176, max_size=1176))
def test_any_payload_of_the_right_size_is_survived(values):
    writer = io.BytesIO()
    mcap = Writer(writer)
    mcap.start(profile='ros2')
    schema = mcap.register_schema(LOWSTATE_TYPE, 'ros2msg', b'')
    channel = mcap.register_channel('/lowstate', 'cdr', schema)
    for i in range(40):
        mcap.add_message(channel, START_NS + i * 10**7, b'\0\1\0\0' + values, START_NS)
    mcap.finish()
    survives('.mcap', writer.getvalue())


def test_decompression_bomb_is_refused_before_it_unpacks(tmp_path):
    """A few kilobytes that claim to unpack to gigabytes."""
    bomb = io.BytesIO()
    writer = Writer(bomb)
    writer.start(profile='ros2')
    bomb.seek(0, io.SEEK_END)
    packed = zstandard.compress(bytes(48 << 20))
    record = struct.pack('<QQQI', 0, 0, 48 << 20, 0) + struct.pack('<I', 4) + b'zstd'
    record += struct.pack('<Q', len(packed)) + packed
    for _ in range(100):
        bomb.write(b'\x06' + struct.pack('<Q', len(record)) + record)
    (tmp_path / 'x.mcap').write_bytes(bomb.getvalue())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(RecordingError, match='times its size'):
        list(iter_messages(tmp_path / 'x.mcap', lambda kind: True, Findings()))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000


def test_record_that_claims_a_huge_length_allocates_nothing(tmp_path):
    for claim in (2**62, 2**40, 60 << 20):
        (tmp_path / 'x.mcap').write_bytes(
            b'\x89MCAP0\r\n' + b'\x05' + struct.pack('<Q', claim) + bytes(100)
        )
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(RecordingError, match='empty'):
            open_recording(tmp_path / 'x.mcap')
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_trajectory_fields_never_come_from_code(tmp_path):
    np.savez(tmp_path / 'x.npz', time_s=np.array([print], dtype=object))
    with pytest.raises(RecordingError):
        Trajectory.load(tmp_path / 'x.npz')

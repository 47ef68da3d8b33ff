"""Readers on hostile input: a sentence or a trajectory, never a crash, a hang or a flood.

Sixteen tests take inputs; `FUZZ_EXAMPLES` sets how many each (default 100, the same every time).
The long run, other inputs every time, about a quarter of an hour on one core (a time limit would
end a test in the middle of an input, which hypothesis then reports as a flaky failure):

    FUZZ_EXAMPLES=8000 python -m pytest test/recording/test_fuzz.py --timeout=0
"""

from __future__ import annotations

import io
import os
import resource
import struct
import tempfile
import time
import zipfile
from contextlib import contextmanager
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

EXAMPLES = int(os.environ.get('FUZZ_EXAMPLES', '100'))
MOST_SECONDS = 10.0
MOST_BYTES = 1 << 30
"""Address space that one input may take on top of what the process has."""
fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize='FUZZ_EXAMPLES' not in os.environ,
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


@contextmanager
def little_memory():
    """Refuse the process more than `MOST_BYTES`: what asks for them fails with MemoryError."""
    size = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size + MOST_BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def survives(suffix, content):
    """Read the bytes as a file; fail on anything but a trajectory or a sentence."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f'x{suffix}'
        path.write_bytes(content)
        start = time.process_time()  # not the wall clock: other processes may hold the machine
        try:
            with little_memory():
                trajectory = open_recording(path).trajectory
                assert (np.diff(trajectory.time_s) > 0).all()
                assert np.isfinite(trajectory.time_s).all()
                with np.errstate(all='ignore'):
                    cut_prompt(trajectory, 2.0)
        except RecordingError as error:
            assert len(str(error)) > 10
        assert time.process_time() - start < MOST_SECONDS


class Seeds(dict):
    """Good recordings by name; a failing test need not print them."""

    def __repr__(self):
        return f'<{len(self)} recordings>'


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
    messages = [('/lowstate', LOWSTATE_TYPE, *sample) for sample in lowstates(walk)[:80]]
    joints = [
        (f'/{kind[-5:]}', kind, stamp, data) for stamp, data, kind in joint_samples(folder / 'js')
    ]
    return Seeds(
        {
            'ours.mcap': (folder / 'ours' / 'ours_0.mcap').read_bytes(),
            'plain.mcap': packed(messages),
            # no checksum hides what was changed inside
            'bare.mcap': packed(messages, enable_crcs=False),
            'bare_js.mcap': packed(joints, enable_crcs=False),
            'js.mcap': next((folder / 'js').glob('*.mcap')).read_bytes(),
            'sql.db3': next((folder / 'sql').glob('*.db3')).read_bytes(),
            'walk.csv': (folder / 'walk.csv').read_bytes(),
            'walk.npz': (folder / 'walk.npz').read_bytes(),
            'joints': joints,
        }
    )


def packed(messages, **options):
    """Return (topic, type, stamp, data) as an MCAP file without compression."""
    stream, channels = io.BytesIO(), {}
    writer = Writer(stream, compression=CompressionType.NONE, chunk_size=20_000, **options)
    writer.start(profile='ros2')
    for topic, kind, stamp, data in messages:
        if topic not in channels:
            text = schema_text(kind).encode() if kind == LOWSTATE_TYPE else b''
            schema = writer.register_schema(kind, 'ros2msg', text)
            channels[topic] = writer.register_channel(topic, 'cdr', schema)
        writer.add_message(channels[topic], stamp, data, stamp)
    writer.finish()
    return stream.getvalue()


def joint_samples(bag):
    """Return (stamp, data, type) of a bag of joint states and IMU."""
    found = iter_messages(bag, lambda kind: kind.startswith('sensor_msgs'), Findings())
    return [(message.log_ns, message.data, message.type) for message in found]


SEEDS = (
    'ours.mcap', 'plain.mcap', 'bare.mcap', 'js.mcap', 'bare_js.mcap', 'sql.db3', 'walk.csv',
    'walk.npz',
)  # fmt: skip


@pytest.mark.parametrize('seed', SEEDS)
@fuzz
@given(changes=edits)
def test_edited_recordings_give_a_trajectory_or_a_sentence(seeds, seed, changes):
    survives(Path(seed).suffix, edited(seeds[seed], changes))


@fuzz
@given(which=st.floats(0.0, 1.0), changes=edits)
def test_edited_arrays_in_a_sound_archive_are_survived(seeds, which, changes):
    """The archive's own checksums would catch edits from outside."""
    rewritten = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(seeds['walk.npz'])) as old,
        zipfile.ZipFile(rewritten, 'w') as new,
    ):
        names = old.namelist()
        for name in names:
            data = old.read(name)
            chosen = name == names[int(which * (len(names) - 1))]
            new.writestr(name, edited(data, changes) if chosen else data)
    survives('.npz', rewritten.getvalue())


@fuzz
@given(place=st.floats(0.0, 1.0), changes=edits)
def test_edited_joint_states_in_a_sound_bag_are_survived(seeds, place, changes):
    samples = list(seeds['joints'])
    at = int(place * (len(samples) - 1))
    topic, kind, stamp, data = samples[at]
    samples[at] = (topic, kind, stamp, edited(data, changes))
    survives('.mcap', packed(samples))


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
    state = lowstates(make_walk(Walk(), 0.1, rate_hz=500.0)[0])[0][1]
    messages = [
        ('/lowstate', LOWSTATE_TYPE, stamp, state[:1100] + struct.pack('<I', tick) + state[1104:])
        for stamp, tick in zip(stamps, ticks, strict=False)
    ]
    survives('.mcap', packed(messages))


@fuzz
@given(values=st.binary(min_size=1176, max_size=1176))
def test_any_payload_of_the_right_size_is_survived(values):
    survives(
        '.mcap',
        packed(
            ('/lowstate', LOWSTATE_TYPE, START_NS + i * 10**7, b'\0\1\0\0' + values)
            for i in range(40)
        ),
    )


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

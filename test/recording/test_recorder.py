from __future__ import annotations

import os
import time
from collections import deque

import numpy as np
import pytest

from make_agent_ros.go2.link import RawReader, SimulatedRobotLink
from make_agent_ros.go2.state import RobotState
from make_agent_ros.go2.wire import LowStateEncoder
from make_agent_ros.recording import RecordingError
from make_agent_ros.recording.bag import open_recording
from make_agent_ros.recording.messages import STRING_TYPE
from make_agent_ros.recording.recorder import (
    ReceiveClock,
    Recorder,
    RecorderOptions,
    SteadyClock,
    TickCounter,
    firmware,
)
from make_agent_ros.recording.storage import Findings, iter_messages

DOMAIN = 10 + os.getpid() % 200


class Samples:
    """A source that hands out what the test puts in."""

    def __init__(self):
        self.waiting = deque()
        self.encoder = LowStateEncoder()

    def put(self, tick, source_ns=None):
        pose = np.tile([0.0, 0.9, -1.8], 4)
        state = RobotState(np.array([1.0, 0, 0, 0]), np.zeros(3), pose, np.zeros(12), tick=tick)
        now = time.time_ns()
        sample = (self.encoder.encode(state), source_ns or now, now)
        self.waiting.append(sample)

    def take(self):
        return [self.waiting.popleft() for _ in range(len(self.waiting))]


@pytest.fixture
def samples():
    return Samples()


@pytest.fixture
def recorder(samples, tmp_path):
    recorder = Recorder(
        {'/lowstate': samples},
        RecorderOptions(tmp_path, min_free_mb=0.0, ring_s=5.0),
        lambda: {'robot': 'test'},
    )
    yield recorder
    recorder.close()


def feed(samples, ticks):
    for tick in ticks:
        samples.put(tick)
        time.sleep(0.0005)


def test_bag_holds_exactly_what_came_between_start_and_stop(recorder, samples):
    feed(samples, range(0, 100, 2))
    time.sleep(0.1)
    path = recorder.start()
    feed(samples, range(100, 300, 2))
    status = recorder.stop()
    feed(samples, range(300, 400, 2))
    recording = open_recording(path)
    assert len(recording.trajectory) == status.samples == 100
    assert recording.metadata['robot'] == 'test'
    assert recording.metadata['end'] == 'stopped'
    assert recording.metadata['samples'] == '100' and recording.metadata['dropped'] == '0'
    assert status.dropped == 0 and not status.recording


def test_lost_samples_are_counted_by_the_robots_tick(recorder, samples):
    path = recorder.start()
    ticks = [t for t in range(0, 400, 2) if t not in (100, 102, 250)]
    feed(samples, ticks)
    assert recorder.stop().dropped == 3
    recording = open_recording(path)
    assert recording.lost == 3
    assert '3 samples are missing' in recording.notes[0]


def test_snapshot_holds_the_last_seconds_without_a_recording(recorder, samples):
    feed(samples, range(0, 200, 2))
    recorder.mark('stumble')
    path = recorder.snapshot()
    assert len(open_recording(path).trajectory) == 100
    marks = list(iter_messages(path, lambda kind: kind == STRING_TYPE, Findings()))
    assert marks[0].data.endswith(b'stumble\0')


def test_ring_forgets_what_is_older_than_its_length(samples, tmp_path):
    recorder = Recorder({'/lowstate': samples}, RecorderOptions(tmp_path, ring_s=0.2))
    feed(samples, range(0, 100, 2))
    time.sleep(0.4)
    feed(samples, range(1000, 1100, 2))
    time.sleep(0.1)
    recorder.close()
    assert len(open_recording(recorder.snapshot()).trajectory) == 50


def test_second_start_and_lonely_stop_are_refused_with_a_sentence(recorder):
    with pytest.raises(RecordingError, match='start first'):
        recorder.stop()
    recorder.start()
    with pytest.raises(RecordingError, match='already recording'):
        recorder.start()


def test_bag_at_its_limit_ends_in_a_clear_state_and_stays_readable(samples, tmp_path):
    options = RecorderOptions(tmp_path, min_free_mb=0.0, max_bag_mb=0.05, ring_s=0.0)
    recorder = Recorder({'/lowstate': samples}, options)
    path = recorder.start()
    deadline = time.monotonic() + 20.0
    tick = 0
    while recorder.status().recording and time.monotonic() < deadline:
        feed(samples, range(tick, tick + 100, 2))
        tick += 100
    status = recorder.status()
    assert not status.recording and 'limit' in status.error
    with pytest.raises(RecordingError, match='limit'):
        recorder.stop()
    recorder.close()
    assert len(open_recording(path).trajectory) > 50


def test_marks_and_samples_of_real_dds_traffic_arrive_without_loss(tmp_path):
    """A simulated robot sends 1 s of lowstate over CycloneDDS on loopback."""
    link = SimulatedRobotLink('lo', DOMAIN)
    reader = RawReader('rt/lowstate', 'lo', DOMAIN)
    recorder = Recorder({'/lowstate': reader}, RecorderOptions(tmp_path, min_free_mb=0.0))
    encoder = LowStateEncoder()
    state = RobotState(np.array([1.0, 0, 0, 0]), np.zeros(3), np.zeros(12), np.zeros(12))

    def send(ticks):
        due = time.monotonic()
        for tick in ticks:
            state.tick = 2 * tick
            link.write_state(encoder.encode(state))
            due += 0.002
            time.sleep(max(0.0, due - time.monotonic()))

    deadline = time.monotonic() + 10.0
    tick = 0
    while recorder.status().rate_hz == 0.0:
        assert time.monotonic() < deadline, 'no sample came through DDS'
        send(range(tick, tick + 10))
        tick += 10
    time.sleep(0.1)
    path = recorder.start()
    send(range(10_000, 10_500))
    time.sleep(0.2)
    status = recorder.stop()
    recorder.close()
    reader.close()
    link.close()
    assert status.samples == 500 and status.dropped == 0
    messages = list(iter_messages(path, lambda kind: True, Findings()))
    stamps = np.array([m.log_ns for m in messages])
    assert (np.diff(stamps) > 0).all()
    # taken in batches of ten, stamped as they arrived
    assert np.percentile(np.diff(stamps), 90) < 6_000_000


def test_batch_is_spread_over_its_arrival_times():
    clock = ReceiveClock()
    year = 365 * 24 * 3600 * 10**9
    stamps = []
    for batch in range(50):
        taken = 10**18 + (batch + 1) * 20_000_000
        for i in range(10):
            # the robot's clock is a year behind; transport takes 1 ms
            arrived = 10**18 + batch * 20_000_000 + (i + 1) * 2_000_000
            stamps.append(clock.stamp(arrived - 1_000_000 - year, taken))
    step = np.diff(stamps[20:])
    np.testing.assert_array_equal(step, 2_000_000)


def test_jump_of_the_robots_clock_does_not_move_receive_times():
    clock = ReceiveClock()
    for i in range(1000):
        clock.stamp(10**18 + i * 2_000_000, 10**18 + i * 2_000_000 + 500_000)
    receive = 10**18 + 1000 * 2_000_000
    stamp = clock.stamp(5 * 10**18, receive)
    assert receive - 5_000_000 < stamp <= receive
    stamp = clock.stamp(10**17, receive + 2_000_000)
    assert receive - 5_000_000 < stamp <= receive + 2_000_000


def test_counter_with_uneven_steps_is_not_taken_for_losses(samples):
    counter = TickCounter()
    tick = 0
    for i in range(1000):
        tick += (2, 2, 1, 3)[i % 4]
        samples.put(tick)
    for data, _, _ in samples.take():
        counter.see(data)
    assert counter.missing == 0


def test_wall_clock_that_is_set_moves_no_stamp_inside_a_bag(monkeypatch, samples, tmp_path):
    """A computer that gets network time jumps by an hour, back as well as forth."""
    true_ns, set_by_ns = time.time_ns, [0]
    monkeypatch.setattr(time, 'time_ns', lambda: true_ns() + set_by_ns[0])
    recorder = Recorder({'/lowstate': samples}, RecorderOptions(tmp_path, min_free_mb=0.0))
    path = recorder.start()
    for hour in (0, -1, 1):
        set_by_ns[0] = hour * 3600 * 10**9
        feed(samples, range(500 * (hour + 2), 500 * (hour + 2) + 100, 2))
        recorder.mark(f'hour {hour}')
    recorder.stop()
    messages = list(iter_messages(path, lambda kind: True, Findings()))
    stamps = np.array([m.log_ns for m in messages])
    assert len(messages) == 153
    assert np.diff(stamps).min() >= 0 and np.ptp(stamps) < 60 * 10**9
    after = recorder.start()
    recorder.mark('now')
    recorder.stop()
    recorder.close()
    (mark,) = iter_messages(after, lambda kind: True, Findings())
    assert abs(mark.log_ns - time.time_ns()) < 60 * 10**9


def test_clock_follows_the_wall_only_when_asked(monkeypatch):
    clock = SteadyClock()
    assert not clock.set()
    later = time.time_ns() + 10**12
    monkeypatch.setattr(time, 'time_ns', lambda: later)
    assert clock.now_ns() < later - 5 * 10**11
    assert clock.set()
    assert abs(clock.now_ns() - later) < 10**11


def test_firmware_is_noted_where_the_robot_tells_it(samples, recorder):
    samples.put(2)
    data = bytearray(samples.waiting.pop()[0])
    assert firmware(bytes(data)) == ''
    data[16:24] = (1).to_bytes(4, 'little') + (23).to_bytes(4, 'little')
    data[1040:1042] = bytes([2, 7])
    assert firmware(bytes(data)) == 'lowstate 1.23, battery 2.7'
    assert firmware(bytes(10)) == ''
    samples.waiting.append((bytes(data), time.time_ns(), time.time_ns()))
    time.sleep(0.1)
    path = recorder.start()
    samples.waiting.append((bytes(data), time.time_ns(), time.time_ns()))
    recorder.stop()
    assert open_recording(path).metadata['firmware'] == 'lowstate 1.23, battery 2.7'

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from make_agent_ros.go2.command import JointCommand, damping_command
from make_agent_ros.go2.constants import JOINT_NAMES, SDK_JOINT_NAMES
from make_agent_ros.go2.dds import LOWSTATE_TOPIC
from make_agent_ros.go2.link import (
    ArrivalLog,
    LinkError,
    RawReader,
    RobotLink,
    SimulatedRobotLink,
)
from make_agent_ros.go2.state import RobotState
from make_agent_ros.go2.wire import LowStateEncoder, decode_lowcmd, lowstate_crc


def a_state(tick: int = 0) -> RobotState:
    return RobotState(
        quat_wxyz=np.array([1.0, 0.0, 0.0, 0.0]),
        base_ang_vel=np.zeros(3),
        joint_pos=np.arange(12) / 8,
        joint_vel=np.zeros(12),
        tick=tick,
    )


def a_sample(tick: int = 0) -> bytes:
    return LowStateEncoder().encode(a_state(tick))


@pytest.fixture
def link(dds_domain):
    link = RobotLink('lo', dds_domain)
    yield link
    link.close()


@pytest.fixture
def robot(dds_domain):
    robot = SimulatedRobotLink('lo', dds_domain)
    yield robot
    robot.close()


@pytest.fixture
def pair(link, robot, wait_until):
    wait_until(lambda: link.lowcmd_readers() == 1 and len(link.lowstate_writers()) == 1)
    return link, robot


def publish_until(done, write, period_s=0.01, timeout_s=15.0):
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline
        write()
        time.sleep(period_s)


def test_the_sdk_reads_our_lowstate(robot, dds_domain, sdk_peer):
    peer = sdk_peer('read-lowstate', dds_domain)
    answer = {}
    reader = threading.Thread(target=lambda: answer.update(peer.answer()))
    reader.start()
    publish_until(lambda: not reader.is_alive(), lambda: robot.write_state(a_sample(1234)))
    assert answer['crc']
    assert answer['tick'] == 1234
    for i, name in enumerate(JOINT_NAMES):
        assert answer['q'][SDK_JOINT_NAMES.index(name)] == i / 8


def test_one_sample_in_25_also_reaches_subscribers_of_the_low_rate_topic(
    robot, dds_domain, sdk_peer
):
    peer = sdk_peer('read-lf-lowstate', dds_domain)
    answer = {}
    reader = threading.Thread(target=lambda: answer.update(peer.answer()))
    reader.start()
    tick = iter(range(1_000_000))
    publish_until(
        lambda: not reader.is_alive(), lambda: robot.write_state(a_sample(next(tick))), 0.001
    )
    assert answer['crc']
    assert answer['ticks'] > 0
    assert answer['ticks'] % 25 == 0


def test_we_read_the_sdks_lowstate(link, dds_domain, sdk_peer):
    sdk_peer('write-lowstate', dds_domain)
    state = link.wait_state(15.0)
    assert state is not None
    for i, name in enumerate(JOINT_NAMES):
        assert state.joint_pos[i] == pytest.approx(SDK_JOINT_NAMES.index(name) / 10)
    following = link.wait_state(1.0)
    assert following.tick > state.tick
    assert following.stamp_s > state.stamp_s


def test_the_sdk_reads_our_lowcmd(link, dds_domain, sdk_peer):
    peer = sdk_peer('read-lowcmd', dds_domain)
    command = JointCommand(joint_pos=np.arange(12) / 8, stiffness=np.full(12, 25.0))
    answer = {}
    reader = threading.Thread(target=lambda: answer.update(peer.answer()))
    reader.start()
    publish_until(lambda: not reader.is_alive(), lambda: link.write(command))
    assert answer['crc']
    assert answer['kp'][:12] == [25.0] * 12
    for i, name in enumerate(JOINT_NAMES):
        assert answer['q'][SDK_JOINT_NAMES.index(name)] == i / 8


def test_we_read_the_sdks_lowcmd_and_name_its_process(
    link, robot, dds_domain, sdk_peer, wait_until
):
    peer = sdk_peer('write-lowcmd', dds_domain)
    received = []

    def arrived() -> bool:
        sample = robot.take_command()
        received.extend([sample] if sample else [])
        return bool(received)

    wait_until(arrived, timeout_s=20.0)
    command = decode_lowcmd(received[0])
    for i, name in enumerate(JOINT_NAMES):
        assert command.joint_pos[i] == pytest.approx(SDK_JOINT_NAMES.index(name) / 10)
    (other,) = link.lowcmd_writers()  # ours is not among them
    assert f'pid {peer.process.pid}' in other
    assert socket.gethostname() in other


def test_a_closed_link_is_no_writer_any_more_though_its_object_lives(link, dds_domain, wait_until):
    other = RobotLink('lo', dds_domain)
    wait_until(lambda: len(link.lowcmd_writers()) == 1)
    other.close()
    wait_until(lambda: link.lowcmd_writers() == [], timeout_s=2.0)
    assert other.latest() is None
    assert other.wait_state(0.1) is None


def test_a_link_that_only_listens_is_taken_for_no_controller(link, dds_domain, wait_until):
    listener = RobotLink('lo', dds_domain, listen_only=True)
    controller = RobotLink('lo', dds_domain)
    wait_until(lambda: link.lowcmd_writers() != [], 5.0)
    assert len(link.lowcmd_writers()) == 1
    with pytest.raises(LinkError, match='only listens'):
        listener.write(damping_command())
    for peer in (listener, controller):
        peer.close()


def test_a_killed_writer_is_forgotten_within_its_lease(link, dds_domain, wait_until):
    code = (
        'import sys, time\n'
        'from make_agent_ros.go2.link import RobotLink\n'
        'link = RobotLink("lo", int(sys.argv[1]))\n'
        'time.sleep(60)\n'
    )
    with subprocess.Popen([sys.executable, '-c', code, str(dds_domain)]) as other:
        wait_until(lambda: len(link.lowcmd_writers()) == 1, timeout_s=20.0)
        other.kill()
    wait_until(lambda: link.lowcmd_writers() == [], timeout_s=6.0)


def test_a_command_comes_out_as_it_went_in(pair, wait_until):
    link, robot = pair
    link.write(damping_command(2.5))
    received = []
    wait_until(lambda: received.append(robot.take_command()) or received[-1] is not None)
    command = decode_lowcmd(received[-1])
    np.testing.assert_array_equal(command.damping, np.full(12, 2.5))
    np.testing.assert_array_equal(command.stiffness, np.zeros(12))
    assert robot.take_command() is None


def test_wait_state_returns_each_state_once_and_the_newest_of_a_burst(pair):
    link, robot = pair
    for tick in range(5):
        robot.write_state(a_sample(tick))
    time.sleep(0.1)
    assert link.wait_state(1.0).tick == 4
    assert link.wait_state(0.05) is None
    assert link.latest().tick == 4


def test_a_look_at_the_latest_state_takes_nothing_from_wait_state(pair, wait_until):
    link, robot = pair
    robot.write_state(a_sample(7))
    wait_until(lambda: link.latest() is not None)
    assert link.wait_state(0.0).tick == 7


def test_wait_state_blocks_until_a_state_is_sent(pair):
    link, robot = pair
    delay_s = 0.2
    timer = threading.Timer(delay_s, robot.write_state, [a_sample()])
    start = time.monotonic()
    timer.start()
    assert link.wait_state(5.0) is not None
    assert delay_s <= time.monotonic() - start < delay_s + 0.5


def test_closing_the_link_frees_a_blocked_wait(link):
    states = []
    waiting = threading.Thread(target=lambda: states.append(link.wait_state(30.0)))
    waiting.start()
    time.sleep(0.1)
    link.close()
    waiting.join(timeout=2.0)
    assert states == [None]
    with pytest.raises(LinkError, match='closed'):
        link.write(damping_command())


def test_a_wrong_crc_is_refused_once_the_peer_has_signed(pair, wait_until):
    link, robot = pair
    good, bad = a_sample(1), a_sample(2)[:-4] + b'\xde\xad\xbe\xef'
    robot.write_state(good)
    assert link.wait_state(1.0).tick == 1
    robot.write_state(bad)
    assert link.wait_state(0.1) is None
    assert link.rejected == 1
    assert f'{lowstate_crc(bad):#010x}' in link.last_rejection


def test_a_peer_that_never_signs_is_believed(pair):
    link, robot = pair
    robot.write_state(a_sample(3)[:-4] + bytes(4))
    assert link.wait_state(1.0).tick == 3
    assert link.rejected == 0


def test_the_raw_reader_gets_every_sample_unchanged_and_in_order(robot, dds_domain, wait_until):
    reader = RawReader(LOWSTATE_TOPIC, 'lo', dds_domain)
    wait_until(robot._writer.matched_readers)
    sent = [a_sample(tick) for tick in range(500)]
    before_ns = time.time_ns()
    for sample in sent:
        robot.write_state(sample)
        time.sleep(0.0005)
    received = []
    wait_until(lambda: received.extend(reader.take()) or len(received) >= len(sent))
    assert [data for data, _, _ in received] == sent
    for _, source_ns, receive_ns in received:
        assert before_ns <= source_ns <= receive_ns
    reader.close()


def test_arrivals_are_timed_on_the_robots_side(pair, wait_until):
    link, robot = pair
    pauses_s = [0.0, 0.02, 0.15, 0.02]
    for pause_s in pauses_s:
        time.sleep(pause_s)
        robot.write_state(a_sample())
        link.write(damping_command())
    wait_until(lambda: (report := robot.arrivals.report()) is not None and report.count == 4)
    report = robot.arrivals.report()
    assert report.gap_s_max == pytest.approx(0.15, abs=0.03)
    assert 0.0 < report.reply_s_p50 < 0.02
    robot.arrivals.reset()
    assert robot.arrivals.report() is None


def test_an_interface_that_does_not_exist_is_refused_with_those_that_do(dds_domain):
    with pytest.raises(LinkError, match=r"'wlan7' does not exist; this machine has .*lo"):
        RobotLink('wlan7', dds_domain)


def test_a_domain_without_ports_is_refused():
    with pytest.raises(LinkError, match=r'DDS domain 233 is outside 0\.\.232'):
        RobotLink('lo', 233)


def test_an_unknown_topic_is_refused_with_the_known_ones(dds_domain):
    with pytest.raises(LinkError, match=r"'rt/lidar' is unknown; known: rt/lowstate"):
        RawReader('rt/lidar', 'lo', dds_domain)


def test_one_domain_has_one_interface_per_process(link, dds_domain, monkeypatch):
    monkeypatch.setattr(socket, 'if_nameindex', lambda: [(1, 'lo'), (2, 'eth0')])
    with pytest.raises(LinkError, match=r"already runs on interface 'lo'"):
        RobotLink('eth0', dds_domain)


def test_a_closed_domain_can_be_opened_again(dds_domain):
    for _ in range(3):
        RobotLink('lo', dds_domain).close()


def test_commands_from_before_the_first_state_count_as_arrivals_and_reply_to_nothing():
    log = ArrivalLog()
    for i in range(3):
        log.add(0.01 * i, np.nan)
    report = log.report()
    assert report.count == 3
    assert report.gap_s_max == pytest.approx(0.01)
    assert np.isnan(report.reply_s_p50)
    log.add(0.04, 0.039)
    assert log.report().reply_s_p99 == pytest.approx(0.001)

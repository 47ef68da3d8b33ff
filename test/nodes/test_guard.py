"""The guard as a process: what it does when the controller's end of the pipe falls silent."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from make_agent_ros.go2.command import damping_command
from make_agent_ros.go2.dds import LOWCMD_TOPIC, Participant
from make_agent_ros.go2.link import RobotLink, SimulatedRobotLink
from make_agent_ros.go2.wire import decode_lowcmd, encode_lowstate
from make_agent_ros.nodes.guard import ARMED, DISARMED, Guard

from control.harness import is_damping  # isort: skip
from make_agent_ros.control.admission import standing_state

pytestmark = pytest.mark.slow


@pytest.fixture
def guard(dds_domain):
    process = subprocess.Popen(
        [sys.executable, '-m', 'make_agent_ros.nodes.guard', 'lo', str(dds_domain), '0.3', '3'],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    yield process
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stderr):
        stream.close()


@pytest.fixture
def robot(dds_domain):
    link = SimulatedRobotLink('lo', dds_domain)
    yield link
    link.close()


def feed(guard, data: bytes, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        os.write(guard.stdin.fileno(), data)
        time.sleep(0.01)


def first_command_s(robot, timeout_s: float = 5.0) -> float | None:
    """Seconds until a command arrives; it must be damping."""
    start = time.monotonic()
    state = encode_lowstate(standing_state())
    while time.monotonic() - start < timeout_s:
        robot.write_state(state)
        data = robot.take_command()
        if data is not None:
            assert is_damping(decode_lowcmd(data))
            return time.monotonic() - start
        time.sleep(0.005)
    return None


def test_a_guard_is_silent_while_the_controller_lives_or_is_disarmed(guard, robot):
    feed(guard, ARMED, 2.0)
    feed(guard, DISARMED, 0.5)
    assert first_command_s(robot, 0.8) is None, 'disarmed silence means nothing'
    guard.stdin.close()
    assert guard.wait(5.0) == 0
    assert robot.take_command() is None


@pytest.mark.parametrize('how', ['dies', 'hangs'])
def test_a_controller_that_dies_or_hangs_while_armed_is_replaced_by_damping(guard, robot, how):
    feed(guard, ARMED, 2.0)
    if how == 'dies':
        guard.stdin.close()
    seconds = first_command_s(robot)
    assert seconds is not None
    assert seconds < 1.5


def test_a_guard_that_was_killed_is_started_again_and_guards(robot, dds_domain, wait_until):
    guard = Guard('lo', dds_domain, 0.3, 3.0)
    guard._process.kill()
    guard._process.wait()
    guard.beat(True)
    assert guard.lost
    guard.revive()
    end = time.monotonic() + 2.0
    while time.monotonic() < end:
        guard.beat(True)
        time.sleep(0.01)
    assert not guard.lost
    assert robot.take_command() is None
    assert first_command_s(robot) is not None, 'silence while armed is answered by damping'
    guard.close()
    assert guard._process.poll() is not None


def test_the_guard_steps_back_for_a_new_controller(guard, robot, dds_domain, wait_until):
    feed(guard, ARMED, 2.0)
    guard.stdin.close()
    assert first_command_s(robot) is not None
    controller = RobotLink('lo', dds_domain)
    controller.write(damping_command())
    assert guard.wait(5.0) == 0
    wait_until(lambda: controller.lowcmd_writers() == [], 5.0)
    controller.close()


def test_a_writer_that_came_and_went_between_two_looks_is_not_counted(dds_domain):
    observer = Participant('lo', dds_domain)
    subprocess.run(
        [
            sys.executable,
            '-c',
            'from make_agent_ros.go2.link import RobotLink; import time;'
            f'link = RobotLink("lo", {dds_domain}); time.sleep(0.5)',
        ],
        check=True,
    )
    time.sleep(0.3)
    assert observer.writers_on(LOWCMD_TOPIC) == {}
    observer.close()

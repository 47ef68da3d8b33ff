from __future__ import annotations

import time

import pytest

from make_agent_ros.go2.link import RobotLink
from make_agent_ros.go2.motion_switcher import MotionSwitcher, MotionSwitcherError
from make_agent_ros.go2.rpc import ERROR_SEND, ERROR_TIMEOUT
from make_agent_ros.simulation.sport_mode import SportMode


@pytest.fixture
def robot(dds_domain):
    mode = SportMode('lo', dds_domain, 'mcf')
    yield mode
    mode.close()


@pytest.fixture
def switcher(dds_domain):
    with MotionSwitcher('lo', dds_domain) as client:
        yield client


def test_release_stands_down_first_and_returns_what_held_the_motors(robot, switcher):
    assert switcher.check_mode() == (0, 'mcf')
    assert switcher.release(timeout_s=10.0, stand_down_s=0.1) == 'mcf'
    assert robot.stood_down
    assert switcher.check_mode() == (0, '')


def test_a_released_robot_is_left_alone(robot, switcher):
    robot.release()
    assert switcher.release(timeout_s=5.0) == ''
    assert not robot.stood_down
    assert robot.releases == 1  # the one above


def test_a_release_that_is_acknowledged_but_ignored_is_asked_for_again(robot, switcher):
    robot.stubborn = 2
    assert switcher.release(timeout_s=10.0, stand_down_s=0.0) == 'mcf'
    assert robot.releases == 3


def test_a_robot_that_never_lets_go_ends_at_the_deadline_with_its_mode_named(robot, switcher):
    robot.stubborn = 10_000
    start = time.monotonic()
    with pytest.raises(MotionSwitcherError, match=r"mode 'mcf' still holds the motors after 2 s"):
        switcher.release(timeout_s=2.0, stand_down_s=0.0)
    assert time.monotonic() - start < 3.0


def test_a_silent_robot_gives_a_code_and_no_name_and_release_stops_at_the_deadline(
    robot, switcher
):
    robot.silent = True
    assert switcher.check_mode(timeout_s=0.3) == (ERROR_TIMEOUT, None)
    start = time.monotonic()
    with pytest.raises(MotionSwitcherError, match='3104, the robot did not answer'):
        switcher.release(timeout_s=1.0)
    assert time.monotonic() - start < 2.0


def test_without_a_robot_the_error_asks_for_interface_and_domain(switcher):
    assert switcher.check_mode(timeout_s=0.2) == (ERROR_SEND, None)
    with pytest.raises(MotionSwitcherError, match=r'interface and DDS domain'):
        switcher.release(timeout_s=0.4)


@pytest.mark.parametrize('name', ['normal', 'ai', 'advanced', 'mcf'])
def test_the_motors_are_given_back_by_name(robot, switcher, name):
    robot.release()
    switcher.select(name)
    assert robot.name == name


def test_an_unknown_mode_is_refused_with_the_robots_code(robot, switcher):
    with pytest.raises(MotionSwitcherError, match=r"mode 'moonwalk' was not started.*7002"):
        switcher.select('moonwalk')


def test_the_active_mode_is_a_second_lowcmd_writer_until_it_is_released(
    robot, switcher, dds_domain, wait_until
):
    link = RobotLink('lo', dds_domain)
    wait_until(lambda: len(link.lowcmd_writers()) == 1)
    switcher.release(timeout_s=10.0, stand_down_s=0.0)
    wait_until(lambda: link.lowcmd_writers() == [])
    link.close()

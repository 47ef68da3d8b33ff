"""What the doctor finds on the wire and on this machine, and the remedy that it names."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip('rclpy')
from make_agent_ros.go2.link import RobotLink, SimulatedRobotLink
from make_agent_ros.nodes.doctor import (
    Heard,
    examine,
    listen,
    machine_findings,
    network_findings,
    robot_findings,
)
from make_agent_ros.simulation.realtime import RealTimeRobot
from make_agent_ros.simulation.robot import SimulatedRobot

HEALTHY = Heard(
    count=1000, seconds=2.0, battery_soc=80.0, clock_offset_s=0.0, state_writers=('go2',)
)


def findings(heard: Heard, real: bool = True) -> dict:
    return {found.name: found for found in robot_findings(heard, real, 'eth0', 0)}


@pytest.mark.slow
def test_it_hears_a_simulated_robot_and_who_commands_it(dds_domain, wait_until):
    with RealTimeRobot(SimulatedRobot(), SimulatedRobotLink('lo', dds_domain)):
        alone = listen('lo', dds_domain)
        assert alone.count > 10
        assert (len(alone.state_writers), alone.command_writers) == (1, ())
        found = findings(alone, real=False)
        for name in ('robots', 'rt/lowcmd writers', 'joint order', 'battery', 'clock'):
            assert found[name].level == 'ok', found[name]
        writers = [RobotLink('lo', dds_domain) for _ in range(2)]
        both = findings(listen('lo', dds_domain), real=False)
        assert both['rt/lowcmd writers'].level == 'fail'
        assert 'stop the others' in both['rt/lowcmd writers'].remedy
        for writer in writers:
            writer.close()


def test_a_healthy_robot_gives_no_remedy_to_follow():
    assert {found.level for found in robot_findings(HEALTHY, True, 'eth0', 0)} == {'ok'}


@pytest.mark.parametrize(
    ('changes', 'name', 'level', 'word'),
    [
        ({'count': 0}, 'rt/lowstate', 'fail', 'ping 192.168.123.161'),
        ({'error': 'no such interface'}, 'rt/lowstate', 'fail', 'interface'),
        ({'count': 500}, 'rt/lowstate', 'warn', 'too busy'),
        ({'lost': 3}, 'rt/lowstate', 'warn', 'too busy'),
        ({'state_writers': ('go2', 'sim')}, 'robots', 'fail', 'another domain'),
        ({'command_writers': ('a', 'b')}, 'rt/lowcmd writers', 'fail', 'stop the others'),
        ({'doubt': 'legs exchanged'}, 'joint order', 'warn', 'will not stand up'),
        ({'battery_soc': 12.0}, 'battery', 'warn', 'charge'),
        ({'clock_offset_s': -3.0}, 'clock', 'warn', 'chrony'),
    ],
)
def test_each_trouble_has_its_line_and_remedy(changes, name, level, word):
    found = findings(replace(HEALTHY, **changes))[name]
    assert found.level == level
    assert word in found.remedy


def test_an_interface_that_is_not_there_is_named_with_those_that_are():
    (found,) = network_findings('eth77', True)
    assert found.level == 'fail'
    assert 'lo' in found.remedy


def test_loopback_is_no_way_to_a_real_robot():
    levels = {found.name: found.level for found in network_findings('lo', True)}
    assert levels == {'interface': 'ok', 'address': 'fail', 'multicast': 'ok'}


def test_without_a_network_for_the_robot_the_rest_of_the_machine_is_still_examined(monkeypatch):
    monkeypatch.setattr('make_agent_ros.nodes.network.interface_addresses', lambda: {})
    monkeypatch.setattr('make_agent_ros.nodes.doctor.machine_findings', lambda: [])
    (found,) = examine('go2')
    assert found.level == 'fail'
    assert '192.168.123.' in found.found


@pytest.mark.slow
def test_the_machine_is_described_in_four_lines():
    found = machine_findings()
    assert [f.name for f in found] == ['ROS 2', 'real time', 'versions', 'rendering']
    assert all(f.remedy for f in found if f.level != 'ok')
    assert next(f for f in found if f.name == 'ROS 2').level == 'ok'

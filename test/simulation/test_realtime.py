from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from make_agent_ros.go2.command import damping_command
from make_agent_ros.go2.constants import NOMINAL_JOINT_POS
from make_agent_ros.go2.link import RawReader, RobotLink, SimulatedRobotLink
from make_agent_ros.go2.wire import decode_lowstate
from make_agent_ros.simulation.realtime import RealTimeRobot
from make_agent_ros.simulation.robot import SimulatedRobot
from make_agent_ros.simulation.sensors import Noise


@pytest.fixture
def make_sim(dds_domain):
    sims = []

    def make(**options) -> RealTimeRobot:
        robot = SimulatedRobot(noise=Noise.none())
        sims.append(RealTimeRobot(robot, SimulatedRobotLink('lo', dds_domain), **options))
        sims[-1].start()
        return sims[-1]

    yield make
    for sim in sims:
        sim.stop()


def test_an_unchanged_sdk_program_stands_the_robot_up(make_sim, dds_domain, sdk_peer):
    sim = make_sim()
    lying_m = sim.robot.truth().position_w[2]
    answer = sdk_peer('stand', dds_domain).answer()
    assert sim.error is None
    with sim.lock:
        truth = sim.robot.truth()
    assert lying_m < 0.12
    assert 0.24 < truth.position_w[2] < 0.287
    assert 2.0 * np.arccos(min(1.0, abs(truth.quat_wxyz[0]))) < 0.1
    # The SDK's slots are FR, FL, RR, RL; the nominal pose is the same for all legs.
    assert np.abs(np.array(answer['q']) - NOMINAL_JOINT_POS).max() < 0.25
    report = sim.report()
    assert report.bad_commands == 0
    assert report.commands > 1000


def test_an_unchanged_sdk_program_releases_and_starts_the_robots_controller(dds_domain, sdk_peer):
    from make_agent_ros.simulation.sport_mode import SportMode

    robot = SportMode('lo', dds_domain, 'normal')
    answer = sdk_peer('switch-modes', dds_domain).answer()
    robot.close()
    assert answer['before'] == [0, {'form': '0', 'name': 'normal'}]
    assert answer['released'][0] == 0
    assert answer['after'][1]['name'] == ''
    assert answer['selected'][0] == 0
    assert answer['end'][1]['name'] == 'ai'


def paced(sim: RealTimeRobot, seconds: float, factor: float) -> None:
    """Check that simulated time is wall time, less what the loop says it had to give up.

    That holds on a machine that is too slow as well: nothing drifts unreported.
    """
    start, steps = time.monotonic(), sim.report().steps
    given_up_s = sim.report().time_given_up_s
    time.sleep(seconds)
    report = sim.report()
    wall_s = time.monotonic() - start - (report.time_given_up_s - given_up_s)
    simulated_s = (report.steps - steps) * 0.002
    assert simulated_s == pytest.approx(factor * wall_s, abs=0.15)
    assert 0.0 <= report.real_time_factor < 1.05 * factor


def test_every_period_has_its_state_and_simulated_time_keeps_to_the_clock(make_sim, dds_domain):
    reader = RawReader('rt/lowstate', 'lo', dds_domain)
    sim = make_sim()
    assert reader.wait(10.0)
    paced(sim, 3.0, factor=1.0)
    received = reader.take()
    reader.close()
    ticks = [decode_lowstate(data, check_crc=True).tick for data, _, _ in received]
    assert len(ticks) > 500
    assert (np.diff(ticks) == 2).all()


@pytest.mark.parametrize('factor', [0.25, 2.0])
def test_simulated_time_can_be_slowed_and_hurried(make_sim, factor):
    paced(make_sim(real_time_factor=factor), 2.0, factor)


def test_a_factor_of_zero_is_refused(dds_domain):
    link = SimulatedRobotLink('lo', dds_domain)
    with pytest.raises(ValueError, match='real_time_factor is 0'):
        RealTimeRobot(SimulatedRobot(), link, 0.0)
    link.close()


def test_an_answering_client_is_timed_on_the_robots_side(make_sim, dds_domain, wait_until):
    sim = make_sim()
    link = RobotLink('lo', dds_domain)
    stop = threading.Event()

    def answer() -> None:
        while not stop.is_set():
            if link.wait_state(0.1) is not None:
                link.write(damping_command())

    client = threading.Thread(target=answer)
    client.start()
    wait_until(lambda: sim.robot.commands > 50)
    sim.reset_figures()
    time.sleep(2.0)
    stop.set()
    client.join()
    link.close()
    wire = sim.report().wire
    # Loose bounds: the figures themselves are `make-agent bench controller`'s business.
    assert 200 < wire.count < 1100
    assert 0.0 < wire.reply_s_p50 <= wire.reply_s_p99 <= wire.reply_s_max < 1.0
    assert 0.0 < wire.gap_s_p99 <= wire.gap_s_max < 1.0


def test_an_error_in_the_physics_ends_the_thread_and_is_kept(make_sim, wait_until):
    sim = make_sim()

    def broken(_: object) -> None:
        raise ValueError('solver exploded')

    with sim.lock:
        sim.robot.step = broken
    wait_until(lambda: not sim.running)
    assert str(sim.error) == 'solver exploded'

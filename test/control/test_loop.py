"""The loop against a link in memory: its thread, clock and mailbox are the real ones."""

from __future__ import annotations

import threading
import time
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest

from make_agent_ros.control import (
    Controller,
    ControllerConfig,
    FaultCode,
    Mode,
    PolicyRunner,
    Request,
    SafetyLimits,
)
from make_agent_ros.control.blackbox import BlackBox, load, save
from make_agent_ros.control.loop import LoopConfig, RealtimeLoop
from make_agent_ros.control.timing import Ring
from make_agent_ros.go2.command import JointCommand
from make_agent_ros.go2.constants import LYING_JOINT_POS
from make_agent_ros.go2.state import RobotState

from .harness import constant_bundle, is_damping

PATIENT = SafetyLimits(state_age_warn_s=0.3, state_age_max_s=0.5, policy_age_max_s=0.5)
"""Test machines may be busy: what is measured here is order and rate, not the age limits."""


class MemoryLink:
    """A robot that lies still and sends at 500 Hz from a thread of its own."""

    def __init__(self) -> None:
        self.sent: list[tuple[float, JointCommand]] = []
        self.writers: list[str] = []
        self.fail_writes = False
        self.broken = False
        self.tick = 0
        self.missing = 0
        self._state: RobotState | None = None
        self._arrived = threading.Event()
        self._quit = threading.Event()
        self.silent = threading.Event()
        self._thread = threading.Thread(target=self._talk, daemon=True)
        self._thread.start()

    def _talk(self) -> None:
        rng = np.random.default_rng(0)
        while not self._quit.wait(0.002):
            if self.silent.is_set():
                continue
            self.tick += 2
            self._state = RobotState(
                quat_wxyz=np.array([1.0, 0.0, 0.0, 0.0]),
                base_ang_vel=0.01 * rng.normal(size=3),
                joint_pos=LYING_JOINT_POS + 0.001 * rng.normal(size=12),
                joint_vel=0.01 * rng.normal(size=12),
                stamp_s=time.monotonic(),
                tick=self.tick,
            )
            self._arrived.set()

    def wait_state(self, timeout_s: float) -> RobotState | None:
        if self.broken:
            raise RuntimeError('the wire is cut')
        if self._arrived.wait(timeout_s):
            self._arrived.clear()
            return self._state
        return None

    def write(self, command: JointCommand) -> None:
        if self.fail_writes:
            raise RuntimeError('refused')
        self.sent.append((time.monotonic(), deepcopy(command)))

    def lowcmd_writers(self) -> list[str]:
        return self.writers

    def close(self) -> None:
        self._quit.set()


@pytest.fixture
def link():
    link = MemoryLink()
    yield link
    link.close()


@pytest.fixture
def loop(link):
    controller = Controller(ControllerConfig(limits=PATIENT))
    loop = RealtimeLoop(
        link, controller, LoopConfig(search_s=0.2, write_error_max_s=2.0), BlackBox(duration_s=5.0)
    )
    loop.start()
    wait_until(lambda: loop.status is not None and controller.inputs.foreign_writers is not None)
    yield loop
    loop.stop()
    loop.join(5.0)
    assert not loop.is_alive()


def wait_until(condition, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, 'not in time'
        time.sleep(0.002)


def test_nothing_is_sent_before_arming_and_damping_after(loop, link):
    assert link.sent == []
    assert loop.request(Request.ARM).accepted
    wait_until(lambda: len(link.sent) > 50)
    assert all(is_damping(command) for _, command in link.sent)


def test_commands_follow_the_samples_and_go_on_without_them(loop, link):
    loop.request(Request.ARM)
    wait_until(lambda: len(link.sent) > 200)
    link.silent.set()
    time.sleep(0.1)
    before = len(link.sent)
    time.sleep(1.0)
    rate = len(link.sent) - before
    assert 350 < rate < 550, 'commands per second without a single sample'


def test_silence_of_the_robot_is_a_latched_fault(loop, link):
    loop.request(Request.ARM)
    link.silent.set()
    wait_until(lambda: loop.status.fault is not None)
    assert loop.status.fault.code is FaultCode.STATE_AGE
    link.silent.clear()
    time.sleep(0.1)
    assert loop.status.mode is Mode.FAULT
    assert loop.request(Request.RESET).accepted


def test_a_second_writer_refuses_arming_and_damps_while_armed(loop, link):
    link.writers = ['another controller']
    wait_until(lambda: loop.status.warnings)
    reply = loop.request(Request.ARM)
    assert not reply.accepted
    assert 'another controller' in reply.sentence
    link.writers = []
    wait_until(lambda: not loop.status.warnings)
    assert loop.request(Request.ARM).accepted
    link.writers = ['another controller']
    wait_until(lambda: loop.status.mode is Mode.FAULT)
    assert loop.status.fault.code is FaultCode.SECOND_WRITER


def test_stopping_the_loop_damps_for_half_a_second(link):
    loop = RealtimeLoop(
        link, Controller(ControllerConfig(limits=PATIENT)), LoopConfig(search_s=0.0)
    )
    loop.start()
    wait_until(lambda: loop.controller.inputs.foreign_writers is not None)
    loop.request(Request.ARM)
    loop.request(Request.STAND_UP)
    wait_until(lambda: link.sent and not is_damping(link.sent[-1][1]))
    asked_s = time.monotonic()
    loop.stop()
    loop.join(5.0)
    after = [(t, c) for t, c in link.sent if t > asked_s + 0.05]
    assert all(is_damping(command) for _, command in after)
    assert after[-1][0] - asked_s > 0.4
    assert len(after) > 100


@pytest.mark.filterwarnings('ignore::pytest.PytestUnhandledThreadExceptionWarning')
def test_an_exception_in_the_loop_still_damps(link):
    loop = RealtimeLoop(
        link, Controller(ControllerConfig(limits=PATIENT)), LoopConfig(search_s=0.0)
    )
    loop.start()
    wait_until(lambda: loop.controller.inputs.foreign_writers is not None)
    loop.request(Request.ARM)
    loop.request(Request.STAND_UP)
    time.sleep(0.1)
    link.broken = True
    loop.join(5.0)
    assert 'the wire is cut' in str(loop.error)
    assert all(is_damping(command) for _, command in link.sent[-100:])
    assert 'has ended' in loop.request(Request.STAND_UP).sentence


def test_a_link_that_refuses_for_a_moment_is_forgiven(loop, link):
    loop.request(Request.ARM)
    link.fail_writes = True
    wait_until(lambda: loop.timing.write_errors > 2)
    link.fail_writes = False
    before = len(link.sent)
    wait_until(lambda: len(link.sent) > before + 20)
    assert loop.is_alive()


def test_offering_policies_and_asking_from_many_threads_loses_no_answer(loop, link):
    loop.request(Request.ARM)
    replies = []

    def bother() -> None:
        for i in range(20):
            replies.append(loop.request(Request.STOP, timeout_s=2.0))
            loop.offer(PolicyRunner(constant_bundle(), f'{i}'))
            loop.set_velocity(0.1, 0.0, 0.0)

    threads = [threading.Thread(target=bother) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(replies) == 80
    assert all(reply.accepted for reply in replies)
    wait_until(lambda: loop.status.policy == '19')


def test_the_black_box_holds_what_happened_in_order(loop, link, tmp_path):
    loop.offer(PolicyRunner(constant_bundle(), 'digest'))
    loop.request(Request.ARM)
    loop.request(Request.STAND_UP)
    time.sleep(0.5)
    save(loop.black_box.snapshot(), tmp_path / 'box.npz')
    box = load(tmp_path / 'box.npz')
    assert (np.diff(box['time_s']) > 0.0).all()
    modes = [m for i, m in enumerate(box['mode']) if i == 0 or m != box['mode'][i - 1]]
    assert modes[-1] == 'STAND_UP'
    assert modes[0] == 'PASSIVE'
    assert box['policy'][-1] == 'digest'
    assert box['armed'][-1]
    assert box['observation'].shape == (len(box['time_s']), 64)
    sent = np.array([command.joint_pos for _, command in link.sent])
    assert np.abs(sent - box['target_pos'][-1]).max(axis=1).min() < 1e-5


def test_a_full_black_box_keeps_the_last_seconds_only():
    box = BlackBox(rate_hz=100.0, duration_s=0.5)
    controller = Controller(ControllerConfig())
    for i in range(170):
        box.record(0.01 * i, None, controller)
    np.testing.assert_allclose(box.snapshot()['time_s'], 0.01 * np.arange(120, 170))


def test_a_new_configuration_counts_from_the_next_tick_and_leaves_the_rest_alone(loop):
    before = loop.controller.config
    loop.configure(replace(before, velocity_max=(0.3, 0.1, 0.2)))
    wait_until(lambda: loop.controller.config.velocity_max == (0.3, 0.1, 0.2))
    assert loop.controller.config.limits == before.limits
    assert loop.error is None


def test_samples_that_the_loop_never_saw_are_counted_by_their_ticks(loop, link):
    wait_until(lambda: loop.timing.latency.count > 100)
    loop.timing.clear()
    wait_until(lambda: loop.timing.latency.count > 100)
    link.tick += 20
    counted = loop.timing.latency.count
    wait_until(lambda: loop.timing.latency.count > counted + 20)
    assert loop.timing.figures()['lost'] == 0
    skipped = loop.timing.figures()['skipped']
    assert skipped >= 10
    link.missing = 4
    counted = loop.timing.latency.count
    wait_until(lambda: loop.timing.latency.count > counted + 5)
    figures = loop.timing.figures()
    assert figures['lost'] == 4
    assert figures['skipped'] >= skipped - 4
    loop.timing.clear()
    assert loop.timing.figures()['lost'] == loop.timing.figures()['skipped'] == 0


def test_the_worst_case_is_that_of_the_whole_time():
    ring = Ring(size=4)
    for value in (1.0, 9.0, 2.0, 2.0, 2.0, 2.0):
        ring.add(value)
    assert ring.maximum == 9.0
    assert ring.percentile(100) == [2.0]
    ring.clear()
    assert ring.maximum == 0.0


@pytest.mark.parametrize('count', [3, 8, 11])
def test_the_last_values_of_a_ring_are_the_last_ones_wherever_it_stands(count):
    ring = Ring(size=8)
    for value in range(count):
        ring.add(float(value))
    assert sorted(ring.values(last=3)) == [count - 3.0, count - 2.0, count - 1.0]
    assert sorted(ring.values()) == [float(v) for v in range(max(count - 8, 0), count)]
    assert ring.percentile(0.0, 100.0, last=2) == [count - 2.0, count - 1.0]

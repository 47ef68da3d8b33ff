"""Scheduling: what threads get, and what child processes do not."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from make_agent_ros.control import realtime

SAY = 'import os; print(os.sched_getscheduler(0))'


def in_thread(function):
    """Run in a thread of its own, whose scheduling ends with it; return or raise what it does."""
    result = []
    thread = threading.Thread(target=lambda: result.append(function()))
    thread.start()
    thread.join()
    if not result:
        pytest.skip('this user may not ask for real-time priorities')
    return result[0]


def scheduler_of(process):
    with process:
        return int(process.stdout.read())


@pytest.mark.filterwarnings('ignore::pytest.PytestUnhandledThreadExceptionWarning')
def test_a_process_that_is_started_ordinarily_inherits_no_priority():
    def start():
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        command = [sys.executable, '-c', SAY]
        inherited = scheduler_of(subprocess.Popen(command, stdout=subprocess.PIPE))
        ordinary = scheduler_of(realtime.start_ordinary(command, stdout=subprocess.PIPE))
        return inherited, ordinary, os.sched_getscheduler(0)

    assert in_thread(start) == (os.SCHED_RR, os.SCHED_OTHER, os.SCHED_RR)


def test_the_loops_priority_is_granted_or_its_lack_is_told_with_the_remedy():
    missing, policy = in_thread(lambda: (realtime.prepare_thread(40), os.sched_getscheduler(0)))
    if missing:
        assert 'rtprio 40' in missing[0]
    else:
        assert policy == os.SCHED_FIFO


@pytest.mark.filterwarnings('ignore::pytest.PytestUnhandledThreadExceptionWarning')
def test_threads_made_in_the_block_keep_its_priority_and_the_caller_gets_its_own_back():
    def start():
        before = os.sched_getscheduler(0), os.sched_getparam(0).sched_priority
        with realtime.at_priority(30):
            inside = in_thread(
                lambda: (os.sched_getscheduler(0), os.sched_getparam(0).sched_priority)
            )
        after = os.sched_getscheduler(0), os.sched_getparam(0).sched_priority
        return before, inside, after

    before, inside, after = in_thread(start)
    assert before == after
    assert inside in ((os.SCHED_FIFO, 30), before)  # `before` where it is not permitted


def test_without_a_priority_the_scheduler_is_left_alone():
    def start():
        with realtime.at_priority(0):
            return os.sched_getscheduler(0)

    assert in_thread(start) == in_thread(lambda: os.sched_getscheduler(0))

"""What a Linux process can do to be on time, and honest words about what it may not do."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

SWITCH_INTERVAL_S = 0.0002
"""How long another Python thread may keep the interpreter once the loop wants it, s."""
_MCL_ALL_ON_FAULT = 7
"""sys/mman.h: MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT; locks what is used, not whole stacks."""
_PR_SET_TIMERSLACK = 29  # linux/prctl.h


def prepare_process() -> list[str]:
    """Lock memory, freeze the garbage collector's generations, shorten the switch interval.

    Call once from the main thread, after everything heavy is imported and built.

    Returns:
        One sentence per permission that is missing; empty when all is granted.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.collect()
    gc.freeze()
    gc.disable()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_ALL_ON_FAULT) != 0:
        reason = os.strerror(ctypes.get_errno())
        return [
            f'memory is not locked ({reason}): page faults may delay a command; add "memlock '
            'unlimited" for this user in /etc/security/limits.d'
        ]
    return []


def prepare_helpers(priority: int) -> None:
    """Let everything beside the loop run before other programs, just below the loop itself.

    Call from the main thread: the threads that are there get it, those of DDS too, and threads
    that are made later inherit it. A thread that holds the interpreter, or a lock of DDS that the
    holder of the interpreter waits for, and is kept off the processor by other programs keeps the
    loop waiting, whatever the loop's own priority: these locks have no inheritance. What is
    missing for this is told by `prepare_thread`.

    Args:
        priority: that of the loop; 0 or 1 leaves the scheduler alone.
    """
    if priority <= 1:
        return
    for thread in Path('/proc/self/task').iterdir():
        with contextlib.suppress(OSError):
            os.sched_setscheduler(int(thread.name), os.SCHED_RR, os.sched_param(priority - 1))


@contextlib.contextmanager
def at_priority(priority: int) -> Iterator[None]:
    """Run a block under SCHED_FIFO: threads made in it keep that priority for good.

    For the threads of the robot's DDS: they share locks with the loop's writes, and a lock that a
    thread of low priority holds makes the loop wait for whatever keeps that thread off its
    processor.

    Args:
        priority: 1 .. 99; 0 changes nothing. Without the permission nothing changes either.
    """
    policy, param = os.sched_getscheduler(0), os.sched_getparam(0)
    raised = False
    if priority > 0:
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
            raised = True
    try:
        yield
    finally:
        if raised:
            os.sched_setscheduler(0, policy, param)


def keep_priority() -> None:
    """Let processes and threads that the calling thread makes from now on start as ordinary."""
    with contextlib.suppress(OSError):
        policy, param = os.sched_getscheduler(0), os.sched_getparam(0)
        os.sched_setscheduler(0, policy | os.SCHED_RESET_ON_FORK, param)


def leave_realtime() -> None:
    """Return the calling thread to the ordinary scheduler."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def start_ordinary(command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start a process under the ordinary scheduler, whatever the calling thread's is.

    A child inherits the priority of the thread that makes it. A helper with a real-time priority
    that imports its libraries would keep everything else of that priority off its processor for
    whole time slices, 0.1 s each.

    Args:
        command: the program and its arguments.
        options: of `subprocess.Popen`.
    """

    def start() -> subprocess.Popen[bytes]:
        keep_priority()
        return subprocess.Popen(command, **options)

    # The flag is one thread's own and stays; so the thread ends with it.
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(start).result()


def prepare_thread(priority: int) -> list[str]:
    """Ask for SCHED_FIFO and exact timers for the calling thread.

    Args:
        priority: 1 .. 99; 0 leaves the scheduler alone.

    Returns:
        One sentence per permission that is missing; empty when all is granted.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    if priority <= 0:
        return []
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except OSError as error:
        return [
            f'no real-time priority ({error.strerror}): other programs may delay a command; add '
            f'"rtprio {priority}" for this user in /etc/security/limits.d'
        ]
    return []

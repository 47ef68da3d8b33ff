"""Fixtures that several rooms' tests share."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Iterator

import pytest


def free_domain() -> int:
    """Return a DDS domain that nobody on this machine uses.

    Domains above 100 have ports in the kernel's ephemeral range. DDSI-RTPS 9.6.1: domain d listens
    for discovery on UDP port 7400 + 250 d.
    """
    candidates = random.sample(range(10, 100), 90)
    for domain in candidates:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(('', 7400 + 250 * domain))
            except OSError:
                continue
            return domain
    raise RuntimeError('every DDS domain from 10 to 99 is in use on this machine')


@pytest.fixture
def dds_domain() -> int:
    """Return a DDS domain for the robot link of one test."""
    return free_domain()


@pytest.fixture
def wait_until() -> Iterator[Callable[..., None]]:
    """Poll a condition with a deadline."""

    def wait(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f'not within {timeout_s:.0f} s'
            time.sleep(0.02)

    yield wait

"""Fixtures that several rooms' tests share."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# Machines are shared: a slow example is no failure. Derandomised, so that CI fails for a reason.
hypothesis.settings.register_profile('shared', deadline=None, derandomize=True)
hypothesis.settings.load_profile('shared')


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
def make_domain() -> Callable[[], int]:
    """Return a function that finds free DDS domains, for tests that need several."""
    return free_domain


@pytest.fixture
def wait_until() -> Iterator[Callable[..., None]]:
    """Poll a condition with a deadline."""

    def wait(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f'not within {timeout_s:.0f} s'
            time.sleep(0.02)

    yield wait


class SdkPeer:
    """A process that runs `go2/sdk_peer.py`."""

    def __init__(self, role: str, domain: int) -> None:
        script = Path(__file__).parent / 'go2' / 'sdk_peer.py'
        self.process = subprocess.Popen(
            [sys.executable, str(script), role, str(domain)],
            stdout=subprocess.PIPE,
            text=True,
        )

    def answer(self) -> dict[str, Any]:
        """Wait for the JSON line that the peer prints, past what the SDK prints itself."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith('{'):
                return dict(json.loads(line))
        raise AssertionError(f'the SDK peer said nothing and ended with {self.process.wait()}')


@pytest.fixture
def sdk_peer() -> Iterator[Callable[[str, int], SdkPeer]]:
    """Start programs on Unitree's SDK; they are killed at the end of the test."""
    peers: list[SdkPeer] = []

    def start(role: str, domain: int) -> SdkPeer:
        peers.append(SdkPeer(role, domain))
        return peers[-1]

    yield start
    for peer in peers:
        peer.process.kill()
        peer.process.wait()
        if peer.process.stdout is not None:
            peer.process.stdout.close()


@pytest.fixture
def standing_policy(tmp_path: Path) -> Path:
    """A bundle of the generator's shape with zero weights: it holds the standing pose."""
    import numpy as np

    from make_agent_ros.go2.observation import POLICY_TERMS, TERM_SIZES
    from make_agent_ros.policy import Bundle, MlpShape, save

    shape = MlpShape(sum(TERM_SIZES[term] for term in POLICY_TERMS), (64, 64), 12)
    path = tmp_path / 'standing.onnx'
    layers = shape.unflatten(np.zeros(shape.size, np.float32))
    save(Bundle(layers=layers, gait_frequency_hz=2.0), path)
    return path

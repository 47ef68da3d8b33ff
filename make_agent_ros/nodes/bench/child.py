"""Processes that answer one JSON line per line asked: both ends."""

from __future__ import annotations

import json
import os
import resource
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

START_S = 240.0
"""Importing torch and joining DDS on a busy machine takes long, s."""

Handler = Callable[..., Mapping[str, Any] | None]
"""Answers a word; called with the rest of the line, if there is any."""


class Child:
    """The conductor's end. A context manager: the process is gone afterwards."""

    def __init__(
        self, module: str, *arguments: str, environment: dict[str, str] | None = None
    ) -> None:
        """Start `python -m module arguments` and wait until it says it is ready."""
        self._process = subprocess.Popen(
            [sys.executable, '-m', module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **(environment or {})},
            # Ctrl-C is for the conductor; the child ends when its stdin does.
            start_new_session=True,
        )
        self._pending = b''
        self.name = module.rsplit('.', 1)[-1]
        self._answer(START_S)

    def ask(self, what: str, timeout_s: float = 60.0) -> dict[str, Any]:
        """Send a word, with one argument after a blank if it takes one, and return the answer.

        Raises:
            RuntimeError: the process ended or did not answer in time.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(f'{what}\n'.encode())
        self._process.stdin.flush()
        return self._answer(timeout_s)

    def _answer(self, timeout_s: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        deadline = time.monotonic() + timeout_s
        while True:
            line, newline, rest = self._pending.partition(b'\n')
            if newline:
                self._pending = rest
                if line.startswith(b'{'):
                    answer: dict[str, Any] = json.loads(line)
                    if 'error' in answer:
                        raise RuntimeError(f'{self.name}: {answer["error"]}')
                    return answer
                continue
            if not select.select([pipe], [], [], max(deadline - time.monotonic(), 0.0))[0]:
                raise RuntimeError(f'{self.name} did not answer within {timeout_s:.0f} s')
            data = os.read(pipe, 1 << 16)
            if not data:
                raise RuntimeError(f'{self.name} ended with {self._process.wait()}')
            self._pending += data

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def serve(handlers: Mapping[str, Handler]) -> None:
    """The process's end: answer until stdin closes."""
    _say({'ready': True})
    for line in sys.stdin:
        word, *argument = line.strip().split(' ', 1)
        _say(_answer(handlers[word], argument))


def _answer(handler: Handler, arguments: list[str]) -> Mapping[str, Any]:
    try:
        return handler(*arguments) or {'ok': True}
    except Exception as error:
        return {'error': f'{type(error).__name__}: {error}'}


def _say(answer: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + '\n')
    sys.stdout.flush()


class Usage:
    """CPU time and page faults of this process since `reset`."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin counting."""
        self._time_s = time.monotonic()
        self._usage = resource.getrusage(resource.RUSAGE_SELF)

    def figures(self) -> dict[str, float]:
        """Return the share of one core, page faults and the largest memory."""
        now, before = resource.getrusage(resource.RUSAGE_SELF), self._usage
        cpu_s = now.ru_utime + now.ru_stime - before.ru_utime - before.ru_stime
        return {
            'cpu_share': cpu_s / (time.monotonic() - self._time_s),
            'page_faults_minor': float(now.ru_minflt - before.ru_minflt),
            'page_faults_major': float(now.ru_majflt - before.ru_majflt),
            'rss_mb_max': now.ru_maxrss / 1024.0,
        }

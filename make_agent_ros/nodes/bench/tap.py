"""A third process on the robot's wire: hears every LowCmd and LowState, belongs to neither side.

It survives the death of any node. The last `KEPT_S` are kept as they came; gaps and lost samples
are counted as they happen, so a long run needs no more memory than a short one.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from make_agent_ros.control.realtime import prepare_process, prepare_thread
from make_agent_ros.go2.layout import LOWCMD_SIZE, LOWSTATE_SIZE
from make_agent_ros.go2.link import RawReader
from make_agent_ros.go2.ticks import TickCounter
from make_agent_ros.nodes.bench.child import Usage, serve
from make_agent_ros.nodes.bench.window import PERIOD_S, Window

KEPT_S = 30.0
TOPICS = {'rt/lowcmd': LOWCMD_SIZE, 'rt/lowstate': LOWSTATE_SIZE}
WAIT_S = 0.2
PRIORITY = 60
"""Above the controller's loop."""


class Listener:
    """Hears one topic in a thread of its own."""

    def __init__(self, topic: str, domain: int) -> None:
        self._reader = RawReader(topic, 'lo', domain, depth=500)
        self._size = TOPICS[topic]
        self._kept: deque[tuple[float, float, bytes]] = deque(maxlen=int(KEPT_S / PERIOD_S))
        self._lock = threading.Lock()
        self._closed = False
        self.reset()
        self._thread = threading.Thread(target=self._run, name=topic, daemon=True)
        self._thread.start()

    def reset(self) -> None:
        """Begin counting anew; what is kept stays."""
        with self._lock:
            self.count = self.malformed = 0
            self._last_s = math.nan
            self._gap_s_max = 0.0
            self._ticks = TickCounter()

    def figures(self) -> dict[str, float]:
        """Return samples, the longest gap (the one going on included) and samples lost."""
        with self._lock:
            gap_s = max(self._gap_s_max, time.monotonic() - self._last_s) if self.count else 0.0
            return {
                'count': float(self.count),
                'malformed': float(self.malformed),
                'gap_ms_max': 1e3 * gap_s,
                'lost': float(self._ticks.missing),
            }

    def since(self, start_s: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return arrival and sending times, shape (N,), and samples, uint8, shape (N, size)."""
        with self._lock:
            kept = list(self._kept)
        kept = [item for item in kept if item[0] >= start_s]
        data = np.frombuffer(b''.join(data for _, _, data in kept), dtype=np.uint8)
        times = np.array([times for *times, _ in kept]).reshape(-1, 2)
        return times[:, 0], times[:, 1], data.reshape(-1, self._size)

    def close(self) -> None:
        """Stop listening; the thread ends before what it waits on goes."""
        self._closed = True
        self._thread.join()
        self._reader.close()

    def _run(self) -> None:
        while not self._closed:
            if not self._reader.wait(WAIT_S):
                continue
            now_s = time.monotonic()
            samples = self._reader.take()
            with self._lock:
                for data, sent_ns, _ in samples:
                    self._hear(now_s, 1e-9 * sent_ns, data)

    def _hear(self, now_s: float, sent_s: float, data: bytes) -> None:
        if len(data) != self._size:
            self.malformed += 1
            return
        if self.count:
            self._gap_s_max = max(self._gap_s_max, now_s - self._last_s)
        self.count += 1
        self._last_s = now_s
        self._kept.append((now_s, sent_s, data))
        self._ticks.see(data)


class Tap:
    """Both topics, and the words that the conductor knows."""

    def __init__(self, domain: int) -> None:
        self._commands = Listener('rt/lowcmd', domain)
        self._states = Listener('rt/lowstate', domain)
        self._usage = Usage()

    def words(self) -> dict[str, Callable[..., Any]]:
        """Return word -> handler, for `child.serve`."""
        return {'reset': self.reset, 'figures': self.figures, 'window': self.window}

    def reset(self) -> None:
        """Begin counting anew."""
        self._commands.reset()
        self._states.reset()
        self._usage.reset()

    def figures(self) -> dict[str, float]:
        """Return the counters of both topics, `lowcmd_` and `lowstate_`."""
        sides = {'lowcmd': self._commands, 'lowstate': self._states}
        result = {
            f'{side}_{key}': value
            for side, listener in sides.items()
            for key, value in listener.figures().items()
        }
        return {**result, 'cpu_share': self._usage.figures()['cpu_share']}

    def window(self, order: str) -> dict[str, str]:
        """Write what arrived since a moment: `START_S FILE`."""
        start, path = order.split(' ', 1)
        # Before the copies are made, which takes milliseconds: the pause until then is no pause.
        end_s = time.monotonic()
        command_s, sent_s, commands = self._commands.since(float(start))
        state_s, _, states = self._states.since(float(start))
        window = Window(float(start), end_s, command_s, sent_s, commands, state_s, states)
        window.save(Path(path))
        return {'path': path}

    def close(self) -> None:
        """Leave the domain."""
        self._commands.close()
        self._states.close()


def main() -> None:
    """Listen on the DDS domain given as the first argument."""
    # An instrument must not wait for what it measures: all its threads inherit this.
    prepare_thread(PRIORITY)
    tap = Tap(int(sys.argv[1]))
    prepare_process()
    serve(tap.words())
    tap.close()


if __name__ == '__main__':
    main()

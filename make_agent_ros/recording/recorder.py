"""The recorder without ROS: samples from DDS into bags, undecoded, with a ring of the last ones.

One thread takes what has arrived every `POLL_S`, gives it receive times and writes it. Nothing is
decoded but the robot's tick, whose steps tell how many samples were lost before they came here.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from make_agent_ros.go2.layout import LOWSTATE, LOWSTATE_SIZE
from make_agent_ros.go2.ticks import TickCounter
from make_agent_ros.recording.errors import RecordingError
from make_agent_ros.recording.messages import string_cdr
from make_agent_ros.recording.writer import BagFullError, BagWriter

POLL_S = 0.02
CLOCK_STEP_NS = 100_000_000
"""A wall clock that was set by more than this is followed between two bags, never inside one."""


class Source(Protocol):
    """Where samples of one topic come from; `go2.link.RawReader` is one."""

    def take(self) -> list[tuple[bytes, int, int]]:
        """Return (CDR bytes, source time ns, receive time ns) of all samples since last time."""
        ...


@dataclass(frozen=True)
class RecorderOptions:
    """Where bags go and how large they get; see `config/recorder.yaml` for the meaning."""

    directory: Path
    max_file_mb: float = 512.0
    max_file_s: float = 600.0
    max_bag_mb: float = 4096.0
    overwrite_oldest: bool = False
    min_free_mb: float = 500.0
    ring_s: float = 30.0


@dataclass(frozen=True)
class RecorderStatus:
    """What the recorder tells about itself."""

    recording: bool = False
    path: str = ''
    """Bag in work, or the last one."""
    samples: int = 0
    """Samples in that bag, all topics."""
    dropped: int = 0
    """Samples of lowstate that are missing in that bag, by the robot's tick."""
    seconds: float = 0.0
    megabytes: float = 0.0
    rate_hz: float = 0.0
    """Samples of lowstate in the last second."""
    error: str = ''
    """Why the last recording ended by itself."""

    def as_dict(self) -> dict[str, object]:
        """Return the fields as JSON wants them."""
        return asdict(self)


def firmware(lowstate: bytes) -> str:
    """Return what a lowstate sample says of the robot's firmware; empty where it says nothing.

    The fields are those that Unitree calls `version` and the battery board's; their meaning is
    published nowhere, so they are noted as they are.
    """
    if len(lowstate) != LOWSTATE_SIZE:
        return ''
    row = np.frombuffer(lowstate, dtype=LOWSTATE)[0]
    words = [f'{name} {".".join(map(str, values))}' for name, values in (
        ('lowstate', row['version'].tolist()),
        ('battery', [int(row['bms']['version_high']), int(row['bms']['version_low'])]),
    ) if any(values)]  # fmt: skip
    return ', '.join(words)


class SteadyClock:
    """Wall time that does not jump: the system's monotonic clock from one look at the wall on."""

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def now_ns(self) -> int:
        """Return the time, ns since the Unix epoch."""
        return time.monotonic_ns() + self._offset_ns

    def set(self) -> bool:
        """Look at the wall again; whether it had been set meanwhile."""
        offset_ns = time.time_ns() - time.monotonic_ns()
        if abs(offset_ns - self._offset_ns) < CLOCK_STEP_NS:
            return False
        self._offset_ns = offset_ns
        return True


class ReceiveClock:
    """Spreads samples that are taken in batches over the times at which they arrived.

    A sample arrives a fixed delay after it was published, plus jitter: the least difference of
    receive and source time seen lately is that delay, whatever the two clocks show.
    """

    PERIOD_NS = 5_000_000_000
    JUMP_NS = CLOCK_STEP_NS

    def __init__(self) -> None:
        self._offsets: tuple[int, int] | None = None
        self._since_ns = 0
        self._last_ns = 0

    def stamp(self, source_ns: int, receive_ns: int) -> int:
        """Return when the sample arrived, never before the one before it, ns."""
        offset = receive_ns - source_ns
        if self._offsets is None or abs(offset - min(self._offsets)) > self.JUMP_NS:
            self._offsets, self._since_ns = (offset, offset), receive_ns
        before, current = self._offsets
        if receive_ns - self._since_ns > self.PERIOD_NS:
            before, current, self._since_ns = current, offset, receive_ns
        self._offsets = (before, min(current, offset))
        stamp = min(source_ns + min(self._offsets), receive_ns)
        self._last_ns = max(stamp, self._last_ns + 1)
        return self._last_ns


class Recorder:
    """Takes samples from the sources all the time; writes them to a bag between start and stop."""

    def __init__(
        self,
        sources: Mapping[str, Source],
        options: RecorderOptions,
        describe: Callable[[], dict[str, str]] = dict,
    ) -> None:
        """Begin to take samples.

        Args:
            sources: ROS topic -> source.
            options: where and how much.
            describe: text for the metadata of a new bag.
        """
        self._sources, self._options, self._describe = dict(sources), options, describe
        self._clock = SteadyClock()
        self._clocks = {topic: ReceiveClock() for topic in sources}
        self._lock = threading.RLock()
        self._writer: BagWriter | None = None
        self._status = RecorderStatus()
        self._ticks = TickCounter()
        self._newest_state = b''
        self._started_s = 0.0
        self._ring: deque[tuple[str, bytes, int, int]] = deque()
        self._arrivals: deque[tuple[float, int]] = deque()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name='recorder', daemon=True)
        self._thread.start()

    # -- asked from outside ------------------------------------------------------------------

    def start(self) -> Path:
        """Begin a new bag and return its folder.

        Raises:
            RecordingError: already recording, or the folder cannot be written.
        """
        with self._lock:
            if self._writer is not None:
                raise RecordingError(f'already recording to {self._writer.path}; stop first')
            self._follow_wall_clock()
            self._writer = self._new_bag('go2')
            self._ticks = TickCounter()
            self._started_s = time.monotonic()
            self._status = RecorderStatus(recording=True, path=str(self._writer.path))
            return self._writer.path

    def stop(self) -> RecorderStatus:
        """Finish the bag and return its figures.

        Raises:
            RecordingError: not recording, or the bag could not be finished.
        """
        with self._lock:
            if self._writer is None:
                raise RecordingError(self._status.error or 'not recording; start first')
            self._poll()
            self._end('')
            if self._status.error:
                raise RecordingError(self._status.error)
            return self._status

    def snapshot(self) -> Path:
        """Write the last `ring_s` seconds as a bag of its own and return its folder.

        Raises:
            RecordingError: nothing in the ring, or the folder cannot be written.
        """
        with self._lock:
            self._poll()
            samples = list(self._ring)
        if not samples:
            raise RecordingError(
                'nothing to save: no sample has arrived'
                if self._options.ring_s > 0
                else 'the ring is off; set ring_s'
            )
        writer = self._new_bag('snapshot')
        for sample in samples:
            writer.write(*sample)
        writer.close()
        return writer.path

    def mark(self, text: str) -> None:
        """Note something at this moment, in the bag and in the ring."""
        self.add('/marks', string_cdr(text[:1000]))

    def add(self, topic: str, data: bytes) -> None:
        """Take a sample that another thread received, e.g. of `/cmd_vel`."""
        with self._lock:
            self._poll()  # what came before goes into the bag before
            now_ns = self._clock.now_ns()
            self._keep([(topic, data, now_ns, now_ns)])

    def status(self) -> RecorderStatus:
        """Return the present figures."""
        with self._lock:
            status = self._status
            if self._writer is not None:
                status = self._figures()
            self._forget_arrivals()
            return replace(status, rate_hz=float(sum(count for _, count in self._arrivals)))

    def free_mb(self) -> float:
        """Free space on the disk of the bags, MiB; NaN before its folder exists."""
        try:
            return shutil.disk_usage(self._options.directory).free / 2**20
        except OSError:
            return float('nan')

    def close(self) -> None:
        """Finish the bag, if there is one, and stop taking samples."""
        self._stop.set()
        self._thread.join(timeout=5.0)
        with self._lock:
            if self._writer is not None:
                self._poll()
                self._end('')

    # -- the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.wait(POLL_S):
            with self._lock:
                self._poll()

    def _poll(self) -> None:
        """Take what has arrived, in the order of arrival over all topics."""
        samples = []
        for topic, source in self._sources.items():
            clock = self._clocks[topic]
            taken = source.take()
            # all of them had come by now, whatever the wall clock did meanwhile
            now_ns = self._clock.now_ns()
            for data, source_ns, _ in taken:
                samples.append((topic, data, clock.stamp(source_ns, now_ns), source_ns))
                if topic == '/lowstate':
                    self._ticks.see(data)
                    self._newest_state = data
        count = sum(sample[0] == '/lowstate' for sample in samples)
        if count:
            self._arrivals.append((time.monotonic(), count))
            self._forget_arrivals()
        self._keep(sorted(samples, key=lambda sample: sample[2]))

    def _follow_wall_clock(self) -> None:
        """Take the wall's time for a new bag; stamps of before would not go with it."""
        if self._clock.set():
            self._ring.clear()
            self._clocks = {topic: ReceiveClock() for topic in self._sources}

    def _forget_arrivals(self) -> None:
        now = time.monotonic()
        while self._arrivals and now - self._arrivals[0][0] > 1.0:
            self._arrivals.popleft()

    def _keep(self, samples: list[tuple[str, bytes, int, int]]) -> None:
        if self._options.ring_s > 0 and samples:
            self._ring.extend(samples)
            oldest = self._ring[-1][2] - int(self._options.ring_s * 1e9)
            while self._ring[0][2] < oldest:
                self._ring.popleft()
        if self._writer is None:
            return
        try:
            for sample in samples:
                self._writer.write(*sample)
            self._writer.flush_if_due()
        except BagFullError as error:
            self._end(str(error))

    def _figures(self) -> RecorderStatus:
        assert self._writer is not None
        return replace(
            self._status,
            samples=self._writer.message_count,
            dropped=self._ticks.missing,
            seconds=round(time.monotonic() - self._started_s, 3),
            megabytes=round(self._writer.bytes_written / 2**20, 3),
        )

    def _end(self, error: str) -> None:
        """Close the bag; with `error` it ended by itself."""
        assert self._writer is not None
        figures = self._figures()
        self._writer.describe(
            dropped=str(figures.dropped), samples=str(figures.samples), end=error or 'stopped',
            firmware=firmware(self._newest_state),
        )  # fmt: skip
        try:
            self._writer.close()
        except BagFullError as failure:
            error = error or str(failure)
        self._status = replace(self._figures(), recording=False, error=error)
        self._writer = None

    def _new_bag(self, prefix: str) -> BagWriter:
        options = self._options
        directory = options.directory.expanduser()
        name = f'{prefix}_{time.strftime("%Y%m%d_%H%M%S")}'
        path, number = directory / name, 2
        while path.exists():
            path, number = directory / f'{name}_{number}', number + 1
        return BagWriter(
            path,
            metadata={**self._describe(), 'firmware': firmware(self._newest_state)},
            max_file_bytes=int(options.max_file_mb * 2**20),
            max_file_s=options.max_file_s,
            max_bag_bytes=int(options.max_bag_mb * 2**20),
            overwrite_oldest=options.overwrite_oldest,
            min_free_bytes=int(options.min_free_mb * 2**20),
        )

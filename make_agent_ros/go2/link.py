"""The DDS link to a Go2, seen from the controller, from a recorder and from a simulated robot."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

import numpy as np

from make_agent_ros.go2.command import JointCommand
from make_agent_ros.go2.dds import (
    LF_LOWSTATE_TOPIC,
    LOWCMD_TOPIC,
    LOWSTATE_TOPIC,
    LinkError,
    Participant,
)
from make_agent_ros.go2.state import RobotState
from make_agent_ros.go2.ticks import TickCounter
from make_agent_ros.go2.wire import (
    CrcError,
    LowCmdEncoder,
    WireError,
    decode_lowstate,
)

__all__ = ['ArrivalLog', 'LinkError', 'RawReader', 'RobotLink', 'SimulatedRobotLink']

LOW_RATE_EVERY = 25
"""One sample in so many also goes out on rt/lf/lowstate: 20 Hz. The rate is ours: users report 1
to 20 Hz, Unitree publishes none."""

STATE_DEPTH = 64
"""Samples that wait for a controller that is late: 0.13 s at 500 Hz. It acts on the newest; the
others tell that they came."""


class RobotLink:
    """The controller's side: reads `rt/lowstate`, writes `rt/lowcmd`.

    One thread calls `wait_state` and `write`; `latest` and `lowcmd_writers` may be called from
    any thread.
    """

    def __init__(
        self, interface: str = 'lo', domain: int = 1, *, listen_only: bool = False
    ) -> None:
        """Join the robot's DDS domain.

        Args:
            interface: network interface of the robot; `lo` for a simulator on this machine.
            domain: 0 on a Go2, 1 for simulators.
            listen_only: announce no writer, so that no other controller takes us for one.

        Raises:
            LinkError: the interface or the domain cannot be used.
        """
        self._participant = Participant(interface, domain)
        self._reader = self._participant.reader(LOWSTATE_TOPIC, STATE_DEPTH)
        self._writer = None if listen_only else self._participant.writer(LOWCMD_TOPIC)
        self._encoder = LowCmdEncoder()
        self._lock = threading.Lock()
        self._latest: RobotState | None = None
        self._ticks = TickCounter()
        self._unread = False
        self._closed = False
        self._peer_signs = False
        self.received = 0
        """Samples decoded."""
        self.rejected = 0
        """Samples refused: wrong size, encapsulation or CRC."""
        self.last_rejection = ''
        """Why the last refused sample was refused."""

    def wait_state(self, timeout_s: float) -> RobotState | None:
        """Block until a state arrives that this method has not returned yet.

        Returns:
            The newest state, or None after `timeout_s` or `close`.
        """
        deadline = time.monotonic() + timeout_s
        while not self._closed:
            self._poll()
            with self._lock:
                if self._unread:
                    self._unread = False
                    return self._latest
            remaining = deadline - time.monotonic()
            if remaining <= 0.0:
                return None
            self._reader.wait(remaining)
        return None

    def latest(self) -> RobotState | None:
        """Return the newest state, without waiting; None before the first.

        `stamp_s` is when the sample was taken from DDS, so a caller that only polls sees it up to
        one polling period late.
        """
        self._poll()
        return self._latest

    def write(self, command: JointCommand) -> None:
        """Send a command.

        Raises:
            LinkError: CycloneDDS refused it.
        """
        if self._closed:
            raise LinkError('the robot link is closed; open a new RobotLink')
        if self._writer is None:
            raise LinkError('this robot link only listens; open one without listen_only')
        self._writer.write(self._encoder.encode(command))

    def lowcmd_writers(self) -> list[str]:
        """Name every other writer on `rt/lowcmd`: GUID, process and host.

        On a Go2 whose sport mode runs, Unitree's own controller is one of them.
        """
        writers = self._participant.writers_on(LOWCMD_TOPIC)
        if self._writer is not None:
            writers.pop(self._writer.guid, None)
        return [f'{process} [{guid}]' for guid, process in writers.items()]

    def lowstate_writers(self) -> list[str]:
        """Name every writer on `rt/lowstate`; more than one means two robots on one domain."""
        writers = self._participant.writers_on(LOWSTATE_TOPIC)
        return [f'{process} [{guid}]' for guid, process in writers.items()]

    def lowcmd_readers(self) -> int:
        """Return how many peers hear our commands."""
        return 0 if self._writer is None else self._writer.matched_readers()

    def close(self) -> None:
        """Leave the domain; a blocked `wait_state` returns None."""
        if not self._closed:
            self._closed = True
            self._reader.interrupt()
            self._participant.close()

    def _poll(self) -> None:
        """Take what has come: the newest good sample counts, of the others their ticks."""
        with self._lock:
            samples = self._reader.take(STATE_DEPTH)
            now_s = time.monotonic()
            for sample in samples:
                self._ticks.see(sample.data)
            for sample in reversed(samples):
                if self._accept(sample.data, now_s):
                    break

    @property
    def missing(self) -> int:
        """Samples that never came here, by the robot's own count.

        Those that newer ones replaced before anybody asked did come.
        """
        return self._ticks.missing

    def _accept(self, data: bytes, now_s: float) -> bool:
        """Decode a sample; refuse a bad CRC from a peer that has sent a good one before.

        A Go2 signs its states, unitree_mujoco leaves the field 0: whether the CRC means anything
        is learnt from the peer.
        """
        try:
            state = decode_lowstate(data, now_s, check_crc=True)
            self._peer_signs = True
        except CrcError as error:
            if self._peer_signs:
                return self._reject(error)
            state = decode_lowstate(data, now_s)
        except WireError as error:
            return self._reject(error)
        self._latest = state
        self._unread = True
        self.received += 1
        return True

    def _reject(self, error: WireError) -> bool:
        self.rejected += 1
        self.last_rejection = str(error)
        return False


class RawReader:
    """The recorder's side: the samples of one topic as bytes, none decoded, none skipped."""

    def __init__(
        self, topic: str, interface: str = 'lo', domain: int = 1, depth: int = 2000
    ) -> None:
        """Subscribe.

        Args:
            topic: DDS name, e.g. `rt/lowstate`.
            interface: as in `RobotLink`.
            domain: as in `RobotLink`.
            depth: samples kept between two calls of `take`; 2000 is 4 s at 500 Hz.

        Raises:
            LinkError: the interface, the domain or the topic cannot be used.
        """
        self._participant = Participant(interface, domain)
        self._depth = depth
        try:
            self._reader = self._participant.reader(topic, depth)
        except LinkError:
            self._participant.close()
            raise

    def wait(self, timeout_s: float) -> bool:
        """Block until there is something to take; False after `timeout_s`."""
        return self._reader.wait(timeout_s)

    def take(self) -> list[tuple[bytes, int, int]]:
        """Return (CDR bytes, source time ns, receive time ns) of every sample since the last call.

        Both times count from the Unix epoch; the source time is the publisher's clock, which on a
        robot without network time may be years off.
        """
        samples = self._reader.take(self._depth)
        now_ns = time.time_ns()
        return [(s.data, s.sample_info.source_timestamp, now_ns) for s in samples]

    def close(self) -> None:
        """Leave the domain; a blocked `wait` returns."""
        self._reader.interrupt()
        self._participant.close()


@dataclass(frozen=True)
class ArrivalReport:
    """What the simulator's side of the wire saw of LowCmd since the last reset.

    Count and maxima are over everything; the percentiles over the newest arrivals that are kept.
    """

    count: int
    gap_s_max: float
    """Longest time between two arrivals."""
    gap_s_p99: float
    reply_s_p50: float
    """Median time from the last LowState sent to the LowCmd that followed it."""
    reply_s_p99: float
    reply_s_max: float


class ArrivalLog:
    """Times of LowCmd arrivals, kept by the simulator so that no controller marks its own work."""

    def __init__(self, capacity: int = 10_000) -> None:
        """Keep the last `capacity` arrivals (20 s at 500 Hz)."""
        self._arrival_s = np.zeros(capacity)
        self._reply_s = np.zeros(capacity)
        self._lock = threading.Lock()
        self._count = 0
        self._gap_s_max = 0.0
        self._reply_s_max = 0.0

    def add(self, arrival_s: float, state_sent_s: float) -> None:
        """Note one arrival; `state_sent_s` is when the newest LowState was sent, s."""
        with self._lock:
            capacity = len(self._arrival_s)
            if self._count:
                gap = arrival_s - self._arrival_s[(self._count - 1) % capacity]
                self._gap_s_max = max(self._gap_s_max, gap)
            reply_s = arrival_s - state_sent_s
            self._reply_s_max = max(self._reply_s_max, reply_s)
            self._arrival_s[self._count % capacity] = arrival_s
            self._reply_s[self._count % capacity] = reply_s
            self._count += 1

    def reset(self) -> None:
        """Forget everything."""
        with self._lock:
            self._count = 0
            self._gap_s_max = 0.0
            self._reply_s_max = 0.0

    def report(self) -> ArrivalReport | None:
        """Summarise; None with fewer than two arrivals."""
        with self._lock:
            count, gap_s_max, reply_s_max = self._count, self._gap_s_max, self._reply_s_max
            capacity = len(self._arrival_s)
            order = np.arange(max(0, count - capacity), count) % capacity
            arrival_s, reply_s = self._arrival_s[order], self._reply_s[order]
        if count < 2:
            return None
        # A LowCmd that came before the first LowState replies to nothing.
        replies_s = reply_s[np.isfinite(reply_s)]
        p50, p99 = np.percentile(replies_s, (50, 99)) if len(replies_s) else (np.nan, np.nan)
        return ArrivalReport(
            count=count,
            gap_s_max=float(gap_s_max),
            gap_s_p99=float(np.percentile(np.diff(arrival_s), 99)),
            reply_s_p50=float(p50),
            reply_s_p99=float(p99),
            reply_s_max=float(reply_s_max),
        )


class SimulatedRobotLink:
    """The simulated robot's side: writes `rt/(lf/)lowstate`, reads `rt/lowcmd` in its own thread.

    The thread stamps each LowCmd as it arrives, whatever the physics is doing at that moment.
    """

    def __init__(self, interface: str = 'lo', domain: int = 1) -> None:
        """Join the domain, as `RobotLink` does.

        Raises:
            LinkError: the interface or the domain cannot be used.
        """
        self._participant = Participant(interface, domain)
        self._reader = self._participant.reader(LOWCMD_TOPIC, depth=16)
        self._writer = self._participant.writer(LOWSTATE_TOPIC)
        self._low_rate = self._participant.writer(LF_LOWSTATE_TOPIC)
        self._sent = 0
        self.arrivals = ArrivalLog()
        self.last_arrival_s = -np.inf
        """Monotonic time of the newest LowCmd, s; -inf before the first."""
        self._state_sent_s = np.nan
        self._newest: deque[bytes] = deque(maxlen=1)
        self._closed = False
        self._thread = threading.Thread(target=self._receive, name='lowcmd', daemon=True)
        self._thread.start()

    def write_state(self, data: bytes) -> None:
        """Send one LowState sample, encapsulation header included."""
        self._state_sent_s = time.monotonic()
        self._writer.write(data)
        if self._sent % LOW_RATE_EVERY == 0:
            self._low_rate.write(data)
        self._sent += 1

    def take_command(self) -> bytes | None:
        """Return the newest LowCmd sample not taken yet, None when there is none."""
        return self._newest.popleft() if self._newest else None

    def lowcmd_writers(self) -> list[str]:
        """Name every writer on `rt/lowcmd`."""
        writers = self._participant.writers_on(LOWCMD_TOPIC)
        return [f'{process} [{guid}]' for guid, process in writers.items()]

    def close(self) -> None:
        """Leave the domain."""
        if not self._closed:
            self._closed = True
            self._reader.interrupt()
            self._thread.join(timeout=2.0)
            self._participant.close()

    def _receive(self) -> None:
        while not self._closed:
            if not self._reader.wait(1.0):
                continue
            now_s = time.monotonic()
            for sample in self._reader.take(16):
                self.arrivals.add(now_s, self._state_sent_s)
                self.last_arrival_s = now_s
                self._newest.append(sample.data)

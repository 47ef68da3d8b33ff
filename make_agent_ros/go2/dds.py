"""CycloneDDS without IDL objects: participants on one interface, topics whose samples are bytes.

cyclonedds' reader hands the CDR bytes of a sample to `data_type.deserialize`, and its writer sends
what `sample.serialize` returns. A type that keeps the bytes there, and borrows the SDK's type
description for everything else, is the same topic type to every peer (the robot, unitree_sdk2py,
ROS 2) and costs no field-by-field work.
"""

from __future__ import annotations

import socket
import threading
from typing import Any
from uuid import UUID

from cyclonedds.builtin import (
    BuiltinDataReader,
    BuiltinTopicDcpsParticipant,
    BuiltinTopicDcpsPublication,
)
from cyclonedds.core import (
    DDSException,
    GuardCondition,
    InstanceState,
    ReadCondition,
    SampleState,
    ViewState,
    WaitSet,
)
from cyclonedds.domain import Domain, DomainParticipant
from cyclonedds.pub import DataWriter
from cyclonedds.qos import Policy, Qos
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from cyclonedds.util import duration
from unitree_sdk2py.idl.unitree_go.msg import dds_ as unitree_go

LOWSTATE_TOPIC = 'rt/lowstate'
LOWCMD_TOPIC = 'rt/lowcmd'
LF_LOWSTATE_TOPIC = 'rt/lf/lowstate'
"""The same samples at a low rate; Unitree's own subscriber examples listen here."""

TOPIC_TYPES: dict[str, Any] = {
    LOWSTATE_TOPIC: unitree_go.LowState_,
    LOWCMD_TOPIC: unitree_go.LowCmd_,
    LF_LOWSTATE_TOPIC: unitree_go.LowState_,
    'rt/sportmodestate': unitree_go.SportModeState_,
    'rt/wirelesscontroller': unitree_go.WirelessController_,
}
"""Topics of a Go2 that the package reads or writes, with the SDK's IDL types."""

MAX_DOMAIN = 232
"""Highest DDS domain whose UDP ports exist (DDSI-RTPS 9.6.1)."""

_CONFIG = """<CycloneDDS><Domain Id="any">
  <General><Interfaces><NetworkInterface name="{interface}"/></Interfaces></General>
  <Discovery><LeaseDuration>2s</LeaseDuration></Discovery>
</Domain></CycloneDDS>"""
"""One interface, as the SDK does it. Peers forget a killed process after the lease (10 s by
default), and a controller that is started again must not wait for its own ghost."""


class LinkError(RuntimeError):
    """The DDS link cannot be opened or used; the message says why and what to do."""


class RawSample:
    """A topic sample as its CDR bytes, encapsulation header included."""

    __slots__ = ('data', 'sample_info')

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.sample_info: Any = None

    def serialize(self, **_: object) -> bytes:
        """Return the bytes (called by cyclonedds' writer)."""
        return self.data

    @classmethod
    def deserialize(cls, data: bytes) -> RawSample:
        """Keep the bytes (called by cyclonedds' reader)."""
        return cls(data)

    deserialize_key = deserialize


def raw_type(idl_type: Any) -> type[RawSample]:
    """Return a topic type with the name and type description of `idl_type` and raw samples."""
    description = {
        '__slots__': (),
        '__idl__': idl_type.__idl__,
        '__idl_typename__': idl_type.__idl_typename__,
    }
    return type(f'Raw{idl_type.__name__}', (RawSample,), description)


def _check_interface(interface: str) -> None:
    names = [name for _, name in socket.if_nameindex()]
    if interface not in names:
        raise LinkError(
            f'network interface {interface!r} does not exist; this machine has '
            f'{", ".join(names)}. Name the one that the robot is plugged into (lo for the '
            'simulator), for example interface:=eth0'
        )


class _DomainRegistry:
    """The process's DDS domains: CycloneDDS configures each domain once per process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[int, tuple[str, Domain | None, int]] = {}

    def acquire(self, domain: int, interface: str) -> None:
        with self._lock:
            bound, handle, users = self._open.get(domain, (interface, None, 0))
            if users and bound != interface:
                raise LinkError(
                    f'DDS domain {domain} already runs on interface {bound!r} in this process, '
                    f'cannot open it on {interface!r} too; use one interface per domain'
                )
            if not users:
                try:
                    handle = Domain(domain, _CONFIG.format(interface=interface))
                except DDSException as error:
                    # Another library in this process (the SDK's ChannelFactory) configured the
                    # domain before us; its choice of interface holds.
                    if error.code != DDSException.DDS_RETCODE_PRECONDITION_NOT_MET:
                        raise LinkError(
                            f'cannot open DDS domain {domain} on {interface!r}: {error.msg}; '
                            'is the interface up and does it have an IPv4 address?'
                        ) from error
            self._open[domain] = (bound, handle, users + 1)

    def release(self, domain: int) -> None:
        with self._lock:
            bound, handle, users = self._open.pop(domain)
            if users > 1:
                self._open[domain] = (bound, handle, users - 1)


_domains = _DomainRegistry()


class RawTopicReader:
    """Takes samples of one topic as bytes; blocks in the calling thread until one arrives."""

    def __init__(self, participant: DomainParticipant, topic: Topic[Any], depth: int) -> None:
        # Best effort matches every writer; a lost sample is stale by the time it is sent again.
        qos = Qos(Policy.Reliability.BestEffort, Policy.History.KeepLast(depth))
        self._reader = DataReader(participant, topic, qos=qos)
        self._arrived = ReadCondition(
            self._reader, ViewState.Any | InstanceState.Any | SampleState.NotRead
        )
        self._interrupt = GuardCondition(participant)
        self._interrupted = False
        self._waitset = WaitSet(participant)
        self._waitset.attach(self._arrived)
        self._waitset.attach(self._interrupt)

    def take(self, limit: int) -> list[RawSample]:
        """Return the samples not taken yet, oldest first, at most `limit`, without waiting."""
        try:
            return [s for s in self._reader.take(limit) if isinstance(s, RawSample)]
        except DDSException:
            if self._interrupted:
                return []  # the participant is gone
            raise

    def wait(self, timeout_s: float) -> bool:
        """Block until there is something to take; False after `timeout_s` or `interrupt`."""
        try:
            self._waitset.wait(max(0, int(timeout_s * 1e9)))
            return bool(self._arrived.triggered)
        except DDSException:
            if self._interrupted:
                return False
            raise

    def interrupt(self) -> None:
        """Let `wait` return at once, now and from now on; call it before closing."""
        if not self._interrupted:
            self._interrupted = True
            self._interrupt.set(True)


class Participant:
    """One DDS participant on one interface, with the readers and writers made from it."""

    def __init__(self, interface: str, domain: int) -> None:
        """Join the domain.

        Raises:
            LinkError: no such interface, a domain out of range, or CycloneDDS refuses.
        """
        if not 0 <= domain <= MAX_DOMAIN:
            raise LinkError(
                f'DDS domain {domain} is outside 0..{MAX_DOMAIN}; the robot uses 0, the '
                'simulator 1'
            )
        _check_interface(interface)
        self.interface = interface
        self.domain = domain
        _domains.acquire(domain, interface)
        self._released = False
        self.entity: Any = None
        try:
            self.entity = DomainParticipant(domain)
        except DDSException as error:
            self.close()
            raise LinkError(f'cannot join DDS domain {domain}: {error.msg}') from error
        self._topics: dict[str, Topic[Any]] = {}
        self._publications = BuiltinDataReader(self.entity, BuiltinTopicDcpsPublication)
        self._peers = BuiltinDataReader(self.entity, BuiltinTopicDcpsParticipant)
        self._discovery = threading.Lock()
        self._writer_topics: dict[UUID, tuple[str, UUID]] = {}
        self._peer_names: dict[UUID, str] = {}

    def topic(self, name: str) -> Topic[Any]:
        """Return the topic of this name with raw samples (`TOPIC_TYPES` knows its type)."""
        if name not in TOPIC_TYPES:
            raise LinkError(f'topic {name!r} is unknown; known: {", ".join(TOPIC_TYPES)}')
        if name not in self._topics:
            self._topics[name] = Topic(self.entity, name, raw_type(TOPIC_TYPES[name]))
        return self._topics[name]

    def reader(self, topic: str, depth: int = 1) -> RawTopicReader:
        """Return a reader that keeps the last `depth` samples."""
        return RawTopicReader(self.entity, self.topic(topic), depth)

    def writer(self, topic: str) -> RawTopicWriter:
        """Return a writer."""
        return RawTopicWriter(self.entity, self.topic(topic))

    def writers_on(self, topic: str) -> dict[UUID, str]:
        """Return the writers known on a topic: GUID -> process, pid and host.

        Discovery is not instant: a peer that is already there is known within a second or so.
        """
        with self._discovery:
            for peer in self._peers.take(256):
                if peer.qos is None or _gone(peer):
                    self._peer_names.pop(peer.key, None)
                else:
                    self._peer_names[peer.key] = _describe(peer.qos)
            for writer in self._publications.take(256):
                if writer.topic_name is None or _gone(writer):
                    self._writer_topics.pop(writer.key, None)
                else:
                    self._writer_topics[writer.key] = (writer.topic_name, writer.participant_key)
            return {
                guid: self._peer_names.get(peer, 'unknown process')
                for guid, (name, peer) in self._writer_topics.items()
                if name == topic
            }

    def close(self) -> None:
        """Leave the domain: peers see our readers and writers go now."""
        if not self._released:
            self._released = True
            if self.entity is not None:
                # cyclonedds deletes an entity when its last Python reference goes, which may be
                # long after; deleting the participant takes all that belongs to it along.
                self.entity.__del__()
            _domains.release(self.domain)


def _gone(sample: Any) -> bool:
    """Whether an entity that came and went between two looks; its sample still has contents."""
    return int(sample.sample_info.instance_state) != int(InstanceState.Alive)


def _describe(qos: Qos) -> str:
    """Name a participant by the properties that CycloneDDS announces; other vendors have none."""
    properties = {p.key: p.value for p in qos if isinstance(p, Policy.Property)}
    process = properties.get('__ProcessName', 'a process')
    pid = properties.get('__Pid')
    return f'{process}{f" (pid {pid})" if pid else ""} on {properties.get("__Hostname", "a peer")}'


class RawTopicWriter:
    """Writes samples of one topic from bytes."""

    def __init__(self, participant: DomainParticipant, topic: Topic[Any]) -> None:
        # Reliable matches reliable readers too (ROS 2's default); only the last sample is kept
        # and a peer that does not acknowledge may hold up a write for a millisecond at most.
        qos = Qos(
            Policy.Reliability.Reliable(max_blocking_time=duration(milliseconds=1)),
            Policy.History.KeepLast(1),
        )
        self._writer = DataWriter(participant, topic, qos=qos)
        self._type = topic.data_type
        self.guid: UUID = self._writer.guid

    def write(self, data: bytes) -> None:
        """Send one sample, encapsulation header included.

        Raises:
            LinkError: CycloneDDS refused the sample.
        """
        try:
            self._writer.write(self._type(data))
        except DDSException as error:
            raise LinkError(f'DDS write failed: {error.msg}') from error

    def matched_readers(self) -> int:
        """Return how many readers get what is written."""
        return len(self._writer.get_matched_subscriptions())

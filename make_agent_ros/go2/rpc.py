"""Unitree's request/response services over DDS: `rt/api/<service>/request` and `/response`.

The SDK's own client does the same through a process-wide singleton that cannot share a DDS domain
with anybody else and prints its errors; this one shares ours and raises.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from cyclonedds.core import InstanceState, ReadCondition, SampleState, ViewState, WaitSet
from cyclonedds.pub import DataWriter
from cyclonedds.qos import Policy, Qos
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from cyclonedds.util import duration
from unitree_sdk2py.idl.unitree_api.msg import dds_ as api

from make_agent_ros.go2.dds import Participant

OK = 0
ERROR_SEND = 3102
"""No server heard the request (code of the SDK's client)."""
ERROR_TIMEOUT = 3104
"""The server did not answer in time (code of the SDK's client)."""
ERROR_NOT_IMPLEMENTED = 3203
"""The server does not know the call (code of the SDK's server)."""

_POLL_S = 0.01


def _qos() -> Qos:
    return Qos(
        Policy.Reliability.Reliable(max_blocking_time=duration(milliseconds=100)),
        Policy.History.KeepLast(16),
    )


def _unread(reader: DataReader[Any]) -> ReadCondition:
    return ReadCondition(reader, ViewState.Any | InstanceState.Any | SampleState.NotRead)


class RpcClient:
    """Calls one service. Calls are made one at a time."""

    def __init__(self, participant: Participant, service: str) -> None:
        """Open both topics of a service, e.g. `motion_switcher`."""
        self.service = service
        entity = participant.entity
        request = Topic(entity, f'rt/api/{service}/request', api.Request_)
        response = Topic(entity, f'rt/api/{service}/response', api.Response_)
        self._writer = DataWriter(entity, request, qos=_qos())
        self._reader = DataReader(entity, response, qos=_qos())
        self._waitset = WaitSet(entity)
        self._waitset.attach(_unread(self._reader))
        self._lock = threading.Lock()

    def call(self, api_id: int, parameter: str, timeout_s: float) -> tuple[int, str | None]:
        """Call and wait for the answer.

        Returns:
            (0, data) when the call succeeded, else (error code, None).
        """
        deadline = time.monotonic() + timeout_s
        with self._lock:
            # A request sent before the server is discovered reaches nobody.
            while not self._discovered():
                if time.monotonic() >= deadline:
                    return ERROR_SEND, None
                time.sleep(_POLL_S)
            request_id = time.monotonic_ns()
            identity = api.RequestIdentity_(request_id, api_id)
            header = api.RequestHeader_(
                identity, api.RequestLease_(0), api.RequestPolicy_(0, False)
            )
            self._writer.write(api.Request_(header, parameter, []))
            while (remaining := deadline - time.monotonic()) > 0.0:
                self._waitset.wait(int(remaining * 1e9))
                for response in self._reader.take(16):
                    if not isinstance(response, api.Response_):
                        continue  # a server that left
                    if response.header.identity.id == request_id:
                        code = int(response.header.status.code)
                        return code, response.data if code == OK else None
        return ERROR_TIMEOUT, None

    def _discovered(self) -> bool:
        return bool(
            self._writer.get_matched_subscriptions() and self._reader.get_matched_publications()
        )


class RpcServer:
    """Answers one service in a thread of its own (the simulated robot's side)."""

    def __init__(self, participant: Participant, service: str) -> None:
        """Open both topics; subclasses answer in `handle`."""
        entity = participant.entity
        request = Topic(entity, f'rt/api/{service}/request', api.Request_)
        response = Topic(entity, f'rt/api/{service}/response', api.Response_)
        self._writer = DataWriter(entity, response, qos=_qos())
        self._reader = DataReader(entity, request, qos=_qos())
        self._waitset = WaitSet(entity)
        self._waitset.attach(_unread(self._reader))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name=f'rpc {service}', daemon=True)
        self._thread.start()

    def handle(self, api_id: int, parameter: str) -> tuple[int, str] | None:
        """Answer a call with (code, data), or None to stay silent."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop answering."""
        self._stop.set()
        self._thread.join(timeout=2.0)

    def _serve(self) -> None:
        while not self._stop.is_set():
            self._waitset.wait(int(0.2e9))
            for request in self._reader.take(16):
                if not isinstance(request, api.Request_):
                    continue
                identity = request.header.identity
                answer = self.handle(identity.api_id, request.parameter)
                if answer is None or request.header.policy.noreply:
                    continue
                header = api.ResponseHeader_(identity, api.ResponseStatus_(answer[0]))
                self._writer.write(api.Response_(header, answer[1], []))

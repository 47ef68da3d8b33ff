"""Services that answer with a sentence and write into the log who called them.

rclpy keeps the request's header, and with it the caller, from the callback. Service introspection
(ROS 2 Iron and later) tells the same: for each request it publishes the client's GID on
`<service>/_service_event`, which we follow ourselves. The graph says which node owns the endpoint
of that GID; it is asked while the caller still waits for the answer, for afterwards a one-shot
client is gone. Node names are what nodes call themselves: without SROS2 anyone may choose any.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rclpy.clock import Clock
from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_srvs.srv import SetBool, Trigger

from make_agent_ros.control.machine import Reply

try:
    from rclpy.service_introspection import ServiceIntrospectionState
except ImportError:  # ROS 2 Humble
    ServiceIntrospectionState = None

REQUEST_RECEIVED = 1  # service_msgs/msg/ServiceEventInfo
EVENT_QOS = QoSProfile(depth=20)
EVENT_WAIT_S = 1.0
"""An answered call whose event has not come by then is logged with all that may have called."""
GID_BYTES = 16
"""The graph pads GIDs to 24 bytes in some releases; 16 identify an endpoint."""


@dataclass
class Call:
    """An answered request whose caller is not known yet."""

    what: str
    clients: dict[bytes, str]
    """GID of every client's endpoint at the time of the call -> name of its node."""
    begin_ns: int
    """When the callback began; the event of this request is older, that of the next is not."""

    def by(self, gid: bytes = b'') -> str:
        """Name the caller, by its GID if that is known; else all that may have been it."""
        if gid in self.clients:
            return self.clients[gid]
        names = sorted(set(self.clients.values()))
        if len(names) == 1:
            return names[0]
        return f'one of {", ".join(names)}' if names else 'an unknown node'


@dataclass
class Waiting:
    """Calls of one service whose events have not come yet, the oldest first."""

    calls: deque[Call] = field(default_factory=deque)
    done_ns: int = 0
    """When the last call that was logged began; older events are late and belong to it."""

    def pop(self) -> Call:
        """Take the oldest call out."""
        call = self.calls.popleft()
        self.done_ns = call.begin_ns
        return call


class Services:
    """The services of a node, each with a callback that returns a `Reply`."""

    def __init__(self, node: Node) -> None:
        """Serve nothing yet.

        Args:
            node: whose private names the services get; its logger is written to.
        """
        self._node = node
        self._waiting: dict[str, Waiting] = {}
        # System time, whatever use_sim_time says: events and calls are put in order by it.
        self._clock = Clock()
        node.create_timer(0.5 * EVENT_WAIT_S, self._give_up)

    def trigger(self, name: str, act: Callable[[], Reply], *, log: bool = True) -> None:
        """Serve `~/name` as std_srvs/Trigger; with `log`, write down who called."""

        def answer(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            begin_ns = self._clock.now().nanoseconds
            reply = act()
            response.success, response.message = reply.accepted, reply.sentence
            if log:
                self._note(service.service_name, f'~/{name}: {reply.sentence}', begin_ns)
            return response

        service = self._node.create_service(Trigger, f'~/{name}', answer)
        if log:
            self._follow(service, Trigger)

    def switch(self, name: str, act: Callable[[bool], Reply]) -> None:
        """Serve `~/name` as std_srvs/SetBool, and write down who called."""

        def answer(request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
            begin_ns = self._clock.now().nanoseconds
            reply = act(request.data)
            response.success, response.message = reply.accepted, reply.sentence
            what = f'~/{name} {str(request.data).lower()}: {reply.sentence}'
            self._note(service.service_name, what, begin_ns)
            return response

        service = self._node.create_service(SetBool, f'~/{name}', answer)
        self._follow(service, SetBool)

    def _follow(self, service: Any, kind: Any) -> None:
        if ServiceIntrospectionState is None:
            return
        name = service.service_name
        waiting = self._waiting[name] = Waiting()
        service.configure_introspection(self._clock, EVENT_QOS, ServiceIntrospectionState.METADATA)

        def on_event(event: Any) -> None:
            # One thread takes a request, which publishes its event, calls back and, some time
            # later, takes the event: the oldest call that waits is the event's own.
            info = event.info
            stamp_ns = info.stamp.sec * 1_000_000_000 + info.stamp.nanosec
            fresh = info.event_type == REQUEST_RECEIVED and stamp_ns > waiting.done_ns
            if fresh and waiting.calls:
                self._log(waiting.pop(), bytes(info.client_gid))

        self._node.create_subscription(kind.Event, f'{name}/_service_event', on_event, EVENT_QOS)

    def _note(self, service: str, what: str, begin_ns: int) -> None:
        call = Call(what, self._clients(service), begin_ns)
        if service in self._waiting:
            self._waiting[service].calls.append(call)
        else:
            self._log(call)

    def _clients(self, service: str) -> dict[bytes, str]:
        """Return the GIDs of all clients' endpoints with the names of their nodes.

        A client is a writer of requests and a reader of replies; which of the two its GID names is
        the middleware's choice.
        """
        node = self._node
        endpoints = [
            *node.get_publishers_info_by_topic(f'rq{service}Request', no_mangle=True),
            *node.get_subscriptions_info_by_topic(f'rr{service}Reply', no_mangle=True),
        ]
        return {
            bytes(e.endpoint_gid)[:GID_BYTES]: f'{e.node_namespace.rstrip("/")}/{e.node_name}'
            for e in endpoints
        }

    def _log(self, call: Call, gid: bytes = b'') -> None:
        self._node.get_logger().info(f'called by {call.by(gid[:GID_BYTES])}: {call.what}')

    def _give_up(self) -> None:
        latest_ns = self._clock.now().nanoseconds - round(1e9 * EVENT_WAIT_S)
        for waiting in self._waiting.values():
            while waiting.calls and waiting.calls[0].begin_ns < latest_ns:
                self._log(waiting.pop())

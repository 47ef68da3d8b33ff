"""Who called: services of a node, called by clients in other nodes."""

from __future__ import annotations

import threading

import pytest

rclpy = pytest.importorskip('rclpy')
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from std_srvs.srv import SetBool, Trigger  # noqa: E402

from make_agent_ros.control.machine import Reply  # noqa: E402
from make_agent_ros.nodes import services  # noqa: E402
from make_agent_ros.nodes.services import Call, Services  # noqa: E402


class Bench:
    """A node with services, and callers beside it, on a ROS domain of their own."""

    def __init__(self, domain: int, monkeypatch) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = self.create('controller')
        self.log: list[str] = []
        logger = self.node.get_logger()
        monkeypatch.setattr(logger, 'info', lambda text: self.log.append(text))
        monkeypatch.setattr(self.node, 'get_logger', lambda: logger)
        self.services = Services(self.node)
        self.services.trigger('stop', lambda: Reply(True, 'damping'))
        self.services.trigger('dump', lambda: Reply(True, 'written'), log=False)
        self.services.switch('arm', lambda on: Reply(on, 'armed' if on else 'refused'))
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.spin, daemon=True)

    def create(self, name: str, namespace: str = '/'):
        return rclpy.create_node(name, context=self.context, namespace=namespace)

    def spin(self) -> None:
        while not self.stop.is_set():
            self.executor.spin_once(timeout_sec=0.05)

    def call(self, node, kind, request, service: str):
        client = node.create_client(kind, f'/controller/{service}')
        assert client.wait_for_service(20.0)
        future = client.call_async(request)
        executor = SingleThreadedExecutor(context=self.context)
        executor.add_node(node)
        executor.spin_until_future_complete(future, timeout_sec=20.0)
        node.destroy_client(client)  # as a one-shot caller does, at once
        executor.remove_node(node)
        return future.result()

    def close(self) -> None:
        self.stop.set()
        if self.thread.is_alive():
            self.thread.join()
        self.executor.shutdown()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def bench(make_domain, monkeypatch):
    bench = Bench(make_domain(), monkeypatch)
    yield bench
    bench.close()


def test_the_caller_is_named_among_several_nodes_with_a_client(bench, wait_until):
    bench.thread.start()
    callers = [bench.create('operator'), bench.create('tablet', '/van')]
    # Both hold a client all the time: who called cannot be told from the graph alone.
    held = [node.create_client(SetBool, '/controller/arm') for node in callers]
    assert all(client.wait_for_service(20.0) for client in held)
    for i, node in enumerate([*callers, *reversed(callers)]):
        answer = bench.call(node, SetBool, SetBool.Request(data=i % 2 == 0), 'arm')
        assert answer.success == (i % 2 == 0)
    wait_until(lambda: len(bench.log) == 4)
    assert bench.log == [
        'called by /operator: ~/arm true: armed',
        'called by /van/tablet: ~/arm false: refused',
        'called by /van/tablet: ~/arm true: armed',
        'called by /operator: ~/arm false: refused',
    ]


def test_a_trigger_is_logged_with_its_caller_unless_it_moves_nothing(bench, wait_until):
    bench.thread.start()
    operator = bench.create('operator')
    assert bench.call(operator, Trigger, Trigger.Request(), 'dump').message == 'written'
    assert bench.call(operator, Trigger, Trigger.Request(), 'stop').message == 'damping'
    wait_until(lambda: bench.log == ['called by /operator: ~/stop: damping'])


def test_without_introspection_all_that_hold_a_client_are_named(make_domain, monkeypatch):
    monkeypatch.setattr(services, 'ServiceIntrospectionState', None)
    bench = Bench(make_domain(), monkeypatch)
    try:
        bench.thread.start()
        operator, other = bench.create('operator'), bench.create('tablet')
        held = other.create_client(Trigger, '/controller/stop')
        assert held.wait_for_service(20.0)
        bench.call(operator, Trigger, Trigger.Request(), 'stop')
        assert bench.log == ['called by one of /operator, /tablet: ~/stop: damping']
    finally:
        bench.close()


def test_a_call_whose_event_is_lost_is_logged_all_the_same(bench, wait_until, monkeypatch):
    for subscription in list(bench.node.subscriptions):
        bench.node.destroy_subscription(subscription)
    bench.thread.start()
    bench.call(bench.create('operator'), Trigger, Trigger.Request(), 'stop')
    wait_until(lambda: bench.log == ['called by /operator: ~/stop: damping'], timeout_s=20.0)


def test_a_call_is_by_the_owner_of_the_gid_or_by_one_of_the_clients():
    call = Call('', {b'a': '/one', b'b': '/two', b'c': '/two'}, 0)
    assert call.by(b'b') == '/two'
    assert call.by(b'x') == 'one of /one, /two'
    assert Call('', {b'a': '/one', b'b': '/one'}, 0).by() == '/one'
    assert Call('', {}, 0).by(b'a') == 'an unknown node'

"""The operator as a program: it comes, it asks, it goes, and leaves no thread behind."""

from __future__ import annotations

import threading
import time

import pytest

pytest.importorskip('rclpy')
from std_msgs.msg import Empty
from std_srvs.srv import Trigger

from make_agent_ros.nodes.client import Operator, OperatorError

ROS_DOMAIN = 171


def spinning() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == 'operator']


def test_an_operator_leaves_at_once_and_again_and_again_while_its_timers_run():
    for i in range(20):
        with Operator(ROS_DOMAIN) as operator:
            operator.drive((0.1, 0.0, 0.0))
            operator.beat(True)
            time.sleep(0.03 * (i % 3))
            assert len(spinning()) == 1
        assert spinning() == []


def test_an_operator_leaves_only_after_the_callback_that_runs():
    started, finished = threading.Event(), threading.Event()

    def slow(_: Empty) -> None:
        started.set()
        time.sleep(2.5)
        finished.set()

    with Operator(ROS_DOMAIN) as operator:
        operator.node.create_subscription(Empty, 'slow', slow, 1)
        publisher = operator.node.create_publisher(Empty, 'slow', 1)
        deadline = time.monotonic() + 30.0
        while not started.is_set():
            assert time.monotonic() < deadline
            publisher.publish(Empty())
            time.sleep(0.05)
    assert finished.is_set()


def test_a_service_answers_twice_over_one_client_and_its_refusal_is_an_error():
    def answer(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        answers.append(None)
        response.success, response.message = len(answers) < 3, f'answer {len(answers)}'
        return response

    answers: list[None] = []
    with Operator(ROS_DOMAIN) as server, Operator(ROS_DOMAIN) as operator:
        server.node.create_service(Trigger, 'ask_me', answer)
        assert operator.call('ask_me', 30.0) == 'answer 1'
        assert operator.call('ask_me', 30.0) == 'answer 2'
        with pytest.raises(OperatorError, match='ask_me: answer 3'):
            operator.call('ask_me', 30.0)
        assert len(list(operator.node.clients)) == 1


def test_a_service_that_nobody_offers_is_named():
    with Operator(ROS_DOMAIN) as operator, pytest.raises(OperatorError, match='nobody/there'):
        operator.call('nobody/there', 0.3)

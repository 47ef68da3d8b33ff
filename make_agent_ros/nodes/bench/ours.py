"""The controller node as the benchmark's subject: everything it does is running."""

from __future__ import annotations

import sys
import threading
import time
from array import array
from typing import Any

import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from std_msgs.msg import UInt8MultiArray

from make_agent_ros.control.machine import Mode, Request
from make_agent_ros.nodes.bench import HIDDEN
from make_agent_ros.nodes.bench.child import Usage, serve
from make_agent_ros.nodes.controller import LATCHED, ControllerNode
from make_agent_ros.policy import Bundle, MlpShape, to_bytes


def standing_policy(seed: int) -> bytes:
    """A policy of usual size whose last layer is zero: full cost, and the robot stands still."""
    rng = np.random.default_rng(seed)
    inputs = 47
    layers = MlpShape(inputs, HIDDEN, 12).unflatten(
        rng.normal(0.0, 0.1, MlpShape(inputs, HIDDEN, 12).size).astype(np.float32)
    )
    layers[-1] = (np.zeros_like(layers[-1][0]), np.zeros(12, np.float32))
    return to_bytes(Bundle(layers=layers, gait_frequency_hz=2.0))


def policy_message(seed: int) -> UInt8MultiArray:
    """The same as a message for /policy."""
    return UInt8MultiArray(data=array('B', standing_policy(seed)))


class Subject:
    """Drives the node from the conductor's words."""

    def __init__(self, node: ControllerNode) -> None:
        self._node = node
        self._usage = Usage()
        self._policy = node.create_publisher(UInt8MultiArray, 'policy', LATCHED)

    def walk(self) -> None:
        """Stand up and walk in place."""
        self._policy.publish(policy_message(0))
        self._until(lambda mode: mode is Mode.DAMPING, 'DAMPING')
        self._ask(Request.STAND_UP)
        self._until(lambda mode: mode is Mode.STAND, 'STAND')
        self._ask(Request.WALK)
        time.sleep(1.5)

    def reset(self) -> None:
        """Begin counting."""
        self._node.loop.timing.clear()
        self._usage.reset()

    def figures(self) -> dict[str, Any]:
        """Return timing, usage and state."""
        loop = self._node.loop
        status = loop.status
        return {
            **loop.timing.figures(),
            **self._usage.figures(),
            'mode': None if status is None else status.mode.value,
            'policy': None if status is None else status.policy,
            'permissions_missing': len(loop.missing_permissions),
        }

    def _ask(self, request: Request) -> None:
        reply = self._node.loop.request(request, 1.0)
        if not reply.accepted:
            raise RuntimeError(reply.sentence)

    def _until(self, condition: Any, what: str) -> None:
        deadline = time.monotonic() + 30.0
        while time.monotonic() < deadline:
            status = self._node.loop.status
            if status is not None and condition(status.mode):
                return
            time.sleep(0.02)
        raise RuntimeError(f'{what} not reached; the state is {self._node.loop.status}')


def main() -> None:
    """Run the node; ROS arguments come from the command line."""
    rclpy.init(args=sys.argv)
    node = ControllerNode()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    subject = Subject(node)
    words = {'walk': subject.walk, 'reset': subject.reset, 'figures': subject.figures}

    def converse() -> None:
        serve(words)
        rclpy.try_shutdown()

    try:
        node.begin()
        threading.Thread(target=converse, daemon=True).start()
        executor.spin()
    except ExternalShutdownException:
        pass
    finally:
        node.end()


if __name__ == '__main__':
    main()

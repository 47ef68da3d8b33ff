"""Generator node: a bag in, the best generated policy out on `/policy`."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
import time
from array import array
from dataclasses import replace
from pathlib import Path
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import MultiArrayDimension, String, UInt8MultiArray
from std_srvs.srv import Trigger

from make_agent_ros.nodes.generation import GeneratorConfig, generate_best
from make_agent_ros.nodes.parameters import ParameterError, follow_parameters, load_parameters
from make_agent_ros.nodes.process import ros
from make_agent_ros.policy import to_bytes

LATCHED = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
NICENESS = 10
"""Ranking uses every core; the controller beside it must get its tick first."""


class GeneratorNode(Node):
    """Answers `~/generate`; everything else is `nodes.generation`."""

    def __init__(self) -> None:
        super().__init__('generator')
        self._config = load_parameters(self, GeneratorConfig)
        follow_parameters(self, GeneratorConfig, self._set)
        self._busy = threading.Lock()
        self._policy = self.create_publisher(UInt8MultiArray, 'policy', LATCHED)
        self._state = self.create_publisher(String, '~/state', LATCHED)
        self.create_service(
            Trigger, '~/generate', self._generate, callback_group=ReentrantCallbackGroup()
        )
        self._tell('idle', sentence='waiting for ~/generate')

    def _set(self, name: str, value: Any) -> None:
        self._config = replace(self._config, **{name: value})

    def _tell(self, state: str, **more: object) -> None:
        text = json.dumps({'state': state, 'stamp_s': round(time.time(), 3), **more})
        self._state.publish(String(data=text))

    def _generate(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if not self._busy.acquire(blocking=False):
            response.success, response.message = False, 'still generating; wait for the answer'
            return response
        try:
            response.success, response.message = True, self._run()
        except Exception as error:  # whatever happens, the caller gets a sentence
            response.success, response.message = False, str(error) or repr(error)
            self._tell('refused', sentence=response.message)
            self.get_logger().error(response.message)
        finally:
            self._busy.release()
        return response

    def _run(self) -> str:
        """Generate, write, publish; return the sentence for the caller."""
        config = self._config
        generated = generate_best(config, lambda stage: self._tell('working', stage=stage))
        data = to_bytes(generated.bundle)
        digest = hashlib.sha256(data).hexdigest()
        path = self._write(config.out, digest, data)
        dimension = MultiArrayDimension(label=digest, size=len(data), stride=len(data))
        message = UInt8MultiArray(data=array('B', data))
        message.layout.dim.append(dimension)
        self._policy.publish(message)
        sentence = f'{generated.summary}; published, and written to {path}'
        self._tell(
            'done',
            sentence=sentence,
            policy=digest,
            path=str(path),
            seconds={stage: round(s, 3) for stage, s in generated.seconds.items()},
            novelty=round(generated.novelty, 3),
            threshold=round(generated.threshold, 3),
            doubt=round(generated.doubt, 3),
            prompt=[round(generated.prompt.time_s[0], 3), round(generated.prompt.time_s[-1], 3)],
        )
        self.get_logger().info(sentence)
        return sentence

    @staticmethod
    def _write(folder: str, digest: str, data: bytes) -> Path:
        path = Path(folder).expanduser().resolve() / f'policy-{digest[:12]}.onnx'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path


def main() -> None:
    """Run the node until Ctrl-C or SIGTERM."""
    os.nice(NICENESS)
    # Threads that spin while they wait would burn the cores that they wait for.
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    with ros():
        try:
            node = GeneratorNode()
            executor = MultiThreadedExecutor(num_threads=2)
            executor.add_node(node)
            executor.spin()
        except ParameterError as error:
            sys.exit(f'generator: {error}')
    sys.stdout.flush()
    os._exit(0)  # a ranking in progress is a thread that would hold the exit up until it is done


if __name__ == '__main__':
    main()

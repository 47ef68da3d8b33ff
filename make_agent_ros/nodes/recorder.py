"""Recorder node: `rt/lowstate`, `rt/lowcmd`, `/cmd_vel` and marks into rosbag2/MCAP bags."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import Twist
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import String, UInt8MultiArray
from std_srvs.srv import Trigger

from make_agent_ros import __version__
from make_agent_ros.go2.link import LinkError, RawReader
from make_agent_ros.nodes.parameters import ParameterError, load_parameters
from make_agent_ros.nodes.process import ros
from make_agent_ros.nodes.recorder_config import RecorderConfig
from make_agent_ros.recording.errors import RecordingError
from make_agent_ros.recording.recorder import Recorder

LATCHED = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
MIN_RATE_HZ = 450.0
"""Below it `/diagnostics` warns: a Go2 sends lowstate at 500 Hz."""


class RecorderNode(Node):
    """Services, state and diagnostics around `recording.recorder.Recorder`."""

    def __init__(self) -> None:
        super().__init__('recorder')
        config = self._config = load_parameters(self, RecorderConfig)
        self._policy = ''
        self._readers = {
            f'/{name}': RawReader(f'rt/{name}', config.interface, config.domain)
            for name in ('lowstate', 'lowcmd')
        }
        self.recorder = Recorder(self._readers, config.options(), self._describe)
        self._state = self.create_publisher(String, '~/state', LATCHED)
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 1)
        # raw: the bytes go into the bag as they came
        self.create_subscription(
            Twist, 'cmd_vel', lambda data: self.recorder.add('/cmd_vel', data), 10, raw=True
        )
        self.create_subscription(String, '~/mark_text', self._mark_text, 10)
        self.create_subscription(UInt8MultiArray, 'policy', self._on_policy, LATCHED)
        for name, action in (
            ('start', self._start),
            ('stop', self._stop),
            ('snapshot', self._snapshot),
            ('mark', self._mark),
        ):
            self.create_service(Trigger, f'~/{name}', self._answer(action))
        self.create_timer(1.0, self._publish)
        if config.autostart:
            self.get_logger().info(self._start())
        self._publish()

    def close(self) -> None:
        """Finish the bag and leave DDS."""
        self.recorder.close()
        for reader in self._readers.values():
            reader.close()

    def _describe(self) -> dict[str, str]:
        return {
            'robot': self._config.robot,
            'package_version': __version__,
            'policy': self._policy,
            'interface': self._config.interface,
            'domain': str(self._config.domain),
        }

    # -- services ----------------------------------------------------------------------------

    def _answer(
        self, action: Callable[[], str]
    ) -> Callable[[Trigger.Request, Trigger.Response], Trigger.Response]:
        def callback(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            try:
                response.success, response.message = True, action()
                self.get_logger().info(response.message)
            except RecordingError as error:
                response.success, response.message = False, str(error)
                self.get_logger().warning(response.message)
            self._publish()
            return response

        return callback

    def _start(self) -> str:
        return f'recording to {self.recorder.start()}'

    def _stop(self) -> str:
        status = self.recorder.stop()
        return (
            f'{status.path}: {status.samples} samples in {status.seconds:.1f} s, '
            f'{status.dropped} lost'
        )

    def _snapshot(self) -> str:
        return f'the last {self._config.ring_s:g} s are in {self.recorder.snapshot()}'

    def _mark(self) -> str:
        self.recorder.mark('mark')
        return 'marked'

    # -- topics ------------------------------------------------------------------------------

    def _mark_text(self, message: String) -> None:
        self.recorder.mark(message.data)

    def _on_policy(self, message: UInt8MultiArray) -> None:
        labels = [dimension.label for dimension in message.layout.dim]
        self._policy = labels[0][:64] if labels else 'unnamed'
        self.recorder.mark(f'policy {self._policy}')

    def _publish(self) -> None:
        status = self.recorder.status()
        self._state.publish(String(data=json.dumps(status.as_dict())))
        result = DiagnosticStatus(name=self.get_name(), hardware_id=self._config.robot)
        if status.error:
            result.level, result.message = DiagnosticStatus.ERROR, status.error
        elif status.rate_hz < MIN_RATE_HZ:
            result.level = DiagnosticStatus.WARN
            result.message = f'lowstate comes at {status.rate_hz:.0f} Hz, a Go2 sends 500 Hz'
        else:
            result.level = DiagnosticStatus.OK
            result.message = f'recording to {status.path}' if status.recording else 'ready'
        result.values = [
            KeyValue(key=key, value=str(value)) for key, value in status.as_dict().items()
        ]
        result.values.append(KeyValue(key='free MiB', value=f'{self.recorder.free_mb():.0f}'))
        array = DiagnosticArray(status=[result])
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(array)


def main() -> None:
    """Run the node until Ctrl-C or SIGTERM; either way the bag is finished."""
    node = None
    with ros():
        try:
            node = RecorderNode()
            executor = SingleThreadedExecutor()
            executor.add_node(node)
            executor.spin()
        except (LinkError, ParameterError, RecordingError) as error:
            sys.exit(f'recorder: {error}')
        finally:
            if node is not None:
                node.close()


if __name__ == '__main__':
    main()

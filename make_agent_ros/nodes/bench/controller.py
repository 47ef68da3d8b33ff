"""`make-agent bench controller`: the control loop on the wire, and a field script beside it.

The simulated robot, the controller node (ROS, diagnostics, black box and all) and the reference
loop are processes of their own. LowCmd gaps and reply times come from the robot's side.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from make_agent_ros.nodes.bench.child import Child
from make_agent_ros.nodes.bench.figures import write
from make_agent_ros.nodes.network import free_domains
from make_agent_ros.resources import resource_path

if TYPE_CHECKING:
    from make_agent_ros.nodes.client import Operator

SETTLE_S = 3.0
SWAPS, SWAP_EVERY_S = 5, 1.0
"""Policies published while walking, by another process, as the generator does."""
CHANGES, CHANGE_EVERY_S = 5, 0.5
"""Parameter changes while walking, through the node's own service."""
REPORTS, REPORT_EVERY_S = 2, 2.5
"""Black boxes written while walking, and the time in which each becomes a bag."""
_ROOM = 'make_agent_ros.nodes.bench'


def run_bench(
    json_path: Path | None = None, *, load: bool = False, duration_s: float = 30.0
) -> dict[str, float]:
    """Measure our loop and the reference, idle and, with `load`, with every core busy.

    Args:
        json_path: where the flat figures are written.
        load: measure a second time beside one busy process per core; keys end in `_loaded`.
        duration_s: length of each measurement, s.

    Returns:
        The figures; times in microseconds unless the key says ms.
    """
    figures = _measure(duration_s, '')
    if load:
        with _busy_cores():
            figures.update(_measure(duration_s, '_loaded'))
    figures['latency_ratio_p50'] = figures['latency_us_p50_sdk_loop'] / figures['latency_us_p50']
    figures['cores'] = float(os.cpu_count() or 0)
    figures['load_average_1min'] = os.getloadavg()[0]
    figures = {key: round(value, 4) for key, value in figures.items()}
    write(figures, json_path)
    return figures


def table(figures: dict[str, float]) -> str:
    """Return the figures as an aligned text table."""
    width = max(map(len, figures))
    return '\n'.join(f'{key:<{width}}  {value:>12g}' for key, value in figures.items())


def _measure(duration_s: float, suffix: str) -> dict[str, float]:
    ours = _measure_ours(duration_s)
    sdk = _measure_sdk(duration_s)
    result = {key: value for key, value in ours.items() if isinstance(value, float)}
    for key in ('latency_us_p50', 'latency_us_p99', 'latency_us_max', 'period_error_us_p99',
                'inference_us_p99', 'cpu_share', 'lowcmd_gap_ms_max', 'reply_us_p50'):  # fmt: skip
        result[f'{key}_sdk_loop'] = sdk[key]
    return {f'{key}{suffix}': value for key, value in result.items()}


def _measure_ours(duration_s: float) -> dict[str, Any]:
    from make_agent_ros.nodes.client import Operator

    domain, ros_domain = free_domains(2)
    environment = {
        'ROS_DOMAIN_ID': str(ros_domain),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
    }
    os.environ.update(environment)
    with tempfile.TemporaryDirectory() as folder:
        arguments = ['--ros-args', '--params-file', str(resource_path('config/controller.yaml'))]
        for setting in (
            f'domain:={domain}', 'dry_run:=false', f'black_box_dir:={folder}',
            # A stall of the machine is what is measured here; it must not end the measurement.
            'limits.state_age_warn_s:=1.0', 'limits.state_age_max_s:=2.0',
            'limits.policy_age_max_s:=2.0', 'guard_timeout_s:=2.0',
        ):  # fmt: skip
            arguments += ['-p', setting]
        with (
            Child(f'{_ROOM}.robot', str(domain)) as robot,
            Child(f'{_ROOM}.ours', *arguments, environment=environment) as subject,
            Operator(ros_domain) as operator,
        ):
            subject.ask('walk')
            figures = _window(robot, subject, duration_s)
            for name, disturb in (
                ('swap', lambda: _swap_policies(operator)),
                ('parameters', lambda: _change_parameters(operator)),
                ('report', lambda: _write_reports(operator)),
            ):
                robot.ask('reset')
                disturb()
                wire = robot.ask('figures')
                figures[f'lowcmd_gap_ms_max_{name}'] = 1e3 * wire['gap_s_max']
                figures[f'robot_late_ms_max_{name}'] = 1e3 * wire['late_s']
            if subject.ask('figures')['mode'] != 'WALK':
                raise RuntimeError('the robot did not walk to the end of the measurement')
    return figures


def _swap_policies(operator: Operator) -> None:
    from std_msgs.msg import UInt8MultiArray

    from make_agent_ros.nodes.bench.ours import policy_message
    from make_agent_ros.nodes.client import LATCHED

    publisher = operator.node.create_publisher(UInt8MultiArray, 'policy', LATCHED)
    for message in [policy_message(seed) for seed in range(1, SWAPS + 1)]:
        publisher.publish(message)
        time.sleep(SWAP_EVERY_S)


def _change_parameters(operator: Operator) -> None:
    for i in range(CHANGES):
        operator.set_parameters('controller', velocity_max=[1.2, 0.4, 1.0 - 0.1 * i])
        time.sleep(CHANGE_EVERY_S)


def _write_reports(operator: Operator) -> None:
    for _ in range(REPORTS):
        operator.call('controller/dump')
        time.sleep(REPORT_EVERY_S)


def _measure_sdk(duration_s: float) -> dict[str, Any]:
    (domain,) = free_domains(1)
    with (
        Child(f'{_ROOM}.robot', str(domain)) as robot,
        Child(f'{_ROOM}.sdk', str(domain)) as subject,
    ):
        return _window(robot, subject, duration_s)


def _window(robot: Child, subject: Child, duration_s: float) -> dict[str, Any]:
    time.sleep(SETTLE_S)
    subject.ask('reset')
    robot.ask('reset')
    time.sleep(duration_s)
    figures, wire = subject.ask('figures'), robot.ask('figures')
    figures['lowcmd_gap_ms_max'] = 1e3 * wire['gap_s_max']
    figures['lowcmd_gap_ms_p99'] = 1e3 * wire['gap_s_p99']
    figures['reply_us_p50'] = 1e6 * wire['reply_s_p50']
    figures['reply_us_p99'] = 1e6 * wire['reply_s_p99']
    # How old the state is that a command answers, as the robot sees it.
    figures['state_age_ms_max'] = 1e3 * wire['reply_s_max']
    figures['robot_late_ms_max'] = 1e3 * wire['late_s']
    return figures


@contextmanager
def _busy_cores() -> Iterator[None]:
    workers = [
        multiprocessing.get_context('spawn').Process(target=_spin, daemon=True)
        for _ in range(os.cpu_count() or 1)
    ]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        for worker in workers:
            worker.kill()
            worker.join()


def _spin() -> None:
    while True:
        sum(range(100_000))

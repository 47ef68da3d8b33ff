"""Simulator and controller as the real processes, on domains of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from std_srvs.srv import SetBool

from make_agent_ros.nodes.client import Operator, OperatorError
from make_agent_ros.resources import resource_path

PATIENCE = {
    'limits.state_age_warn_s': '1.0',
    'limits.state_age_max_s': '2.0',
    'limits.policy_age_max_s': '2.0',
    'guard_timeout_s': '2.0',
}
"""Test machines may be busy; tests of the limits themselves run in lock-step (test/control)."""


class Robot:
    """Starts nodes, keeps their output, leaves nothing behind."""

    def __init__(self, folder: Path, dds_domain: int, ros_domain: int) -> None:
        self.folder = folder
        self.dds_domain, self.ros_domain = dds_domain, ros_domain
        self.processes: dict[str, subprocess.Popen] = {}
        self.operator = Operator(domain_id=ros_domain)

    def __enter__(self) -> Robot:
        self.operator.__enter__()
        return self

    def __exit__(self, *error) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + 10.0
        for process in self.processes.values():
            while process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
            process.kill()
            process.wait()
        self.operator.__exit__(None, None, None)

    def start(self, node: str, **parameters: str) -> subprocess.Popen:
        """Start a node with its shipped YAML and these parameters."""
        values = {'domain': str(self.dds_domain), **parameters}
        arguments = ['--ros-args', '--params-file', str(resource_path(f'config/{node}.yaml'))]
        for name, value in values.items():
            arguments += ['-p', f'{name}:={value}']
        with (self.folder / f'{node}.log').open('a') as log:
            process = subprocess.Popen(
                [sys.executable, '-m', f'make_agent_ros.nodes.{node}', *arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, 'ROS_DOMAIN_ID': str(self.ros_domain)},
            )
        self.processes[node] = process
        return process

    def start_controller(self, **parameters: str) -> subprocess.Popen:
        """Start the controller armed for the simulator, patient with a busy machine."""
        # A dead controller's last state may still be on the graph.
        self.operator.forget('controller')
        boxes = str(self.folder / 'boxes')
        return self.start(
            'controller',
            **{'dry_run': 'false', 'black_box_dir': boxes, **PATIENCE, **parameters},
        )

    def log(self, node: str) -> str:
        return (self.folder / f'{node}.log').read_text()

    def mode(self) -> str:
        return self.operator.state('controller').get('mode', '')

    def wait_mode(self, mode: str, timeout_s: float = 40.0) -> dict:
        return self.operator.wait_for(
            'controller', lambda state: state['mode'] == mode, timeout_s, f'mode {mode}'
        )

    def call(self, service: str) -> str:
        return self.operator.call(f'controller/{service}', 10.0)

    def arm(self, on: bool = True) -> SetBool.Response:
        """Arm or disarm; return the answer, whatever it is."""
        client = self.operator.node.create_client(SetBool, 'controller/arm')
        assert client.wait_for_service(10.0)
        future = client.call_async(SetBool.Request(data=on))
        self.poll(future.done, 10.0, 'an answer')
        return future.result()

    def accepts(self, service: str) -> bool:
        """Call a service; whether it was accepted."""
        try:
            self.call(service)
        except OperatorError:
            return False
        return True

    def refusal(self, service: str) -> str:
        """Call a service that must refuse; return its sentence."""
        try:
            self.call(service)
        except OperatorError as error:
            return str(error)
        raise AssertionError(f'{service} was accepted')

    def height_m(self, timeout_s: float = 5.0) -> float:
        """The trunk's height by the next odometry."""
        start = time.monotonic()
        while time.monotonic() - start < timeout_s:
            try:
                track = self.operator.track()
            except OperatorError:
                time.sleep(0.02)
                continue
            if track.time_s[-1] > start:
                return float(track.position[-1, 2])
            time.sleep(0.02)
        raise AssertionError('no odometry; is the simulator running?')

    def poll(self, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f'{what} not within {timeout_s} s'
            time.sleep(0.02)

"""The one list of nodes that launch files and `make-agent deploy` read.

Pure data: no rclpy, no launch. `plan` turns the arguments' values into processes; a launch file
makes `launch_ros` actions of them, `nodes.deploy` makes subprocesses.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from make_agent_ros.nodes import security
from make_agent_ros.nodes.arguments import CHECK_ARGUMENTS, ArgumentError, Settings, Values
from make_agent_ros.resources import resource_path

PACKAGE = 'make_agent_ros'
Parameters = dict[str, bool | int | float | str]


@dataclass(frozen=True)
class NodeSpec:
    """One node of the graph."""

    name: str
    """Node name = console script = module under `make_agent_ros.nodes`."""
    does: str
    """One line for `--help`."""
    needed: Callable[[Settings], bool] = lambda settings: True
    essential: bool = True
    """Whether the graph stops when this node ends. A full disk must not stop a walking robot."""
    parameters: Callable[[Settings], Parameters] = lambda settings: {}
    """Parameters that follow from the settings; they win over every file."""


def _link(settings: Settings) -> Parameters:
    return {'interface': settings.interface, 'domain': settings.domain}


NODES: tuple[NodeSpec, ...] = (
    NodeSpec(
        'simulator',
        "the simulated Go2 behind the robot's own DDS interface",
        needed=lambda s: s.robot == 'sim',
        parameters=lambda s: {
            **_link(s),
            'headless': s.headless,
            'publish_clock': s.use_sim_time,
        },
    ),
    NodeSpec(
        'controller',
        'state machine, safety envelope and policy; the only writer of rt/lowcmd',
        parameters=lambda s: {
            **_link(s),
            'robot': s.robot,
            'dry_run': s.dry_run,
            'policy': s.policy,
        },
    ),
    NodeSpec(
        'recorder',
        'rt/lowstate and rt/lowcmd into rosbag2/MCAP bags, undecoded',
        essential=False,
        parameters=lambda s: {**_link(s), 'autostart': s.record},
    ),
    NodeSpec('generator', 'bag -> prompt -> policies -> the best one on /policy', essential=False),
)
"""The whole graph, in starting order."""

GROUPS: dict[str, tuple[str, ...]] = {
    'deploy': ('simulator', 'controller', 'recorder', 'generator'),
    'record': ('recorder',),
    'sim': ('simulator',),
}
"""Launch file (or verb) -> the nodes that it starts."""


@dataclass(frozen=True)
class Process:
    """A node to start, with everything that it is given."""

    node: str
    namespace: str
    params_files: tuple[Path, ...]
    parameters: Parameters = field(default_factory=dict)
    log_level: str = 'info'
    essential: bool = True
    keystore: str = ''
    """SROS2 keystore; empty: without security."""

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables on top of the starter's own."""
        return security.environment(self.keystore, self.node)

    def own_arguments(self) -> list[str]:
        """Return the ROS arguments that ROS 2's launch does not add by itself."""
        enclave = ['--enclave', security.enclave_of(self.node)] if self.keystore else []
        return [*enclave, '--log-level', f'{self.node}:={self.log_level}']

    def ros_arguments(self) -> list[str]:
        """Return the ROS 2 command-line arguments (`--ros-args` ...)."""
        arguments = ['--ros-args', '-r', f'__node:={self.node}']
        if self.namespace:
            arguments += ['-r', f'__ns:=/{self.namespace.strip("/")}']
        for path in self.params_files:
            arguments += ['--params-file', str(path)]
        for name, value in self.parameters.items():
            arguments += ['-p', f'{name}:={_yaml(value)}']
        return [*arguments, *self.own_arguments()]

    def command(self) -> list[str]:
        """Return the command line that starts the node without ROS 2's launch."""
        return [sys.executable, '-m', f'{PACKAGE}.nodes.{self.node}', *self.ros_arguments()]


def check_command(values: Values) -> list[str]:
    """Return the command line that `check.launch.py` runs.

    Raises:
        ArgumentError: no policy was named.
    """
    if not values.get('policy'):
        raise ArgumentError('policy:= is missing; name the bundle, e.g. policy:=walk.onnx')
    options = [
        f'--{argument.name.replace("_", "-")}={values[argument.name]}'
        for argument in CHECK_ARGUMENTS[1:]
        if values.get(argument.name)
    ]
    return [sys.executable, '-m', f'{PACKAGE}.cli', 'check', values['policy'], *options]


def with_parameters(processes: Sequence[Process], **by_node: Parameters) -> list[Process]:
    """Return the processes with some nodes' parameters set, e.g. `recorder={'directory': ...}`."""
    return [
        replace(process, parameters={**process.parameters, **by_node.get(process.node, {})})
        for process in processes
    ]


def plan(group: str, settings: Settings) -> list[Process]:
    """Return the processes of a group, in starting order.

    Raises:
        ArgumentError: the keystore lacks what a node needs.
    """
    processes = []
    for spec in NODES:
        if spec.name not in GROUPS[group] or not spec.needed(settings):
            continue
        files = [resource_path(f'config/{spec.name}.yaml')]
        if settings.params_file:
            files.append(Path(settings.params_file))
        parameters: Parameters = {**spec.parameters(settings)}
        parameters['use_sim_time'] = settings.use_sim_time and spec.name != 'simulator'
        processes.append(
            Process(
                node=spec.name,
                namespace=settings.namespace,
                params_files=tuple(files),
                parameters=parameters,
                log_level=settings.log_level,
                essential=spec.essential,
                keystore=settings.security,
            )
        )
    if settings.security:
        names = [process.node for process in processes]
        security.check_keystore(Path(settings.security), names, settings.namespace)
    return processes


def plan_and_probe(group: str, settings: Settings) -> list[Process]:
    """Plan; with a keystore, also try whether this ROS 2 takes the first node's keys.

    Raises:
        ArgumentError: the keystore lacks something, or ROS 2 does not take it.
    """
    processes = plan(group, settings)
    if settings.security:
        security.probe(settings.security, processes[0].node, settings.namespace)
    return processes


def _yaml(value: bool | int | float | str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}'" if isinstance(value, str) else repr(value)

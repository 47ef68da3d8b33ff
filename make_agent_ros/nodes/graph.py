"""The one list of nodes and arguments that launch files and `make-agent deploy` read.

Pure data: no rclpy, no launch. `plan` turns the arguments' values into processes; a launch file
makes `launch_ros` actions of them, `nodes.deploy` makes subprocesses.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from make_agent_ros.resources import resource_path

PACKAGE = 'make_agent_ros'
Values = Mapping[str, str]
"""Argument name -> text, as it comes from a launch file or a command line."""
Parameters = dict[str, bool | int | float | str]

ROBOT_SUBNET = '192.168.123.'
"""The Go2's own network; the robot is .161 on it."""


class GraphError(ValueError):
    """An argument that cannot be used; the message says what would do."""


@dataclass(frozen=True)
class Argument:
    """One argument of the launch files and of `make-agent deploy`."""

    name: str
    default: str
    description: str
    choices: tuple[str, ...] = ()


ARGUMENTS: tuple[Argument, ...] = (
    Argument(
        'robot',
        'sim',
        'sim: start the simulated Go2 and talk to it. go2: talk to a real one on `interface`; '
        'nothing moves unless dry_run:=false is given as well.',
        ('sim', 'go2'),
    ),
    Argument(
        'interface',
        '',
        'Network interface of the robot link, e.g. eth0. Empty: lo for robot:=sim; for '
        f'robot:=go2 the one with an address {ROBOT_SUBNET}x.',
    ),
    Argument(
        'domain',
        '',
        'DDS domain of the robot link (not ROS_DOMAIN_ID). Empty: 1 for robot:=sim, 0 for '
        'robot:=go2, as the robot expects.',
    ),
    Argument(
        'params_file',
        '',
        'YAML file with ROS parameters, read after the shipped config/<node>.yaml, so it needs '
        'only what differs.',
    ),
    Argument(
        'policy',
        '',
        'Policy bundle (.onnx) to load at start. Empty: wait for one on /policy.',
    ),
    Argument(
        'record',
        'false',
        'true: record /lowstate and /lowcmd from the start; false: wait for recorder/start.',
        ('true', 'false'),
    ),
    Argument(
        'headless',
        'true',
        "false: open MuJoCo's viewer (robot:=sim only; needs a display).",
        ('true', 'false'),
    ),
    Argument(
        'dry_run',
        '',
        'true: compute and publish everything but send nothing to the motors. Empty: false for '
        'robot:=sim, true for robot:=go2.',
        ('', 'true', 'false'),
    ),
    Argument('namespace', '', 'ROS namespace of all nodes, e.g. go2_1.'),
    Argument(
        'use_sim_time',
        'false',
        "true: ROS stamps follow the simulator's /clock. The control loop is on the robot's own "
        'samples either way.',
        ('true', 'false'),
    ),
    Argument(
        'log_level',
        'info',
        'Log level of all nodes.',
        ('debug', 'info', 'warn', 'error', 'fatal'),
    ),
)
"""Everything that can be said on the command line, in the order of `--show-args`."""


CHECK_ARGUMENTS: tuple[Argument, ...] = (
    Argument('policy', '', 'Policy bundle (.onnx) to check. Required.'),
    Argument('prompt', '', 'Bag that the policy was made from; its style is compared. Optional.'),
    Argument('backend', 'mujoco', 'Physics backends, comma-separated: mujoco, physx, isaacgym.'),
    Argument('out', '', 'Folder of the report. Empty: runs/check-<time>.'),
    Argument(
        'isaacgym_python',
        '',
        'Python interpreter (3.8) that has Isaac Gym; needed by the backend isaacgym.',
    ),
)
"""What `check.launch.py` takes; each is an option of `make-agent check`."""


@dataclass(frozen=True)
class Settings:
    """The arguments' values, checked and filled in."""

    robot: str = 'sim'
    interface: str = 'lo'
    domain: int = 1
    params_file: str = ''
    policy: str = ''
    record: bool = False
    headless: bool = True
    dry_run: bool = False
    namespace: str = ''
    use_sim_time: bool = False
    log_level: str = 'info'


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

    def ros_arguments(self) -> list[str]:
        """Return the ROS 2 command-line arguments (`--ros-args` ...)."""
        arguments = ['--ros-args', '-r', f'__node:={self.node}']
        if self.namespace:
            arguments += ['-r', f'__ns:=/{self.namespace.strip("/")}']
        for path in self.params_files:
            arguments += ['--params-file', str(path)]
        for name, value in self.parameters.items():
            arguments += ['-p', f'{name}:={_yaml(value)}']
        return [*arguments, '--log-level', f'{self.node}:={self.log_level}']

    def command(self) -> list[str]:
        """Return the command line that starts the node without ROS 2's launch."""
        return [sys.executable, '-m', f'{PACKAGE}.nodes.{self.node}', *self.ros_arguments()]


def check_command(values: Values) -> list[str]:
    """Return the command line that `check.launch.py` runs.

    Raises:
        GraphError: no policy was named.
    """
    if not values.get('policy'):
        raise GraphError('policy:= is missing; name the bundle to check, e.g. policy:=walk.onnx')
    options = [
        f'--{argument.name.replace("_", "-")}={values[argument.name]}'
        for argument in CHECK_ARGUMENTS[1:]
        if values.get(argument.name)
    ]
    return [sys.executable, '-m', f'{PACKAGE}.cli', 'check', values['policy'], *options]


def arguments_of(group: str) -> tuple[Argument, ...]:
    """Return the arguments that mean something to a group of nodes."""
    common = {'interface', 'domain', 'params_file', 'namespace', 'log_level', 'use_sim_time'}
    own = {'sim': {'headless'}, 'record': {'robot', 'record'}}.get(group)
    if own is None:
        return ARGUMENTS
    return tuple(argument for argument in ARGUMENTS if argument.name in common | own)


def manual(group: str) -> str:
    """Return a group's arguments with their descriptions, as `ros2 launch --show-args` does."""
    lines = ["Arguments (pass arguments as 'NAME:=VALUE'):"]
    for argument in arguments_of(group):
        choices = ', '.join(repr(choice) for choice in argument.choices if choice)
        lines += ['', f"    '{argument.name}': (default: '{argument.default}')"]
        text = argument.description + (f' One of {choices}.' if choices else '')
        lines += textwrap.wrap(text, 92, initial_indent=' ' * 8, subsequent_indent=' ' * 8)
    return '\n'.join(lines)


def settings_from(values: Values) -> Settings:
    """Check the arguments and fill in what follows from `robot`.

    Raises:
        GraphError: an unknown argument, a value outside the choices, a file that is missing, or
            no interface on the robot's network.
    """
    known = {argument.name: argument for argument in ARGUMENTS}
    for name, value in values.items():
        if name not in known:
            raise GraphError(f'unknown argument {name}; there are {", ".join(known)}')
        choices = known[name].choices
        if choices and value not in choices:
            raise GraphError(
                f'{name}:={value}; expected one of {", ".join(filter(None, choices))}'
            )
    text = {argument.name: values.get(argument.name, argument.default) for argument in ARGUMENTS}
    for name in ('params_file', 'policy'):
        if text[name] and not Path(text[name]).expanduser().is_file():
            raise GraphError(f'{name}:={text[name]}: no such file')
    real = text['robot'] == 'go2'
    if text['domain'] and not (text['domain'].isdigit() and int(text['domain']) <= 232):
        raise GraphError(f'domain:={text["domain"]}; expected a number from 0 to 232')
    return Settings(
        robot=text['robot'],
        interface=text['interface'] or (robot_interface() if real else 'lo'),
        domain=int(text['domain'] or (0 if real else 1)),
        params_file=str(Path(text['params_file']).expanduser()) if text['params_file'] else '',
        policy=str(Path(text['policy']).expanduser().resolve()) if text['policy'] else '',
        record=text['record'] == 'true',
        headless=text['headless'] == 'true',
        dry_run=(text['dry_run'] or str(real).lower()) == 'true',
        namespace=text['namespace'],
        use_sim_time=text['use_sim_time'] == 'true',
        log_level=text['log_level'],
    )


def parse_arguments(group: str, words: Sequence[str]) -> dict[str, str]:
    """Split `name:=value` words as `ros2 launch` takes them.

    Raises:
        GraphError: a word of another form, or an argument that the group does not have.
    """
    values = {}
    names = [argument.name for argument in arguments_of(group)]
    for word in words:
        name, separator, value = word.partition(':=')
        if not separator:
            raise GraphError(f'{word!r} is not NAME:=VALUE; there are {", ".join(names)}')
        if name not in names:
            raise GraphError(f'unknown argument {name}; there are {", ".join(names)}')
        values[name] = value
    return values


def with_parameters(processes: Sequence[Process], **by_node: Parameters) -> list[Process]:
    """Return the processes with some nodes' parameters set, e.g. `recorder={'directory': ...}`."""
    return [
        replace(process, parameters={**process.parameters, **by_node.get(process.node, {})})
        for process in processes
    ]


def plan(group: str, settings: Settings) -> list[Process]:
    """Return the processes of a group, in starting order."""
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
            )
        )
    return processes


def robot_interface() -> str:
    """Return the network interface that has an address on the robot's network.

    Raises:
        GraphError: there is none; the message says what to do.
    """
    for name, address in interface_addresses().items():
        if address.startswith(ROBOT_SUBNET):
            return name
    found = ', '.join(f'{name} {address}' for name, address in interface_addresses().items())
    raise GraphError(
        f'no network interface has an address {ROBOT_SUBNET}x (found: {found}). Plug the cable '
        f'in, set {ROBOT_SUBNET}99/24 on that port, or name it with interface:='
    )


def interface_addresses() -> dict[str, str]:
    """Return interface -> IPv4 address, from the kernel (Linux)."""
    import array
    import fcntl
    import socket
    import struct

    siocgifaddr = 0x8915  # linux/sockios.h
    addresses = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            request = array.array('B', struct.pack('256s', name.encode()[:15]))
            try:
                fcntl.ioctl(probe.fileno(), siocgifaddr, request)
            except OSError:
                continue  # no IPv4 address on it
            addresses[name] = socket.inet_ntoa(request[20:24].tobytes())
    return addresses


def _yaml(value: bool | int | float | str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}'" if isinstance(value, str) else repr(value)

"""The arguments of launch files and of `make-agent deploy`, and the settings they amount to."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from make_agent_ros.nodes.network import ROBOT_SUBNET, robot_interface

Values = Mapping[str, str]
"""Argument name -> text, as it comes from a launch file or a command line."""


class ArgumentError(ValueError):
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
        'security',
        '',
        'SROS2 keystore made from config/sros2/policy.xml: each node joins with its enclave '
        '/make_agent_ros/NODE, and nobody without one is heard. Empty: off.',
    ),
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
    Argument('out', '', 'Folder of the report. Empty: <policy>.check beside the policy.'),
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
    security: str = ''
    use_sim_time: bool = False
    log_level: str = 'info'


def arguments_of(group: str) -> tuple[Argument, ...]:
    """Return the arguments that mean something to a group of nodes (`graph.GROUPS`)."""
    common = {
        'interface', 'domain', 'params_file', 'namespace', 'security', 'log_level', 'use_sim_time',
    }  # fmt: skip
    own = {'sim': {'headless'}, 'record': {'robot', 'record'}}.get(group)
    if own is None:
        return ARGUMENTS
    chosen = [argument for argument in ARGUMENTS if argument.name in common | own]
    # Whoever starts the recorder alone wants a recording.
    return tuple(replace(a, default='true') if a.name == 'record' else a for a in chosen)


def manual(group: str) -> str:
    """Return a group's arguments with their descriptions, as `ros2 launch --show-args` does."""
    lines = ["Arguments (pass arguments as 'NAME:=VALUE'):"]
    for argument in arguments_of(group):
        choices = ', '.join(repr(choice) for choice in argument.choices if choice)
        lines += ['', f"    '{argument.name}': (default: '{argument.default}')"]
        text = argument.description + (f' One of {choices}.' if choices else '')
        lines += textwrap.wrap(text, 92, initial_indent=' ' * 8, subsequent_indent=' ' * 8)
    return '\n'.join(lines)


def parse_arguments(group: str, words: Sequence[str]) -> dict[str, str]:
    """Split `name:=value` words as `ros2 launch` takes them.

    Raises:
        ArgumentError: a word of another form, or an argument that the group does not have.
    """
    values = {}
    names = [argument.name for argument in arguments_of(group)]
    for word in words:
        name, separator, value = word.partition(':=')
        if not separator:
            raise ArgumentError(f'{word!r} is not NAME:=VALUE; there are {", ".join(names)}')
        if name not in names:
            raise ArgumentError(f'unknown argument {name}; there are {", ".join(names)}')
        values[name] = value
    return values


def settings_from(values: Values) -> Settings:
    """Check the arguments and fill in what follows from `robot`.

    Raises:
        ArgumentError: an unknown argument, a value outside the choices, a file that is missing, or
            no interface on the robot's network.
    """
    known = {argument.name: argument for argument in ARGUMENTS}
    for name, value in values.items():
        if name not in known:
            raise ArgumentError(f'unknown argument {name}; there are {", ".join(known)}')
        choices = known[name].choices
        if choices and value not in choices:
            raise ArgumentError(
                f'{name}:={value}; expected one of {", ".join(filter(None, choices))}'
            )
    text = {argument.name: values.get(argument.name, argument.default) for argument in ARGUMENTS}
    for name in ('params_file', 'policy'):
        if text[name] and not Path(text[name]).expanduser().is_file():
            raise ArgumentError(f'{name}:={text[name]}: no such file')
    real = text['robot'] == 'go2'
    if text['domain'] and not (text['domain'].isdigit() and int(text['domain']) <= 232):
        raise ArgumentError(f'domain:={text["domain"]}; expected a number from 0 to 232')
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
        security=str(Path(text['security']).expanduser().resolve()) if text['security'] else '',
        use_sim_time=text['use_sim_time'] == 'true',
        log_level=text['log_level'],
    )

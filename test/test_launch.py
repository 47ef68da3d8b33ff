"""The launch files: what they declare, that both ways of starting agree, and a real launch."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from make_agent_ros.nodes import arguments, graph

ROOT = Path(__file__).resolve().parent.parent
LAUNCH_FILES = ('deploy', 'record', 'sim', 'check')

try:
    import launch_testing  # noqa: F401
    from launch_ros.actions import Node
except ImportError:
    HAS_LAUNCH = False
else:
    HAS_LAUNCH = True
needs_launch = pytest.mark.skipif(
    not HAS_LAUNCH,
    reason='launch, launch_ros and launch_testing come with ROS 2 and are not on PyPI; '
    'make-agent deploy starts the same graph',
)


def description(name: str):
    path = ROOT / 'launch' / f'{name}.launch.py'
    spec = importlib.util.spec_from_file_location(f'{name}_launch', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generate_launch_description()


def text(substitutions) -> str:
    return ''.join(s.text for s in substitutions or [])


def started(name: str, **values: str) -> list:
    """The actions that a launch file starts with these arguments."""
    from launch import LaunchContext

    context = LaunchContext()
    described = description(name)
    for argument in described.get_launch_arguments():
        default = text(argument.default_value)
        context.launch_configurations[argument.name] = values.get(argument.name, default)
    return described.entities[-1].execute(context)


def test_every_group_of_nodes_has_a_launch_file():
    files = {path.name.removesuffix('.launch.py') for path in (ROOT / 'launch').glob('*')}
    assert files - {'__pycache__'} == {*graph.GROUPS, 'check'} == set(LAUNCH_FILES)


def test_robot_go2_starts_no_simulator_and_sends_nothing_by_default():
    settings = arguments.settings_from({'robot': 'go2', 'interface': 'eth7'})
    assert (settings.interface, settings.domain, settings.dry_run) == ('eth7', 0, True)
    nodes = {process.node: process for process in graph.plan('deploy', settings)}
    assert set(nodes) == {'controller', 'recorder', 'generator'}
    assert nodes['controller'].parameters['dry_run'] is True
    assert nodes['controller'].parameters['robot'] == 'go2'


def test_a_namespace_and_a_params_file_reach_every_node(tmp_path):
    path = tmp_path / 'mine.yaml'
    path.write_text('/**:\n  ros__parameters: {}\n')
    values = {'namespace': 'go2_1', 'params_file': str(path), 'log_level': 'debug'}
    for process in graph.plan('deploy', arguments.settings_from(values)):
        words = process.command()
        assert '__ns:=/go2_1' in words
        assert words[words.index(str(path)) - 1] == '--params-file'
        assert f'{process.node}:=debug' in words


@needs_launch
@pytest.mark.parametrize('name', ['deploy', 'record', 'sim'])
def test_show_args_lists_the_arguments_with_descriptions(name):
    declared = description(name).get_launch_arguments()
    expected = arguments.arguments_of(name)
    assert [argument.name for argument in declared] == [argument.name for argument in expected]
    for argument in declared:
        assert len(argument.description) > 10


@needs_launch
@pytest.mark.parametrize(
    'values', [{}, {'robot': 'go2', 'interface': 'eth0'}, {'record': 'true', 'namespace': 'a'}]
)
def test_launch_starts_what_make_agent_deploy_starts(values):
    nodes = [action for action in started('deploy', **values) if isinstance(action, Node)]
    planned = graph.plan('deploy', arguments.settings_from(values))
    assert [node.node_executable for node in nodes] == [process.node for process in planned]


@needs_launch
def test_the_check_needs_a_policy():
    with pytest.raises(arguments.ArgumentError, match='policy:= is missing'):
        started('check')


@needs_launch
@pytest.mark.e2e
@pytest.mark.timeout(120)
def test_a_launched_simulator_ends_cleanly_on_ctrl_c(dds_domain):
    """`ros2 launch`'s own machinery with a real process; needs the package in an ament prefix."""
    from ament_index_python.packages import PackageNotFoundError, get_package_prefix

    try:
        get_package_prefix(graph.PACKAGE)
    except PackageNotFoundError:
        pytest.skip('the package is not in AMENT_PREFIX_PATH: colcon build, then source it')
    code = (
        'import sys; from launch import LaunchService;'
        'from launch.actions import IncludeLaunchDescription as I;'
        'from launch.launch_description_sources import PythonLaunchDescriptionSource as P;'
        's = LaunchService();'
        f's.include_launch_description(I(P({str(ROOT / "launch" / "sim.launch.py")!r}),'
        f'launch_arguments=[("domain", "{dds_domain}")]));'
        'sys.exit(s.run())'
    )
    environment = {**os.environ, 'ROS_DOMAIN_ID': str(dds_domain), 'PYTHONUNBUFFERED': '1'}
    with subprocess.Popen(
        [sys.executable, '-c', code],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment,
    ) as process:  # fmt: skip
        said = ''
        deadline = time.monotonic() + 60.0
        for line in process.stdout:
            said += line
            if 'rt/lowstate at 500 Hz' in line or time.monotonic() > deadline:
                break
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=30.0)
    assert 'rt/lowstate at 500 Hz' in said
    assert 'process has finished cleanly' in rest

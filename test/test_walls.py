"""The walls between the rooms (docs/architecture.md), by reading the code and by importing it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / 'make_agent_ros'

SHARED = {'resources', 'fields', ''}
"""Modules that every room may import: where files are, how parameters are declared."""
MAY_IMPORT = {
    'go2': set(),
    'policy': {'go2'},
    'control': {'go2', 'policy'},
    'recording': {'go2'},
    'generator': {'policy', 'recording', 'go2'},
    'simulation': {'go2', 'policy'},
    'checking': {'simulation', 'policy', 'recording', 'go2'},
    'training': {'go2', 'policy', 'recording', 'generator', 'simulation', 'checking'},
}
"""Room -> rooms it may import (its own is always allowed). nodes, demo and cli may import all."""
HEAVY = ('torch', 'mujoco', 'rclpy', 'matplotlib', 'sapien')
WITHOUT_HEAVY = ('go2', 'policy', 'control', 'recording')


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob('*.py') if '__pycache__' not in path.parts)


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else parts[0].removesuffix('.py')


def imported(path: Path) -> set[str]:
    """Dotted names of everything that a file imports, at any depth of the code."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}:{node.lineno}: relative import; write it in full'
            names |= {f'{node.module}.{alias.name}' for alias in node.names}
    return names


def loaded_by(module: str, *names: str) -> set[str]:
    """Which of `names` are loaded in a fresh interpreter after importing `module`."""
    code = f'import sys, {module}; print(*[n for n in {names!r} if n in sys.modules])'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize('path', modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_what_it_may(path):
    room = room_of(path)
    if room not in MAY_IMPORT:
        return
    used = {name.split('.')[1] for name in imported(path) if name.startswith('make_agent_ros.')}
    used -= {'__version__'}
    assert used <= MAY_IMPORT[room] | {room} | SHARED, f'{path} imports {used}'


def test_every_room_is_in_the_table():
    rooms = {path.parent.name for path in PACKAGE.glob('*/__init__.py')}
    assert rooms == {*MAY_IMPORT, 'nodes', 'demo'}


def test_only_nodes_import_ros():
    for path in modules():
        ros = {
            name
            for name in imported(path)
            if name.split('.')[0] in ('rclpy', 'launch', 'launch_ros')
            or name.split('.')[0].endswith(('_msgs', '_srvs', '_interfaces'))
        }
        assert not ros or room_of(path) == 'nodes', f'{path} imports {ros}'


@pytest.mark.parametrize('room', WITHOUT_HEAVY)
def test_rooms_for_the_robots_computer_load_neither_torch_nor_mujoco_nor_ros(room):
    assert not loaded_by(f'make_agent_ros.{room}', *HEAVY)


@pytest.mark.parametrize('module', ['control.loop', 'control.controller', 'control.admission'])
def test_the_control_loop_loads_neither_torch_nor_mujoco_nor_ros(module):
    assert not loaded_by(f'make_agent_ros.{module}', *HEAVY, 'cyclonedds')


def test_the_controller_node_loads_neither_torch_nor_mujoco():
    pytest.importorskip('rclpy')
    assert loaded_by('make_agent_ros.nodes.controller', *HEAVY) == {'rclpy'}


def test_the_command_line_loads_no_room_until_a_verb_runs():
    assert not loaded_by('make_agent_ros.cli', *HEAVY, 'numpy', 'onnx', 'rich.table')


def test_nothing_unpickles():
    """No pickle in any disguise: files from others must not be able to run code."""
    for path in modules():
        names = imported(path)
        forbidden = {'pickle', 'dill', 'cloudpickle', 'joblib.load', 'joblib.dump', 'marshal'}
        assert not {n for n in names if n in forbidden or n.split('.')[0] in forbidden}, path
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            assert called not in ('torch.load', 'torch.save', 'yaml.load', 'eval', 'exec'), path
            for keyword in node.keywords:
                if keyword.arg == 'allow_pickle':
                    assert ast.unparse(keyword.value) == 'False', f'{path}:{node.lineno}'


def test_there_is_one_observation_builder_and_one_network_class():
    builders = [
        f'{path.name}:{node.name}'
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8')))
        if isinstance(node, ast.ClassDef) and 'Observation' in node.name
    ]
    assert builders == ['observation.py:ObservationBuilder']


def test_files_are_short_enough_to_read():
    for path in modules():
        lines = len(path.read_text(encoding='utf-8').splitlines())
        limit = 370
        assert lines <= limit, f'{path} has {lines} lines; split it'

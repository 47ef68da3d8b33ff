"""The package's metadata agrees with itself, and what it ships is found when it is installed."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import make_agent_ros
from make_agent_ros.fields import yaml_text
from make_agent_ros.nodes import arguments
from make_agent_ros.nodes.graph import NODES
from make_agent_ros.resources import resource_path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ('launch', 'config', 'sim', 'models')
PROVIDED_BY_ROS = {'launch', 'launch_ros', 'rclpy'}
DISTRIBUTIONS = {'yaml': 'PyYAML', 'unitree_sdk2py': 'unitree-sdk2py-dimos'}
"""Import name -> distribution, where they differ."""


def setup_text() -> str:
    return (ROOT / 'setup.py').read_text(encoding='utf-8')


def package_xml() -> ElementTree.Element:
    return ElementTree.parse(ROOT / 'package.xml').getroot()


def third_party_imports() -> set[str]:
    names = set()
    for path in (ROOT / 'make_agent_ros').rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition('.')[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(str(node.module).partition('.')[0])
    return names - set(sys.stdlib_module_names) - {'make_agent_ros'}


def is_ros(name: str) -> bool:
    return name in PROVIDED_BY_ROS or name.endswith(('_msgs', '_srvs', '_interfaces'))


def test_version_is_the_same_everywhere():
    setup_version = re.search(r"version='([^']+)'", setup_text()).group(1)
    assert package_xml().findtext('version') == setup_version == make_agent_ros.__version__
    assert f'{setup_version} (' in (ROOT / 'CHANGELOG.rst').read_text(encoding='utf-8')


def test_every_library_that_is_imported_is_declared():
    makefile = (ROOT / 'Makefile').read_text(encoding='utf-8')
    declared = (setup_text() + makefile).lower().replace('_', '-')
    for name in third_party_imports():
        if not is_ros(name):
            distribution = DISTRIBUTIONS.get(name, name).lower().replace('_', '-')
            assert re.search(rf"[' ]{re.escape(distribution)}\b", declared), f'{name} undeclared'


def test_every_ros_package_that_is_imported_is_a_dependency_of_package_xml():
    declared = {element.text for element in package_xml().findall('exec_depend')}
    assert {name for name in third_party_imports() if is_ros(name)} - {'rclpy'} <= declared


def test_every_declared_library_is_pinned():
    pinned = {
        line.partition('==')[0].lower().replace('_', '-')
        for line in (ROOT / '.ci' / 'constraints.txt').read_text(encoding='utf-8').splitlines()
        if '==' in line
    }
    literals = [
        node.value
        for node in ast.walk(ast.parse(setup_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    required = [text for text in literals if re.fullmatch(r'[A-Za-z0-9._-]+>=[\d.]+', text)]
    assert len(required) > 20
    for text in required:
        assert text.partition('>=')[0].lower().replace('_', '-') in pinned, f'{text} is not pinned'


def test_every_node_of_the_graph_has_an_entry_point_and_a_module():
    for node in NODES:
        assert f"'{node.name} = make_agent_ros.nodes.{node.name}:main'" in setup_text()
        assert importlib.util.find_spec(f'make_agent_ros.nodes.{node.name}') is not None


@pytest.mark.slow
def test_an_installed_package_brings_and_finds_everything_it_ships(tmp_path):
    """pip builds the wheel as it would for a user; ament's resource index entry is in it."""
    done = subprocess.run(
        [sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps', '--no-build-isolation',
         '--disable-pip-version-check', '--target', str(tmp_path), str(ROOT)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    share = tmp_path / 'share'
    index = share / 'ament_index' / 'resource_index' / 'packages' / 'make_agent_ros'
    assert index.is_file()
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob('*'):
            if path.is_file() and '__pycache__' not in path.parts:
                assert (share / 'make_agent_ros' / path.relative_to(ROOT)).is_file(), path
    code = 'from make_agent_ros.resources import resource_path as r; print(r("sim/go2/go2.xml"))'
    found = subprocess.run(
        [sys.executable, '-c', code], cwd=tmp_path, env={'PYTHONPATH': str(tmp_path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert found.stdout.strip().startswith(str(tmp_path))


def test_a_resource_that_does_not_exist_is_named():
    with pytest.raises(FileNotFoundError, match=r'sim/nothing\.xml is in none of'):
        resource_path('sim/nothing.xml')


def test_the_readme_lists_every_argument_with_its_default():
    readme = (ROOT / 'README.md').read_text(encoding='utf-8')
    for argument in arguments.ARGUMENTS:
        default = f'`{argument.default}`' if argument.default else ''
        row = f'| `{argument.name}` | {default} |' if default else f'| `{argument.name}` | |'
        assert row in readme, f'{argument.name} is missing from the table or has another default'


def test_each_config_file_is_what_its_dataclass_says():
    from make_agent_ros.nodes.generation import GeneratorConfig

    text = (ROOT / 'config' / 'generator.yaml').read_text(encoding='utf-8')
    assert text == yaml_text(GeneratorConfig, 'generator')


def test_links_in_the_documents_lead_somewhere():
    for path in (ROOT / 'README.md', *(ROOT / 'docs').glob('*.md')):
        for target in re.findall(r'\]\(([^)#]+)', path.read_text(encoding='utf-8')):
            if not target.startswith('http'):
                assert (path.parent / target).exists(), f'{path.name} links to {target}'

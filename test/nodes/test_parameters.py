from __future__ import annotations

import os
from dataclasses import dataclass

import pytest
import yaml

rclpy = pytest.importorskip('rclpy')
from rclpy.parameter import Parameter  # noqa: E402

from make_agent_ros.nodes.parameters import (  # noqa: E402
    ParameterError,
    follow_parameters,
    group,
    load_parameters,
    markdown_table,
    param,
    yaml_text,
)


@dataclass(frozen=True)
class Noise:
    gyro_rad_s: float = param(0.02, 'Gyroscope noise.', 0.0, unit='rad/s', dynamic=True)


@dataclass(frozen=True)
class Config:
    interface: str = param('lo', "The robot's interface.")
    domain: int = param(1, 'DDS domain.', 0, 232)
    headless: bool = param(True, 'No viewer.')
    rate: float = param(1.0, 'Speed of time.', 0.1, 10.0)
    mode: str = param('a', 'One of two.', choices=('a', 'b'), dynamic=True)
    topics: list[str] = param([], 'Topics.')
    noise: Noise = group(Noise)


@pytest.fixture
def make_node():
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=100 + os.getpid() % 100)
    nodes = []

    def make(*arguments: str):
        cli = ['--ros-args', *arguments] if arguments else None
        node = rclpy.create_node('checked', context=context, cli_args=cli)
        nodes.append(node)
        return node

    yield make
    for node in nodes:
        node.destroy_node()
    rclpy.shutdown(context=context)


def test_without_overrides_a_node_gets_the_dataclass_defaults(make_node):
    assert load_parameters(make_node(), Config) == Config()


def test_overrides_reach_fields_and_groups(make_node):
    node = make_node('-p', 'domain:=7', '-p', 'noise.gyro_rad_s:=0.5', '-p', 'topics:=[a, b]')
    config = load_parameters(node, Config)
    assert (config.domain, config.noise.gyro_rad_s, config.topics) == (7, 0.5, ['a', 'b'])


def test_the_shipped_yaml_text_loads_back_to_the_defaults_in_any_namespace(make_node, tmp_path):
    path = tmp_path / 'checked.yaml'
    path.write_text(yaml_text(Config, 'checked'))
    for namespace in ('/', '/go2_1'):
        node = make_node('--params-file', str(path), '-r', f'__ns:={namespace}')
        assert load_parameters(node, Config) == Config()


def test_the_yaml_text_holds_every_parameter_under_its_group():
    tree = yaml.safe_load(yaml_text(Config, 'checked'))['/**/checked']['ros__parameters']
    assert tree == {
        'interface': 'lo',
        'domain': 1,
        'headless': True,
        'rate': 1.0,
        'mode': 'a',
        'topics': [],
        'noise': {'gyro_rad_s': 0.02},
    }


def test_the_table_names_bounds_and_units():
    assert '| `noise.gyro_rad_s` (live) | `0.02` | float >= 0 rad/s |' in markdown_table(Config)


@pytest.mark.parametrize(
    ('override', 'sentence'),
    [
        ('domain:=233', r'parameter domain: .*accepts int 0\.\.232'),
        ('domain:=two', r'parameter domain: .*accepts int 0\.\.232'),
        ('rate:=.nan', r'parameter rate'),
        ('mode:=c', r"parameter mode is 'c'; it accepts str \('a', 'b'\)"),
    ],
)
def test_a_refused_value_is_named_with_what_is_accepted(make_node, override, sentence):
    with pytest.raises(ParameterError, match=sentence):
        load_parameters(make_node('-p', override), Config)


def test_only_dynamic_parameters_can_be_set_while_running(make_node):
    node = make_node()
    load_parameters(node, Config)
    seen = []
    follow_parameters(node, Config, lambda name, value: seen.append((name, value)))
    (changed,) = node.set_parameters([Parameter('noise.gyro_rad_s', value=0.3)])
    (fixed,) = node.set_parameters([Parameter('domain', value=3)])
    (refused,) = node.set_parameters([Parameter('mode', value='z')])
    assert changed.successful
    assert seen == [('noise.gyro_rad_s', 0.3)]
    assert not fixed.successful
    assert not refused.successful
    assert "accepts str ('a', 'b')" in refused.reason

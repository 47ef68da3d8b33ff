"""The SROS2 policy and its launch argument."""

from __future__ import annotations

import os
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from make_agent_ros.nodes import arguments, graph, security
from make_agent_ros.nodes.arguments import ArgumentError
from make_agent_ros.resources import resource_path

from .keystore import make_keystore, policy_rules

POLICY = resource_path('config/sros2/policy.xml')
NODES = [node.name for node in graph.NODES]
ENCLAVES = {name: security.enclave_of(name) for name in [*NODES, 'operator']}
QUALIFIERS = {'topics': {'publish', 'subscribe'}, 'services': {'reply', 'request'}}


@pytest.fixture(scope='module')
def rules():
    return policy_rules(POLICY)


@pytest.fixture
def keystore(tmp_path, monkeypatch):
    monkeypatch.setenv('ROS_DOMAIN_ID', '7')
    return make_keystore(tmp_path / 'keys', POLICY, domain=7)


class TestPolicy:
    def test_it_keeps_to_version_0_2_0_of_the_policy_schema(self):
        root = ElementTree.parse(POLICY).getroot()
        assert (root.tag, root.attrib) == ('policy', {'version': '0.2.0'})
        assert [child.tag for child in root] == ['enclaves']
        for enclave in root[0]:
            assert (enclave.tag, set(enclave.attrib)) == ('enclave', {'path'})
            assert [child.tag for child in enclave] == ['profiles']
            for profile in enclave[0]:
                assert (profile.tag, set(profile.attrib)) == ('profile', {'ns', 'node'})
                for block in profile:
                    assert set(block.attrib) <= QUALIFIERS[block.tag]
                    assert set(block.attrib.values()) == {'ALLOW'}
                    assert [child.tag for child in block] == [block.tag[:-1]] * len(block)
                    assert len({child.text for child in block}) == len(block) > 0

    def test_every_node_and_the_operator_have_an_enclave(self, rules):
        assert set(rules) == set(ENCLAVES.values())

    @pytest.mark.parametrize(
        ('kind', 'name', 'who'),
        [
            ('publish', '/cmd_vel', {'operator'}),
            ('publish', '/joy', {'operator'}),
            ('publish', '/controller/heartbeat', {'operator'}),
            ('publish', '/policy', {'generator'}),
            ('publish', '/clock', {'simulator'}),
            ('publish', '/controller/state', {'controller'}),
            ('publish', '/controller/arm/_service_event', {'controller'}),
            ('request', '/controller/arm', {'operator'}),
            ('request', '/controller/stand_up', {'operator'}),
            ('reply', '/controller/arm', {'controller'}),
            ('request', '/controller/set_parameters', {'operator'}),
        ],
    )
    def test_what_moves_the_robot_is_for_its_owner_alone(self, rules, kind, name, who):
        assert {node for node, path in ENCLAVES.items() if name in rules[path][kind]} == who

    def test_the_operator_is_given_nothing_that_no_node_has(self, rules):
        operator = rules[ENCLAVES['operator']]
        others = [rules[ENCLAVES[name]] for name in NODES]
        heard = set().union(*(r['subscribe'] for r in others))
        said = set().union(*(r['publish'] for r in others))
        served = set().union(*(r['reply'] for r in others))
        assert operator['publish'] - {'/rosout', '/parameter_events'} <= heard
        assert operator['subscribe'] <= said
        assert operator['request'] == served

    @pytest.mark.e2e
    @pytest.mark.slow
    def test_it_allows_what_the_running_nodes_create_and_nothing_else(
        self, rules, tmp_path, make_domain
    ):
        pytest.importorskip('rclpy')
        from .robot_processes import Robot

        wanted = {name: rules[path] for name, path in ENCLAVES.items()}
        with Robot(tmp_path, make_domain(), make_domain()) as robot:
            robot.start('simulator', publish_clock='true')
            for name in ('controller', 'recorder', 'generator'):
                robot.start(name, use_sim_time='true')
            deadline = time.monotonic() + 120.0
            found = {}
            while time.monotonic() < deadline:
                found = {name: created(robot.operator.node, name) for name in wanted}
                if all(found[name] == wanted[name] for name in NODES):
                    break
                time.sleep(0.5)
        for name in NODES:
            for kind in wanted[name]:
                assert found[name][kind] == wanted[name][kind], f'{name}: {kind}'
        for kind, names in found['operator'].items():
            assert names <= wanted['operator'][kind], f'operator: {kind}'


def created(observer, node: str) -> dict[str, set[str]]:
    """What a running node publishes, subscribes, serves and calls, by the ROS graph."""
    from rclpy._rclpy_pybind11 import NodeNameNonExistentError

    ask = {
        'publish': observer.get_publisher_names_and_types_by_node,
        'subscribe': observer.get_subscriber_names_and_types_by_node,
        'reply': observer.get_service_names_and_types_by_node,
        'request': observer.get_client_names_and_types_by_node,
    }
    try:
        return {kind: {name for name, _ in get(node, '/')} for kind, get in ask.items()}
    except NodeNameNonExistentError:
        return {kind: set() for kind in ask}


class TestKeystore:
    def refusal(self, keystore: Path, **values: str) -> str:
        with pytest.raises(ArgumentError) as error:
            graph.plan('deploy', arguments.settings_from({'security': str(keystore), **values}))
        return str(error.value)

    def test_a_good_one_gives_every_node_its_enclave_and_the_three_variables(self, keystore):
        settings = arguments.settings_from({'security': str(keystore)})
        for process in graph.plan('deploy', settings):
            words = process.command()
            enclave = f'/make_agent_ros/{process.node}'
            assert words[words.index('--enclave') + 1] == enclave
            assert process.environment == {
                'ROS_SECURITY_ENABLE': 'true',
                'ROS_SECURITY_STRATEGY': 'Enforce',
                'ROS_SECURITY_KEYSTORE': str(keystore),
                'ROS_SECURITY_ENCLAVE_OVERRIDE': enclave,
            }

    def test_without_the_argument_nothing_is_set(self):
        for process in graph.plan('deploy', arguments.settings_from({})):
            assert process.environment == {}
            assert '--enclave' not in process.command()

    @pytest.mark.parametrize('group', ['deploy', 'record', 'sim'])
    def test_every_group_takes_the_argument(self, group):
        assert 'security' in {argument.name for argument in arguments.arguments_of(group)}

    def test_a_folder_that_is_none_is_refused(self, tmp_path):
        assert 'no keystore there' in self.refusal(tmp_path / 'nowhere')

    @pytest.mark.parametrize('name', ['permissions.p7s', 'key.pem', 'governance.p7s'])
    def test_a_missing_file_is_named_with_its_enclave(self, keystore, name):
        (keystore / 'enclaves' / 'make_agent_ros' / 'recorder' / name).unlink()
        sentence = self.refusal(keystore)
        assert f'enclave /make_agent_ros/recorder lacks {name}' in sentence
        assert 'docs/field.md' in sentence

    def test_only_the_enclaves_of_the_group_are_needed(self, keystore):
        for file in (keystore / 'enclaves' / 'make_agent_ros' / 'generator').iterdir():
            file.unlink()
        settings = arguments.settings_from({'security': str(keystore)})
        assert [p.node for p in graph.plan('record', settings)] == ['recorder']
        assert 'make_agent_ros/generator lacks' in self.refusal(keystore)

    @pytest.mark.parametrize('days', [(-30, -1), (1, 30)])
    def test_keys_out_of_their_time_are_refused(self, tmp_path, monkeypatch, days):
        monkeypatch.setenv('ROS_DOMAIN_ID', '7')
        old = make_keystore(tmp_path / 'old', POLICY, domain=7, days=days)
        assert 'is valid from' in self.refusal(old)

    def test_permissions_for_another_domain_are_refused(self, keystore, monkeypatch):
        monkeypatch.setenv('ROS_DOMAIN_ID', '8')
        assert 'is not for ROS_DOMAIN_ID 8' in self.refusal(keystore)

    def test_a_namespace_needs_a_policy_with_that_namespace(self, keystore, tmp_path):
        assert 'publish /go2_1/simulator/state' in self.refusal(keystore, namespace='go2_1')
        theirs = tmp_path / 'policy.xml'
        theirs.write_text(POLICY.read_text().replace('ns="/"', 'ns="/go2_1"'))
        keys = make_keystore(tmp_path / 'theirs', theirs, domain=7)
        settings = {'security': str(keys), 'namespace': 'go2_1'}
        assert graph.plan('deploy', arguments.settings_from(settings))

    def test_what_is_no_permissions_document_is_refused(self, keystore):
        file = keystore / 'enclaves' / 'make_agent_ros' / 'simulator' / 'permissions.p7s'
        file.write_text('nothing')
        assert 'holds no DDS permissions' in self.refusal(keystore)


class TestProbe:
    """What this machine's ROS 2 says to real keys."""

    def test_good_keys_are_taken_or_this_ros_2_has_no_security_and_that_is_said(self, keystore):
        pytest.importorskip('rclpy')
        try:
            security.probe(str(keystore), 'simulator')
        except ArgumentError as error:
            assert 'built without DDS security' in str(error)

    def test_deploy_ends_with_the_sentence_before_any_node_is_started(self, tmp_path):
        from typer.testing import CliRunner

        from make_agent_ros.cli import app

        result = CliRunner().invoke(app, ['deploy', f'security:={tmp_path}'])
        assert result.exit_code == 2
        assert 'no keystore there' in result.output

    def test_an_enclave_that_is_not_there_is_refused_by_ros_2_itself(self, keystore):
        pytest.importorskip('rclpy')
        with pytest.raises(ArgumentError, match='ROS 2'):
            security.probe(str(keystore), 'nobody')


def test_an_exported_operator_enclave_does_not_reach_the_nodes(keystore, monkeypatch):
    monkeypatch.setenv('ROS_SECURITY_ENCLAVE_OVERRIDE', '/make_agent_ros/operator')
    (process, *_) = graph.plan('deploy', arguments.settings_from({'security': str(keystore)}))
    both = {**os.environ, **process.environment}
    assert both['ROS_SECURITY_ENCLAVE_OVERRIDE'] == '/make_agent_ros/simulator'

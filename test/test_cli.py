"""The command line, as a user meets it: a process, its output, its exit code."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

from make_agent_ros.go2.constants import POLICY_STIFFNESS
from make_agent_ros.nodes import arguments

VERBS = (
    'demo', 'record', 'import', 'info', 'generate', 'check', 'deploy', 'sim', 'train', 'bench',
    'doctor', 'sign',
)  # fmt: skip


def make_agent(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, '-m', 'make_agent_ros.cli', *words],
        capture_output=True,
        text=True,
        env={**os.environ, 'COLUMNS': '100'},
        check=False,
    )


def test_help_lists_every_verb():
    listed = make_agent('--help').stdout
    for verb in VERBS:
        assert f'\n  {verb} ' in listed


def test_help_costs_less_than_half_a_second_of_cpu():
    """CPU time, so that a busy machine does not count."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, '-m', 'make_agent_ros.cli', '--help'], capture_output=True, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


@pytest.mark.parametrize('verb', VERBS)
def test_every_verb_explains_itself(verb):
    done = make_agent(verb, '--help')
    assert done.returncode == 0, done.stderr
    assert 'Usage' in done.stdout


@pytest.mark.parametrize(
    ('words', 'sentence'),
    [
        (('info', '/nowhere/walk.onnx'), '/nowhere/walk.onnx: No such file'),
        (('info', '/nowhere/bag'), '/nowhere/bag'),
        (('generate', '/nowhere/bag', '-o', 'x.onnx'), 'no bag at /nowhere/bag'),
        (('deploy', 'robot:=spot'), 'robot:=spot; expected one of sim, go2'),
        (('deploy', 'speed:=9'), 'unknown argument speed; there are robot, interface'),
        (('deploy', 'robot'), "'robot' is not NAME:=VALUE"),
        (('deploy', 'policy:=/nowhere.onnx'), 'policy:=/nowhere.onnx: no such file'),
        (('deploy', 'domain:=300'), 'domain:=300; expected a number from 0 to 232'),
        (('sim', 'record:=true'), 'unknown argument record'),
        (('doctor', '--robot', 'spot'), "robot 'spot'; expected sim or go2"),
    ],
)
def test_bad_input_gets_one_sentence_and_exit_code_2(words, sentence):
    done = make_agent(*words)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert 'Traceback' not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_damaged_policy_is_refused_in_words(tmp_path):
    path = tmp_path / 'damaged.onnx'
    path.write_bytes(b'\x08\x07truncated')
    done = make_agent('info', str(path))
    assert done.returncode == 2
    assert 'damaged.onnx' in done.stderr
    assert 'Traceback' not in done.stderr


def test_show_args_is_the_manual_of_deploy():
    shown = make_agent('deploy', '--show-args').stdout
    for argument in arguments.ARGUMENTS:
        assert f"'{argument.name}'" in shown
        assert argument.description.split('.')[0][:40] in shown


def test_info_shows_what_a_policy_holds(tmp_path, standing_policy):
    shown = make_agent('info', str(standing_policy)).stdout
    assert '47-64-64-12' in shown
    assert f'{POLICY_STIFFNESS:g} N m/rad' in shown

"""Isaac Gym cannot run here; everything around it can: the subprocess, its failures, its names."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from make_agent_ros.checking.check import run_check
from make_agent_ros.checking.isaac_backend import TRIALS, find_interpreter, run_isaacgym
from make_agent_ros.checking.result import SCHEMA, BackendError
from make_agent_ros.checking.scenario import load_config
from make_agent_ros.resources import resource_path

from .policies import standing_bundle

FOLDER = resource_path('sim/isaac_gym')
ROOT = FOLDER.parents[1]
LOADED = """
import sys
import make_agent_ros.checking.result, make_agent_ros.policy.bundle
forbidden = {"mujoco", "torch", "rclpy", "yaml", "scipy", "mcap", "rosbags"} & set(sys.modules)
assert not forbidden, forbidden
print("\\n".join(m.__file__ for n, m in sys.modules.items() if n.startswith("make_agent_ros")))
"""
"""Prints the files of the package that the runner loads; fails where it drags in a heavy one."""


@pytest.fixture
def config():
    shipped = load_config()
    few = tuple(replace(s, seconds=2.0) for s in shipped.scenarios[:2])
    return replace(shipped, scenarios=few)


def fake_interpreter(folder, script):
    """An executable that takes the place of Isaac Gym's Python."""
    path = folder / 'python'
    path.write_text(f'#!{sys.executable}\nimport json, os, signal, sys, time\n{script}\n')
    path.chmod(0o755)
    return str(path)


def fails_with(folder, config, script, message, **options):
    python = fake_interpreter(folder, script)
    with pytest.raises(BackendError, match=message):
        run_isaacgym(standing_bundle(), config, None, python, **options)


def test_no_interpreter_named_is_said(config):
    with pytest.raises(BackendError, match='no interpreter with Isaac Gym was named'):
        run_isaacgym(standing_bundle(), config, None, '')


def test_a_missing_interpreter_is_named():
    with pytest.raises(BackendError, match=r'/nowhere/python3\.8: no such interpreter'):
        find_interpreter('/nowhere/python3.8')


def test_an_import_error_says_what_is_missing(tmp_path, config):
    message = 'cannot run the check: ModuleNotFoundError.*isaacgym_that_is_not_there'
    fails_with(tmp_path, config, 'import isaacgym_that_is_not_there', message)


def test_this_interpreter_without_isaacgym_is_an_import_error(config):
    with pytest.raises(BackendError, match=r'No module named .isaacgym.'):
        run_isaacgym(standing_bundle(), config, None, sys.executable)


def test_a_crash_names_the_signal(tmp_path, config):
    fails_with(tmp_path, config, 'os.kill(os.getpid(), signal.SIGSEGV)', r'crashed \(signal 11\)')


def test_a_failure_shows_the_last_line(tmp_path, config):
    message = 'nominal: Isaac Gym failed with status 1: RuntimeError: CUDA out of memory'
    fails_with(tmp_path, config, 'raise RuntimeError("CUDA out of memory")', message)


def test_a_hang_ends_at_the_deadline(tmp_path, config):
    fails_with(
        tmp_path, config, 'time.sleep(60)', 'no answer within 1 s and was ended', deadline_s=1.0
    )


def test_an_end_without_a_report_is_said(tmp_path, config):
    fails_with(tmp_path, config, 'pass', 'ended without writing a report')


OUT = 'out = sys.argv[sys.argv.index("--out") + 1]\n'


@pytest.mark.parametrize(
    ('written', 'message'),
    [
        ('not json {', 'wrote no JSON'),
        ('[1, 2]', "wrote 'list' where"),
        ('{"schema": "something/9"}', "wrote 'something/9' where"),
        (json.dumps({'schema': SCHEMA, 'scenarios': {}}), 'lacks the scenario'),
    ],
)
def test_garbage_is_refused_with_what_was_found(tmp_path, config, written, message):
    fails_with(tmp_path, config, OUT + f'open(out, "w").write({written!r})', message)


def test_the_runner_gets_bundle_scenario_and_gait_and_its_reports_are_joined(tmp_path, config):
    # the real shared code in a process of its own, with MuJoCo where Isaac Gym would be
    script = tmp_path / 'runner.py'
    script.write_text(
        f"""
import argparse, json, sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from dataclasses import replace
from make_agent_ros.checking.mujoco_backend import MujocoEngine
from make_agent_ros.checking.result import run_backend
from make_agent_ros.checking.scenario import CheckConfig
from make_agent_ros.policy.bundle import load
parser = argparse.ArgumentParser()
for name in ('policy', 'config', 'out'):
    parser.add_argument('--' + name, type=Path, required=True)
a = parser.parse_args()
config, bundle = CheckConfig.from_json(a.config.read_text()), load(a.policy)
assert [s.trials for s in config.scenarios] == [{TRIALS}]
config = replace(config, scenarios=(replace(config.scenarios[0], trials=3),))
engine = lambda trials: MujocoEngine(trials, bundle.control_dt)
a.out.write_text(json.dumps(run_backend('isaacgym', 'stand-in', engine, bundle, config)))
"""
    )
    told = []
    report = run_isaacgym(
        standing_bundle(), config, None, sys.executable, told.append, runner=script
    )
    assert told == ['nominal', 'friction']
    assert set(report['scenarios']) == {'nominal', 'friction'}
    assert report['scenarios']['friction']['trials'] == 3
    assert report['series']['typical']['scenario'] == 'nominal'


def test_a_check_goes_on_without_isaac_gym_and_says_so(config):
    report = run_check(
        standing_bundle(), None, ('mujoco', 'isaacgym'), ('nominal',), True, config=config
    )
    assert report.verdict == 'WARN'
    assert 'isaacgym did not run: no interpreter' in report.reason


def test_what_the_runner_loads_is_light_and_python_3_8():
    vermin = shutil.which('vermin', path=str(Path(sys.executable).parent))
    if vermin is None:
        pytest.skip('pip install vermin')
    loaded = subprocess.run(
        [sys.executable, '-c', LOADED], capture_output=True, text=True, cwd=ROOT
    )
    assert loaded.returncode == 0, loaded.stderr
    files = [*loaded.stdout.split(), *(str(p) for p in FOLDER.glob('*.py'))]
    assert len(files) > 15
    done = subprocess.run(
        [vermin, '--no-tips', '-v', '-t=3.8-', *files], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def listed_api():
    listed = {'method': set(), 'attribute': set(), 'config': set()}
    for line in (FOLDER / 'legged_gym_api.txt').read_text().splitlines():
        kind, _, names = line.partition(' ')
        if kind in listed:
            listed[kind] |= set(names.split())
    return listed


def task_classes():
    tree = ast.parse((FOLDER / 'go2_task.py').read_text())
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def test_the_task_replaces_only_methods_that_legged_gym_has():
    own = {'_create_trial_grounds', 'write_state'}
    methods = {
        node.name for node in task_classes()['CheckTask'].body if isinstance(node, ast.FunctionDef)
    }
    assert methods - own <= listed_api()['method']


def test_the_task_reads_only_attributes_that_legged_gym_or_it_sets():
    task = task_classes()['CheckTask']
    used, written = set(), set()
    for node in ast.walk(task):
        if isinstance(node, ast.Attribute) and getattr(node.value, 'id', '') == 'self':
            (written if isinstance(node.ctx, ast.Store) else used).add(node.attr)
    api = listed_api()
    own = {node.name for node in task.body if isinstance(node, ast.FunctionDef)}
    assert used <= written | own | api['attribute'] | api['method']


def test_the_configuration_sets_only_entries_that_legged_gym_has():
    found = set()
    for name in ('Go2FlatCfg', 'Go2RoughCfg', 'Go2CfgPPO'):
        for group in task_classes()[name].body:
            if isinstance(group, ast.ClassDef):
                found |= {
                    f'{group.name}.{target.id}'
                    for entry in group.body if isinstance(entry, ast.Assign)
                    for target in entry.targets
                }  # fmt: skip
    assert found
    assert found <= listed_api()['config']


def test_calls_into_isaac_gym_type_check_against_its_stubs(tmp_path):
    stubs = Path(np.__file__).parents[1] / 'isaacgym-stubs' / 'gymapi.pyi'
    if not stubs.exists():
        pytest.skip('pip install --no-deps isaacgym-stubs')
    if importlib.util.find_spec('mypy') is None:
        pytest.skip('pip install mypy')
    # as published the stubs name two properties `lambda`, which no parser takes
    (tmp_path / 'isaacgym').mkdir()
    (tmp_path / 'isaacgym' / '__init__.pyi').touch()
    text = stubs.read_text().replace('def lambda(', 'def lambda_(')
    (tmp_path / 'isaacgym' / 'gymapi.pyi').write_text(text)
    for name in ('gymtorch', 'gymutil'):  # pure Python in Isaac Gym, without stubs
        (tmp_path / 'isaacgym' / f'{name}.pyi').write_text(
            'from typing import Any\ndef __getattr__(name: str) -> Any: ...\n'
        )
    done = subprocess.run(
        [sys.executable, '-m', 'mypy', '--config-file=', '--ignore-missing-imports',
         '--check-untyped-defs', '--follow-imports=skip', '--cache-dir', str(tmp_path / 'cache'),
         *(str(p) for p in FOLDER.glob('*.py'))],
        capture_output=True, text=True, cwd=FOLDER,
        env={**os.environ, 'MYPYPATH': os.pathsep.join((str(tmp_path), str(ROOT)))},
    )  # fmt: skip
    assert 'prevented further checking' not in done.stdout, done.stdout
    ours = [line for line in done.stdout.splitlines() if 'gymapi.pyi' not in line]
    assert not [line for line in ours if ': error:' in line], done.stdout
    assert 'go2_task.py' not in done.stdout
    # the stubs are looked at: a name that gymapi lacks is found
    wrong = tmp_path / 'wrong.py'
    wrong.write_text('from isaacgym import gymapi\ngymapi.acquire_gym().create_simm()\n')
    done = subprocess.run(
        [sys.executable, '-m', 'mypy', '--config-file=', '--cache-dir', str(tmp_path / 'cache'),
         str(wrong)], capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert 'has no attribute "create_simm"' in done.stdout

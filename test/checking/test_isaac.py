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

from make_agent_ros.checking import isaac_backend
from make_agent_ros.checking.check import run_check
from make_agent_ros.checking.isaac_backend import TRIALS, find_interpreter, run_isaacgym
from make_agent_ros.checking.result import SCHEMA, BackendError
from make_agent_ros.checking.scenario import load_config
from make_agent_ros.policy.bundle import load
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


def test_the_whole_runner_walks_the_same_way_on_another_physx(monkeypatch):
    """Task and runner as shipped, in a process of their own; see `standin/`.

    Joint order, quaternions, gains, latency, friction, payload, pushes and terrain meshes all go
    through them: a robot walks only where every one is right.
    """
    pytest.importorskip('sapien', reason='pip install sapien')
    pytest.importorskip('torch', reason='pip install torch')
    shipped = load_config()
    hard = replace(
        shipped['slope'],
        trials=3, seconds=3.0, slope_deg=(3.0, 6.0), friction=(0.6, 1.2), payload_kg=(0.0, 3.0),
        payload_shift_m=(-0.04, 0.04), motor_strength=(0.8, 1.1), weak_joint=(0.5, 0.9),
        latency_s=(0.004, 0.02), push_m_s=(0.3, 0.4), push_at_s=1.5, drive_friction=(0.4, 1.0),
        rotor_factor=(1.5, 3.0),
    )  # fmt: skip
    rough = replace(shipped['steps'], trials=2, seconds=2.5, start='lying')
    config = replace(shipped, scenarios=(hard, rough))
    bundle = load(resource_path('models/trot.onnx'))
    monkeypatch.setattr(isaac_backend, 'TRIALS', 2)
    monkeypatch.setenv('PYTHONPATH', str(Path(__file__).parent / 'standin'))
    theirs = run_isaacgym(bundle, config, None, sys.executable)['scenarios']
    ours = run_check(bundle, None, ('physx',), config=config).data['backends']['physx']
    for name, tolerance in (('slope', 0.04), ('steps', 0.10)):
        mine, other = ours['scenarios'][name], theirs[name]
        assert other['falls']['count'] == mine['falls']['count'] == 0
        for figure, within in (
            ('velocity_rmse_m_s', tolerance), ('body_height_m', 0.01), ('frequency_hz', 0.05),
            ('action_roughness', 0.01), ('cost_of_transport', 0.1),
        ):  # fmt: skip
            found, expected = other['figures'][figure]['value'], mine['figures'][figure]['value']
            assert found == pytest.approx(expected, abs=within), (name, figure)


def test_a_check_goes_on_without_isaac_gym_and_says_so(config):
    report = run_check(
        standing_bundle(), None, ('mujoco', 'isaacgym'), ('nominal',), True, config=config
    )
    assert report.verdict == 'WARN'
    assert 'isaacgym did not run: no interpreter' in report.reason


def loaded_files():
    loaded = subprocess.run(
        [sys.executable, '-c', LOADED], capture_output=True, text=True, cwd=ROOT
    )
    assert loaded.returncode == 0, loaded.stderr
    files = [*loaded.stdout.split(), *(str(p) for p in FOLDER.glob('*.py'))]
    assert len(files) > 15
    return files


def test_what_the_runner_loads_is_light_and_python_3_8():
    vermin = shutil.which('vermin', path=str(Path(sys.executable).parent))
    if vermin is None:
        pytest.skip('pip install vermin')
    done = subprocess.run(
        [vermin, '--no-tips', '-v', '-t=3.8-', *loaded_files()], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def evaluated(node):
    """All nodes that run when a module with postponed annotations is imported or called."""
    for name, field in ast.iter_fields(node):
        if name in ('annotation', 'returns'):
            continue
        for child in field if isinstance(field, list) else [field]:
            if isinstance(child, ast.If) and 'TYPE_CHECKING' in ast.unparse(child.test):
                continue
            if isinstance(child, ast.AST):
                yield child
                yield from evaluated(child)


def test_no_type_that_python_3_8_cannot_subscript_is_evaluated():
    """`Report = dict[str, Any]` is fine as an annotation and a TypeError as a statement."""
    found = []
    for path in loaded_files():
        tree = ast.parse(Path(path).read_text())
        newer = {'dict', 'list', 'tuple', 'set', 'frozenset', 'type'}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == 'collections.abc':
                newer |= {alias.name for alias in node.names}
        found += [
            f'{path}:{node.lineno}: {ast.unparse(node)}'
            for node in evaluated(tree)
            if isinstance(node, ast.Subscript) and ast.unparse(node.value) in newer
        ]
    assert not found, found


def listed_api():
    listed = {'method': set(), 'attribute': set(), 'config': set(), 'import': set()}
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


def test_the_runner_reads_only_attributes_that_legged_gym_or_the_task_sets():
    tree = ast.parse((FOLDER / 'runner.py').read_text())
    used, written = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ('task', 'self.task'):
            (written if isinstance(node.ctx, ast.Store) else used).add(node.attr)
    task = task_classes()['CheckTask']
    own = {node.name for node in task.body if isinstance(node, ast.FunctionDef)}
    own |= {
        node.attr
        for node in ast.walk(task)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }
    api = listed_api()
    assert len(used) > 10
    assert used - written <= own | api['attribute'] | api['method']


def test_both_files_import_and_set_only_what_legged_gym_has():
    imported, entries = set(), set()
    for path in FOLDER.glob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or '').startswith('legged_gym'):
                imported |= {f'{node.module}:{alias.name}' for alias in node.names}
            text = ast.unparse(node) if isinstance(node, ast.Attribute) else ''
            if text.startswith('cfg.') and text.count('.') == 2:
                entries.add(text.removeprefix('cfg.'))
    api = listed_api()
    assert len(imported) == 5
    assert imported == api['import']
    assert {'env.num_envs', 'control.decimation', 'sim.dt'} <= entries <= api['config']


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

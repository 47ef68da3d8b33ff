from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from make_agent_ros.checking import physx_backend
from make_agent_ros.checking.check import CheckReport, run_check, with_check
from make_agent_ros.checking.command import parse_replay
from make_agent_ros.checking.page import Section, html_page, pill, table
from make_agent_ros.checking.report import check_page, save_report
from make_agent_ros.checking.scenario import Limit, Scenario, ScenarioError, load_config
from make_agent_ros.checking.scenes import BACKEND_TITLES
from make_agent_ros.checking.verdict import judge, overall
from make_agent_ros.policy.bundle import from_bytes, to_bytes
from make_agent_ros.policy.checked import check_holds, policy_digest

from .policies import standing_bundle, trot_bundle

FEW = ('nominal', 'pushes', 'commands')


@pytest.fixture(scope='module')
def config():
    shipped = load_config()
    short = tuple(
        replace(s, seconds=3.5, trials=4, push_at_s=min(s.push_at_s, 3.0))
        for s in shipped.scenarios
    )
    return replace(shipped, scenarios=short)


@pytest.fixture(scope='module')
def report(config):
    return run_check(trot_bundle(3.0, 0.3), None, ('mujoco',), FEW, True, config=config)


def result(falls, **figures):
    return {
        'trials': 10,
        'falls': {'value': falls, 'count': round(10 * falls)},
        'figures': {name: {'value': value} for name, value in figures.items()},
    }


LIMITS = {'falls': Limit(0.0, 0.1), 'velocity_rmse_m_s': Limit(0.25, 0.5)}


@pytest.mark.parametrize(
    ('falls', 'error', 'verdict', 'words'),
    [
        (0.0, 0.1, 'PASS', '10 of 10 stayed up'),
        (0.1, 0.1, 'WARN', '10 % of the robots fell (limit 0 %)'),
        (0.2, 0.1, 'FAIL', '20 % of the robots fell (limit 10 %)'),
        (0.0, 0.3, 'WARN', 'velocity error 0.30 m/s (limit 0.25)'),
        (0.0, 0.6, 'FAIL', 'velocity error 0.60 m/s (limit 0.50)'),
        (0.0, None, 'PASS', 'stayed up'),
    ],
)
def test_a_figure_above_its_limit_decides_and_is_the_reason(falls, error, verdict, words):
    scenario = Scenario('s', 'a scenario', limits=LIMITS)
    found, reason = judge(scenario, result(falls, velocity_rmse_m_s=error))
    assert found == verdict
    assert words in reason


def test_beyond_what_must_be_mastered_a_failure_is_a_warning():
    scenario = Scenario('s', 'a scenario', limits=LIMITS, advisory=True)
    assert judge(scenario, result(0.9))[0] == 'WARN'


def test_one_failure_anywhere_fails_the_whole_check():
    good = {'scenarios': {'a': {'verdict': 'PASS', 'reason': 'fine'}}}
    bad = {'scenarios': {'a': {'verdict': 'FAIL', 'reason': 'fell'}}}
    verdict, reason = overall({'mujoco': good, 'physx': bad})
    assert verdict == 'FAIL'
    assert reason == '1 of 1 scenarios failed: a in physx: fell'


def test_the_sentence_names_each_scenario_once_with_its_engines_and_first_reason():
    bad = {name: {'verdict': 'WARN', 'reason': f'{name} off; more'} for name in 'abcde'}
    reports = {'mujoco': {'scenarios': bad}, 'physx': {'scenarios': {'a': bad['a']}}}
    assert overall(reports) == (
        'WARN',
        '5 of 5 scenarios with a warning: a in mujoco and physx: a off; b in mujoco: b off; '
        'c in mujoco: c off; and 2 more',
    )


def test_an_engine_that_did_not_run_is_a_warning_and_none_at_all_a_failure():
    good = {'scenarios': {'a': {'verdict': 'PASS', 'reason': 'fine'}}}
    missing = {'scenarios': {}, 'error': 'not installed'}
    assert overall({'mujoco': good, 'physx': missing}) == (
        'WARN', 'physx did not run: not installed'
    )  # fmt: skip
    assert overall({'physx': missing})[0] == 'FAIL'


def test_a_policy_that_lets_the_robot_sink_fails(config):
    limp = standing_bundle(joint_stiffness=np.zeros(12), joint_damping=np.zeros(12))
    report = run_check(limp, None, ('mujoco',), ('nominal',), True, config=config)
    assert report.verdict == 'FAIL'
    assert '100 % of the robots fell' in report.reason


def test_the_verdict_travels_in_the_bundle_and_is_bound_to_its_weights(report):
    bundle = from_bytes(to_bytes(with_check(trot_bundle(3.0, 0.3), report)))
    assert bundle.check['verdict'] == report.verdict
    assert bundle.check['report'] == report.digest()
    assert check_holds(bundle)
    other = replace(trot_bundle(2.0, 0.3), check=bundle.check)
    assert not check_holds(other)
    assert policy_digest(bundle) == policy_digest(trot_bundle(3.0, 0.3))


def test_the_same_check_again_has_the_same_digest(config, report):
    again = run_check(trot_bundle(3.0, 0.3), None, ('mujoco',), FEW, True, config=config)
    assert again.digest() == report.digest()


def test_the_report_is_json_that_reads_back(report, tmp_path):
    page = save_report(report, tmp_path, with_video=False)
    data = json.loads((tmp_path / 'report.json').read_text())
    assert data['digest'] == report.digest()
    again = CheckReport(data['verdict'], data['reason'], {k: data[k] for k in report.data})
    assert again.digest() == report.digest()
    assert page.name == 'report.html'


def test_the_page_shows_the_verdict_first_and_loads_nothing(report):
    page = check_page(report, with_video=False)
    assert page.index(report.reason[:20].replace("'", '&#x27;')) < page.index('Scenarios')
    assert page.count('<svg') >= 3
    for reference in ('src="http', 'href="http', '<script', '@import', 'url(http'):
        assert reference not in page


def test_the_page_names_the_seed_to_play_again(report):
    worst = report.data['backends']['mujoco']['series']['worst']
    name, seed = parse_replay(f'{worst["scenario"]}:{worst["seed"]}', load_config())
    assert (name, seed) == (worst['scenario'], worst['seed'])


@pytest.mark.parametrize('text', ['pushes', 'pushes:', ':3', 'moon:3', 'pushes:x'])
def test_a_trial_that_cannot_be_played_again_is_refused(text):
    with pytest.raises(ScenarioError):
        parse_replay(text, load_config())


def test_an_unknown_engine_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match='unknown backend bullet; known: mujoco'):
        run_check(standing_bundle(), None, ('bullet',))


@pytest.mark.parametrize(('engine', 'package'), [('physx', 'sapien'), ('menagerie', 'gym-quad')])
def test_an_engine_that_is_not_installed_is_a_sentence_with_the_remedy(
    config, monkeypatch, engine, package
):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    physx_backend._sapien.cache_clear()
    one = replace(config, scenarios=(replace(config['nominal'], trials=1, seconds=2.0),))
    found = run_check(standing_bundle(), None, ('mujoco', engine), config=one)
    assert found.verdict in ('WARN', 'FAIL')
    error = found.data['backends'][engine]['error']
    assert f'install {package}' in error.replace('--no-deps ', '')
    assert f'{BACKEND_TITLES[engine]} did not run: {error}' in check_page(found, with_video=False)


def test_a_scenario_that_nothing_can_fail_is_refused(config):
    free = replace(config, scenarios=(replace(config['nominal'], limits={}),))
    with pytest.raises(ScenarioError, match='nominal: no limit on falls'):
        run_check(standing_bundle(), config=free)


def test_text_on_a_page_is_escaped():
    page = html_page('a <b>', [Section('x', table(['h'], [['<script>', pill('PASS')]]))])
    assert '<script>' not in page
    assert '&lt;script&gt;' in page
    assert 'class="pill pass"' in page

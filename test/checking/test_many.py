from __future__ import annotations

from dataclasses import replace

import pytest

from make_agent_ros.checking.check import run_check
from make_agent_ros.checking.many import (
    REFUSED,
    Options,
    check_files,
    check_many,
    find_policies,
    report_folder,
)
from make_agent_ros.checking.scenario import ScenarioError, load_config
from make_agent_ros.policy.bundle import load, save
from make_agent_ros.policy.checked import check_holds

from .policies import standing_bundle, trot_bundle


@pytest.fixture(scope='module')
def config():
    shipped = load_config()
    short = [replace(shipped[name], seconds=3.5, trials=3) for name in ('nominal', 'pushes')]
    return replace(shipped, scenarios=tuple(short))


def limp():
    return standing_bundle(joint_stiffness=[0.0] * 12, joint_damping=[0.0] * 12)


def test_processes_find_what_one_process_finds(config):
    bundles = [trot_bundle(3.0, 0.3), limp()]
    options = Options(config=config, quick=True)
    alone = check_many(bundles, options, jobs=1)
    shared = check_many(bundles, options, jobs=2)
    assert [r.digest() for r in shared] == [r.digest() for r in alone]
    assert [r.verdict == 'FAIL' for r in alone] == [False, True]


def test_scenarios_shared_by_processes_make_the_same_report(config):
    bundle = trot_bundle(3.0, 0.3)
    alone = run_check(bundle, quick=True, config=config)
    told = []
    shared = run_check(bundle, quick=True, config=config, jobs=2, progress=told.append)
    assert shared.digest() == alone.digest()
    assert len(told) == 2
    assert told[-1].startswith('2 of 2, mujoco: ')


def test_files_get_a_report_and_carry_their_verdict_and_a_broken_one_stops_nothing(
    tmp_path, config
):
    save(trot_bundle(3.0, 0.3), tmp_path / 'a.onnx')
    (tmp_path / 'b.onnx').write_bytes(b'\x08\x07truncated')
    save(limp(), tmp_path / 'c.onnx')
    outcomes = check_files(
        find_policies([tmp_path]),
        Options(config=config, quick=True, replay_options=' --config x'),
        jobs=2,
    )
    assert [one.path.name for one in outcomes] == ['a.onnx', 'b.onnx', 'c.onnx']
    assert [one.verdict for one in outcomes[1:]] == [REFUSED, 'FAIL']
    assert 'b.onnx' in outcomes[1].reason
    assert outcomes[1].page is None
    for one in (outcomes[0], outcomes[2]):
        bundle = load(one.path)
        assert bundle.check['verdict'] == one.verdict
        assert check_holds(bundle)
        page = one.page.read_text()
        assert f'make-agent check {one.path} --config x --replay ' in page


def test_a_folder_stands_for_its_policies(tmp_path):
    for name in ('b.onnx', 'a.onnx', 'notes.txt'):
        (tmp_path / name).touch()
    assert [path.name for path in find_policies([tmp_path])] == ['a.onnx', 'b.onnx']


def test_reports_never_share_a_folder(tmp_path):
    one, other = tmp_path / 'x' / 'walk.onnx', tmp_path / 'y' / 'walk.onnx'
    assert find_policies([one, other]) == [one, other]
    assert report_folder(one, None) != report_folder(other, None)
    with pytest.raises(ScenarioError, match='would share a folder'):
        find_policies([one, other], tmp_path / 'reports')
    with pytest.raises(ScenarioError, match='would share a folder'):
        find_policies([one, one])


def test_nothing_to_check_is_said(tmp_path):
    with pytest.raises(ScenarioError, match='no policy in'):
        find_policies([tmp_path])

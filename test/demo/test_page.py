"""The demo's page, made from simulated walks of a scripted trot."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest

from make_agent_ros.demo.measure import verdict
from make_agent_ros.demo.page import write_page
from make_agent_ros.demo.results import Recorded, measure_prompt, measure_walk
from make_agent_ros.nodes.track import Track
from make_agent_ros.recording import Trajectory
from make_agent_ros.simulation.model import WorldRanges, randomised_worlds
from make_agent_ros.simulation.rollout import rollout

DT_S = 0.02
SECONDS = 13.0


def trot_bundle(**arguments):
    path = Path(__file__).resolve().parents[1] / 'checking' / 'policies.py'
    spec = importlib.util.spec_from_file_location('checking_policies', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.trot_bundle(**arguments)


def recorded_from(folder: Path, bundles) -> Recorded:
    """What a demo would have recorded of two policies, one after the other."""
    command = np.tile([0.3, 0.0, 0.0], (2, 1))
    worlds = randomised_worlds(1, 0, WorldRanges.nominal())
    log = rollout(bundles, worlds, command, SECONDS, seed=0, threads=1)
    assert not log.fell.any()
    steps = log.joint_pos.shape[2]
    time_s = np.arange(steps) * DT_S
    both = np.concatenate((time_s, time_s + SECONDS))

    def joined(values):
        return np.concatenate((values[0, 0], values[1, 0]))

    track = Track(
        both, joined(log.base_position), joined(log.quat_wxyz), joined(log.planar_velocity),
        joined(log.command), joined(log.joint_pos),
    )  # fmt: skip
    recorded = Recorded(
        folder, (1.0, 11.0), (0.0, SECONDS), (SECONDS, 2 * SECONDS),
        {'seconds': {'sample': 0.1, 'rank': 3.0}, 'novelty': 0.5, 'threshold': 1.0},
        {}, track,
    )  # fmt: skip
    trajectories = [
        Trajectory(
            time_s, log.quat_wxyz[i, 0], log.base_ang_vel[i, 0], log.joint_pos[i, 0],
            log.joint_vel[i, 0], np.zeros((steps, 3)), log.joint_torque[i, 0],
            np.zeros((steps, 4)),
        )
        for i in range(2)
    ]  # fmt: skip
    recorded.shown, recorded.answered = trajectories
    recorded.prompt = trajectories[0].slice(4.0, 8.0)
    return recorded


@pytest.mark.slow
def test_two_trots_of_one_frequency_match_and_of_two_do_not(tmp_path):
    recorded = recorded_from(tmp_path, [trot_bundle(), trot_bundle(frequency_hz=2.4)])
    prompt = measure_prompt(recorded)
    shown = measure_walk('demonstration policy', recorded, generated=False)
    other = measure_walk('generated policy', recorded, generated=True)
    assert float(prompt.gait.frequency_hz) == pytest.approx(3.0, abs=0.1)
    assert float(other.gait.frequency_hz) == pytest.approx(2.4, abs=0.1)
    _, about_shown = verdict(prompt, shown)
    _, about_other = verdict(prompt, other)
    assert about_shown[1].startswith('ok: step frequency')
    assert about_other[1].startswith('NOT MET: step frequency')


@pytest.mark.slow
def test_the_page_holds_everything_and_loads_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr('make_agent_ros.demo.page.VIDEO_S', (2.0, 3.2))
    monkeypatch.setattr('make_agent_ros.demo.picture.FIRST_S', 0.5)
    recorded = recorded_from(tmp_path, [trot_bundle(), trot_bundle()])
    measured = [
        measure_prompt(recorded),
        measure_walk('demonstration policy', recorded, generated=False),
        measure_walk('generated policy', recorded, generated=True),
    ]
    judged = verdict(measured[0], measured[2])
    told: list[str] = []
    page = write_page(tmp_path, recorded, measured, judged, told.append)
    html = page.read_text(encoding='utf-8')
    assert 'generated policy' in html
    assert html.count('<svg') >= 4
    assert not re.search(r'(?:src|href)="(?!data:|#)', html)
    assert '<video' in html or 'no video' in html
    twin = json.loads((tmp_path / 'report.json').read_text(encoding='utf-8'))
    assert twin['reproduced'] == judged[0]
    assert [walk['name'] for walk in twin['walks']] == [m.name for m in measured]
    if '<video' in html:
        assert (tmp_path / 'result.png').stat().st_size > 10_000


def test_a_run_can_be_measured_again_from_its_folder(tmp_path):
    time_s = np.arange(100) * DT_S
    zeros = np.zeros((100, 3))
    track = Track(time_s, zeros, np.zeros((100, 4)), zeros, zeros, np.zeros((100, 12)))
    before = Recorded(tmp_path / 'bags', (0.0, 1.0), (1.0, 2.0), (2.0, 3.0), {'a': 1}, {}, track)
    before.save(tmp_path)
    after = Recorded.load(tmp_path)
    assert list(after.generated_s) == [2.0, 3.0]
    assert np.array_equal(after.track.time_s, time_s)

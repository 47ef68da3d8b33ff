from __future__ import annotations

import json

import numpy as np
import pytest

from make_agent_ros.checking.result import merge
from make_agent_ros.checking.scenario import load_config
from make_agent_ros.checking.scenes import (
    ending,
    replay_command,
    scene_section,
    trial_ground,
    worst_of,
)
from make_agent_ros.checking.trials import draw_trials

SHIPPED = load_config()
CONFIG = json.loads(SHIPPED.to_json())


def motion(scenario='nominal', seed=1003, order=(1.0, 0.0, 1.0, -0.1), alive=300, start=0):
    return {
        'scenario': scenario, 'seed': seed, 'rate_hz': 50.0, 'start_step': start,
        'steps_alive': alive, 'qpos': np.zeros((300, 19)).tolist(), 'order': list(order),
    }  # fmt: skip


def backend(worst, typical=None):
    return {'series': {'worst': worst, 'typical': typical or motion()}}


STOOD = motion('pushes', 1001, (1.0, 0.0, 1.0, -0.4))
FELL = motion('slope', 1007, (0.0, 0.0, 0.5, -0.2), alive=150)
FELL_ADVISORY = motion('sills', 1002, (0.0, 1.0, 0.1, -0.9), alive=30)


def test_the_worst_of_all_engines_is_shown_a_fall_before_an_error_and_duty_before_advice():
    assert worst_of({'mujoco': backend(STOOD), 'physx': backend(FELL)}) == ('physx', FELL)
    found = worst_of({'mujoco': backend(FELL_ADVISORY), 'physx': backend(FELL)})
    assert found == ('physx', FELL)
    assert worst_of({'mujoco': backend(FELL_ADVISORY), 'physx': backend(STOOD)})[0] == 'mujoco'


def test_joined_reports_keep_the_worst_of_their_parts():
    parts = [
        {
            'scenarios': {one['scenario']: {}},
            'series': {'worst': one, 'typical': one},
            'seconds': 1,
        }
        for one in (STOOD, FELL, FELL_ADVISORY)
    ]
    joined = merge(parts)
    assert joined['series']['worst'] == FELL
    assert joined['series']['typical'] == STOOD
    assert joined['seconds'] == 3
    assert list(joined['scenarios']) == ['pushes', 'slope', 'sills']


@pytest.mark.parametrize(
    ('engine', 'option'),
    [('mujoco', ''), ('menagerie', ' --backend menagerie'), ('isaacgym', ' --backend physx')],
)
def test_the_command_names_the_engine_scenario_and_seed(engine, option):
    command = replay_command('make-agent check a.onnx', engine, FELL)
    assert command == f'make-agent check a.onnx{option} --replay slope:1007'


@pytest.mark.parametrize('name', ['slope', 'steps', 'sills', 'nominal'])
def test_the_ground_in_the_picture_is_that_of_the_trial(name):
    drawn = draw_trials(SHIPPED[name], [1007], SHIPPED.terrains).terrains[0]
    again = trial_ground(CONFIG, motion(name, 1007))
    np.testing.assert_array_equal(again.normal, drawn.normal)
    np.testing.assert_array_equal(again.boxes, drawn.boxes)


def test_time_walked_counts_from_when_the_policy_took_over():
    assert ending(motion(alive=200, start=100)) == 'fell after 2.0 s'
    assert ending(motion()) == 'stayed up'


def test_the_card_says_what_happened_and_how_to_see_it_again_without_a_video():
    body = scene_section(
        {'mujoco': backend(STOOD), 'physx': backend(FELL)}, CONFIG, 'make-agent check a.onnx',
        with_video=False,
    ).body  # fmt: skip
    tilt = np.rad2deg(np.arccos(trial_ground(CONFIG, FELL).normal[2]))
    assert f'ground tilted by {tilt:.0f} deg, in PhysX, fell after 3.0 s (seed 1007)' in body
    assert 'make-agent check a.onnx --backend physx --replay slope:1007' in body
    assert 'Level ground, the model as it is' in body
    assert '<video' not in body


def test_without_a_renderer_the_card_says_so_once_and_still_names_the_command(monkeypatch):
    monkeypatch.setenv('MUJOCO_GL', 'nothing')
    standing = motion()
    standing['qpos'] = np.tile([0, 0, 0.3, 1, *np.zeros(15)], (300, 1)).tolist()
    body = scene_section(
        {'mujoco': backend(standing, standing)}, CONFIG, 'make-agent check a.onnx',
        with_video=True,
    ).body  # fmt: skip
    assert body.count('no video:') == 1
    assert body.count('--replay nominal:1003') == 2

"""`make-agent generate` on a recorded walk: what its options do to the policy that comes out."""

from __future__ import annotations

import numpy as np
import pytest

from make_agent_ros.nodes.generation import GeneratorConfig, generate_best
from make_agent_ros.policy import load
from make_agent_ros.recording import RecordingError
from make_agent_ros.resources import resource_path
from make_agent_ros.simulation.model import WorldRanges, randomised_worlds
from make_agent_ros.simulation.rollout import rollout
from make_agent_ros.training.prompts import prompt_from_log


@pytest.fixture(scope='module')
def walk(tmp_path_factory):
    """Six seconds of the shipped demonstration, as a table."""
    bundle = load(resource_path('models/demonstration.onnx'))
    worlds = randomised_worlds(1, 5, WorldRanges())
    log = rollout([bundle], worlds, bundle.default_command[None], 8.0, seed=5)
    path = tmp_path_factory.mktemp('walk') / 'walk.npz'
    prompt_from_log(log, 0, 0, 1.5, 6.0).save(path)
    return path


def made(walk, **options):
    config = GeneratorConfig(bag=str(walk), **{'candidates': 4, 'refine': 0} | options)
    return generate_best(config).bundle


def test_refine_says_how_often_candidates_are_steered_at_most(walk):
    assert made(walk).provenance['refined'] == 0
    assert made(walk, refine=1).provenance['refined'] == 1


@pytest.mark.parametrize('prompt_s', [1.0, 4.0])
def test_the_policy_steps_as_often_and_moves_as_fast_as_the_prompt_however_long(walk, prompt_s):
    shown = load(resource_path('models/demonstration.onnx'))
    found = made(walk, prompt_s=prompt_s)
    assert found.gait_frequency_hz == pytest.approx(shown.gait_frequency_hz, rel=0.05)
    np.testing.assert_allclose(found.default_command, shown.default_command, atol=0.2)


def test_a_seed_means_one_policy(walk):
    first, again, other = (made(walk, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.layers[0][0], again.layers[0][0])
    assert np.abs(first.layers[0][0] - other.layers[0][0]).max() > 0.0


def test_a_prompt_longer_than_the_recording_is_refused_in_words(walk):
    with pytest.raises(RecordingError, match=r'6\.0 s long; a prompt takes 9 s'):
        made(walk, prompt_s=9.0)

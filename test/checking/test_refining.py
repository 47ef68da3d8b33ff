"""The correction of candidates, on what the shipped generator gives for a shipped trot."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from make_agent_ros.checking import refining
from make_agent_ros.checking.ranking import Ranking, rank
from make_agent_ros.checking.refining import WORLDS, _with_evidence, refine
from make_agent_ros.generator import Generator
from make_agent_ros.policy.bundle import load
from make_agent_ros.recording.gait_change import GaitChange
from make_agent_ros.resources import resource_path
from make_agent_ros.simulation.model import WorldRanges, randomised_worlds
from make_agent_ros.simulation.rollout import rollout
from make_agent_ros.training.prompts import prompt_from_log


@pytest.fixture(scope='module')
def proposed():
    trot = load(resource_path('models/trot.onnx'))
    worlds = randomised_worlds(1, 1, WorldRanges.nominal())
    log = rollout([trot], worlds, trot.default_command[None], 6.5)
    prompt = prompt_from_log(log, 0, 0, 2.0, 4.0)
    generator = Generator.load()
    proposal = generator.propose(prompt, 8, seed=4, allow_novel=True)
    makers = partial(generator.decode_proposal, proposal), partial(generator.steer, proposal)
    return prompt, proposal.latent.numpy(), makers


def test_without_rounds_it_is_the_ranking(proposed):
    prompt, latents, makers = proposed
    refined = refine(*makers, latents, prompt, 3, rounds=0)
    assert len(refined.bundles) == len(latents)
    assert refined.best is refined.bundles[int(refined.ranking.cost.argmin())]


def test_the_best_are_ranked_again_beside_steered_ones(proposed):
    prompt, latents, makers = proposed
    plain = refine(*makers, latents, prompt, 3, rounds=0)
    told = []
    refined = refine(*makers, latents, prompt, 3, 1, lambda k, n: told.append((k, n)))
    assert told == [(1, 2)]
    assert len(refined.bundles) == len(latents)
    np.testing.assert_allclose(refined.bundles[0].layers[0][0], plain.best.layers[0][0], atol=1e-6)
    assert refined.seconds > plain.ranking.seconds / 10


def test_the_same_seed_gives_the_same_policy(proposed):
    prompt, latents, makers = proposed
    first, second = (refine(*makers, latents, prompt, 3, 1).best for _ in range(2))
    np.testing.assert_array_equal(first.layers[0][0], second.layers[0][0])


def test_negative_rounds_are_refused(proposed):
    prompt, latents, makers = proposed
    with pytest.raises(ValueError, match='0 or more'):
        refine(*makers, latents, prompt, 3, -1)


@pytest.mark.parametrize(('enough', 'took'), [(-1.0, 3), (99.0, 1)])
def test_rounds_go_on_until_the_best_is_good_enough(proposed, monkeypatch, enough, took):
    prompt, latents, makers = proposed
    monkeypatch.setattr(refining, 'ENOUGH', enough)
    told = []
    refined = refine(*makers, latents[:2], prompt, 3, 3, lambda k, n: told.append((k, n)))
    assert refined.rounds == took
    assert told == [(k, 4) for k in range(1, took + 1)]


def test_a_single_candidate_is_walked_beside_its_steered_self(proposed):
    prompt, latents, makers = proposed
    refined = refine(*makers, latents[:1], prompt, 3, 1)
    own, steered = (bundle.layers[0][0] for bundle in refined.bundles)
    assert 0.0 < np.abs(own - steered).max() < 1.0


def test_what_kept_ones_did_before_counts_beside_their_latest_walks():
    figures, none = {'falls': np.zeros(3)}, GaitChange(*np.zeros((4, 3)))
    before = Ranking(1, np.array([9.0, 1.0, 2.0]), figures, np.zeros((3, 3)), 1.0, none, 16)
    now = Ranking(2, np.array([3.0, 8.0, 2.5]), figures, np.ones((3, 3)), 1.0, none, 10)
    both = _with_evidence(now, np.array([20.0, 10.0]), before, np.array([1, 2]))
    np.testing.assert_allclose(both.cost, [5 / 3, 5.0, 2.5])
    np.testing.assert_allclose(both.command[:, 0], [1 / 3, 1 / 2, 1.0])
    assert both.best == 0


def test_steered_candidates_are_nearer_to_the_prompt(proposed):
    """Candidates that walk 2 cm too low, and half of them steered by what ranking says."""
    prompt, latents, (decode, steer) = proposed
    n = len(latents)
    low = steer(latents, GaitChange(np.zeros((n, 4)), np.full(n, -0.03), np.zeros(n), np.zeros(n)))
    before = rank(decode(low), prompt, 3)
    after = refine(decode, steer, low, prompt, 3, 1).ranking
    assert (before.walks, after.walks) == (2 * 8, WORLDS)
    same = before.order[: n - 2]
    assert after.figures['height_m'][2:].mean() < 0.8 * before.figures['height_m'][same].mean()
    assert after.cost[2:].mean() < before.cost[same].mean()

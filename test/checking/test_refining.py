"""The search around candidates, on latents whose policies are the shipped ones and mixtures."""

from __future__ import annotations

import numpy as np
import pytest

from make_agent_ros.checking.ranking import Ranking
from make_agent_ros.checking.refining import PARENTS, _children, _with_evidence, refine
from make_agent_ros.generator import Generator
from make_agent_ros.policy.bundle import load
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
    return prompt, proposal.latent.numpy(), lambda z: generator.decode_proposal(proposal, z)


def test_without_rounds_it_is_the_ranking(proposed):
    prompt, latents, decode = proposed
    refined = refine(decode, latents, prompt, 3, rounds=0)
    assert len(refined.bundles) == len(latents)
    assert refined.best is refined.bundles[int(refined.ranking.cost.argmin())]


def test_parents_are_ranked_again_beside_their_children(proposed):
    prompt, latents, decode = proposed
    plain = refine(decode, latents, prompt, 3, rounds=0)
    told = []
    refined = refine(decode, latents, prompt, 3, 1, lambda k, n: told.append((k, n)))
    assert told == [(1, 2)]
    assert len(refined.bundles) == len(latents)
    np.testing.assert_allclose(refined.bundles[0].layers[0][0], plain.best.layers[0][0], atol=1e-6)
    assert refined.seconds > plain.ranking.seconds / 10
    assert refined.ranking.cost.min() <= refined.ranking.cost[:PARENTS].min()


def test_the_same_seed_gives_the_same_policy(proposed):
    prompt, latents, decode = proposed
    first, second = (refine(decode, latents, prompt, 3, 1).best for _ in range(2))
    np.testing.assert_array_equal(first.layers[0][0], second.layers[0][0])


def test_children_lie_between_and_a_little_around_their_parents():
    parents = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
    children = _children(parents, 500, np.random.default_rng(1))
    assert children.dtype == np.float32
    np.testing.assert_allclose(children.mean(0), parents.mean(0), atol=0.15)
    assert (children.std(0) < 2.0 * parents.std(0)).all()


@pytest.mark.parametrize(('rounds', 'count', 'words'), [(-1, 8, '0 or more'), (1, 4, 'too few')])
def test_what_cannot_be_refined_is_refused(proposed, rounds, count, words):
    prompt, latents, decode = proposed
    with pytest.raises(ValueError, match=words):
        refine(decode, latents[:count], prompt, 3, rounds)


def test_what_parents_did_before_counts_beside_their_latest_walks():
    figures = {'falls': np.zeros(3)}
    before = Ranking(1, np.array([9.0, 1.0, 2.0]), figures, np.zeros((3, 3)), 1.0)
    now = Ranking(2, np.array([3.0, 8.0, 2.5]), figures, np.ones((3, 3)), 1.0)
    both = _with_evidence(now, np.array([2.0, 1.0]), before, np.array([1, 2]))
    np.testing.assert_allclose(both.cost, [5 / 3, 5.0, 2.5])
    np.testing.assert_allclose(both.command[:, 0], [1 / 3, 1 / 2, 1.0])
    assert both.best == 0

"""Steering a latent so that a policy's gait changes, up to a robot that does walk otherwise."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from make_agent_ros.checking.ranking import rank
from make_agent_ros.generator import Generator
from make_agent_ros.generator.steering import LARGEST, SHARE, steered
from make_agent_ros.generator.style import STYLE_SIZE, style_change
from make_agent_ros.policy.bundle import load
from make_agent_ros.recording.gait_change import GaitChange
from make_agent_ros.resources import resource_path
from make_agent_ros.simulation.model import WorldRanges, randomised_worlds
from make_agent_ros.simulation.rollout import rollout
from make_agent_ros.training.behaviour import Styles, sample_styles
from make_agent_ros.training.prompts import prompt_from_log


def some_change(n: int) -> GaitChange:
    rng = np.random.default_rng(3)
    phase = np.concatenate((np.zeros((n, 1)), rng.uniform(-0.2, 0.2, (n, 3))), axis=1)
    return GaitChange(phase, *rng.uniform(-0.02, 0.02, (3, n)))


def test_a_change_of_style_is_the_difference_of_the_styles_vectors():
    styles, change = sample_styles(np.random.default_rng(0), 50), some_change(50)
    changed = Styles(
        (styles.offsets + change.phase) % 1.0,
        styles.frequency_hz,
        styles.duty,
        styles.body_height_m + change.height_m,
        styles.pitch_rad + change.pitch_rad,
        styles.stance_width_m,
        styles.swing_height_m + change.swing_m[:, None],
    )
    difference = changed.vector() - styles.vector()
    np.testing.assert_allclose(style_change(styles.vector(), change), difference, atol=1e-6)


def test_phases_that_a_head_is_not_sure_of_turn_and_keep_their_length():
    style = 0.3 * sample_styles(np.random.default_rng(0), 20).vector()
    changed = style + style_change(style, some_change(20))
    lengths = [np.hypot(v[:, :3], v[:, 3:6]) for v in (style, changed)]
    np.testing.assert_allclose(*lengths, atol=1e-7)


def test_a_policy_that_always_fell_is_left_as_it_is_and_large_changes_are_limited():
    to_latent = torch.nn.Linear(STYLE_SIZE, 5)
    steer = partial(steered, torch.zeros(2, 5), style=torch.ones(STYLE_SIZE), to_latent=to_latent)
    nan = np.full(2, np.nan)
    same = steer(GaitChange(np.full((2, 4), np.nan), nan, nan, nan))
    torch.testing.assert_close(same, torch.zeros(2, 5), atol=1e-6, rtol=0.0)
    zero, most = np.zeros(2), np.full(2, LARGEST.height_m)
    huge = steer(GaitChange(np.zeros((2, 4)), 9.0 * most, zero, zero))
    assert (huge.abs().amax(dim=1) > 1e-3).all()
    torch.testing.assert_close(huge, steer(GaitChange(np.zeros((2, 4)), most, zero, zero)))


@pytest.fixture(scope='module')
def walked():
    trot = load(resource_path('models/trot.onnx'))
    worlds = randomised_worlds(1, 1, WorldRanges.nominal())
    log = rollout([trot], worlds, trot.default_command[None], 6.5)
    prompt = prompt_from_log(log, 0, 0, 2.0, 4.0)
    generator = Generator.load()
    proposal = generator.propose(prompt, 1, allow_novel=True)
    ranking = rank(generator.decode_proposal(proposal), prompt, 5, worlds=4, seconds=4.0)
    return generator, proposal, prompt, ranking


@pytest.mark.parametrize('axis', ['height', 'phase'])
def test_a_robot_walks_as_its_policy_was_steered(walked, axis):
    generator, proposal, prompt, before = walked
    zero, phase = np.zeros(1), np.zeros((1, 4))
    if axis == 'phase':
        phase[0, 1] = 0.1
    change = GaitChange(phase, zero + 0.02 * (axis == 'height'), zero, zero)
    latent = generator.steer(proposal, proposal.latent.numpy(), change)
    bundles = generator.decode_proposal(proposal, latent)
    after = rank(bundles, prompt, 5, worlds=4, seconds=4.0)
    lifted = before.change.height_m - after.change.height_m
    turned = (before.change.phase - after.change.phase)[0]
    if axis == 'height':
        assert lifted == pytest.approx(0.02 * SHARE.height_m, abs=0.006)
        assert np.abs(turned).max() < 0.05
    else:
        assert 0.015 < turned[1] < 0.11
        assert np.abs(turned[[0, 2, 3]]).max() < turned[1]
        assert np.abs(lifted) < 0.006

"""Styles as they are told and as they are walked, and how a generator reads them off a prompt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from make_agent_ros.generator.model import Generator, GeneratorSizes
from make_agent_ros.generator.style import BEYOND, STYLE_SIZE, between, mean_style, walked_style
from make_agent_ros.policy.bundle import load
from make_agent_ros.recording.gait import gait_distance
from make_agent_ros.recording.loads import gait_of_prompts
from make_agent_ros.resources import resource_path
from make_agent_ros.simulation.model import WorldRanges, randomised_worlds
from make_agent_ros.simulation.rollout import rollout
from make_agent_ros.training.behaviour import sample_styles
from make_agent_ros.training.prompts import prompt_from_log

PHASES, PLAIN, WIDTH, SWING = slice(0, 6), slice(6, 18), 9, slice(14, 18)


@pytest.fixture
def styles():
    return sample_styles(np.random.default_rng(0), 60)


def test_who_walks_what_was_told_walks_the_style_that_was_told(styles):
    """But for its phases, which are those of mid-swing once they were measured."""
    told, gait = styles.vector(), styles.gait()
    walked = walked_style(told, gait)
    assert walked.shape == (60, STYLE_SIZE)
    assert walked.dtype == np.float32
    np.testing.assert_allclose(walked[:, PLAIN], told[:, PLAIN], atol=1e-5)
    angle = np.arctan2(walked[:, :3], walked[:, 3:6]) / (2 * np.pi)
    np.testing.assert_allclose(angle % 1.0, gait.phase_offset[:, 1:] % 1.0, atol=1e-5)


def test_what_was_measured_takes_the_place_of_what_was_said(styles):
    gait = styles.gait()
    said = np.random.default_rng(1).normal(size=(60, STYLE_SIZE))
    walked, from_other = walked_style(styles.vector(), gait), walked_style(said, gait)
    kept = np.r_[WIDTH, SWING]
    measured = np.setdiff1d(np.arange(STYLE_SIZE), kept)
    np.testing.assert_allclose(from_other[:, measured], walked[:, measured], atol=1e-5)
    np.testing.assert_allclose(from_other[:, WIDTH], said[:, WIDTH].clip(-BEYOND, BEYOND))
    means = [v[:, SWING].mean(axis=1) for v in (from_other, walked)]
    inside = (np.abs(from_other[:, SWING]) < BEYOND).all(axis=1)
    assert inside.sum() > 5
    np.testing.assert_allclose(*[m[inside] for m in means], atol=1e-5)


def test_a_walk_far_outside_is_kept_near_what_is_known(styles):
    walked = walked_style(styles.vector(), replace(styles.gait(), body_height_m=np.full(60, 0.9)))
    np.testing.assert_allclose(walked[:, 7], BEYOND)


def test_phases_are_averaged_as_angles_over_the_walks_that_count():
    walks = np.zeros((1, 3, STYLE_SIZE), np.float32)
    angle = 2 * np.pi * np.array([0.95, 0.05, 0.5])
    walks[0, :, 0], walks[0, :, 3] = np.sin(angle), np.cos(angle)
    walks[0, :, 7] = 0.2, 0.4, np.nan
    mean = mean_style(walks, np.array([[True, True, False]]))[0]
    np.testing.assert_allclose(mean[[0, 3, 7]], [0.0, 1.0, 0.3], atol=1e-6)


@pytest.fixture(scope='module')
def prompt():
    trot = load(resource_path('models/trot.onnx'))
    worlds = randomised_worlds(1, 1, WorldRanges.nominal())
    log = rollout([trot], worlds, trot.default_command[None], 6.0)
    return prompt_from_log(log, 0, 0, 2.0, 4.0)


def test_a_prompt_is_read_twice_and_the_measured_style_needs_no_embedding(prompt):
    torch.manual_seed(0)
    model = Generator(GeneratorSizes()).eval()
    embedding, _ = model.embed(prompt)
    said = model.embedding.style(embedding).detach().numpy()
    gait = gait_of_prompts(prompt)
    ends = model.styles(prompt, embedding, np.array([0.0, 1.0]))
    np.testing.assert_allclose(ends[1], walked_style(said, gait), atol=1e-6)
    assert (ends[1] - ends[0]).abs().max() > 0.3
    # The clock is what was measured, whatever the embedding says.
    assert ends[0, 6] == ends[1, 6] == pytest.approx((float(gait.frequency_hz) - 2.75) / 1.25)
    np.testing.assert_allclose(ends[0, 7:], said[7:], atol=1e-6)
    turned = [np.hypot(e[:3], e[3:6]) for e in ends.numpy()]
    np.testing.assert_allclose(turned, 1.0, atol=1e-5)


def test_a_gait_is_read_by_measurement_where_the_embedding_takes_it_for_another(prompt):
    """A pace whose embedding is a trot's: what is measured must bring the pace back."""
    generator = Generator.load()
    pace = load(resource_path('models/pace.onnx'))
    worlds = randomised_worlds(1, 1, WorldRanges.nominal())
    log = rollout([pace], worlds, pace.default_command[None], 6.0)
    shown = prompt_from_log(log, 0, 0, 2.0, 4.0)
    misled, _ = generator.embed(prompt)
    _, velocity = generator.embed(shown)
    off = []
    for share in (0.0, 1.0):
        with torch.no_grad():
            latent = generator.to_latent(generator.styles(shown, misled, share))
        made = generator.decode(latent[None], velocity, {})
        again = rollout(made, worlds, velocity[None], 6.0)
        assert not again.fell.any()
        walked = gait_of_prompts(prompt_from_log(again, 0, 0, 2.0, 4.0))
        off.append(gait_distance(walked, gait_of_prompts(shown))['phase_cycles'])
    assert off[0] > 0.3
    assert off[1] < 0.1


def test_half_way_between_two_styles_lies_between_them(styles):
    said, measured = styles.vector()[0], styles.vector()[1]
    way = between(said, measured, np.array([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(way[1, 7:], (said[7:] + measured[7:]) / 2, atol=1e-6)
    np.testing.assert_allclose(way[2], measured, atol=1e-6)

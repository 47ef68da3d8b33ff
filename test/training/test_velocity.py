from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from make_agent_ros.policy.velocity import INPUTS, VELOCITY_FILE, VelocityNet
from make_agent_ros.resources import resource_path
from make_agent_ros.training.oracle import teacher_rollout
from make_agent_ros.training.split import Split
from make_agent_ros.training.teacher import Teacher
from make_agent_ros.training.velocity import (
    VelocityConfig,
    _Net,
    train_velocity,
    velocity_loss,
)

TINY = VelocityConfig(rounds=1, units=8, updates=60, batch=16)


def test_the_controllers_net_is_the_trained_one():
    torch.manual_seed(0)
    net = _Net(16)
    inputs = torch.randn(3, 20, INPUTS)
    with torch.no_grad():
        expected = net(inputs).numpy()
    frozen, hidden = net.frozen(), np.zeros((3, 16), np.float32)
    for t in range(20):
        hidden, planar = frozen(inputs[:, t].numpy(), hidden)
        np.testing.assert_allclose(planar, expected[:, t], atol=1e-5)


def test_a_run_gets_the_net_and_how_well_it_does_reproducibly(crouching):
    first = train_velocity(crouching, TINY)
    again = train_velocity(crouching, TINY)
    np.testing.assert_array_equal(first.weight_hh, again.weight_hh)
    kept = VelocityNet.load(crouching / VELOCITY_FILE)
    np.testing.assert_array_equal(kept.weight_out, first.weight_out)
    assert '"vx.held_out"' in (crouching / 'velocity.json').read_text()


def test_policies_that_only_fall_are_refused_in_words(run):
    with pytest.raises(ValueError, match='without a fall, expected at least'):
        train_velocity(run, replace(TINY, batch=10_000))


def test_the_mean_counts_more_than_the_sway():
    truth = torch.zeros(1, 200, 2)
    sway = torch.sin(torch.arange(200) * 2 * torch.pi / 25)[None, :, None].expand(1, 200, 2)
    bias = torch.full((1, 200, 2), float(sway.square().mean().sqrt()))
    assert velocity_loss(bias, truth) > 10 * velocity_loss(sway, truth)


def test_the_loop_takes_the_teachers_bias_off():
    teacher = Teacher.load(resource_path('models/teacher'))
    behaviours = Split().behaviours('held_out')[slice(12)]
    error = []
    for gain in (0.0, 0.5):
        log = teacher_rollout(teacher, behaviours, 2, 10.0, 3, velocity_gain=gain)
        off = (log.planar_velocity - log.command)[:, :, 250:, :2].mean(axis=2)
        error.append(np.sqrt((off[~log.fell] ** 2).mean()))
    assert error[1] < 0.8 * error[0]

"""The teacher's calibration, on a teacher whose bias is known: the script alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from make_agent_ros.training.behaviour import ANYWHERE, sample_styles
from make_agent_ros.training.calibration import (
    LARGEST,
    CommandCalibration,
    calibrate,
    load_calibration,
)
from make_agent_ros.training.env import EnvConfig, StyleEnv
from make_agent_ros.training.split import Split
from make_agent_ros.training.teacher import CALIBRATION_FILE, Teacher


class _Script(Teacher):
    """Adds nothing to the scripted gait, which walks at some velocity of its own."""

    digest = '5c21'

    def __init__(self):
        pass

    def residual(self, obs):
        return np.zeros((len(obs), 12))


def biased(bias):
    net = CommandCalibration()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        net.net[-1].bias.copy_(torch.tensor(bias))
    return net


@pytest.fixture
def styles():
    return sample_styles(np.random.default_rng(0), 5, np.full(5, ANYWHERE))


def test_a_bias_is_taken_off_what_the_teacher_is_told(styles):
    command = np.tile([0.6, 0.2, 0.5], (5, 1))
    told = biased([0.1, -0.05, 0.02]).tell(styles, command)
    np.testing.assert_allclose(told, command - [0.1, -0.05, 0.02], atol=1e-6)


def test_who_is_to_stand_is_told_to_stand(styles):
    command = np.zeros((5, 3))
    np.testing.assert_array_equal(biased([0.2, 0.2, 0.2]).tell(styles, command), command)


def test_a_correction_is_bounded_and_turns_no_command_around(styles):
    command = np.tile([0.3, 0.0, 0.0], (5, 1))
    told = biased([5.0, 0.0, 5.0]).tell(styles, command)
    assert (told[:, 0] > 0.0).all()
    assert (np.abs(told - command) <= LARGEST + 1e-9).all()


def test_the_environment_shows_commands_to_students_and_what_is_told_to_the_teacher(styles):
    command = np.tile([0.6, 0.0, 0.0], (5, 1))
    envs = [
        StyleEnv(
            EnvConfig(envs=5, worlds=1, seed=1, assist=0.0),
            lambda ids: styles[ids],
            lambda ids: command[ids],
            tell,
        )
        for tell in (None, biased([0.2, 0.0, 0.0]).tell)
    ]
    plain, told = envs
    np.testing.assert_array_equal(plain.command, told.command)
    np.testing.assert_allclose(told.obs[:, 6:9], plain.obs[:, 6:9])
    np.testing.assert_allclose(
        told.teacher_obs()[:, 6], plain.teacher_obs()[:, 6] - 0.2, atol=1e-6
    )
    assert np.abs(told.reference - plain.reference).max() > 1e-3


def test_what_is_fitted_predicts_the_bias_of_walks_and_comes_back_from_its_file(tmp_path):
    split = Split.load()
    tell = calibrate(tmp_path, _Script(), split.outside, seed=2, rounds=3, envs=96)
    trots = sample_styles(np.random.default_rng(3), 40, np.zeros(40, int), allowed=split.outside)
    command = np.tile([0.5, 0.0, 0.0], (40, 1))
    told = tell(trots, command)
    # The script slips: it is slower than told, and so is told to be faster.
    assert told[:, 0].mean() > 0.52
    again = load_calibration(tmp_path / CALIBRATION_FILE, _Script.digest)
    np.testing.assert_allclose(again(trots, command), told, atol=1e-6)
    with pytest.raises(ValueError, match=r'made for teacher 5c21.*the one here is another.*zoo'):
        load_calibration(tmp_path / CALIBRATION_FILE, 'another')

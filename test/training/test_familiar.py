from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from make_agent_ros.recording.familiar import FEATURES
from make_agent_ros.training.behaviour import BehaviourSet
from make_agent_ros.training.familiar import (
    FamiliarConfig,
    FamiliarError,
    fit_familiar,
    fit_walks,
    train_familiar,
    windows_of,
)
from make_agent_ros.training.odd_prompts import CHANGES, LEG_ORDERS
from make_agent_ros.training.scripted import scripted_walks
from make_agent_ros.training.walks import Walks
from make_agent_ros.training.zoo import Zoo

SMALL = FamiliarConfig(takes=1, seconds=2.0, windows=(2.0, 1.5), components=2)


@pytest.fixture(scope='module')
def styles(run):
    behaviours = Zoo.load(run / 'zoo_training.safetensors').behaviours
    # one style that a script walks, in many variants
    first = behaviours.styles[np.zeros(24, dtype=int)]
    rng = np.random.default_rng(0)
    return replace(
        first, offsets=np.tile([0.0, 0.5, 0.5, 0.0], (24, 1)),
        frequency_hz=rng.uniform(2.2, 3.0, 24), duty=np.full_like(first.duty, 0.6),
        pitch_rad=np.zeros(24), stance_width_m=np.full(24, 0.28),
        body_height_m=rng.uniform(0.27, 0.30, 24),
        swing_height_m=np.full_like(first.swing_height_m, 0.06),
    )  # fmt: skip


@pytest.fixture(scope='module')
def walks(styles):
    command = np.tile([0.3, 0.0, 0.0], (len(styles), 1))
    return scripted_walks(styles, command, 3.5, 3).steady(1.0)


def test_density_tells_its_own_clusters_from_what_is_between_them():
    rng = np.random.default_rng(0)
    centre = np.repeat([[-3.0], [3.0]], FEATURES, axis=1)
    rows = np.concatenate([c + rng.normal(0.0, 0.3, (200, FEATURES)) for c in centre])
    density = fit_walks(rows, 2, 0.01, 0)
    inside = density.distance(centre + rng.normal(0.0, 0.3, (2, FEATURES)))
    between = density.distance(np.zeros((1, FEATURES)))
    assert inside.max() + 5.0 < between[0]


def test_walks_stay_under_the_limits_and_mix_ups_fit_worse(walks):
    fitted = fit_familiar(walks, SMALL)
    assert fitted.slacks.shape == fitted.kinds.shape and (fitted.slacks > 1.0).all()
    assert (np.diff(fitted.scores) >= 0.0).all()
    low, high = fitted.axis_low, fitted.axis_high
    assert (low < high).all() and low[0] > 2.0 and high[0] < 3.2
    windows = windows_of(walks, 2.0, SMALL, np.random.default_rng(9))
    good = fitted.distance(windows.cycles.features())
    assert np.median(good) < fitted.distance_limit
    order = LEG_ORDERS['legs_front_rear']
    swapped = replace(
        walks, joint_pos=walks.joint_pos.reshape(len(walks), -1, 4, 3)[:, :, list(order)].reshape(
            walks.joint_pos.shape
        ),
    )  # fmt: skip
    mixed = windows_of(swapped, 2.0, SMALL, np.random.default_rng(9))
    # a handful of walks makes no sharp test, but the right reading must fit better than before
    plain = np.median([ratio for _, ratio in fitted.best_wirings(windows.cycles)])
    assert np.median([ratio for _, ratio in fitted.best_wirings(mixed.cycles)]) > plain


def test_too_few_walks_are_refused_with_what_to_do(walks):
    few = walks[np.flatnonzero(walks.behaviour < 4)]
    with pytest.raises(FamiliarError, match='Train teacher and zoo for longer'):
        fit_familiar(few, SMALL)


def test_stage_without_a_zoo_names_the_command_that_makes_one(tmp_path):
    with pytest.raises(FileNotFoundError, match='make-agent train zoo'):
        train_familiar(tmp_path, SMALL)


def test_recording_is_what_the_sensors_said_and_truth_what_the_simulation_did(styles):
    command = np.tile([0.3, 0.0, 0.2], (len(styles), 1))
    walks = scripted_walks(styles, command, 3.0, 5).steady(1.0)
    recording = walks.recordings(seed=1)[0]
    assert np.abs(recording.joint_pos - walks.joint_pos[0]).max() < 0.011
    truth = walks.velocity(0, 0.0, 1.9)
    np.testing.assert_allclose(truth[:2], walks.planar_velocity[0, :96, :2].mean(axis=0))
    assert truth[2] == pytest.approx(float(walks.planar_velocity[0, :96, 2].mean()), abs=0.05)
    again = Walks.join([walks[:1], walks[1:]])
    np.testing.assert_array_equal(again.joint_pos, walks.joint_pos)
    assert BehaviourSet(styles, command).default_command.shape == (24, 3)


@pytest.mark.parametrize('kind', ['robot_rear_knees_forward', 'robot_b2', 'held_up_legs_walk'])
def test_odd_recordings_keep_their_shape_and_attitude(walks, kind):
    good = walks.recordings()[0]
    odd = CHANGES[kind](good, np.random.default_rng(0))
    assert odd.joint_pos.shape == good.joint_pos.shape and np.isfinite(odd.joint_pos).all()
    np.testing.assert_allclose(np.linalg.norm(odd.quat_wxyz, axis=1), 1.0, atol=1e-6)
    assert np.abs(odd.joint_pos - good.joint_pos).max() > 0.01 or kind == 'held_up_legs_walk'

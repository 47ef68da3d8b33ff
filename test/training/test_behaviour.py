from __future__ import annotations

import numpy as np
import pytest

from make_agent_ros.training.behaviour import (
    COMMAND_HIGH,
    COMMAND_LOW,
    FAMILIES,
    MAX_STRIDE_M,
    RANGES,
    STYLE_SIZE,
    Split,
    feasible,
    moving,
    sample_commands,
    sample_styles,
)


def test_the_split_is_the_same_every_time_and_its_sides_share_no_behaviour():
    split = Split.load()
    training, again = split.behaviours('training'), split.behaviours('training')
    held_out = split.behaviours('held_out')
    np.testing.assert_array_equal(training.styles.vector(), again.styles.vector())
    assert len(training) == split.training
    assert len(held_out) == split.held_out
    gap = np.abs(held_out.styles.vector()[:, None] - training.styles.vector()[None]).max(axis=2)
    assert gap.min() > 1e-3
    assert 0 <= split.demonstration < split.held_out


def test_the_split_covers_every_family_equally():
    family = Split(training=640, held_out=100).behaviours('held_out').styles.family
    assert np.bincount(family).tolist() == [25] * len(FAMILIES)


def test_styles_fill_the_space_and_stay_inside():
    styles = sample_styles(np.random.default_rng(0), 4000)
    for name, (low, high) in RANGES.items():
        values = getattr(styles, name)
        assert low <= values.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < values.max() <= high
    assert styles.vector().shape == (4000, STYLE_SIZE)
    assert np.abs(styles.vector()).max() < 2.0


def test_commands_stay_inside_the_promised_range_and_include_standing():
    commands = sample_commands(np.random.default_rng(0), 4000)
    assert np.all(commands >= COMMAND_LOW)
    assert np.all(commands <= COMMAND_HIGH)
    standing = np.all(commands == 0.0, axis=1).mean()
    assert 0.05 < standing < 0.2


def test_feasible_commands_keep_their_direction_and_a_stride_the_legs_can_reach():
    rng = np.random.default_rng(0)
    styles, commands = sample_styles(rng, 1000), sample_commands(rng, 1000)
    scaled = feasible(commands, styles)
    speed = np.linalg.norm(scaled[:, :2], axis=1)
    stride = speed * styles.duty / styles.frequency_hz
    assert stride.max() <= MAX_STRIDE_M + 1e-9
    cross = commands[:, 0] * scaled[:, 1] - commands[:, 1] * scaled[:, 0]
    np.testing.assert_allclose(cross, 0.0, atol=1e-9)
    np.testing.assert_array_equal(commands[:, 2], scaled[:, 2])


@pytest.mark.parametrize(
    ('command', 'amount'), [((0, 0, 0), 0.0), ((0.3, 0, 0), 1.0), ((0, 0, 1.0), 1.0)]
)
def test_the_gait_fades_in_with_the_command(command, amount):
    assert moving(np.array(command, dtype=float)) == amount

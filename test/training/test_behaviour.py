from __future__ import annotations

import numpy as np
import pytest

from make_agent_ros.training.behaviour import (
    ANYWHERE,
    COMMAND_HIGH,
    COMMAND_LOW,
    DUTY_RANGE,
    GAITS,
    LEAST_SWING_S,
    OFFSET_JITTER,
    RANGES,
    SHOWN_STRIDE_M,
    STYLE_SIZE,
    SWING_HEIGHT_RANGE_M,
    feasible,
    gait_distances,
    longest_stride_m,
    moving,
    sample_commands,
    sample_styles,
    shown_commands,
)
from make_agent_ros.training.demand import demand_of


def test_styles_fill_the_space_and_stay_inside():
    styles = sample_styles(np.random.default_rng(0), 4000)
    axes = {**RANGES, 'duty': DUTY_RANGE, 'swing_height_m': SWING_HEIGHT_RANGE_M}
    for name, (low, high) in axes.items():
        values = getattr(styles, name)
        assert low <= values.min() < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < values.max() <= high
    assert styles.vector().shape == (4000, STYLE_SIZE)
    assert np.abs(styles.vector()).max() <= 1.0 + 1e-6


def test_offsets_reach_every_part_of_the_torus():
    offsets = sample_styles(np.random.default_rng(0), 8000, np.full(8000, ANYWHERE)).offsets
    assert np.all(offsets[:, 0] == 0.0)
    cells = np.unique((offsets[:, 1:] * 5).astype(int), axis=0)
    assert len(cells) == 5**3


def test_styles_near_a_named_gait_are_nearest_to_it():
    gaits = np.arange(600) % len(GAITS)
    rng = np.random.default_rng(0)
    styles = sample_styles(rng, 600, gaits, frequency_share=np.full(600, 0.8))
    np.testing.assert_array_equal(styles.family, gaits)
    assert gait_distances(styles.offsets)[np.arange(600), gaits].max() <= 2 * OFFSET_JITTER + 1e-9


def test_no_style_asks_for_more_than_physics_gives():
    styles = sample_styles(np.random.default_rng(1), 3000)
    demand = demand_of(styles.offsets, styles.duty, styles.frequency_hz, styles.stance_width_m)
    assert demand.possible.all()
    swing_s = (1.0 - styles.duty.max(axis=1)) / styles.frequency_hz
    assert swing_s.min() > LEAST_SWING_S - 1e-9


def test_some_styles_spare_a_leg_and_some_lift_their_legs_unevenly():
    styles = sample_styles(np.random.default_rng(0), 4000)
    spared = np.ptp(styles.duty, axis=1) > 0.05
    uneven = np.ptp(styles.swing_height_m, axis=1) > 0.005
    assert 0.08 < spared.mean() < 0.16
    assert 0.08 < (uneven & ~spared).mean() < 0.16


def test_a_condition_that_nothing_meets_is_refused_in_words():
    with pytest.raises(ValueError, match='no possible style'):
        sample_styles(
            np.random.default_rng(0), 3, allowed=lambda styles: styles.frequency_hz > 9.0
        )


def test_commands_stay_inside_the_promised_range_and_include_standing():
    commands = sample_commands(np.random.default_rng(0), 4000)
    assert np.all(commands >= COMMAND_LOW)
    assert np.all(commands <= COMMAND_HIGH)
    standing = np.all(commands == 0.0, axis=1).mean()
    assert 0.1 < standing < 0.2


def test_feasible_commands_keep_their_direction_and_a_stride_the_legs_can_reach():
    rng = np.random.default_rng(0)
    styles, commands = sample_styles(rng, 1000), sample_commands(rng, 1000)
    scaled = feasible(commands, styles)
    speed = np.linalg.norm(scaled[:, :2], axis=1)
    stride = speed * styles.duty.max(axis=1) / styles.frequency_hz
    assert np.all(stride <= longest_stride_m(styles) + 1e-9)
    cross = commands[:, 0] * scaled[:, 1] - commands[:, 1] * scaled[:, 0]
    np.testing.assert_allclose(cross, 0.0, atol=1e-9)
    np.testing.assert_array_equal(commands[:, 2], scaled[:, 2])


def test_styles_are_shown_moving_at_strides_well_within_reach():
    styles = sample_styles(np.random.default_rng(0), 1000)
    command = shown_commands(np.random.default_rng(1), styles)
    speed = np.linalg.norm(command[:, :2], axis=1)
    stride = speed * styles.duty.max(axis=1) / styles.frequency_hz
    assert stride.max() <= SHOWN_STRIDE_M + 1e-9
    assert 0.05 < (stride > SHOWN_STRIDE_M - 1e-9).mean() < 0.4
    assert speed.min() > 0.2
    assert (moving(command) == 1.0).all()


@pytest.mark.parametrize(
    ('command', 'amount'), [((0, 0, 0), 0.0), ((0.3, 0, 0), 1.0), ((0, 0, 1.0), 1.0)]
)
def test_the_gait_fades_in_with_the_command(command, amount):
    assert moving(np.array(command, dtype=float)) == amount

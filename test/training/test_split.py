from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from make_agent_ros.training.behaviour import (
    GAITS,
    RANGES,
    demand_share,
    gait_distances,
    toppling_s,
)
from make_agent_ros.training.demand import FEASIBLE_SHARE, LONGEST_STANCE, TOPPLING_LIMIT_S
from make_agent_ros.training.split import MEASURED, SIDES, Split


@pytest.fixture(scope='module')
def sides():
    split = Split.load()
    return split, {side: split.behaviours(side) for side in SIDES}


def test_the_split_is_the_same_every_time_and_its_sides_share_no_behaviour(sides):
    split, sets = sides
    for side in SIDES:
        again = split.behaviours(side)
        np.testing.assert_array_equal(sets[side].styles.vector(), again.styles.vector())
        np.testing.assert_array_equal(sets[side].default_command, again.default_command)
        assert len(sets[side]) == getattr(split, side)
    for other in SIDES[1:]:
        gap = sets[other].styles.vector()[:, None] - sets['training'].styles.vector()[None]
        assert np.abs(gap).max(axis=2).min() > 1e-3
    assert 0 <= split.demonstration < split.held_out


def test_nothing_that_trains_lies_in_a_withheld_region(sides):
    split, sets = sides
    for side in ('training', 'held_out'):
        assert split.outside(sets[side].styles).all()
    assert split.in_corner(sets['corner'].styles).all()
    assert split.in_gait(sets['gait_out'].styles).all()
    inside = split.in_corner(sets['withheld'].styles), split.in_gait(sets['withheld'].styles)
    assert np.logical_or(*inside).all()
    assert min(inside[0].sum(), inside[1].sum()) > 50


def test_every_side_can_be_walked_steadily_and_slow_gaits_are_not_rare(sides):
    _, sets = sides
    for side in SIDES:
        styles = sets[side].styles
        assert (demand_share(styles) <= FEASIBLE_SHARE).all(), side
        assert (toppling_s(styles) <= TOPPLING_LIMIT_S).all(), side
        assert styles.duty.max() <= LONGEST_STANCE, side
    bands = np.linspace(*RANGES['frequency_hz'], 6)
    for side in ('training', 'held_out'):
        count, _ = np.histogram(sets[side].styles.frequency_hz, bands)
        assert count.min() > 0.08 * len(sets[side]), side


def test_what_is_measured_can_be_drawn_afresh_and_what_trained_stays(sides):
    split, sets = sides
    fresh = replace(split, measured_seed=split.measured_seed + 1)
    for side in SIDES:
        same = np.array_equal(fresh.behaviours(side).styles.vector(), sets[side].styles.vector())
        assert same == (side not in MEASURED), side


def test_the_withheld_gait_has_no_neighbour_in_training(sides):
    split, sets = sides
    index = list(GAITS).index(split.gait)
    distance = gait_distances(sets['training'].styles.offsets)[:, index]
    assert distance.min() >= split.gait_radius_cycles


def test_every_other_named_gait_has_its_share_of_the_zoo(sides):
    split, sets = sides
    near = gait_distances(sets['training'].styles.offsets) < 0.13
    for name, count in zip(GAITS, near.sum(axis=0), strict=True):
        if name != split.gait:
            assert count > 0.05 * split.training, name

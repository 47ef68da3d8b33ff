"""Averages and signed differences of gaits, whose phases are angles."""

from __future__ import annotations

import numpy as np

from make_agent_ros.recording.gait import Gait
from make_agent_ros.recording.gait_change import GaitChange, mean_gait


def gaits(phase: list[list[float]], height: list[float]) -> Gait:
    n = len(height)
    one, legs = np.ones(n), np.asarray(phase)
    return Gait(
        2.0 * one, np.full((n, 4), 0.5), legs, np.asarray(height), 0.1 * one, one, one, one
    )


def test_phases_on_both_sides_of_a_full_cycle_average_to_zero():
    mean = mean_gait(gaits([[0.0, 0.95, 0.4, 0.5], [0.0, 0.05, 0.6, 0.5]], [0.3, 0.2]))
    difference = (mean.phase_offset - [0.0, 0.0, 0.5, 0.5] + 0.5) % 1.0 - 0.5
    np.testing.assert_allclose(difference, 0.0, atol=1e-12)
    assert mean.body_height_m == np.mean([0.3, 0.2])


def test_a_gait_that_does_not_count_may_be_nan_and_where_none_counts_there_is_no_mean():
    both = gaits([[0.0, 0.1, 0.2, 0.3], [np.nan] * 4], [0.3, np.nan])
    mean = mean_gait(both, np.array([True, False]))
    np.testing.assert_allclose(mean.phase_offset, [0.0, 0.1, 0.2, 0.3], atol=1e-12)
    assert mean.body_height_m == 0.3
    assert np.isnan(mean_gait(both, np.zeros(2, dtype=bool)).body_height_m)


def test_a_change_leads_from_one_gait_to_the_other_the_short_way():
    now = gaits([[0.0, 0.9, 0.2, 0.5]], [0.25])
    wanted = gaits([[0.0, 0.1, 0.1, 0.5]], [0.30])
    change = GaitChange.between(now, wanted)
    np.testing.assert_allclose(change.phase, [[0.0, 0.2, -0.1, 0.0]], atol=1e-12)
    np.testing.assert_allclose(change.height_m, [0.05])
    limited = change.limited(GaitChange(0.15, 0.02, 1.0, 1.0)).scaled(GaitChange(0.5, 1, 1, 1))
    np.testing.assert_allclose(limited.phase, [[0.0, 0.075, -0.05, 0.0]], atol=1e-12)
    np.testing.assert_allclose(limited.height_m, [0.02])
    np.testing.assert_allclose(change[0].phase, change.phase[0])

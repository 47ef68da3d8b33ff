from __future__ import annotations

import numpy as np
import pytest

from make_agent_ros.recording import ground

from .synthetic import OFFSETS, Walk

PHASE = np.arange(ground.BINS) / ground.BINS


def trot(duty=0.6, swing_m=0.06):
    """Cycles of foot heights above ground, (1, 4, BINS), and mid-swings (1, 4)."""
    mid = np.array([0.3, 0.8, 0.8, 0.3])
    away = np.abs((PHASE - mid[:, None] + 0.5) % 1.0 - 0.5)
    width = 1.0 - duty
    lift = np.where(away < width / 2, 0.5 + 0.5 * np.cos(2 * np.pi * away / width), 0.0)
    return swing_m * lift[None], mid[None]


def test_cycle_and_series_are_inverse():
    lift, _ = trot()
    terms = ground.series(lift, 12)
    np.testing.assert_allclose(ground.profile(lift.mean(axis=-1), terms), lift, atol=1e-3)


@pytest.mark.parametrize('guess_off', [0.0, 0.1, 0.25, 0.5])
def test_bob_of_a_trotting_base_is_found_from_a_bad_guess(guess_off):
    lift, mid = trot()
    bob = 0.012 * np.cos(4 * np.pi * PHASE + 0.7) + 0.004 * np.sin(2 * np.pi * PHASE)
    height = lift - 0.3 - bob
    stance = ground.stance_around(mid + guess_off)
    clear, base = ground.clearance(height, stance, np.array([2.5]), known=False)
    np.testing.assert_allclose(clear, lift, atol=0.004)
    assert base[0] == pytest.approx(0.3, abs=0.002)


def test_leap_of_a_pronk_is_told_from_its_swing_by_contact():
    """In flight the base follows its parabola, so the fold of the legs is what remains."""
    walk = Walk(OFFSETS['pronk'], frequency_hz=3.0, duty=0.5, phase=0.0, leap=True)
    flying = walk.duty <= PHASE
    s = np.where(flying, (PHASE - walk.duty) / (1 - walk.duty), 0.0)
    lift = 0.025 * (1 - np.cos(2 * np.pi * s))
    height = np.repeat((lift - 0.3 - walk.base_rise(PHASE))[None, None], 4, axis=1)
    stance = ground.stance_from_contact(np.repeat((~flying)[None, None] * 1.0, 4, axis=1))
    clear, _ = ground.clearance(height, stance, np.array([3.0]), known=True)
    np.testing.assert_allclose(clear[0, 0], lift, atol=0.008)


def test_share_on_ground_is_the_share_of_low_clearance():
    clear = np.zeros((1, 4, ground.BINS))
    clear[..., : ground.BINS // 4] = 0.05
    np.testing.assert_allclose(ground.share_on_ground(clear), 0.75)

from __future__ import annotations

import numpy as np
import pytest

from make_agent_ros.recording.timebase import time_base

COUNT = 2000
TRUE_S = np.arange(COUNT) * 0.002
LOG_NS = (1_700_000_000 * 10**9 + TRUE_S * 1e9).astype(np.int64)
RNG = np.random.default_rng(0)


def test_tick_wins_over_stamps_that_jitter_and_jump():
    jittered = LOG_NS + RNG.integers(0, 15_000_000, COUNT)
    jittered[900:] -= 3600 * 10**9
    base = time_base(500 + 2 * np.arange(COUNT), jittered, jittered)
    np.testing.assert_allclose(base.time_s, TRUE_S, atol=1e-9)
    assert base.keep.all() and base.lost == 0 and base.notes == ()


def test_missing_ticks_are_counted_and_leave_a_hole_in_time():
    keep = np.ones(COUNT, dtype=bool)
    keep[700:750] = False
    base = time_base((2 * np.arange(COUNT))[keep], LOG_NS[keep], LOG_NS[keep])
    assert base.lost == 50
    np.testing.assert_allclose(base.time_s, TRUE_S[keep], atol=1e-9)


def test_repeated_ticks_are_repetitions():
    tick = 2 * (np.arange(COUNT) // 2)
    base = time_base(tick, LOG_NS, LOG_NS)
    assert base.keep.sum() == COUNT // 2


def test_restart_of_the_counter_is_bridged_by_the_receivers_clock():
    tick = 2 * np.arange(COUNT)
    tick[1000:] -= tick[1000]
    log = LOG_NS.copy()
    log[1000:] += 2_000_000_000
    base = time_base(tick, log, log)
    assert np.diff(base.time_s)[999] == pytest.approx(2.002, abs=1e-3)
    assert 'started anew 1 times' in base.notes[0]


def test_constant_tick_falls_back_to_stamps():
    base = time_base(np.zeros(COUNT, dtype=int), LOG_NS, LOG_NS)
    np.testing.assert_allclose(base.time_s, TRUE_S, atol=1e-6)


def test_counter_of_samples_is_not_taken_for_milliseconds():
    base = time_base(np.arange(COUNT), LOG_NS, LOG_NS)
    np.testing.assert_allclose(base.time_s, TRUE_S, atol=1e-6)


def test_milliseconds_of_a_slow_simulator_are_believed():
    slow = LOG_NS[0] + (LOG_NS - LOG_NS[0]) * 4
    base = time_base(2 * np.arange(COUNT), slow, slow)
    np.testing.assert_allclose(base.time_s, TRUE_S, atol=1e-9)


def test_steady_publisher_wins_over_a_jittering_receiver():
    log = LOG_NS + RNG.integers(0, 20_000_000, COUNT)
    base = time_base(None, LOG_NS, log)
    np.testing.assert_allclose(base.time_s, TRUE_S, atol=1e-6)


def test_stamps_given_in_batches_are_spread_evenly():
    log = LOG_NS[(np.arange(COUNT) // 10) * 10]
    base = time_base(None, log, log)
    assert base.keep.all()
    np.testing.assert_allclose(np.diff(base.time_s), 0.002, atol=3e-4)
    assert 'batches' in base.notes[0]


def test_backward_jump_of_the_clock_continues_at_the_usual_step():
    log = LOG_NS.copy()
    log[1200:] -= 7 * 10**9
    base = time_base(None, log, log)
    np.testing.assert_allclose(base.time_s, TRUE_S, atol=1e-5)
    assert 'jumped back 1 times' in base.notes[0]


def test_clock_that_never_moves_gives_no_length():
    base = time_base(None, np.full(50, 10**18), np.full(50, 10**18))
    assert base.keep.sum() == 1


@pytest.mark.parametrize('seed', range(20))
def test_kept_times_increase_whatever_the_stamps_are(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 300))
    stamps = rng.integers(0, 2**62, count)
    tick = rng.integers(0, 2**32, count)
    base = time_base(tick if seed % 2 else None, stamps, np.sort(stamps))
    assert len(base.time_s) == len(base.keep) == count
    kept = base.time_s[base.keep]
    assert np.isfinite(kept).all() and (np.diff(kept) > 0).all()

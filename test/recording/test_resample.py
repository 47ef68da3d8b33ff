from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from make_agent_ros.recording import RecordingError
from make_agent_ros.recording.resample import finite_rows, resample, split_at_gaps

from .synthetic import Walk, make_walk


@pytest.fixture(scope='module')
def walk():
    return make_walk(Walk(wz=0.8), 4.0, rate_hz=500.0)[0]


def test_times_become_uniform_and_values_those_of_the_motion(walk):
    slow = resample(walk, 50.0)
    exact = make_walk(Walk(wz=0.8), 4.0, rate_hz=50.0)[0]
    assert len(slow) == 200
    np.testing.assert_allclose(np.diff(slow.time_s), 0.02, atol=1e-9)
    # both simulate the same motion; their samples lie up to 1 ms apart
    assert np.abs(slow.joint_pos - exact.joint_pos).max() < 0.05
    assert np.median(np.abs(slow.joint_pos - exact.joint_pos)) < 0.005


def test_jitter_of_the_stamps_does_not_distort_the_motion(walk):
    rng = np.random.default_rng(0)
    kept = np.sort(rng.choice(len(walk), 1500, replace=False))
    thinned = resample(walk.rows(np.unique(np.r_[0, kept])), 50.0)
    full = resample(walk, 50.0)
    count = min(len(thinned), len(full))
    error = np.abs(thinned.joint_pos[:count] - full.joint_pos[:count])
    assert error.max() < 0.05 and np.median(error) < 1e-3


def test_attitude_stays_of_unit_length_through_a_sign_flip(walk):
    quat = np.array(walk.quat_wxyz)
    quat[777:] *= -1.0
    flipped = resample(replace(walk, quat_wxyz=quat), 50.0)
    np.testing.assert_allclose(np.linalg.norm(flipped.quat_wxyz, axis=1), 1.0)
    plain = resample(walk, 50.0)
    same = np.abs((flipped.quat_wxyz * plain.quat_wxyz).sum(axis=1))
    np.testing.assert_allclose(same, 1.0, atol=1e-6)


def test_bridged_hole_is_interpolated_and_longer_one_is_refused(walk):
    short = walk.rows(np.r_[0:1000, 1040:2000])
    assert len(resample(short, 50.0)) == 200
    long = walk.rows(np.r_[0:1000, 1100:2000])
    with pytest.raises(RecordingError, match=r'a gap of 0\.20 s at 2\.00 s'):
        resample(long, 50.0)
    pieces = split_at_gaps(long)
    assert [len(piece) for piece in pieces] == [1000, 900]


def test_nan_is_refused_with_its_place_and_left_out_of_the_pieces(walk):
    speed = np.array(walk.joint_vel)
    speed[500:600, 3] = np.nan
    bad = replace(walk, joint_vel=speed)
    with pytest.raises(RecordingError, match=r'100 of 2000 samples .* first at 1\.00 s'):
        resample(bad, 50.0)
    assert [len(piece) for piece in split_at_gaps(bad)] == [500, 1400]


def test_absurd_numbers_and_missing_attitude_count_as_unusable(walk):
    angle, quat = np.array(walk.joint_pos), np.array(walk.quat_wxyz)
    angle[3, 3], quat[4] = 1e30, 0.0
    fine = finite_rows(replace(walk, joint_pos=angle, quat_wxyz=quat))
    assert np.flatnonzero(~fine).tolist() == [3, 4]


def test_times_that_stand_still_are_refused(walk):
    time_s = np.array(walk.time_s)
    time_s[100] = time_s[99]
    with pytest.raises(RecordingError, match='do not increase'):
        resample(replace(walk, time_s=time_s), 50.0)


def test_single_sample_is_refused(walk):
    with pytest.raises(RecordingError, match='1 samples'):
        resample(walk.rows(slice(0, 1)))

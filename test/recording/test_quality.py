from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from make_agent_ros.go2.constants import JOINT_UPPER_RAD, TORQUE_LIMIT_NM
from make_agent_ros.recording.quality import measure_quality

from .synthetic import Walk, make_walk


@pytest.fixture
def walk():
    return make_walk(Walk(pitch=0.2), 4.0, rate_hz=500.0)[0]


def test_clean_recording_has_no_faults(walk):
    quality = measure_quality(walk)
    assert quality.duration_s == pytest.approx(3.998)
    assert quality.rate_hz == pytest.approx(500.0)
    assert quality.gaps == quality.unusable == 0
    assert quality.torque_saturation == quality.joint_limit == 0.0
    assert quality.largest_tilt_rad == pytest.approx(0.2, abs=0.01)


def test_holes_and_nan_are_counted(walk):
    speed = np.array(walk.joint_vel)
    speed[10] = np.nan
    quality = measure_quality(replace(walk, joint_vel=speed).rows(np.r_[0:500, 700:2000]))
    assert quality.gaps == 1 and quality.unusable == 1
    assert quality.longest_gap_s == pytest.approx(0.402)


def test_saturated_torque_and_end_stops_are_shares_of_time(walk):
    torque, angle = np.array(walk.joint_torque), np.array(walk.joint_pos)
    torque[:500, 4] = -TORQUE_LIMIT_NM[4]
    angle[:200, 7] = JOINT_UPPER_RAD[7]
    quality = measure_quality(replace(walk, joint_torque=torque, joint_pos=angle))
    assert quality.torque_saturation == pytest.approx(0.25)
    assert quality.joint_limit == pytest.approx(0.1)


def test_empty_recording_gives_zeros(walk):
    assert measure_quality(walk.rows(slice(0, 0))).duration_s == 0.0

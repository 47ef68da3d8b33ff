from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from make_agent_ros.recording import RecordingError, cut_prompt, find_segments
from make_agent_ros.recording.trajectory import COLUMNS, Trajectory

from .synthetic import OFFSETS, Walk, make_walk, quaternion


def joined(*parts):
    """Trajectories one after the other."""
    end, shifted = 0.0, []
    for part in parts:
        shifted.append(replace(part, time_s=part.time_s + end))
        end = shifted[-1].time_s[-1] + 1.0 / part.rate_hz
    columns = {name: np.concatenate([getattr(part, name) for part in shifted]) for name in COLUMNS}
    return Trajectory(**columns, source='joined')


def stand(seconds, rate_hz=500.0):
    return make_walk(Walk(swing_m=0.0, vx=0.0), seconds, rate_hz=rate_hz)[0]


def walking(seconds, rate_hz=500.0, noise_rad=0.0, **style):
    return make_walk(Walk(**style), seconds, rate_hz=rate_hz, noise_rad=noise_rad)[0]


def test_prompt_is_cut_from_where_the_robot_walks():
    trajectory = joined(stand(4.0), walking(6.0, frequency_hz=2.7), stand(4.0))
    prompt = cut_prompt(trajectory, 4.0)
    assert len(prompt) == 200 and prompt.rate_hz == pytest.approx(50.0)
    assert prompt.time_s[0] >= 4.0 and prompt.time_s[-1] <= 10.0


def test_segments_of_two_gaits_are_told_apart():
    trajectory = joined(
        walking(5.0, offsets=OFFSETS['trot']), walking(5.0, offsets=OFFSETS['pace'])
    )
    segments = find_segments(trajectory)
    assert len(segments) == 2
    first, second = segments
    assert first.end_s < 6.0 and second.start_s > 4.0
    circular = (first.gait.phase_offset - OFFSETS['trot'] + 0.5) % 1.0 - 0.5
    np.testing.assert_allclose(circular, 0.0, atol=0.03)
    assert second.gait.phase_offset[1] == pytest.approx(0.5, abs=0.03)
    assert first.frequency_spread < 0.01


def test_prompt_avoids_holes_and_nan():
    trajectory = walking(12.0)
    bad = np.array(trajectory.joint_pos)
    bad[1500] = np.nan
    trajectory = replace(trajectory, joint_pos=bad)
    rows = np.r_[0:3500, 3700 : len(trajectory)]
    prompt = cut_prompt(trajectory.rows(rows), 3.0)
    start, end = prompt.time_s[0], prompt.time_s[-1]
    assert not start < 3.0 < end and not (start < 7.0 and end > 7.4)
    assert np.isfinite(prompt.joint_pos).all()


def test_steadier_part_wins():
    rough = walking(6.0, noise_rad=0.08)
    smooth = walking(6.0, noise_rad=0.002)
    assert cut_prompt(joined(rough, smooth), 4.0).time_s[0] > 5.0


def test_part_at_one_speed_wins_over_part_that_speeds_up():
    faster = [walking(1.2, vx=v, offsets=OFFSETS['trot']) for v in (0.1, 0.3, 0.5, 0.7, 0.9)]
    trajectory = joined(*faster, walking(5.0, vx=0.5))
    assert cut_prompt(trajectory, 4.0).time_s[0] > 5.0
    (last,) = [s for s in find_segments(trajectory) if s.end_s > 10.0]
    assert abs(last.velocity[1]) < 0.05


@pytest.mark.parametrize('rate_hz', [50.0, 500.0])
def test_one_second_is_the_shortest_prompt(rate_hz):
    trajectory = joined(stand(3.0, rate_hz), walking(1.4, rate_hz), stand(3.0, rate_hz))
    prompt = cut_prompt(trajectory, 1.0)
    assert len(prompt) == 50
    assert prompt.time_s[0] >= 2.9 and prompt.time_s[-1] <= 4.5
    for seconds in (0.9, float('nan'), float('inf')):
        with pytest.raises(RecordingError, match='it takes at least 1 s'):
            cut_prompt(trajectory, seconds)


def test_prompt_is_cut_from_50_hz_recordings_too():
    assert len(cut_prompt(walking(6.0, rate_hz=50.0), 4.0)) == 200


@pytest.mark.parametrize(
    ('trajectory', 'sentence'),
    [
        (stand(8.0), 'stands still'),
        (walking(2.5), '2.5 s long; a prompt takes 4 s'),
        (joined(walking(3.0), stand(3.0), walking(3.0)), r'steady for [0-9.]+ s at most'),
        (
            walking(9.0).rows(np.r_[0:1500, 1700:3000, 3200:4500]),
            'pieces with gaps over 0.1 s',
        ),
    ],
)
def test_unusable_recording_is_refused_with_what_it_shows(trajectory, sentence):
    with pytest.raises(RecordingError, match=sentence):
        cut_prompt(trajectory, 4.0)


def test_lying_robot_is_refused():
    trajectory = walking(8.0)
    count = len(trajectory)
    lying = replace(trajectory, quat_wxyz=quaternion(np.full(count, 1.6), 0.0, 0.0))
    with pytest.raises(RecordingError, match='falls or lies'):
        cut_prompt(lying, 4.0)


def test_recording_full_of_nan_is_refused():
    trajectory = walking(8.0)
    bad = replace(trajectory, joint_pos=np.full_like(trajectory.joint_pos, np.nan))
    with pytest.raises(RecordingError, match='hold NaN'):
        cut_prompt(bad, 4.0)

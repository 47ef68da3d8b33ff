"""The demo's judgement on walks with known answers."""

from __future__ import annotations

import numpy as np
import pytest

from make_agent_ros.demo.measure import Measured, fell, speed, tracking_error, verdict
from make_agent_ros.demo.results import poses
from make_agent_ros.demo.table import HEADERS, rows
from make_agent_ros.nodes.track import Track
from make_agent_ros.recording import Gait

RATE_HZ = 50.0


def walk(seconds=10.0, velocity=(0.5, 0.0, 0.0), command=None, height=0.3, tilt_rad=0.0) -> Track:
    """A robot that moves at a constant velocity with a sway of 2 Hz that averages out."""
    time_s = np.arange(0.0, seconds, 1.0 / RATE_HZ)
    moving = np.tile(np.asarray(velocity, dtype=float), (len(time_s), 1))
    moving[:, 1] += 0.2 * np.sin(2 * np.pi * 2.0 * time_s)
    told = np.tile(velocity, (len(time_s), 1)) if command is None else command(time_s)
    quat = np.tile([np.cos(tilt_rad / 2), np.sin(tilt_rad / 2), 0.0, 0.0], (len(time_s), 1))
    position = np.stack((time_s * velocity[0], 0 * time_s, 0 * time_s + height), axis=1)
    return Track(time_s, position, quat, moving, told, np.full((len(time_s), 12), 0.1))


def gait(frequency_hz=2.0, phase=(0.0, 0.5, 0.5, 0.0), height_m=0.3) -> Gait:
    return Gait(
        np.float64(frequency_hz), np.full(4, 0.5), np.array(phase), np.float64(height_m),
        np.float64(0.06), np.float64(0.0), np.float64(0.0), np.float64(0.9),
    )  # fmt: skip


def measured(**changes) -> Measured:
    return Measured(**{'name': 'x', 'gait': gait(), 'tracking_m_s': 0.05, **changes})


def test_a_perfect_walk_has_no_tracking_error_though_it_sways():
    planar, yaw_rate = tracking_error(walk())
    assert planar == pytest.approx(0.0, abs=1e-9)
    assert yaw_rate == 0.0


def test_tracking_error_is_the_distance_from_the_command():
    track = walk(velocity=(0.3, 0.0, 0.1), command=lambda t: np.tile([0.5, 0.0, 0.4], (len(t), 1)))
    planar, yaw_rate = tracking_error(track)
    assert planar == pytest.approx(0.2, abs=1e-6)
    assert yaw_rate == pytest.approx(0.3, abs=1e-6)


def test_the_second_after_a_change_of_command_does_not_count():
    def command(time_s):
        return np.where(time_s[:, None] < 5.0, [[0.5, 0.0, 0.0]], [[0.0, 0.0, 0.0]])

    track = walk(command=command)
    late = track.time_s >= 5.9
    track.velocity[late, 0] = 0.0  # 0.9 s late to stop
    assert tracking_error(track)[0] == pytest.approx(0.0, abs=0.02)


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [({}, False), ({'height': 0.08}, True), ({'tilt_rad': 1.2}, True), ({'tilt_rad': 0.5}, False)],
)
def test_a_fall_is_a_trunk_that_came_down_or_tipped_over(changes, expected):
    assert fell(walk(**changes)) is expected


def test_speed_is_of_the_mean_motion():
    assert speed(walk(velocity=(0.3, 0.4, 0.0))) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'gait': gait(frequency_hz=2.3)}, 'step frequency 15.0% off'),
        ({'gait': gait(phase=(0.0, 0.5, 0.7, 0.0))}, 'leg phases 0.200 cycles off'),
        ({'gait': gait(height_m=0.25)}, 'body height 5.0 cm off'),
        ({'falls': 1}, '1 falls'),
        ({'tracking_m_s': 0.3}, 'velocity error 0.300'),
        ({'tracking_m_s': float('nan')}, 'velocity error nan'),
    ],
)
def test_each_criterion_alone_can_fail_the_demo(changes, words):
    reproduced, sentences = verdict(measured(), measured(**changes))
    assert not reproduced
    failed = [sentence for sentence in sentences if sentence.startswith('NOT MET')]
    assert len(failed) == 1
    assert words in failed[0]


def test_the_same_walk_passes():
    assert verdict(measured(), measured(gait=gait(frequency_hz=2.05)))[0]


def test_the_table_has_a_cell_for_every_heading_and_no_nan():
    (row,) = rows([measured(speed_m_s=float('nan'))])
    assert len(row) == len(HEADERS)
    assert row[1] == '-'


def test_poses_for_the_video_are_at_25_hz_and_hold_position_attitude_and_joints():
    states = poses(walk(), (1.0, 3.0))
    assert states.shape == (50, 19)
    assert states[0, :3] == pytest.approx([0.0, 0.0, 0.3], abs=0.02)
    assert states[-1, 0] == pytest.approx(0.98, abs=0.03)
    assert states[0, 3:] == pytest.approx([1.0, 0.0, 0.0, 0.0, *[0.1] * 12])


def test_poses_turn_a_walk_to_start_along_x():
    track = walk()
    turned = Track(
        track.time_s, track.position[:, [1, 0, 2]],
        np.tile([np.cos(np.pi / 4), 0.0, 0.0, np.sin(np.pi / 4)], (len(track.time_s), 1)),
        track.velocity, track.command, track.joint_pos,
    )  # fmt: skip
    states = poses(turned, (0.0, 2.0))
    assert states[-1, :2] == pytest.approx([0.98, 0.0], abs=0.03)
    assert states[:, 3:7] == pytest.approx(np.tile([1.0, 0.0, 0.0, 0.0], (50, 1)), abs=1e-9)

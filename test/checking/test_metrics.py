from __future__ import annotations

import numpy as np
import pytest

from make_agent_ros.checking import metrics

DT = 0.02


def test_velocity_error_is_that_of_half_second_means_so_bobbing_does_not_count():
    t = np.arange(300) * DT
    velocity = np.zeros((1, 300, 3))
    velocity[0, :, 0] = 0.5 + 0.4 * np.sin(2 * np.pi * 2.0 * t)  # one whole period per window
    command = np.zeros((1, 300, 3))
    command[..., 0] = 0.5
    planar, turn = metrics.velocity_rmse(velocity, command, DT)
    assert planar[0] == pytest.approx(0.0, abs=1e-9)
    assert turn[0] == 0.0


def test_velocity_error_of_a_constant_offset_is_the_offset():
    velocity = np.tile([0.3, 0.4, 0.5], (2, 200, 1))
    planar, turn = metrics.velocity_rmse(velocity, np.zeros((2, 200, 3)), DT)
    np.testing.assert_allclose(planar, 0.5)
    np.testing.assert_allclose(turn, 0.5)


def test_velocity_after_a_fall_does_not_count():
    velocity = np.zeros((1, 300, 3))
    velocity[:, 150:] = 9.0
    planar, _ = metrics.velocity_rmse(
        velocity, np.zeros_like(velocity), DT, steps_alive=np.array([150])
    )
    assert planar[0] == 0.0


def test_velocity_of_a_robot_that_fell_at_once_is_unknown():
    planar, turn = metrics.velocity_rmse(
        np.ones((1, 300, 3)), np.zeros((1, 300, 3)), DT, steps_alive=np.array([20])
    )
    assert np.isnan(planar[0])
    assert np.isnan(turn[0])


def test_heading_velocity_follows_the_nose_not_the_world():
    half = np.pi / 4  # nose along world y
    quat = np.array([np.cos(half), 0.0, 0.0, np.sin(half)])
    np.testing.assert_allclose(
        metrics.heading_velocity(quat, np.array([0.0, 1.0, 0.3])), [1.0, 0.0], atol=1e-12
    )


def test_torque_saturation_is_the_share_of_samples_and_joints():
    torque = np.zeros((1, 100, 12))
    torque[0, :50, 0] = 23.7
    share = metrics.torque_saturation(torque, np.full(12, 23.7), np.ones((1, 100), bool))
    assert share[0] == pytest.approx(0.5 / 12)


def test_joint_limit_share_counts_any_joint_on_either_limit():
    q = np.zeros((1, 100, 12))
    q[0, :10, 3], q[0, 5:20, 7] = 1.0, -1.0
    share = metrics.joint_limit_share(
        q, np.full(12, -1.0), np.full(12, 1.0), np.ones((1, 100), bool)
    )
    assert share[0] == pytest.approx(0.2)


def test_cost_of_transport_of_known_power_speed_and_mass():
    steps = 500
    torque, velocity = np.zeros((1, steps, 12)), np.zeros((1, steps, 12))
    torque[..., 0], velocity[..., 0] = 10.0, -3.0  # 30 W, braking counts as well
    position = np.zeros((1, steps, 3))
    position[0, :, 0] = 0.5 * np.arange(steps) * DT
    cost = metrics.cost_of_transport(
        torque, velocity, position, np.array([15.0]), DT, np.ones((1, steps), bool)
    )
    assert cost[0] == pytest.approx(30.0 / (15.0 * 9.81 * 0.5), rel=0.02)


def test_cost_of_transport_of_a_robot_that_stays_is_unknown():
    zeros = np.zeros((1, 300, 12))
    cost = metrics.cost_of_transport(
        zeros, zeros, np.zeros((1, 300, 3)), np.array([15.0]), DT, np.ones((1, 300), bool)
    )
    assert np.isnan(cost[0])


def test_roughness_of_a_straight_line_is_zero_and_of_a_zigzag_four_times_its_size():
    line = np.linspace(0.0, 1.0, 100)[None, :, None].repeat(12, 2)
    zigzag = np.where(np.arange(100) % 2, 0.1, -0.1)[None, :, None].repeat(12, 2)
    mask = np.ones((1, 100), bool)
    assert metrics.action_roughness(line, mask)[0] == pytest.approx(0.0, abs=1e-12)
    assert metrics.action_roughness(zigzag, mask)[0] == pytest.approx(0.4)


def test_recovery_is_the_time_after_which_the_error_stays_small():
    error = np.zeros((3, 200))
    error[0, 100:130] = 0.5
    error[1, 100:] = 0.5
    tilt = np.zeros((3, 200))
    seconds = metrics.recovery_time(error, tilt, 100, DT)
    np.testing.assert_allclose(seconds, [0.6, 2.0, 0.0])


@pytest.mark.parametrize(
    ('hits', 'count', 'low', 'high'),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0)],
)
def test_wilson_interval_has_the_published_values(hits, count, low, high):
    assert metrics.wilson_interval(hits, count) == pytest.approx((low, high), abs=1e-3)


def test_bootstrap_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for seed in range(200):
        _, low, high = metrics.bootstrap_interval(rng.normal(1.0, 1.0, 40), seed, 300)
        hits += low <= 1.0 <= high
    assert 0.88 <= hits / 200 <= 0.98


def test_bootstrap_leaves_out_what_is_unknown():
    value, low, high = metrics.bootstrap_interval(np.array([1.0, np.nan, 1.0]))
    assert (value, low, high) == (1.0, 1.0, 1.0)
    assert np.isnan(metrics.bootstrap_interval(np.array([np.nan]))).all()

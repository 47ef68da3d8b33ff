from __future__ import annotations

import time

import numpy as np
import pytest

from make_agent_ros.go2.constants import NOMINAL_JOINT_POS
from make_agent_ros.go2.kinematics import foot_positions, joint_positions
from make_agent_ros.go2.state import projected_gravity
from make_agent_ros.recording import describe_gait, gait_distance

from .synthetic import OFFSETS, Walk, make_walk


def describe(walk, contact=False, duration_s=3.0, noise_rad=0.01, seed=0):
    trajectory, on_ground = make_walk(walk, duration_s, noise_rad=noise_rad, seed=seed)
    return describe_gait(
        trajectory.joint_pos,
        projected_gravity(trajectory.quat_wxyz),
        50.0,
        contact=on_ground if contact else None,
    )


def drawn_walk(name, rng):
    height = rng.uniform(0.20, 0.34)
    return Walk(
        offsets=tuple((OFFSETS[name] + rng.uniform(-0.05, 0.05, 4) * (0, 1, 1, 1)) % 1.0),
        frequency_hz=rng.uniform(1.5, 4.0),
        duty=rng.uniform(0.6 if name == 'walk' else 0.5, 0.75),
        height_m=height,
        # the leg cannot fold under 0.1 m
        swing_m=min(rng.uniform(0.03, 0.12), height - 0.13),
        vx=rng.uniform(-0.3, 0.8),
        wz=rng.uniform(-0.5, 0.5),
        pitch=rng.uniform(-0.1, 0.1),
        pitch_sway=0.1 if name == 'bound' else 0.01,
        phase=rng.random(),
    )


@pytest.mark.parametrize('duration_s', [2.0, 4.0])
@pytest.mark.parametrize('name', ['trot', 'pace', 'bound', 'walk'])
def test_gait_of_noisy_synthetic_walks_is_recovered(name, duration_s):
    rng = np.random.default_rng(7)
    for seed in range(40):
        walk = drawn_walk(name, rng)
        gait = describe(walk, duration_s=duration_s, seed=seed)
        assert gait.frequency_hz == pytest.approx(walk.frequency_hz, rel=0.01), walk
        circular = (gait.phase_offset - walk.offsets + 0.5) % 1.0 - 0.5
        np.testing.assert_allclose(circular, 0.0, atol=0.03, err_msg=str(walk))
        share = walk.share_below_8mm
        np.testing.assert_allclose(gait.duty_factor, share, atol=0.06, err_msg=str(walk))
        assert gait.body_height_m == pytest.approx(walk.height_m, abs=0.01), walk
        assert gait.swing_height_m == pytest.approx(walk.swing_m, abs=0.012), walk
        assert gait.pitch_rad == pytest.approx(walk.pitch, abs=0.02)
        assert gait.periodicity > 0.75


@pytest.mark.parametrize('frequency_hz', [1.5, 2.0, 3.0, 4.0])
def test_stepping_in_place_with_weak_swing_keeps_its_fundamental(frequency_hz):
    """No fore-aft motion and 3 cm of swing with a strong second harmonic."""
    walk = Walk(frequency_hz=frequency_hz, swing_m=0.03, duty=0.75, vx=0.0)
    gait = describe(walk)
    assert gait.frequency_hz == pytest.approx(frequency_hz, rel=0.02)


@pytest.mark.parametrize('frequency_hz', [2.5, 3.0, 4.0])
@pytest.mark.parametrize('duty', [0.5, 0.65])
def test_leap_of_a_pronk_is_told_from_its_swing_by_contact(frequency_hz, duty):
    walk = Walk(OFFSETS['pronk'], frequency_hz, duty, 0.28, 0.05, vx=0.4, leap=True)
    gait = describe(walk, contact=True)
    assert gait.frequency_hz == pytest.approx(frequency_hz, rel=0.01)
    circular = (gait.phase_offset + 0.5) % 1.0 - 0.5
    np.testing.assert_allclose(circular, 0.0, atol=0.03)
    np.testing.assert_allclose(gait.duty_factor, duty, atol=0.06)
    assert gait.swing_height_m == pytest.approx(0.05, abs=0.012)
    assert gait.body_height_m == pytest.approx(0.28, abs=0.02)


def test_bobbing_base_changes_neither_phases_nor_swing():
    """A trot whose base sinks 2 cm in every stance, as if on soft legs."""
    plain, soft = (make_walk(Walk(duty=0.6), 3.0)[0] for _ in range(2))
    down = np.tile([0.0, 0.0, -1.0], (150, 1))
    feet = foot_positions(soft.joint_pos)
    bob = 0.01 * np.cos(2 * np.pi * 2 * 2.5 * soft.time_s + 1.0)
    feet[..., 2] -= bob[:, None]
    a = describe_gait(plain.joint_pos, down, 50.0)
    b = describe_gait(joint_positions(feet), down, 50.0)
    distance = gait_distance(a, b)
    assert distance['phase_cycles'] < 0.02
    assert distance['swing_m'] < 0.006
    assert distance['duty'] < 0.04


def test_known_contact_gives_its_own_duty_factor_and_height():
    walk = Walk(duty=0.62, frequency_hz=2.3)
    gait = describe(walk, contact=True)
    np.testing.assert_allclose(gait.duty_factor, 0.62, atol=0.02)
    assert gait.body_height_m == pytest.approx(0.28, abs=0.003)


def test_height_is_measured_along_gravity_not_along_the_body():
    gait = describe(Walk(pitch=0.3, height_m=0.30))
    assert gait.pitch_rad == pytest.approx(0.3, abs=0.01)
    assert gait.body_height_m == pytest.approx(0.30, abs=0.005)


def test_roll_has_the_sign_of_rep_103():
    assert describe(Walk(roll=0.2)).roll_rad == pytest.approx(0.2, abs=0.01)


def test_rate_of_500_hz_gives_the_same_gait_as_50_hz():
    fast, _ = make_walk(Walk(), 3.0, rate_hz=500.0)
    slow, _ = make_walk(Walk(), 3.0, rate_hz=50.0)
    a = describe_gait(fast.joint_pos, projected_gravity(fast.quat_wxyz), 500.0)
    b = describe_gait(slow.joint_pos, projected_gravity(slow.quat_wxyz), 50.0)
    distance = gait_distance(a, b)
    assert max(float(v) for v in distance.values()) < 0.01


def test_standing_robot_has_no_period():
    rng = np.random.default_rng(0)
    down = np.tile([0.0, 0.0, -1.0], (200, 1))
    still = np.tile(NOMINAL_JOINT_POS, (200, 1))
    exact = describe_gait(still, down, 50.0)
    noisy = describe_gait(still + 0.005 * rng.standard_normal(still.shape), down, 50.0)
    assert exact.periodicity == 0.0
    assert noisy.periodicity < 0.1
    depth = -foot_positions(NOMINAL_JOINT_POS)[:, 2].mean() + 0.022
    assert noisy.body_height_m == pytest.approx(depth, abs=0.002)


def test_wandering_legs_have_a_lower_periodicity_than_stepping_legs():
    rng = np.random.default_rng(0)
    down = np.tile([0.0, 0.0, -1.0], (200, 1))
    walk = np.cumsum(0.03 * rng.standard_normal((200, 12)), axis=0)
    wandering = describe_gait(NOMINAL_JOINT_POS + 0.3 * np.sin(walk), down, 50.0)
    assert wandering.periodicity < 0.6 < describe(Walk()).periodicity


def test_nan_window_gives_nan_and_leaves_the_others_alone():
    trajectory, _ = make_walk(Walk(), 3.0)
    q = np.stack([trajectory.joint_pos] * 3)
    g = np.stack([projected_gravity(trajectory.quat_wxyz)] * 3)
    clean = describe_gait(q[0], g[0], 50.0)
    q[1, 17, 4] = np.nan
    gait = describe_gait(q, g, 50.0)
    assert np.isnan(gait.frequency_hz[1]) and gait.periodicity[1] == 0.0
    np.testing.assert_allclose(gait.frequency_hz[[0, 2]], clean.frequency_hz)
    np.testing.assert_allclose(gait.phase_offset[2], clean.phase_offset)


def test_leading_shape_is_kept():
    trajectory, contact = make_walk(Walk(), 2.0)
    q = np.broadcast_to(trajectory.joint_pos, (2, 3, 100, 12))
    g = np.broadcast_to(projected_gravity(trajectory.quat_wxyz), (2, 3, 100, 3))
    gait = describe_gait(q, g, 50.0, contact=np.broadcast_to(contact, (2, 3, 100, 4)))
    assert gait.frequency_hz.shape == (2, 3)
    assert gait.phase_offset.shape == (2, 3, 4)
    assert gait[0, 1].duty_factor.shape == (4,)


def test_window_under_one_second_is_refused_with_the_reason():
    trajectory, _ = make_walk(Walk(), 2.0)
    with pytest.raises(ValueError, match='at least 1 s'):
        describe_gait(trajectory.joint_pos[:40], projected_gravity(trajectory.quat_wxyz)[:40], 50)


def test_distance_of_phases_is_circular():
    a, b = describe(Walk(offsets=(0, 0.98, 0.5, 0))), describe(Walk(offsets=(0, 0.02, 0.5, 0)))
    distance = gait_distance(a, b)
    assert distance['phase_cycles'] == pytest.approx(0.04, abs=0.01)
    assert distance['height_m'] == pytest.approx(0.0, abs=0.002)


def test_a_thousand_windows_take_about_a_second_of_processor_time():
    trajectory, _ = make_walk(Walk(), 4.0)
    q = np.broadcast_to(trajectory.joint_pos, (1000, 200, 12))
    g = np.broadcast_to(projected_gravity(trajectory.quat_wxyz), (1000, 200, 3))
    start = time.process_time()
    describe_gait(q, g, 50.0)
    assert time.process_time() - start < 4.0

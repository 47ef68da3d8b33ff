from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from make_agent_ros.go2.constants import NOMINAL_JOINT_POS
from make_agent_ros.go2.kinematics import foot_jacobian
from make_agent_ros.go2.state import projected_gravity
from make_agent_ros.recording.loads import foot_load, known_contact
from make_agent_ros.recording.odometry import base_velocity, estimate_velocity, joint_rates

from .synthetic import OFFSETS, Walk, make_walk


def velocity_of(walk, contact=True, rate_hz=50.0, **options):
    trajectory, on_ground = make_walk(walk, 4.0, rate_hz=rate_hz)
    return base_velocity(
        trajectory.joint_pos,
        trajectory.joint_vel,
        trajectory.base_ang_vel,
        projected_gravity(trajectory.quat_wxyz),
        contact=on_ground if contact else None,
        # the synthetic feet are points that stay where they are
        foot_radius_m=0.0,
        **options,
    )


@pytest.mark.parametrize('name', OFFSETS)
@pytest.mark.parametrize('command', [(0.6, 0.0, 0.0), (-0.3, 0.2, 0.0), (0.4, -0.1, 0.5)])
def test_velocity_and_turn_rate_of_synthetic_walks_are_recovered(name, command):
    vx, vy, wz = command
    walk = Walk(OFFSETS[name], vx=vx, vy=vy, wz=wz, pitch=0.1, roll=-0.05, duty=0.6)
    estimate = velocity_of(walk)
    np.testing.assert_allclose(estimate.mean, command, atol=0.02)
    assert (estimate.std > 0).all() and (estimate.std < 0.1).all()
    assert estimate.support > 0.4


@pytest.mark.parametrize('name', ['trot', 'pace', 'bound', 'walk'])
def test_lowest_feet_will_do_where_contact_is_unknown(name):
    estimate = velocity_of(Walk(OFFSETS[name], vx=0.5, duty=0.6), contact=False)
    assert estimate.mean[0] == pytest.approx(0.5, abs=0.06)


def test_rate_of_500_hz_gives_the_same_velocity():
    slow, fast = velocity_of(Walk(duty=0.6)), velocity_of(Walk(duty=0.6), rate_hz=500.0)
    np.testing.assert_allclose(slow.mean, fast.mean, atol=0.02)


def test_standing_robot_has_no_velocity():
    still = np.tile(NOMINAL_JOINT_POS, (200, 1))
    down = np.tile([0.0, 0.0, -1.0], (200, 1))
    estimate = base_velocity(still, np.zeros((200, 12)), np.zeros((200, 3)), down)
    np.testing.assert_allclose(estimate.mean, 0.0, atol=1e-9)


@pytest.mark.parametrize('rate_hz', [50.0, 500.0])
def test_noise_of_the_velocity_sensors_does_not_matter(rate_hz):
    walk = make_walk(Walk(vx=0.5, duty=0.6), 4.0, rate_hz=rate_hz)[0]
    noise = 2.0 * np.random.default_rng(0).standard_normal(walk.joint_vel.shape)
    noisy = replace(walk, joint_vel=walk.joint_vel + noise)
    np.testing.assert_array_equal(estimate_velocity(noisy).mean, estimate_velocity(walk).mean)
    exact = joint_rates(walk.joint_pos, rate_hz)[5:-5] - walk.joint_vel[5:-5]
    assert np.sqrt((exact**2).mean()) < 0.2 * np.sqrt((walk.joint_vel**2).mean())


def test_torques_that_tell_nothing_are_no_contact():
    walk = make_walk(Walk(vx=0.5, duty=0.6), 2.0)[0]
    still = np.full_like(walk.joint_torque, 1e-3)
    assert known_contact(walk) is None
    assert known_contact(replace(walk, joint_torque=still)) is None
    force = np.zeros((len(walk), 4, 3))
    force[..., 2] = np.where(walk.foot_force > 0.0, -60.0, 0.0)
    torque = np.einsum('tfij,tfi->tfj', foot_jacobian(walk.joint_pos), force).reshape(-1, 12)
    contact = known_contact(replace(walk, joint_torque=torque))
    assert (contact == (walk.foot_force > 0.0)).mean() > 0.95


def test_load_is_the_force_that_the_torques_hold():
    force = np.array([[0.0, 0.0, 40.0], [3.0, 0.0, 80.0], [0.0, 5.0, 0.0], [0.0, 0.0, 10.0]])
    # the leg pushes the ground down with -force: tau = J^T (-force)
    torque = np.einsum('fij,fi->fj', foot_jacobian(NOMINAL_JOINT_POS), -force).ravel()
    load = foot_load(NOMINAL_JOINT_POS, torque, np.array([0.0, 0.0, -1.0]))
    np.testing.assert_allclose(load, force[:, 2], atol=0.5)


def test_rolling_foot_lengthens_the_step():
    """A sphere that rolls under a turning calf carries its centre along."""
    point = velocity_of(Walk(vx=0.5))
    trajectory, on_ground = make_walk(Walk(vx=0.5), 4.0)
    rolling = base_velocity(
        trajectory.joint_pos,
        trajectory.joint_vel,
        trajectory.base_ang_vel,
        projected_gravity(trajectory.quat_wxyz),
        contact=on_ground,
    )
    assert rolling.mean[0] > 1.05 * point.mean[0]


def test_windows_are_estimated_together_as_one_by_one():
    walks = [make_walk(Walk(vx=v), 2.0) for v in (0.2, 0.6)]
    stacked = [
        np.stack([getattr(t, name) for t, _ in walks])
        for name in ('joint_pos', 'joint_vel', 'base_ang_vel')
    ]
    gravity = np.stack([projected_gravity(t.quat_wxyz) for t, _ in walks])
    both = base_velocity(*stacked, gravity, rate_hz=50.0)
    for i, (trajectory, _) in enumerate(walks):
        np.testing.assert_allclose(both.mean[i], estimate_velocity(trajectory).mean, atol=1e-9)

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from make_agent_ros.go2.constants import DRIVE_FRICTION_NM, NOMINAL_JOINT_POS, POLICY_STIFFNESS
from make_agent_ros.go2.state import projected_gravity
from make_agent_ros.policy import Bundle, MlpShape
from make_agent_ros.simulation.batch import BatchSimulation, SensorNoise, rotate_inverse
from make_agent_ros.simulation.model import (
    TRAINING_WORLDS,
    WorldRanges,
    load_model,
    randomised_worlds,
)
from make_agent_ros.simulation.rollout import rollout

SHAPE = MlpShape(47, (64, 64), 12)


def simulation(count=3, ranges=None, **options):
    worlds = randomised_worlds(count, 0, ranges or WorldRanges.nominal())
    sim = BatchSimulation(worlds, np.arange(count), **options)
    ids = np.arange(count)
    sim.reset(ids, np.tile(NOMINAL_JOINT_POS, (count, 1)), np.full(count, 0.5), np.zeros(count))
    return sim


def standing_bundle(**changes):
    return Bundle(layers=SHAPE.unflatten(np.zeros(SHAPE.size)), gait_frequency_hz=2.0, **changes)


def test_a_batch_falls_as_one_robot_stepped_by_mujoco_falls():
    sim = simulation(1)
    model = load_model(feet_only=True)
    data = mujoco.MjData(model)
    data.qpos[:] = sim.qpos[0]
    target = np.tile(NOMINAL_JOINT_POS, (1, 1))
    for _ in range(10):
        sim.step(target)
        data.ctrl[:] = target[0]
        mujoco.mj_step(model, data, 4)
    np.testing.assert_allclose(sim.qpos[0], data.qpos, atol=1e-3)
    fallen = 0.5 - 0.5 * 9.81 * 0.2**2
    assert sim.base_height[0] == pytest.approx(fallen, abs=0.01)


def test_targets_arrive_after_the_latency_of_the_world():
    late = simulation(1, WorldRanges.nominal())
    delayed = WorldRanges(*((0.8, 0.8), (0, 0), (0, 0), (1, 1), (0.1, 0.1), (0.015, 0.015)))
    later = simulation(1, delayed)
    target = NOMINAL_JOINT_POS[None] + 0.3
    late.step(target)
    later.step(target)
    assert abs(later.joint_vel).max() < 0.5 * abs(late.joint_vel).max()


def test_proprioception_without_noise_is_the_truth_and_with_noise_stays_near():
    clean = simulation().observe()
    np.testing.assert_allclose(clean.joint_pos, np.tile(NOMINAL_JOINT_POS, (3, 1)))
    noisy = simulation(noise=SensorNoise()).observe()
    assert 0 < abs(noisy.joint_pos - clean.joint_pos).max() <= 0.01
    tilt = np.arccos(-projected_gravity(noisy.quat_wxyz)[:, 2])
    assert np.all(tilt < 0.05)
    assert tilt.max() > 0


def test_a_diverged_robot_counts_as_fallen_and_leaves_the_others_alone():
    sim = simulation()
    sim.qvel[1, 8] = 1e30
    for _ in range(2):
        sim.step(np.tile(NOMINAL_JOINT_POS, (3, 1)))
    assert np.all(np.isfinite(sim.state))
    assert sim.fallen().tolist() == [False, True, False]


def test_vectors_turn_into_the_body_frame():
    quat = np.array([np.cos(np.pi / 4), 0, 0, np.sin(np.pi / 4)])
    np.testing.assert_allclose(rotate_inverse(quat, np.array([0.0, 1, 0])), [1, 0, 0], atol=1e-9)


def test_worlds_are_reproducible_and_within_their_ranges():
    a, b = randomised_worlds(8, 4), randomised_worlds(8, 4)
    np.testing.assert_array_equal(a.friction, b.friction)
    ranges = WorldRanges()
    assert np.all((a.friction >= ranges.friction[0]) & (a.friction <= ranges.friction[1]))
    for model, gain, payload in zip(a.models, a.gain_factor, a.payload_kg, strict=True):
        assert model.actuator_gainprm[0, 0] == pytest.approx(POLICY_STIFFNESS * gain)
        assert model.body_mass.sum() == pytest.approx(15.02 + payload, abs=0.01)


def test_drives_vary_only_where_asked_and_leave_the_other_draws_alone():
    usual, training = randomised_worlds(6, 4), randomised_worlds(6, 4, TRAINING_WORLDS)
    np.testing.assert_array_equal(usual.payload_kg, training.payload_kg)
    for plain, varied in zip(usual.models, training.models, strict=True):
        np.testing.assert_array_equal(plain.body_ipos, varied.body_ipos)
        assert not plain.dof_frictionloss.any()
        share = varied.dof_frictionloss[6:] / DRIVE_FRICTION_NM
        np.testing.assert_allclose(share, share[0])
        assert 0.0 <= share[0] <= 1.3
        factor = varied.dof_armature[6:] / plain.dof_armature[6:]
        np.testing.assert_allclose(factor, factor[0])
        assert 0.8 <= factor[0] <= 3.5


def test_stiff_standing_policy_stands_and_its_log_has_the_promised_shapes():
    stiff = standing_bundle(joint_stiffness=np.full(12, 80.0), joint_damping=np.full(12, 3.0))
    worlds = randomised_worlds(3, 1)
    log = rollout([stiff, stiff], worlds, np.zeros((2, 3)), 2.0)
    assert log.joint_pos.shape == (2, 3, 100, 12)
    assert not log.fell.any()
    assert np.all(log.base_height[:, :, -1] > 0.25)
    assert log[[0]].joint_pos.shape == (1, 3, 100, 12)


def test_same_seed_gives_the_same_rollout():
    worlds = randomised_worlds(2, 1)
    a, b = (
        rollout([standing_bundle()], worlds, np.zeros((1, 3)), 1.0, push_m_s=0.5, seed=9)
        for _ in range(2)
    )
    np.testing.assert_array_equal(a.joint_pos, b.joint_pos)


def test_policies_with_other_joint_orders_walk_in_the_same_batch():
    flipped = standing_bundle(
        joint_names=tuple(reversed(standing_bundle().joint_names)),
        default_joint_pos=NOMINAL_JOINT_POS[::-1].copy(),
    )
    worlds = randomised_worlds(1, 0, WorldRanges.nominal())
    log = rollout(
        [standing_bundle(), flipped], worlds, np.zeros((2, 3)), 1.0, noise=SensorNoise.none()
    )
    np.testing.assert_allclose(log.joint_pos[0], log.joint_pos[1], atol=1e-5)


def test_mixed_control_periods_are_refused():
    worlds = randomised_worlds(1, 0)
    with pytest.raises(ValueError, match='control periods'):
        rollout([standing_bundle(), standing_bundle(control_dt=0.01)], worlds, np.zeros((2, 3)), 1)

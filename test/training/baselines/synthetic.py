"""A tiny zoo with a known answer: weights and prompts are smooth functions of three factors."""

from __future__ import annotations

import numpy as np

from make_agent_ros.go2.constants import ABDUCTION_M, HIP_OFFSET_M, SIDE_SIGN
from make_agent_ros.go2.kinematics import joint_positions
from make_agent_ros.policy.mlp import MlpBatch
from make_agent_ros.recording.trajectory import Trajectory
from make_agent_ros.training.behaviour import BehaviourSet, sample_default_commands, sample_styles
from make_agent_ros.training.prompts import PromptData
from make_agent_ros.training.zoo import POLICY_SHAPE, Zoo

STEPS = 120
BANK = 24


def synthetic(n=24, takes=2, seed=0):
    """Return (zoo, prompts) of n behaviours; the last of them never walked."""
    rng = np.random.default_rng(seed)
    world = np.random.default_rng(99)  # the maps are the same for every seed
    styles = sample_styles(rng, n)
    factors = np.tanh(styles.vector() @ world.standard_normal((18, 3)))
    base = np.concatenate(
        [
            part
            for out, inp in POLICY_SHAPE.layer_shapes
            for part in (world.standard_normal(out * inp) / inp**0.5, np.zeros(out))
        ]
    )
    directions = world.standard_normal((3, POLICY_SHAPE.size))
    weights = (base + 0.05 * factors @ directions).astype(np.float32)
    obs = rng.standard_normal((n, BANK, POLICY_SHAPE.inputs)).astype(np.float32)
    zoo = Zoo(
        weights,
        base.astype(np.float32),
        obs.astype(np.float16),
        MlpBatch(POLICY_SHAPE, weights)(obs).astype(np.float16),
        BehaviourSet(styles, sample_default_commands(rng, n)),
    )
    start = rng.random((n, takes, 1, 1))
    t = np.arange(STEPS)[:, None] / 50.0
    phase = 2 * np.pi * (styles.frequency_hz[:, None, None, None] * t + start)
    size, offset = 0.5 * factors @ world.standard_normal((2, 3, 30))
    features = np.sin(phase) * size[:, None, None] + offset[:, None, None]
    valid = np.ones((n, takes), bool)
    valid[-1] = False
    velocity = np.zeros((n, takes, STEPS, 3), np.float16)
    style = np.repeat(styles.vector()[:, None], takes, axis=1)
    return zoo, PromptData(features.astype(np.float16), velocity, valid, style)


def marching(hz, duty, steps=200):
    """Trot on the spot at 50 Hz; FL touches down at time 0."""
    phase = (hz * np.arange(steps)[:, None] / 50.0 + np.array([0.0, 0.5, 0.5, 0.0])) % 1.0
    swing = np.clip((phase - duty) / (1.0 - duty), 0.0, 1.0)
    feet = np.tile(HIP_OFFSET_M + SIDE_SIGN[:, None] * [0.0, ABDUCTION_M, 0.0], (steps, 1, 1))
    feet[..., 2] = -0.26 + 0.06 * np.sin(np.pi * swing) ** 2
    joints = joint_positions(feet)
    return Trajectory(
        np.arange(steps) / 50.0, np.tile([1.0, 0.0, 0.0, 0.0], (steps, 1)), np.zeros((steps, 3)),
        joints, np.gradient(joints, 0.02, axis=0), np.zeros((steps, 3)), np.ones((steps, 12)),
        np.zeros((steps, 4)), 'marching',
    )  # fmt: skip

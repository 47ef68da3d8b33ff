"""Policies that need no training: one that stands, one that trots."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from make_agent_ros.go2.constants import ACTION_SCALE, NOMINAL_JOINT_POS
from make_agent_ros.go2.observation import POLICY_TERMS, TERM_SIZES
from make_agent_ros.policy.bundle import Bundle
from make_agent_ros.policy.mlp import elu
from make_agent_ros.training.behaviour import Styles
from make_agent_ros.training.reference import reference_joint_pos

N_OBS = sum(TERM_SIZES[term] for term in POLICY_TERMS)


def standing_bundle(**changes):
    """All weights zero: holds the default pose."""
    layers = [
        (np.zeros((8, N_OBS), np.float32), np.zeros(8, np.float32)),
        (np.zeros((12, 8), np.float32), np.zeros(12, np.float32)),
    ]
    return Bundle(**{'layers': layers, 'gait_frequency_hz': 2.0, **changes})


def trot_style(frequency_hz, duty=0.55):
    return Styles(
        offsets=np.array([[0.0, 0.5, 0.5, 0.0]]),
        frequency_hz=np.array([frequency_hz]),
        duty=np.full((1, 4), duty),
        body_height_m=np.array([0.29]),
        pitch_rad=np.zeros(1),
        stance_width_m=np.array([0.284]),
        swing_height_m=np.full((1, 4), 0.06),
    )


SIDE = np.array([1.0, -1.0, 1.0, -1.0])
FRONT = np.array([1.0, 1.0, -1.0, -1.0])


def balance_layer():
    """Linear feedback on tilt and its rate that keeps the scripted trot up.

    Inputs: gravity y, gyro x, gravity x, gyro y. Gains found by a random search in simulation.
    """
    gains = np.zeros((12, 4))
    legs = gains.reshape(4, 3, 4)
    for column, sign, gain in (
        (0, SIDE, 3.5),
        (1, SIDE, -1.15),
        (2, FRONT, 1.9),
        (3, FRONT, -0.2),
    ):
        legs[:, 1, column] -= gain * sign  # a longer leg: thigh forward, calf out
        legs[:, 2, column] += 2.0 * gain * sign
    legs[:, 0, 0] += 0.45
    legs[:, 1, 2] -= 5.8
    legs[:, 1, 3] += 1.0
    return [4, 0, 3, 1], gains


def trot_bundle(frequency_hz=3.0, vx=0.3, hidden=64, **changes):
    """The scripted trot as an MLP of the gait clock, fitted by ridge regression, and balance."""
    rng = np.random.default_rng(0)
    cycles = np.linspace(0.0, 1.0, 400, endpoint=False)
    style = trot_style(frequency_hz).repeat(len(cycles))
    command = np.tile([vx, 0.0, 0.0], (len(cycles), 1))
    action = (reference_joint_pos(style, cycles, command) - NOMINAL_JOINT_POS) / ACTION_SCALE
    clock = np.stack((np.sin(2 * np.pi * cycles), np.cos(2 * np.pi * cycles)), axis=-1)
    inputs, gains = balance_layer()
    first = np.zeros((hidden + 4, N_OBS))
    first[:hidden, -2:] = rng.normal(0.0, 2.0, (hidden, 2))
    first[hidden + np.arange(4), inputs] = 1.0
    bias = np.r_[rng.normal(0.0, 1.0, hidden), np.full(4, 6.0)]  # so far up ELU is linear
    features = np.c_[elu(clock @ first[:hidden, -2:].T + bias[:hidden]), np.ones(len(cycles))]
    ridge = features.T @ features + 1e-3 * np.eye(hidden + 1)
    solved = np.linalg.solve(ridge, features.T @ action)
    layers = [
        (first.astype(np.float32), bias.astype(np.float32)),
        (
            np.hstack((solved[:-1].T, gains)).astype(np.float32),
            (solved[-1] - 6.0 * gains.sum(axis=1)).astype(np.float32),
        ),
    ]
    return Bundle(
        **{
            'layers': layers,
            'gait_frequency_hz': frequency_hz,
            'default_command': np.array([vx, 0.0, 0.0]),
            **changes,
        }
    )


def noised(bundle, sigma, seed=0):
    """The same policy with Gaussian noise on every weight, in units of the layer's spread."""
    rng = np.random.default_rng(seed)
    layers = [
        (
            (w + sigma * w.std() * rng.normal(size=w.shape)).astype(np.float32),
            (b + sigma * b.std() * rng.normal(size=b.shape)).astype(np.float32),
        )
        for w, b in bundle.layers
    ]
    return replace(bundle, layers=layers)

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from make_agent_ros.policy.bundle import load
from make_agent_ros.resources import resource_path
from make_agent_ros.simulation.batch import SensorNoise
from make_agent_ros.simulation.model import WorldRanges, randomised_worlds
from make_agent_ros.simulation.rollout import rollout
from make_agent_ros.training.prompts import prompt_from_log

from .synthetic import synthetic

START_S, LENGTH_S = 1.5, 4.0


@pytest.fixture(scope='package')
def tiny():
    return synthetic()


@pytest.fixture(scope='package')
def walk():
    """A shipped policy walks in a nominal world: its bundle, and a prompt with perfect sensors."""
    bundle = replace(load(resource_path('models/trot.onnx')), velocity_gain=0.0)
    nominal = WorldRanges(
        friction=(1.0, 1.0), payload_kg=(0.0, 0.0), payload_shift_m=(0.0, 0.0),
        gain_factor=(1.0, 1.0), latency_s=(0.0, 0.0),
    )  # fmt: skip
    log = rollout(
        [bundle], randomised_worlds(1, 3, nominal), np.array([bundle.default_command]), 6.0,
        noise=SensorNoise.none(), seed=1,
    )  # fmt: skip
    assert not log.fell.any()
    rows = slice(round(START_S * 50), round((START_S + LENGTH_S) * 50))
    prompt = prompt_from_log(log, 0, 0, START_S, LENGTH_S, SensorNoise.none())
    return bundle, log.action[0, 0, rows], prompt


@pytest.fixture(scope='package')
def prompt(walk):
    return walk[2]

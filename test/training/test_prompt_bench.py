from __future__ import annotations

import numpy as np
import pytest

from make_agent_ros.policy.bundle import load
from make_agent_ros.recording.familiar import shipped_walks
from make_agent_ros.resources import resource_path
from make_agent_ros.training.behaviour import BehaviourSet
from make_agent_ros.training.prompt_bench import PromptsBench, calibration, measure, tables
from make_agent_ros.training.prompt_truth import CONDITIONS, velocity_figures
from make_agent_ros.training.zoo import Zoo


def test_calibration_counts_how_many_walks_are_as_rare():
    figures = calibration([0.005, 0.04, 0.2, 0.9])
    assert figures['calibration.0.01'] == 0.25
    assert figures['calibration.0.05'] == 0.5
    assert figures['calibration.0.5'] == 0.75
    assert velocity_figures([]) == {'prompts': 0.0}


@pytest.mark.slow
def test_bench_finds_the_speed_of_shipped_policies_and_refuses_the_bad_set(run):
    """Two policies, one recording of each bad kind: sizes at which only coarse errors show."""
    bundles = [load(resource_path(f'models/{name}.onnx')) for name in ('trot', 'pace')]
    known = Zoo.load(run / 'zoo_training.safetensors').behaviours
    behaviours = BehaviourSet(
        known.styles[np.zeros(2, dtype=int)], np.array([[0.4, 0.0, 0.2], [0.5, 0.0, 0.0]])
    )
    options = PromptsBench(seconds=5.0, odd=1)
    figures = measure(bundles, behaviours, known, shipped_walks(), options)
    assert all(f'refused.{name}.of' in figures for name in CONDITIONS)
    assert figures['velocity.nominal.prompts'] == 2.0
    assert figures['velocity.nominal.vx.rmse'] < 0.15
    assert figures['gait.usual.frequency_rel.p95'] < 0.02
    assert figures['missed'] < 0.2 and figures['missed.of'] > 20
    for kind in ('standing', 'falling', 'legs_sdk_order', 'hand_guided', 'robot_mini_cheetah'):
        assert figures[f'missed.{kind}'] == 0.0
    assert tables(figures) is not None

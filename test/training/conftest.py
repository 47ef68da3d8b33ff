from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from make_agent_ros.training.distil import build_zoo
from make_agent_ros.training.teacher import train_teacher
from make_agent_ros.training.zoo import Zoo

from .tiny import SPLIT, TEACHER, ZOO


@pytest.fixture(scope='package')
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp('run')
    train_teacher(folder, TEACHER)
    build_zoo(folder, ZOO, SPLIT)
    return folder


@pytest.fixture
def crouching(run, tmp_path):
    """A run whose policies do not fall: barely trained students would."""
    for side in ('training', 'held_out', 'corner', 'gait_out'):
        name = f'zoo_{side}.safetensors'
        zoo = Zoo.load(run / name)
        weights = 1e-3 * np.random.default_rng(0).standard_normal(zoo.weights.shape)
        replace(zoo, weights=weights.astype(np.float32)).save(tmp_path / name)
    for name in ('teacher.safetensors', 'teacher.json'):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    return tmp_path

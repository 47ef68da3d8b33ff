"""The benchmark of quality: its rungs, and that the oracle walks where policies are measured."""

from __future__ import annotations

import numpy as np
import pytest

from make_agent_ros.training.bench import quality_table
from make_agent_ros.training.generator import train_generator
from make_agent_ros.training.held_out import SPLITS, QualityConfig
from make_agent_ros.training.oracle import teacher_rollout
from make_agent_ros.training.quality import bench_quality
from make_agent_ros.training.teacher import Teacher

from .tiny import GENERATOR, SPLIT


class _Statue(Teacher):
    """A teacher that adds nothing to the scripted gait."""

    def __init__(self):
        pass

    def residual(self, obs):
        return np.zeros((len(obs), 12))


def test_the_scripted_gait_alone_trots_some_seconds_in_the_oracles_log():
    behaviours = SPLIT.behaviours('held_out')
    log = teacher_rollout(_Statue(), behaviours, worlds=3, seconds=2.0, seed=5)
    assert log.joint_pos.shape == (SPLIT.held_out, 3, 100, 12)
    trots = behaviours.styles.family == 0
    assert log.steps_alive[trots].min() > 50
    np.testing.assert_allclose(log.command[:, 0, 7], behaviours.default_command, atol=1e-6)
    moved = np.linalg.norm(np.diff(log.joint_pos[trots, :, :50], axis=2), axis=-1)
    assert moved.mean() > 0.02  # rad per step, all joints


def test_the_ladder_has_every_rung_with_intervals_and_a_table(run, crouching):
    names = [f'zoo_{side}.safetensors' for side in SPLITS.values()]
    for name in (*names, 'teacher.safetensors', 'teacher.json'):
        (crouching / name).write_bytes((run / name).read_bytes())
    generator = train_generator(crouching, GENERATOR)
    config = QualityConfig(prompts=2, worlds=2, seconds=4.0, candidates=2)
    figures = bench_quality(crouching, generator, config)
    rungs = (
        'teacher', 'demonstrator', 'codec', 'regression', 'first_sample', 'nearest_embedding',
        'nearest_style', 'median_of_2', 'best_of_2',
    )  # fmt: skip
    for split in SPLITS:
        for rung in rungs:
            for what in ('no_fall', 'walks', 'qualified'):
                key = f'{what}.{split}.{rung}'
                low, share, high = (figures[f'{key}{end}'] for end in ('.low', '', '.high'))
                assert 0.0 <= low <= share <= high <= 1.0
        assert quality_table(figures, split).row_count == len(rungs)


def test_an_unknown_split_is_refused_with_the_known_ones(run, crouching):
    generator = train_generator(crouching, GENERATOR)
    with pytest.raises(ValueError, match='interpolation, corner, gait_out'):
        bench_quality(run, generator, QualityConfig(splits=('extrapolation',)))


def test_baselines_are_measured_like_the_ladder_and_unknown_methods_refused(run, crouching):
    (crouching / 'zoo_held_out.safetensors').write_bytes(
        (run / 'zoo_held_out.safetensors').read_bytes()
    )
    generator = train_generator(crouching, GENERATOR)
    config = QualityConfig(
        splits=('interpolation',), methods=('base', 'nearest_embedding'), prompts=2, worlds=2,
        seconds=4.0,
    )  # fmt: skip
    figures = bench_quality(crouching, generator, config)
    for name in config.methods:
        assert 0.0 <= figures[f'no_fall.interpolation.{name}'] <= 1.0
    with pytest.raises(ValueError, match='hypernetwork'):
        bench_quality(crouching, generator, QualityConfig(methods=('magic',)))

"""The stages of training on tiny sizes: files, resuming, seeds. Quality is the benchmark's job."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from make_agent_ros.generator import Generator
from make_agent_ros.training.behaviour import demand_share
from make_agent_ros.training.distil import build_zoo
from make_agent_ros.training.env import EnvConfig
from make_agent_ros.training.generator import TrainingError, train_generator
from make_agent_ros.training.losses import ABLATIONS, GeneratorConfig
from make_agent_ros.training.main import StageError, main
from make_agent_ros.training.rsl_env import RslEnv
from make_agent_ros.training.teacher import Teacher, train_teacher
from make_agent_ros.training.zoo import POLICY_SHAPE, Zoo

from .tiny import GENERATOR, SPLIT, TEACHER, ZOO


def test_a_stopped_teacher_goes_on_where_it_was(tmp_path):
    train_teacher(tmp_path, TEACHER)
    assert json.loads((tmp_path / 'teacher.json').read_text())['iteration'] == 2
    seen = []
    train_teacher(tmp_path, replace(TEACHER, iterations=5), lambda i, n, text: seen.append(i))
    assert json.loads((tmp_path / 'teacher.json').read_text())['iteration'] == 5
    assert seen == [5]


def test_a_loaded_teacher_acts_as_the_trained_one(tmp_path):
    trained = train_teacher(tmp_path, TEACHER)
    obs = np.random.default_rng(0).standard_normal((3, 86)).astype(np.float32)
    np.testing.assert_allclose(
        Teacher.load(tmp_path).residual(obs), trained.residual(obs), atol=1e-6
    )


def test_the_zoo_has_both_sides_of_the_split_and_keeps_finished_chunks(run):
    training = Zoo.load(run / 'zoo_training.safetensors')
    assert len(training) == SPLIT.training
    assert len(Zoo.load(run / 'zoo_held_out.safetensors')) == SPLIT.held_out
    assert training.weights.shape == (SPLIT.training, POLICY_SHAPE.size)
    stamps = {p: p.stat().st_mtime_ns for p in (run / 'zoo').iterdir()}
    build_zoo(run, ZOO, SPLIT)
    assert {p: p.stat().st_mtime_ns for p in (run / 'zoo').iterdir()} == stamps


def test_students_differ_from_their_common_base_and_from_each_other(run):
    zoo = Zoo.load(run / 'zoo_training.safetensors')
    assert np.linalg.norm(zoo.weights - zoo.base, axis=1).min() > 0.01
    assert np.linalg.norm(zoo.weights[0] - zoo.weights[1]) > 0.01


def test_a_zoo_that_cannot_walk_is_refused_in_words(run):
    with pytest.raises(TrainingError, match='train the teacher longer'):
        train_generator(run, replace(GENERATOR, prompt_s=15.0, takes=1))


def test_a_generator_trains_saves_and_samples_reproducibly(crouching):
    trained = train_generator(crouching, GENERATOR)
    loaded = Generator.load(crouching / 'generator')
    embedding = torch.randn(3, 96, generator=torch.Generator().manual_seed(0))
    draws = [
        model.flow.sample(embedding, generator=torch.Generator().manual_seed(1))
        for model in (trained, loaded, loaded)
    ]
    torch.testing.assert_close(draws[1], draws[2])
    torch.testing.assert_close(draws[0], draws[1], atol=0.05, rtol=0.05)  # stored in half
    assert (crouching / 'generator.csv').read_text().startswith('stage,update,figure,value')


def test_a_generator_can_be_fitted_to_the_first_behaviours_alone(crouching):
    trained = train_generator(crouching, replace(GENERATOR, behaviours=5), name='few')
    assert len(trained.known) == 5
    assert (trained.info['zoo']['policies'], trained.info['zoo']['of']) == (5, SPLIT.training)


@pytest.mark.parametrize('part', ABLATIONS)
def test_a_part_can_be_left_out_to_measure_what_it_is_worth(crouching, part):
    whole = train_generator(crouching, GENERATOR, name='whole')
    without = train_generator(crouching, replace(GENERATOR, without=(part,)), name='without')
    assert len(whole.codec.scale.unique()) > 1
    assert (len(without.codec.scale.unique()) == 1) == (part == 'layer_scale')
    assert whole.info['digest'] != without.info['digest']


def test_a_part_that_nobody_knows_is_refused():
    with pytest.raises(ValueError, match='choose from action_loss, layer_scale'):
        GeneratorConfig(without=('clock',))


def test_an_unknown_stage_is_refused_with_the_known_ones():
    with pytest.raises(
        StageError, match='teacher, zoo, velocity, familiar, generator, measured, all, other, ship'
    ):
        main('students', [])


def test_chunks_on_disk_that_belong_to_another_split_are_refused(run):
    other = replace(SPLIT, seed=SPLIT.seed + 1)
    with pytest.raises(ValueError, match=r'another split .training differs.; remove that folder'):
        build_zoo(run, ZOO, other)


def test_a_zoo_without_a_teacher_says_which_command_makes_one(tmp_path):
    with pytest.raises(FileNotFoundError, match='make-agent train teacher'):
        build_zoo(tmp_path, ZOO, SPLIT)


def test_a_teacher_of_another_seed_is_trained_and_shipped_without_its_optimiser(tmp_path):
    run, models = tmp_path / 'run', tmp_path / 'models'
    main('other', [
        '--folder', str(run), '--models', str(models), '--teacher.iterations', '1',
        '--teacher.envs', '20', '--teacher.seed', '2',
    ])  # fmt: skip
    shipped, trained = Teacher.load(models / 'other_teacher'), Teacher.load(run)
    assert shipped.digest == trained.digest
    assert shipped.tell is None
    size = (models / 'other_teacher' / 'teacher.safetensors').stat().st_size
    assert size < 0.5 * (run / 'teacher.safetensors').stat().st_size


def test_styles_in_which_a_robot_fell_are_practised_again():
    env = RslEnv(EnvConfig(envs=40, worlds=2, assist=0.0), demand=0.6)
    env.again = 1.0
    assert (demand_share(env.env.styles) <= 0.6).all()
    fallen: set[float] = set()
    limp = torch.full((40, 12), -4.0)
    for _ in range(150):
        before = env.env.styles.frequency_hz.copy()
        _, _, done, extras = env.step(limp)
        fell = (done > 0) & (extras['time_outs'] == 0)
        restarted = set(env.env.styles.frequency_hz[fell.numpy()].tolist())
        if fallen:
            assert restarted <= fallen
        fallen |= set(before[fell.numpy()].tolist())
    assert len(fallen) > 5

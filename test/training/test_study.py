"""The study: parts are kept, measured again when they change, and all on one page."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from make_agent_ros.training.distil import distil
from make_agent_ros.training.generator import train_generator
from make_agent_ros.training.held_out import QualityConfig
from make_agent_ros.training.study import MEASURED, StudyConfig, measure_all, parts_of
from make_agent_ros.training.teacher import Teacher
from make_agent_ros.training.zoo import POLICY_SHAPE, Zoo

from .tiny import GENERATOR, SPLIT, ZOO


@pytest.fixture
def study(crouching, run, tmp_path):
    train_generator(crouching, GENERATOR, name=MEASURED)
    (crouching / 'calibration.safetensors').write_bytes(
        (run / 'calibration.safetensors').read_bytes()
    )
    sizes = QualityConfig(prompts=2, worlds=2, seconds=4.0, candidates=2, prompt_s=2.0)
    return StudyConfig(
        folder=crouching, out=tmp_path / 'study', config=sizes, behaviours=(4, 8), zoo=8,
        generator=GENERATOR, distil=ZOO, parts=('scaling', 'without_layer_scale', 'steps_2'),
    )  # fmt: skip


def test_parts_are_measured_once_and_the_page_has_all_that_are_known(study, capsys):
    figures = measure_all(study, SPLIT, ['--folder', 'somewhere'])
    for name in ('scale_4', 'scale_8', 'without_layer_scale'):
        assert 0.0 <= figures[f'{name}.walks.interpolation.regression'] <= 1.0
    assert 'steps_2.walks.interpolation.first_sample' in figures
    page = (study.out / 'results.html').read_text()
    for words in ('How many behaviours it takes', 'one scale for all weights', '2 steps of the'):
        assert words in page
    assert 'src="http' not in page
    assert json.loads((study.out / 'results.json').read_text()) == figures
    written = (study.out / 'scale_4.json').stat().st_mtime_ns
    capsys.readouterr()
    assert measure_all(replace(study, parts=('scale_4',)), SPLIT, []) == figures
    assert 'scale_4: known already' in capsys.readouterr().err
    assert (study.out / 'scale_4.json').stat().st_mtime_ns == written
    more = replace(
        study, parts=('interpolation',), config=replace(study.config, methods=('base',))
    )
    assert 'walks.interpolation.base' in measure_all(more, SPLIT, [])
    more = replace(more, config=replace(study.config, methods=('base', 'regression_corrected')))
    both = measure_all(more, SPLIT, [])
    assert {'walks.interpolation.base', 'walks.interpolation.regression_corrected'} <= {*both}
    assert 'compare them with each other' not in (study.out / 'results.html').read_text()
    for name in ('scale_4', 'scale_8', 'without_layer_scale', 'steps_2'):
        path = study.out / f'{name}.json'
        path.write_text(json.dumps(json.loads(path.read_text()) | {'policies': 'of another zoo'}))
    measure_all(replace(more, parts=('interpolation',)), SPLIT, [])
    assert (study.out / 'results.html').read_text().count('compare them with each other') == 3
    other = replace(study, parts=('scale_4',), config=replace(study.config, worlds=3))
    assert measure_all(other, SPLIT, [])['scale_4.worlds'] == 3.0


def test_the_whole_study_asks_for_every_split_method_and_ablation_once(study):
    parts = parts_of(replace(study, parts=()))
    names = [part.name for part in parts]
    assert len(names) == len(set(names))
    assert names[:4] == ['interpolation', 'corner', 'gait_out', 'foreign']
    for part in parts[:4]:
        assert {'teacher', 'best_of_2', 'refined', 'cloning_base', 'hypernetwork'} <= {
            *part.config.methods
        }
        assert 'official' not in part.config.methods
    ablations = {part.name for part in parts if part.kind == 'ablation'}
    assert ablations == {
        'without_action_loss', 'without_layer_scale', 'without_shared_start', 'without_clock',
    }  # fmt: skip


def test_a_part_that_does_not_exist_is_refused_with_those_that_do(study):
    with pytest.raises(ValueError, match=r'no part.*scale_4'):
        measure_all(replace(study, parts=('scale_5',)), SPLIT, [])


def test_a_zoo_that_does_without_something_is_distilled_in_a_folder_of_its_own(study):
    figures = measure_all(replace(study, parts=('without_clock',)), SPLIT, [])
    assert 0.0 <= figures['without_clock.walks.interpolation.regression'] <= 1.0
    ablated = Zoo.load(study.folder / 'without_clock' / 'zoo_training.safetensors')
    usual = Zoo.load(study.folder / 'zoo_training.safetensors')
    assert len(ablated) == study.zoo

    def clock_weights(zoo):
        return np.stack([POLICY_SHAPE.unflatten(w)[0][0][:, -2:] for w in zoo.weights])

    assert (clock_weights(ablated) == 0.0).all()
    assert (clock_weights(usual) != 0.0).any()
    assert (ablated.bank_obs[..., -2:] == 0.0).all()


def test_without_a_shared_start_every_student_begins_elsewhere(run):
    """One update cannot take students that began as one net far from each other."""
    teacher, behaviours = Teacher.load(run), SPLIT.behaviours('held_out')
    base = np.zeros(POLICY_SHAPE.size, np.float32)
    short = replace(ZOO, rounds=1, updates_per_round=2, final_updates=2)

    def spread(config):
        weights = distil(teacher, behaviours, base, config, seed=1).weights
        return weights.std(axis=0).mean()

    assert spread(replace(short, without=('shared_start',))) > 5.0 * spread(short)
    with pytest.raises(ValueError, match='shared_start, clock'):
        replace(short, without=('everything',))

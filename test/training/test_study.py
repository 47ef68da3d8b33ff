"""The study: parts are kept, measured again when they change, and all on one page."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from make_agent_ros.training.generator import train_generator
from make_agent_ros.training.held_out import QualityConfig
from make_agent_ros.training.study import MEASURED, StudyConfig, measure_all, parts_of

from .tiny import GENERATOR, SPLIT


@pytest.fixture
def study(crouching, run, tmp_path):
    train_generator(crouching, GENERATOR, name=MEASURED)
    (crouching / 'calibration.safetensors').write_bytes(
        (run / 'calibration.safetensors').read_bytes()
    )
    sizes = QualityConfig(prompts=2, worlds=2, seconds=4.0, candidates=2, prompt_s=2.0)
    return StudyConfig(
        folder=crouching, out=tmp_path / 'study', config=sizes, behaviours=(4, 8), zoo=8,
        generator=GENERATOR, parts=('scaling', 'without_layer_scale', 'steps_2'),
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

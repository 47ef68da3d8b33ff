"""Baselines without chance: the hypernetwork, one conditioned policy, the zoo's own policies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from make_agent_ros.generator.codec import mlp_forward
from make_agent_ros.generator.embedding import trajectory_features
from make_agent_ros.policy.mlp import MlpShape
from make_agent_ros.training.baselines import (
    NAMES,
    BaselineError,
    Conditioned,
    ConditionedConfig,
    FitConfig,
    Nearest,
    fit_once,
    make,
)
from make_agent_ros.training.baselines.heads import Concat, Film, layer_scale
from make_agent_ros.training.zoo import POLICY_SHAPE

CONFIG = ConditionedConfig(
    embedding=16, hidden=(24, 16), width=32, states=8, windows=(50, 70),
    fit=FitConfig(updates=60, batch=12, learning_rate=5e-3, log_every=10),
)  # fmt: skip
KINDS = ('hypernetwork', 'conditioned_concat', 'conditioned_film')
VELOCITY = np.array([[0.4, 0.1, -0.2]])


@pytest.mark.parametrize('head', [Concat, Film])
def test_the_folded_policy_is_the_conditioned_one_exactly(head):
    torch.manual_seed(0)
    shape = MlpShape(47, (32, 24), 12)
    net = head(shape, 16).double()
    for p in net.parameters():  # no part of the modulation may be idle
        torch.nn.init.normal_(p, std=0.3)
    embedding, obs = torch.randn(5, 16).double(), torch.randn(5, 40, 47).double()
    folded = mlp_forward(shape, net(embedding), obs)
    torch.testing.assert_close(folded, net.direct(embedding, obs), atol=1e-10, rtol=1e-10)
    assert (folded[0] - mlp_forward(shape, net(embedding + 1.0), obs)[0]).abs().max() > 0.1


@pytest.fixture(scope='module')
def fitted(tiny):
    methods = {}
    for kind in KINDS:
        methods[kind] = Conditioned(kind, CONFIG)
        methods[kind].fit(*tiny)
    return methods


@pytest.mark.parametrize('kind', KINDS)
def test_fitting_lowers_the_loss_and_the_bundle_does_what_the_net_does(fitted, prompt, kind):
    method = fitted[kind]
    losses = method.log[kind].losses
    assert losses[-1] < 0.8 * losses[0]
    (bundle,) = method.bundles([prompt], VELOCITY)
    np.testing.assert_array_equal(bundle.default_command, VELOCITY[0])
    window = torch.from_numpy(trajectory_features(prompt))[None]
    obs = torch.randn(1, 1, 47, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        weights, log_f = method.net(window)
        expected = mlp_forward(method.net.shape, weights, obs)[0, 0]
        if kind != 'hypernetwork':
            direct = method.net.head.direct(method.net.embed(window), obs)[0, 0]
            torch.testing.assert_close(direct, expected, atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(bundle.policy()(obs[0, 0].numpy()), expected, atol=1e-4)
    assert bundle.gait_frequency_hz == pytest.approx(np.clip(float(log_f.exp()), 0.5, 6.0))


def test_the_hypernetwork_learns_the_map_and_not_only_the_mean(tiny):
    """On behaviours it was fitted to, what it makes is nearer to the policy than the mean is."""
    zoo, prompts = tiny
    method = Conditioned('hypernetwork', replace(CONFIG, fit=replace(CONFIG.fit, updates=250)))
    method.fit(zoo, prompts)
    obs = torch.randn(len(zoo), 50, 47, generator=torch.Generator().manual_seed(1))
    true = mlp_forward(POLICY_SHAPE, torch.from_numpy(zoo.weights), obs)
    window = torch.from_numpy(prompts.features[:, 0].astype(np.float32))
    with torch.no_grad():
        made = mlp_forward(POLICY_SHAPE, method.net(window)[0], obs)
    mean = mlp_forward(
        POLICY_SHAPE, torch.from_numpy(zoo.weights.mean(0)).expand(len(zoo), -1), obs
    )
    error, of_mean = ((x - true).square().mean() for x in (made, mean))
    assert error < 0.6 * of_mean


def test_the_same_seed_fits_the_same_net_and_another_seed_another(tiny, prompt, fitted):
    weights = []
    for seed in (0, 1):
        method = Conditioned('hypernetwork', replace(CONFIG, seed=seed))
        method.fit(*tiny)
        weights.append(MlpShape.flatten(method.bundles([prompt], VELOCITY)[0].layers))
    known = fitted['hypernetwork'].bundles([prompt], VELOCITY)[0]
    np.testing.assert_allclose(weights[0], MlpShape.flatten(known.layers), atol=1e-5)
    assert np.abs(weights[0] - weights[1]).max() > 1e-3


def test_a_fit_is_kept_and_read_again_unless_anything_changed(tiny, prompt, tmp_path):
    first = Conditioned('hypernetwork', CONFIG)
    seconds = fit_once(first, tmp_path, *tiny)
    again = Conditioned('hypernetwork', CONFIG)
    assert fit_once(again, tmp_path, *tiny) == seconds
    a, b = (m.bundles([prompt], VELOCITY)[0] for m in (first, again))
    np.testing.assert_array_equal(a.layers[2][0], b.layers[2][0])
    other = Conditioned('hypernetwork', replace(CONFIG, seed=3))
    fit_once(other, tmp_path, *tiny)
    assert np.abs(other.bundles([prompt], VELOCITY)[0].layers[2][0] - a.layers[2][0]).max() > 1e-4


def test_the_nearest_by_style_is_the_behaviour_itself_and_noise_has_its_size(tiny, prompt):
    zoo, prompts = tiny
    style = zoo.behaviours.styles.vector()[[5, 9]]
    asked = [prompt, prompt], np.repeat(VELOCITY, 2, axis=0)
    made = {}
    for what in ('nearest', 'mean_of_two', 'noisy'):
        method = Nearest(what, noise_sd=0.5)
        method.fit(zoo, prompts)
        made[what] = method.bundles(*asked, seed=1, style=style)
    for i, row in enumerate((5, 9)):
        own = zoo.weights[row]
        np.testing.assert_array_equal(MlpShape.flatten(made['nearest'][i].layers), own)
        hz = zoo.behaviours.styles.frequency_hz[row]
        assert made['nearest'][i].gait_frequency_hz == pytest.approx(hz)
        two = Nearest.order(method, asked[0], style)[i]
        np.testing.assert_allclose(
            MlpShape.flatten(made['mean_of_two'][i].layers), zoo.weights[two].mean(0), atol=1e-6
        )
        noise = MlpShape.flatten(made['noisy'][i].layers) - own
        scale = layer_scale(POLICY_SHAPE, torch.from_numpy(zoo.weights - zoo.base)).numpy()
        assert np.std(noise / scale) == pytest.approx(0.5, rel=0.05)
    with pytest.raises(BaselineError, match='told the true style'):
        method.bundles(*asked)


def test_the_nearest_by_embedding_finds_the_behaviour_and_skips_those_that_fell(tiny, prompt):
    zoo, prompts = tiny

    def embed(windows):
        return windows.mean(axis=1)

    method = make('nearest_embedding', embed)
    method.fit(zoo, prompts)
    assert np.isinf(method.known[-1]).all()  # never walked
    walked = prompts.features[:-1].astype(np.float32).mean(axis=(1, 2))
    expected = np.linalg.norm(walked - embed(trajectory_features(prompt)[None]), axis=1).argmin()
    assert method.order([prompt], None)[0, 0] == expected
    with pytest.raises(ValueError, match='needs an embedding'):
        make('nearest_embedding')


def test_the_base_policy_takes_its_clock_from_the_prompt(tiny, walk):
    bundle, _, prompt = walk
    method = make('base')
    method.fit(*tiny)
    (made,) = method.bundles([prompt], VELOCITY)
    np.testing.assert_array_equal(MlpShape.flatten(made.layers), tiny[0].base)
    assert made.gait_frequency_hz == pytest.approx(bundle.gait_frequency_hz, rel=0.03)


@pytest.mark.parametrize('name', ['hypernetwork', 'base', 'nearest_style'])
def test_who_is_not_fitted_says_so(name, prompt):
    with pytest.raises(BaselineError, match='not fitted'):
        make(name).bundles([prompt], VELOCITY)


@pytest.mark.parametrize('kind', KINDS)
def test_a_prompt_at_the_wrong_rate_is_refused_with_the_remedy(fitted, prompt, kind):
    fast = replace(prompt, time_s=prompt.time_s / 4.0)
    with pytest.raises(ValueError, match=r'\d+\.\d samples per second.*resample'):
        fitted[kind].bundles([fast], VELOCITY)


def test_an_unknown_baseline_and_strange_data_are_refused(tiny):
    with pytest.raises(ValueError, match=r'no baseline .magic.; there are cloning_scratch'):
        make('magic')
    assert 'official' in NAMES
    zoo, prompts = tiny
    half = replace(prompts, features=prompts.features[:3])
    with pytest.raises(BaselineError, match='24 policies but prompts of 3'):
        Conditioned('hypernetwork', CONFIG).fit(zoo, half)
    fallen = replace(prompts, valid=np.zeros_like(prompts.valid))
    with pytest.raises(BaselineError, match='none of the 24 policies walked'):
        Conditioned('hypernetwork', CONFIG).fit(zoo, fallen)

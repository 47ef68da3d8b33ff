from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from make_agent_ros.policy.mlp import MlpShape
from make_agent_ros.training.baselines import (
    BaselineError,
    FitConfig,
    Official,
    OfficialConfig,
    time_sampling,
)
from make_agent_ros.training.baselines.ddim import Ddim
from make_agent_ros.training.baselines.official_nets import (
    Limits,
    WeightAutoencoder,
    split_prompt,
)
from make_agent_ros.training.baselines.unet import ConditionalUnet

SMALL = OfficialConfig(
    latent=16, hidden=32, feature=8, widths=(16, 24, 32), time=16, window=100,
    autoencoder=FitConfig(40, 16, 3e-3, log_every=20),
    embedding=FitConfig(40, 16, 1e-3, log_every=20),
    diffusion=FitConfig(40, 16, 3e-3, log_every=20),
)  # fmt: skip


def test_the_noise_schedule_is_the_squared_cosine():
    ddim = Ddim(100, 10)
    for t in (0, 30, 98):
        ratio = [math.cos((s / 100 + 0.008) / 1.008 * math.pi / 2) ** 2 for s in (t + 1, 0)]
        assert float(ddim.alpha_bar[t]) == pytest.approx(ratio[0] / ratio[1], rel=1e-3)
    assert ddim.alpha_bar[99] < 1e-5  # beta is capped at 0.999 where the cosine ends
    assert ddim.steps == [90, 80, 70, 60, 50, 40, 30, 20, 10, 0]
    with pytest.raises(ValueError, match='7 inference steps do not divide 100'):
        Ddim(100, 7)


def test_noise_is_added_with_the_variance_of_its_time():
    ddim = Ddim(100, 10)
    x_0, t = torch.full((2, 5000), 0.5), torch.tensor([10, 80])
    noise = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(0))
    x_t = ddim.add_noise(x_0, noise, t)
    for row, a in zip(x_t, ddim.alpha_bar[t], strict=True):
        assert float(row.mean()) == pytest.approx(0.5 * float(a) ** 0.5, abs=0.05)
        assert float(row.var()) == pytest.approx(1.0 - float(a), rel=0.06)


def test_a_step_with_the_true_sample_stays_on_its_path():
    """With x_0 known, eq. 12 moves along the same noise, and the last step lands on x_0."""
    ddim = Ddim(100, 10)
    x_0, noise = torch.tensor([[0.3, -0.9]]), torch.tensor([[1.2, 0.4]])
    x_t = ddim.add_noise(x_0, noise, torch.tensor([60]))
    expected = ddim.add_noise(x_0, noise, torch.tensor([20]))
    torch.testing.assert_close(ddim.step(x_t, x_0, 60, 20), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ddim.sample(lambda x, t: x_0.expand_as(x), noise), x_0)
    torch.testing.assert_close(
        ddim.sample(lambda x, t: torch.full_like(x, 3.0), noise), torch.ones(1, 2)
    )


def test_sampling_a_gaussian_is_its_closed_form():
    """For data N(0, s^2) the best prediction is linear, so is DDIM: the scale is a product."""
    ddim, s = Ddim(100, 10), 0.25
    a = ddim.alpha_bar

    def predict(x, t):
        at = a[t][:, None]
        return at.sqrt() * s**2 / (at * s**2 + 1.0 - at) * x

    scale = 1.0
    for t, before in zip(ddim.steps, [*ddim.steps[1:], -1], strict=True):
        at, ab = float(a[t]), float(a[before]) if before >= 0 else 1.0
        k = at**0.5 * s**2 / (at * s**2 + 1.0 - at)
        scale *= ab**0.5 * k + (1.0 - ab) ** 0.5 * (1.0 - at**0.5 * k) / (1.0 - at) ** 0.5
    noise = torch.linspace(-2.0, 2.0, 9)[:, None]
    torch.testing.assert_close(ddim.sample(predict, noise), scale * noise, atol=1e-5, rtol=1e-4)


def test_the_unet_has_the_released_size_and_keeps_the_two_tokens():
    with torch.device('meta'):
        net = ConditionalUnet()
        out = net(torch.zeros(3, 2, 1024), torch.zeros(3), torch.zeros(3, 256))
    assert out.shape == (3, 2, 1024)
    assert sum(p.numel() for p in net.parameters()) == 163_048_576


def test_the_unet_hears_time_condition_and_both_tokens():
    torch.manual_seed(0)
    net = ConditionalUnet(SMALL.unet)
    x, t, c = torch.randn(1, 2, 16), torch.tensor([5]), torch.randn(1, 16)
    out = net(x, t, c)
    for other in (net(x, t + 40, c), net(x, t, c + 1.0), net(x + torch.eye(2, 16), t, c)):
        assert (other - out).abs().amax(dim=(0, 2)).min() > 1e-4


def test_the_autoencoder_treats_the_first_layer_and_the_rest_apart():
    shape = MlpShape(7, (6, 5), 3)
    torch.manual_seed(0)
    net = WeightAutoencoder(shape, 8, 0.0, 0.0)
    assert net.chunks == [7 * 6 + 6, shape.size - 7 * 6 - 6]
    weights = torch.randn(2, shape.size)
    tokens = net.encode(weights)
    assert tokens.shape == (2, 2, 8)
    assert tokens.abs().max() <= 1.0
    other = weights.clone()
    other[:, : net.chunks[0]] += 1.0
    torch.testing.assert_close(net.encode(other)[:, 1], tokens[:, 1])
    assert (net.encode(other)[:, 0] - tokens[:, 0]).abs().max() > 0.01


def test_limits_map_the_range_to_one_and_back():
    data = torch.tensor([[0.0, 5.0, 2.0], [4.0, 5.0, -2.0]])
    limits = Limits(3)
    limits.set_range(data)
    torch.testing.assert_close(limits(data), torch.tensor([[-1.0, 0.0, 1.0], [1.0, 0.0, -1.0]]))
    torch.testing.assert_close(limits.back(limits(data)), data)


def test_a_prompt_is_its_first_samples_and_three_later_ones():
    rows = torch.arange(200.0)[None, :, None].expand(1, 200, 30)
    start, later = split_prompt(rows, 60, 3)
    assert start.shape == (1, 1800)
    assert start[0, ::30].tolist() == list(range(60))
    assert later[0, ::30].tolist() == [106.0, 152.0, 199.0]


def test_fitting_lowers_all_three_losses_and_a_seed_fixes_the_samples(tiny, prompt):
    runs = []
    for seed in (0, 0, 1):
        method = Official(replace(SMALL, seed=seed))
        method.fit(*tiny)
        runs.append(method)
    for name in ('autoencoder', 'diffusion'):
        losses = runs[0].log[name].losses
        assert losses[-1] < 0.8 * losses[0], (name, losses)
    # 16 behaviours to tell apart by chance: log 16 = 2.77
    assert runs[0].log['embedding'].losses[-1] < runs[0].log['embedding'].losses[0]
    velocity = np.array([[0.5, 0.0, 0.0]])
    made = [m.bundles([prompt], velocity, seed=4)[0] for m in runs]
    flat = [MlpShape.flatten(b.layers) for b in made]
    np.testing.assert_allclose(flat[0], flat[1], atol=1e-5)
    assert np.abs(flat[0] - flat[2]).max() > 1e-3
    several = runs[0].sample([prompt, prompt], 3, seed=4)
    assert several.shape == (2, 3, 8012)
    assert np.abs(several[0, 0] - several[0, 1]).max() > 1e-4
    with pytest.raises(BaselineError, match='takes 60 and 3 later states, 63 in all'):
        runs[0].bundles([prompt.rows(slice(0, 50))], velocity)


def test_sampling_can_be_timed_without_training_but_not_used(prompt):
    seconds, parameters = time_sampling(SMALL, n=4, repeats=1)
    assert seconds > 0.0
    assert parameters == sum(p.numel() for p in Official(SMALL).net.unet.parameters())
    with pytest.raises(BaselineError, match='not fitted'):
        Official(SMALL).bundles([prompt], np.zeros((1, 3)))

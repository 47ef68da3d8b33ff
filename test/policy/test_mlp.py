from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from make_agent_ros.policy import MlpBatch, MlpPolicy, MlpShape

SHAPES = st.builds(
    MlpShape,
    st.integers(1, 20),
    st.lists(st.integers(1, 12), min_size=1, max_size=3).map(tuple),
    st.integers(1, 12),
)


def torch_forward(shape, weights, obs):
    x = torch.from_numpy(obs)
    layers = shape.unflatten(weights)
    for i, (weight, bias) in enumerate(layers):
        x = torch.nn.functional.linear(x, torch.from_numpy(weight), torch.from_numpy(bias))
        if i < len(layers) - 1:
            x = torch.nn.functional.elu(x)
    return x.numpy()


@given(SHAPES, st.integers(0, 1000))
def test_flatten_undoes_unflatten(shape, seed):
    weights = np.random.default_rng(seed).standard_normal(shape.size).astype(np.float32)
    np.testing.assert_array_equal(MlpShape.flatten(shape.unflatten(weights)), weights)


@given(SHAPES, st.integers(0, 1000))
def test_single_and_batched_inference_agree_with_torch(shape, seed):
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal((3, shape.size)).astype(np.float32)
    obs = rng.standard_normal((3, 4, shape.inputs)).astype(np.float32)
    batched = MlpBatch(shape, weights)(obs)
    for i in range(3):
        expected = torch_forward(shape, weights[i], obs[i])
        np.testing.assert_allclose(batched[i], expected, rtol=1e-4, atol=1e-4)
        policy = MlpPolicy(shape.unflatten(weights[i]))
        for row, wanted in zip(obs[i], expected, strict=True):
            np.testing.assert_allclose(policy(row), wanted, rtol=1e-4, atol=1e-4)


def test_wrong_number_of_weights_is_refused_with_both_numbers():
    with pytest.raises(ValueError, match=r'\(7,\) weights .* has 8012'):
        MlpShape(47, (64, 64), 12).unflatten(np.zeros(7))


def test_input_normaliser_is_folded_into_the_first_layer():
    rng = np.random.default_rng(0)
    shape = MlpShape(5, (6,), 2)
    layers = shape.unflatten(rng.standard_normal(shape.size).astype(np.float32))
    mean, std = rng.standard_normal(5), rng.uniform(0.5, 2.0, 5)
    obs = rng.standard_normal(5).astype(np.float32)
    plain = MlpPolicy(layers)(((obs - mean) / std).astype(np.float32)).copy()
    np.testing.assert_allclose(MlpPolicy(layers, (mean, std))(obs), plain, rtol=1e-4)

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from make_agent_ros.go2.constants import JOINT_NAMES
from make_agent_ros.policy import Bundle, BundleError, MlpShape, from_bytes, load, save, to_bytes
from make_agent_ros.policy.bundle import MAX_BUNDLE_BYTES

SHAPE = MlpShape(47, (64, 64), 12)


@pytest.fixture
def bundle():
    rng = np.random.default_rng(0)
    weights = (0.1 * rng.standard_normal(SHAPE.size)).astype(np.float32)
    return Bundle(
        layers=SHAPE.unflatten(weights),
        gait_frequency_hz=2.37,
        default_command=np.array([0.41, -0.1, 0.3]),
        joint_stiffness=rng.uniform(20, 40, 12),
        provenance={'seed': 3},
    )


def edited(bundle, edit):
    model = onnx.ModelProto.FromString(to_bytes(bundle))
    edit(model)
    return model.SerializeToString()


def set_meta(model, key, value):
    for prop in model.metadata_props:
        if prop.key == key:
            prop.value = value


def test_a_bundle_comes_back_bit_for_bit(bundle):
    again = from_bytes(to_bytes(bundle))
    np.testing.assert_array_equal(MlpShape.flatten(again.layers), MlpShape.flatten(bundle.layers))
    np.testing.assert_array_equal(again.joint_stiffness, bundle.joint_stiffness)
    np.testing.assert_array_equal(again.default_command, bundle.default_command)
    assert again.gait_frequency_hz == bundle.gait_frequency_hz
    assert again.provenance == {'seed': 3}


def test_onnx_runtime_computes_what_our_inference_computes(bundle):
    session = onnxruntime.InferenceSession(to_bytes(bundle))
    obs = np.random.default_rng(1).standard_normal((1, 47)).astype(np.float32)
    (actions,) = session.run(['actions'], {'obs': obs})
    assert actions.shape == (1, 12)
    np.testing.assert_allclose(bundle.policy()(obs[0]), actions[0], atol=1e-5)


def test_a_torch_export_with_normaliser_is_read(bundle, tmp_path):
    class Exported(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.mean = torch.nn.Parameter(torch.randn(45))
            self.std = torch.nn.Parameter(torch.rand(45) + 0.5)
            self.mlp = torch.nn.Sequential(
                torch.nn.Linear(45, 32), torch.nn.ELU(), torch.nn.Linear(32, 12)
            )

        def forward(self, obs):
            return self.mlp((obs - self.mean) / self.std)

    net = Exported()
    path = tmp_path / 'torch.onnx'
    torch.onnx.export(
        net, (torch.zeros(1, 45),), str(path), input_names=['obs'], output_names=['actions'],
        dynamo=False,
    )  # fmt: skip
    model = onnx.load(path)
    terms = tuple(t for t in bundle.observation_names if t != 'gait_clock')
    meta = replace(
        bundle,
        layers=MlpShape(45, (8,), 12).unflatten(np.zeros(MlpShape(45, (8,), 12).size)),
        observation_names=terms,
        observation_scales=(1.0,) * len(terms),
    )
    other = onnx.ModelProto.FromString(to_bytes(meta))
    model.metadata_props.extend(other.metadata_props)
    read = from_bytes(model.SerializeToString())
    obs = torch.randn(1, 45)
    np.testing.assert_allclose(
        read.policy()(obs.numpy()[0]), net(obs).detach().numpy()[0], atol=1e-4
    )


@pytest.mark.parametrize(
    ('edit', 'message'),
    [
        (lambda m: set_meta(m, 'observation_names', 'base_lin_vel'), 'base_lin_vel'),
        (lambda m: set_meta(m, 'joint_names', ','.join(JOINT_NAMES[:-1])), 'RR_calf_joint'),
        (lambda m: set_meta(m, 'joint_stiffness', 'soft'), 'joint_stiffness'),
        (lambda m: set_meta(m, 'joint_stiffness', ','.join(['1e9'] * 12)), 'outside'),
        (lambda m: set_meta(m, 'control_dt', '1.0'), 'control_dt'),
        (lambda m: set_meta(m, 'gait_frequency_hz', 'nan'), 'gait_frequency_hz'),
        (lambda m: set_meta(m, 'default_command', '0,nan,0'), 'default_command'),
        (lambda m: set_meta(m, 'format_version', '99'), 'format_version'),
        (lambda m: set_meta(m, 'check', '{'), 'JSON'),
        (lambda m: m.ClearField('metadata_props'), 'metadata lacks joint_names'),
        (lambda m: setattr(m.graph.node[1], 'op_type', 'Relu'), 'Relu'),
        (lambda m: m.graph.ClearField('node'), 'empty'),
        (lambda m: m.graph.initializer[0].external_data.add(key='location', value='/x'),
         'external'),
    ],
)  # fmt: skip
def test_each_defect_has_its_own_sentence(bundle, edit, message):
    with pytest.raises(BundleError, match=message):
        from_bytes(edited(bundle, edit))


def test_nan_weights_are_refused(bundle):
    weights = MlpShape.flatten(bundle.layers)
    weights[100] = np.nan
    with pytest.raises(BundleError, match='NaN'):
        replace(bundle, layers=SHAPE.unflatten(weights))


def test_network_of_another_width_is_refused(bundle):
    small = MlpShape(40, (8,), 12)
    with pytest.raises(BundleError, match='do not belong together'):
        replace(bundle, layers=small.unflatten(np.zeros(small.size)))


def test_files_that_are_no_bundles_are_refused_with_their_name(bundle, tmp_path):
    path = tmp_path / 'half.onnx'
    path.write_bytes(to_bytes(bundle)[:700])
    with pytest.raises(BundleError, match=r'half\.onnx'):
        load(path)
    with pytest.raises(BundleError, match=r'none\.onnx'):
        load(tmp_path / 'none.onnx')
    path.write_bytes(b'x' * (MAX_BUNDLE_BYTES + 1))
    with pytest.raises(BundleError, match='at most'):
        load(path)


def test_saving_replaces_the_file_in_one_step(bundle, tmp_path):
    path = tmp_path / 'policy.onnx'
    save(bundle, path)
    assert load(path).gait_frequency_hz == bundle.gait_frequency_hz
    assert [p.name for p in tmp_path.iterdir()] == ['policy.onnx']

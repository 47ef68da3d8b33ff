from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest

from make_agent_ros.control.admission import AdmissionConfig, admit, bundle_digest, standing_state
from make_agent_ros.policy import BundleError, to_bytes
from make_agent_ros.policy.checked import policy_digest

from .harness import constant_bundle, explosive_bundle

OPEN = AdmissionConfig()


def edited(**metadata: str) -> bytes:
    """A bundle whose metadata was changed by somebody else's tool."""
    model = onnx.ModelProto.FromString(to_bytes(constant_bundle()))
    values = {p.key: p.value for p in model.metadata_props} | metadata
    onnx.helper.set_model_props(model, values)
    return model.SerializeToString()


def test_a_sound_policy_is_admitted_under_the_digest_of_its_bytes():
    data = to_bytes(constant_bundle(0.1))
    runner = admit(data, OPEN, [standing_state()])
    assert runner.digest == bundle_digest(data)
    np.testing.assert_array_equal(runner.action, 0.0)


@pytest.mark.parametrize(
    ('data', 'sentence'),
    [
        (b'', 'not an ONNX'),
        (b'\x00' * 100, 'not an ONNX'),
        (to_bytes(constant_bundle())[:200], 'not an ONNX|lacks|layer'),
        (b'\x00' * (9 << 20), 'at most'),
        (edited(observation_names='base_ang_vel,moon_phase'), 'moon_phase'),
        (edited(observation_names='base_ang_vel', observation_scales='1'), 'not belong together'),
        (edited(joint_names='FL_hip_joint'), 'joints missing'),
        (edited(action_scale='nan'), 'action_scale'),
        (edited(control_dt='7'), 'control_dt'),
        (edited(default_joint_pos=','.join(['0.0'] * 12)), 'out of the joint range'),
        (to_bytes(explosive_bundle()), 'NaN or Inf'),
        (to_bytes(constant_bundle(30.0)), 'plausible is 2.0 rad'),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings('ignore:overflow')
def test_each_defect_is_refused_with_its_own_sentence(data, sentence):
    with pytest.raises(BundleError, match=sentence):
        admit(data, OPEN)


def test_an_action_that_only_recorded_measurements_provoke_is_found():
    bundle = constant_bundle()
    weight = np.zeros_like(bundle.layers[0][0])
    weight[:, bundle.observation_builder().slices['joint_vel']] = 100.0
    layers = [(weight, bundle.layers[0][1]), (np.ones((12, 8), np.float32), np.zeros(12))]
    data = to_bytes(replace(bundle, layers=layers))
    admit(data, OPEN, [standing_state()])
    with pytest.raises(BundleError, match='plausible'):
        admit(data, OPEN, [replace(standing_state(), joint_vel=np.full(12, 3.0))])


@pytest.mark.parametrize(
    ('change', 'word'),
    [
        ({'verdict': None}, 'never checked'),
        ({'verdict': 'FAIL', 'reason': 'fell'}, r"'FAIL' \(fell\)"),
        ({'verdict': 'pass'}, "'pass'"),
        ({'report': ''}, 'without the digest of a report'),
        ({'policy': 'f' * 64}, 'another policy'),
    ],
)
def test_require_check_admits_only_what_the_check_let_through(change, word):
    strict = AdmissionConfig(require_check=True)
    bundle = constant_bundle()
    check = {'verdict': 'WARN', 'report': 'a' * 64, 'policy': policy_digest(bundle)}
    admit(to_bytes(replace(bundle, check=check)), strict)
    with pytest.raises(BundleError, match=word):
        admit(to_bytes(replace(bundle, check={**check, **change})), strict)


def test_a_policys_velocity_loop_runs_unless_the_operator_wants_none():
    data = to_bytes(constant_bundle(velocity_gain=0.5))
    assert admit(data, OPEN).loop is not None
    assert admit(data, replace(OPEN, velocity_loop=False)).loop is None
    assert admit(to_bytes(constant_bundle()), OPEN).loop is None


def test_a_network_that_is_too_slow_for_the_loop_is_refused():
    data = to_bytes(constant_bundle())
    with pytest.raises(BundleError, match=r'one action takes .* use a smaller network'):
        admit(data, replace(OPEN, inference_max_s=1e-7))

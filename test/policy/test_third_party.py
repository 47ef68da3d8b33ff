from __future__ import annotations

import numpy as np
import onnx
import pytest
import yaml

from make_agent_ros.control.runner import PolicyRunner
from make_agent_ros.go2.constants import JOINT_NAMES, SDK_JOINT_NAMES, joint_index_map
from make_agent_ros.go2.state import RobotState, projected_gravity
from make_agent_ros.policy import BundleError, from_bytes
from make_agent_ros.policy.third_party import from_onnx_and_yaml, read_policy

POSE = np.array([-0.1, 0.8, -1.5, 0.1, 0.8, -1.5, -0.1, 1.0, -1.5, 0.1, 1.0, -1.5])
"""A default pose in SDK order, as fielded stacks have it."""
SCALE = np.array([0.125, 0.25, 0.25] * 4)
DESCRIPTION = {
    'joint_names': list(SDK_JOINT_NAMES),
    'default_joint_pos': POSE.tolist(),
    'joint_stiffness': 20.0,
    'joint_damping': 0.5,
    'action_scale': SCALE.tolist(),
    'observation_names': [
        'base_ang_vel', 'projected_gravity', 'command', 'joint_pos', 'joint_vel', 'actions',
    ],
    'observation_scales': [0.25, 1.0, 1.0, 1.0, 0.05, 1.0],
    'control_dt': 0.02,
}  # fmt: skip


@pytest.fixture(scope='module')
def network() -> tuple[bytes, list]:
    """An ONNX file as torch exports it: Gemm and Elu, other tensor names, no metadata."""
    torch = pytest.importorskip('torch')
    import io

    torch.manual_seed(3)
    module = torch.nn.Sequential(torch.nn.Linear(45, 32), torch.nn.ELU(), torch.nn.Linear(32, 12))
    nodes, tensors, name = [], [], 'observation'
    for i in (0, 2):
        for part in ('weight', 'bias'):
            value = getattr(module[i], part).detach().numpy()
            tensors.append(onnx.numpy_helper.from_array(value, f'actor.{i}.{part}'))
        nodes.append(
            onnx.helper.make_node(
                'Gemm', [name, f'actor.{i}.weight', f'actor.{i}.bias'], [f'h{i}'], transB=1
            )
        )
        name = f'h{i}'
        if i == 0:
            nodes.append(onnx.helper.make_node('Elu', ['h0'], ['h1']))
            name = 'h1'
    float32 = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes,
        'torch',
        [onnx.helper.make_tensor_value_info('observation', float32, [1, 45])],
        [onnx.helper.make_tensor_value_info('h2', float32, [1, 12])],
        tensors,
    )
    buffer = io.BytesIO()
    onnx.save_model(onnx.helper.make_model(graph), buffer)
    return buffer.getvalue(), module


def test_a_foreign_policy_moves_the_joints_that_its_own_stack_would_move(network):
    """The reference is written out by hand, in SDK order, as such stacks do it."""
    torch = pytest.importorskip('torch')
    data, module = network
    rng = np.random.default_rng(0)
    quat = np.array([0.98, 0.1, -0.15, 0.05])
    state = RobotState(
        quat_wxyz=quat / np.linalg.norm(quat),
        base_ang_vel=rng.normal(size=3),
        joint_pos=rng.normal(size=12),
        joint_vel=rng.normal(size=12),
    )
    velocity, last = np.array([0.4, -0.1, 0.2]), np.zeros(12)
    to_sdk = joint_index_map(JOINT_NAMES, SDK_JOINT_NAMES)
    expected_obs = np.concatenate(
        [
            0.25 * state.base_ang_vel,
            projected_gravity(state.quat_wxyz),
            velocity,
            state.joint_pos[to_sdk] - POSE,
            0.05 * state.joint_vel[to_sdk],
            last,
        ]
    )
    with torch.no_grad():
        action = module(torch.tensor(expected_obs, dtype=torch.float32)).numpy()
    expected = dict(zip(SDK_JOINT_NAMES, POSE + SCALE * action, strict=True))

    runner = PolicyRunner(from_onnx_and_yaml(data, yaml.safe_dump(DESCRIPTION)), 'foreign')
    assert runner.step(0.0, state, velocity)
    np.testing.assert_allclose(runner.target, [expected[name] for name in JOINT_NAMES], atol=1e-6)
    np.testing.assert_array_equal(runner.stiffness, 20.0)


def test_an_onnx_file_with_a_yaml_beside_it_becomes_a_bundle(network, tmp_path):
    path = tmp_path / 'policy.onnx'
    path.write_bytes(network[0])
    with pytest.raises(BundleError, match='YAML file with these keys'):
        read_policy(path)
    path.with_suffix('.yaml').write_text(yaml.safe_dump(DESCRIPTION))
    bundle = from_bytes(read_policy(path))
    assert bundle.joint_names == SDK_JOINT_NAMES
    np.testing.assert_array_equal(bundle.action_scale, SCALE)


@pytest.mark.parametrize(
    ('change', 'sentence'),
    [
        ({'joint_names': None}, r'lacks \[joint_names\]'),
        ({'kp': 20.0}, r'unknown \[kp\]'),
        ({'joint_names': ['a'] * 12}, 'joints missing|occur twice'),
        ({'joint_stiffness': [1.0, 2.0]}, 'expected 12 values'),
        ({'joint_stiffness': 'soft'}, "joint_stiffness is 'soft'"),
        ({'observation_names': 3}, 'does not fit'),
        ({'control_dt': 'fast'}, 'does not fit'),
        ({'observation_scales': [1.0]}, 'one scale per term'),
        ({'observation_names': ['base_lin_vel']}, 'base_lin_vel'),
    ],
)
def test_a_wrong_description_is_refused_with_its_reason(network, change, sentence):
    described = {k: v for k, v in (DESCRIPTION | change).items() if v is not None}
    with pytest.raises(BundleError, match=sentence):
        from_onnx_and_yaml(network[0], yaml.safe_dump(described))


@pytest.mark.parametrize('text', ['[1, 2', '- a', ''])
def test_a_broken_yaml_is_refused(network, text):
    with pytest.raises(BundleError, match='YAML'):
        from_onnx_and_yaml(network[0], text)

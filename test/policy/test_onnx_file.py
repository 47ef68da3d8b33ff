"""Bytes from strangers: parsed quickly or refused, and never read as another network."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from make_agent_ros.policy import Bundle, BundleError, MlpShape, from_bytes, to_bytes
from make_agent_ros.policy.mlp import MlpPolicy
from make_agent_ros.policy.onnx_file import MAX_FIELDS, demand_few_fields, read_model
from make_agent_ros.policy.onnx_mlp import read_layers
from make_agent_ros.resources import resource_path

SHAPE = MlpShape(47, (8,), 12)
DATA = to_bytes(Bundle(layers=SHAPE.unflatten(np.ones(SHAPE.size)), gait_frequency_hz=2.0))
RNG = np.random.default_rng(0)
CONSTANTS = {
    'w1': RNG.normal(size=(6, 4)), 'b1': RNG.normal(size=6), 'w2': RNG.normal(size=(6, 3)),
    'b2': RNG.normal(size=3), 'mean': RNG.normal(size=4), 'std': RNG.uniform(0.5, 2.0, 4),
    'two': np.array(2.0), 'six': RNG.normal(size=6),
}  # fmt: skip


def model(*nodes: str, out: str = 'y') -> onnx.ModelProto:
    """`Operator input,input output attribute=value`, one node each; input x (1, 4)."""
    made = []
    for text in nodes:
        kind, inputs, output, *given = text.split()
        attributes = {
            k: float(v) if '.' in v else int(v) for k, v in (a.split('=') for a in given)
        }
        made.append(helper.make_node(kind, inputs.split(','), [output], **attributes))
    float32 = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        made,
        'g',
        [helper.make_tensor_value_info('x', float32, [1, 4])],
        [helper.make_tensor_value_info(out, float32, None)],
        [numpy_helper.from_array(v.astype(np.float32), k) for k, v in CONSTANTS.items()],
    )
    result = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)])
    result.ir_version = 8
    return result


FIRST, ELU, LAST = 'Gemm x,w1,b1 a transB=1', 'Elu a b', 'Gemm b,w2,b2 y'


@pytest.mark.parametrize(
    'nodes',
    [
        (FIRST, ELU, LAST),
        ('Sub x,mean c', 'Div c,std d', 'Gemm d,w1,b1 a transB=1', ELU, LAST),
        ('Div x,std c', 'Sub c,mean d', 'Gemm d,w1,b1 a transB=1', ELU, LAST),
        ('Add mean,x c', 'Mul two,c d', 'Identity d e', 'Gemm e,w1,b1 a transB=1', ELU, LAST),
        (FIRST, ELU, 'MatMul b,w2 c', 'Add b2,c y'),
        (FIRST, ELU, 'MatMul b,w2 c', 'Add c,two y'),
    ],
)
def test_what_is_read_computes_what_onnx_runtime_computes(nodes):
    made = model(*nodes)
    x = RNG.normal(size=(5, 4)).astype(np.float32)
    session = onnxruntime.InferenceSession(made.SerializeToString())
    expected = [session.run(None, {'x': row[None]})[0][0] for row in x]
    policy = MlpPolicy(read_layers(made))
    np.testing.assert_allclose([policy(row).copy() for row in x], expected, atol=1e-5)


@pytest.mark.parametrize(
    ('nodes', 'sentence'),
    [
        ((FIRST, ELU, LAST.replace(' y', ' c'), 'Elu c y'), 'last operator'),
        ((FIRST, ELU, LAST, 'Gemm b,w2,b2 z'), 'branches'),
        ((FIRST, ELU, 'Gemm b,w2,b2 z'), 'last operator'),
        ((FIRST, ELU, 'Add b,six c', 'Gemm c,w2,b2 y'), 'not part of an ELU MLP'),
        ((FIRST, ELU, 'Gemm b,w2,b2 y alpha=0.5'), 'alpha or beta'),
        ((FIRST, ELU, 'Gemm b,w2,b2 y transA=1'), 'transA'),
        (('Sub mean,x c', 'Gemm c,w1,b1 a transB=1', ELU, LAST), 'not part of'),
        (('Add x,x c', 'Gemm c,w1,b1 a transB=1', ELU, LAST), 'branches'),
        (('Elu x c', 'Gemm c,w1,b1 a transB=1', ELU, LAST), 'follows no linear layer'),
        ((FIRST, 'Elu a b alpha=2.0', LAST), 'alpha than 1'),
        ((FIRST, ELU, 'Gemm b,nothing,b2 y'), 'no constant operand'),
    ],
)
def test_a_graph_that_means_something_else_is_refused(nodes, sentence):
    with pytest.raises(BundleError, match=sentence):
        read_layers(model(*nodes))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_bundle_is_a_bundle_or_refused_in_words(data):
    """Changed, cut, doubled or extended: never another exception than `BundleError`."""
    damaged = bytearray(DATA)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        size = data.draw(st.sampled_from([0, 1, 1, 1, 8, 200]))
        damaged[at : at + size] = data.draw(st.binary(max_size=8))
        if not damaged:
            break
    try:
        from_bytes(bytes(damaged))
    except BundleError as error:
        assert len(str(error)) > 20


@given(st.binary(max_size=200))
def test_any_bytes_are_a_model_or_refused(data):
    try:
        read_model(data)
    except BundleError as error:
        assert 'ONNX' in str(error)


@pytest.mark.parametrize('name', ['trot', 'pace', 'bound', 'pronk'])
def test_shipped_policies_have_few_fields(name):
    demand_few_fields(resource_path(f'models/{name}.onnx').read_bytes(), MAX_FIELDS // 20)


@pytest.mark.parametrize('what', ['nodes', 'metadata', 'numbers', 'strings', 'nested'])
def test_a_file_that_would_stop_the_world_is_refused_before_it_is_parsed(what):
    made = model(FIRST, ELU, LAST)
    if what == 'nodes':
        made.graph.node.extend(made.graph.node[1] for _ in range(MAX_FIELDS))
    elif what == 'metadata':
        for _ in range(MAX_FIELDS):
            made.metadata_props.add(key='a', value='b')
    elif what == 'numbers':
        made.graph.initializer.add(name='n', data_type=7, int64_data=range(MAX_FIELDS))
    elif what == 'strings':
        made.graph.initializer.add(name='s', data_type=8, string_data=[b''] * MAX_FIELDS)
    else:
        graph = made.graph
        for _ in range(20):
            graph = graph.node.add(op_type='If').attribute.add(name='then_branch', type=5).g
    with pytest.raises(BundleError, match=r'more than|too deep'):
        read_model(made.SerializeToString())

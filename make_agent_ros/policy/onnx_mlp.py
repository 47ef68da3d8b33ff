"""Reading an ELU MLP out of an ONNX graph, without running anything."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.numpy_helper

from make_agent_ros.policy.mlp import Layer


class BundleError(ValueError):
    """A bundle that cannot be run; the message names the value, the expectation, the remedy."""


def read_layers(model: onnx.ModelProto) -> list[Layer]:
    """Extract the layers of an ELU MLP from an ONNX graph.

    Accepts what torch and mjlab export: Gemm (or MatMul + Add) and Elu in a chain, optionally
    preceded by an input normaliser (Sub, then Div), which is folded into the first layer.

    Raises:
        BundleError: another operator, a constant missing, or no chain from input to output.
    """
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == 'Constant':
            for attribute in node.attribute:
                if attribute.name == 'value':
                    constants[node.output[0]] = onnx.numpy_helper.to_array(attribute.t)
    layers: list[Layer] = []
    mean: np.ndarray | None = None
    std: np.ndarray | None = None
    after_elu = True
    for node in model.graph.node:
        arguments = [constants[name] for name in node.input if name in constants]
        if node.op_type in ('Constant', 'Identity'):
            continue
        if node.op_type == 'Elu':
            if any(a.name == 'alpha' and abs(a.f - 1.0) > 1e-6 for a in node.attribute):
                raise BundleError(f'{node.name}: Elu with another alpha than 1 is not supported')
            after_elu = True
            continue
        if not arguments:
            raise BundleError(f'operator {node.op_type} ({node.name}) has no constant operand')
        value = np.asarray(arguments[0], dtype=np.float32)
        if node.op_type == 'Sub' and not layers:
            mean = value.ravel()
        elif node.op_type == 'Div' and not layers:
            std = value.ravel()
        elif node.op_type in ('Gemm', 'MatMul'):
            if not after_elu:
                raise BundleError(f'{node.name}: two linear layers without Elu between them')
            transposed = node.op_type == 'Gemm' and any(
                a.name == 'transB' and a.i == 1 for a in node.attribute
            )
            weight = value if transposed else value.T
            bias = arguments[1] if len(arguments) > 1 else np.zeros(len(weight))
            layers.append((weight, np.asarray(bias, dtype=np.float32)))
            after_elu = False
        elif node.op_type == 'Add' and layers:
            weight, bias = layers[-1]
            layers[-1] = (weight, bias + value.ravel())
        else:
            raise BundleError(
                f'operator {node.op_type} ({node.name}) is not part of an ELU MLP; '
                'supported: Gemm, MatMul, Add, Elu and an input normaliser'
            )
    if not layers:
        raise BundleError('the graph holds no linear layer')
    if mean is not None or std is not None:
        weight, bias = layers[0]
        weight = weight if std is None else weight / std
        layers[0] = (weight, bias if mean is None else bias - weight @ mean)
    return layers

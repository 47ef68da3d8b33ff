"""Reading an ELU MLP out of an ONNX graph, without running anything."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.numpy_helper

from make_agent_ros.policy.mlp import Layer

SUPPORTED = 'supported: Gemm, MatMul, Add, Elu and an input normaliser (Sub, Add, Div, Mul)'


class BundleError(ValueError):
    """A bundle that cannot be run; the message names the value, the expectation, the remedy."""


def read_layers(model: onnx.ModelProto) -> list[Layer]:
    """Extract the layers of an ELU MLP from an ONNX graph.

    Accepts what torch and mjlab export: Gemm (or MatMul + Add) and Elu in one chain from the only
    input to the only output, optionally preceded by an input normaliser, which is folded into the
    first layer. What is computed here is what an ONNX runtime computes, or it is refused.

    Raises:
        BundleError: another operator, a constant missing, or no chain from input to output.
    """
    try:
        with np.errstate(all='ignore'):
            return _Chain(model.graph).layers()
    except BundleError:
        raise
    except Exception as error:
        raise BundleError(f'the network cannot be read ({error}); export it again') from error


class _Chain:
    """Follows one tensor through the graph."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._constants = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
        inputs = [value.name for value in graph.input if value.name not in self._constants]
        if len(inputs) != 1 or len(graph.output) != 1:
            raise BundleError(
                f'the graph has {len(inputs)} inputs and {len(graph.output)} outputs; a policy '
                'has one observation and one action. Export the actor alone'
            )
        self._tensor = inputs[0]
        self._layers: list[Layer] = []
        self._after_elu = True
        # The normaliser so far: x * gain + offset.
        self._gain, self._offset = np.ones(1), np.zeros(1)
        self._normalised = False

    def layers(self) -> list[Layer]:
        """Walk from the input to the output."""
        for node in self._graph.node:
            if node.op_type == 'Constant':
                self._keep_constant(node)
            elif node.op_type == 'Identity' and node.input[0] in self._constants:
                self._constants[node.output[0]] = self._constants[node.input[0]]
            else:
                self._follow(node)
        if not self._layers:
            raise BundleError('the graph holds no linear layer')
        if self._tensor != self._graph.output[0].name or self._after_elu:
            raise BundleError('the last operator before the output must be a linear layer')
        if self._normalised:
            weight, bias = self._layers[0]
            folded = bias + weight @ np.broadcast_to(self._offset, weight.shape[1])
            self._layers[0] = (_float32(weight * self._gain), _float32(folded))
        return self._layers

    def _keep_constant(self, node: onnx.NodeProto) -> None:
        for attribute in node.attribute:
            if attribute.name == 'value':
                self._constants[node.output[0]] = onnx.numpy_helper.to_array(attribute.t)

    def _follow(self, node: onnx.NodeProto) -> None:
        kind, name = node.op_type, node.name or node.op_type
        if list(node.input).count(self._tensor) != 1 or len(node.output) != 1:
            raise BundleError(
                f'operator {kind} ({name}) does not continue the chain from {self._tensor}; '
                'branches are not supported'
            )
        first = node.input[0] == self._tensor
        operands = [name for name in node.input if name and name != self._tensor]
        missing = [name for name in operands if name not in self._constants]
        if missing:
            raise BundleError(f'operator {kind} ({name}) has no constant operand')
        values = [np.asarray(self._constants[name]) for name in operands]
        if kind == 'Elu':
            self._elu(node, name)
        elif kind in ('Gemm', 'MatMul') and first and values:
            self._linear(node, name, values)
        elif kind == 'Add' and self._layers and not self._after_elu:
            weight, bias = self._layers[-1]
            self._layers[-1] = (weight, _float32(bias + _row(values[0], len(bias), name)))
        elif (
            kind in ('Sub', 'Div', 'Add', 'Mul')
            and not self._layers
            and (first or kind in ('Add', 'Mul'))
        ):
            self._normalise(kind, values[0])
        elif kind != 'Identity':
            raise BundleError(f'operator {kind} ({name}) is not part of an ELU MLP; {SUPPORTED}')
        self._tensor = node.output[0]

    def _elu(self, node: onnx.NodeProto, name: str) -> None:
        if any(a.name == 'alpha' and abs(a.f - 1.0) > 1e-6 for a in node.attribute):
            raise BundleError(f'{name}: Elu with another alpha than 1 is not supported')
        if self._after_elu:
            raise BundleError(f'{name}: an Elu that follows no linear layer is not supported')
        self._after_elu = True

    def _linear(self, node: onnx.NodeProto, name: str, values: list[np.ndarray]) -> None:
        if not self._after_elu:
            raise BundleError(f'{name}: two linear layers without Elu between them')
        given = {a.name: a.i if a.name.startswith('trans') else a.f for a in node.attribute}
        transposed = bool(given.pop('transB', 0))
        if given.pop('transA', 0) or any(value != 1.0 for value in given.values()):
            raise BundleError(f'{name}: Gemm with transA, alpha or beta is not supported')
        weight = _float32(values[0] if transposed else values[0].T)
        bias = np.zeros(len(weight), dtype=np.float32)
        if len(values) > 1:
            bias = _float32(bias + _row(values[1], len(bias), name))
        self._layers.append((weight, bias))
        self._after_elu = False

    def _normalise(self, kind: str, value: np.ndarray) -> None:
        value = value.astype(np.float64).ravel()
        self._normalised = True
        if kind in ('Sub', 'Add'):
            self._offset = self._offset + (value if kind == 'Add' else -value)
        else:
            factor = value if kind == 'Mul' else 1.0 / value
            self._gain, self._offset = self._gain * factor, self._offset * factor


def _row(value: np.ndarray, size: int, name: str) -> np.ndarray:
    row = value.ravel()
    if len(row) not in (1, size):
        raise BundleError(f'{name}: {len(row)} values are added to {size}')
    return row


def _float32(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, dtype=np.float32)

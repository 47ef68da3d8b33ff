"""A multilayer perceptron as one flat vector of weights, and back.

The generator makes flat vectors; the controller runs layers. Layout: for each layer the weight
matrix row by row (out, in), then the bias, as `torch.nn.Linear` stores them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple  # noqa: UP035 - Isaac Gym's interpreter is Python 3.8

import numpy as np

Layer = Tuple[np.ndarray, np.ndarray]  # noqa: UP006
"""Weight (out, in) and bias (out,), float32."""


def elu(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Exponential linear unit with alpha 1, as in `torch.nn.ELU`."""
    result: np.ndarray = np.expm1(np.minimum(x, 0.0), out=out)
    np.maximum(result, x, out=result)
    return result


@dataclass(frozen=True)
class MlpShape:
    """Sizes of an MLP with ELU between the layers and a linear output."""

    inputs: int
    hidden: tuple[int, ...]
    outputs: int

    @property
    def layer_shapes(self) -> tuple[tuple[int, int], ...]:
        """(out, in) of each layer."""
        sizes = (self.inputs, *self.hidden, self.outputs)
        return tuple((sizes[i + 1], sizes[i]) for i in range(len(sizes) - 1))

    @property
    def size(self) -> int:
        """Number of weights and biases."""
        return sum(out * (inp + 1) for out, inp in self.layer_shapes)

    @property
    def slices(self) -> tuple[tuple[slice, slice], ...]:
        """Where each layer's weight and bias lie in the flat vector."""
        result, start = [], 0
        for out, inp in self.layer_shapes:
            middle, end = start + out * inp, start + out * (inp + 1)
            result.append((slice(start, middle), slice(middle, end)))
            start = end
        return tuple(result)

    def unflatten(self, weights: np.ndarray) -> list[Layer]:
        """Split a flat vector, shape (size,), into layers.

        Raises:
            ValueError: the vector's length is not `size`.
        """
        weights = np.asarray(weights, dtype=np.float32)
        if weights.shape != (self.size,):
            raise ValueError(
                f'{weights.shape} weights for an MLP {self.inputs}-'
                f'{"-".join(map(str, self.hidden))}-{self.outputs}, which has {self.size}'
            )
        return [
            (weights[w].reshape(self.layer_shapes[i]), weights[b])
            for i, (w, b) in enumerate(self.slices)
        ]

    @staticmethod
    def flatten(layers: list[Layer]) -> np.ndarray:
        """Join layers into one flat float32 vector, the inverse of `unflatten`."""
        return np.concatenate([part.ravel() for layer in layers for part in layer]).astype(
            np.float32
        )


class MlpPolicy:
    """Numpy inference of one MLP on preallocated buffers, for the control loop."""

    def __init__(self, layers: list[Layer], pre_scale: Layer | None = None) -> None:
        """Take the layers of the MLP.

        Args:
            layers: weights (out, in) and biases (out,).
            pre_scale: optional input normalisation (mean, std), folded into the first layer.
        """
        if pre_scale is not None:
            mean, std = pre_scale
            weight, bias = layers[0]
            weight = weight / std
            layers = [(weight, bias - weight @ mean), *layers[1:]]
        self._weights = [np.ascontiguousarray(w, dtype=np.float32) for w, _ in layers]
        self._biases = [np.ascontiguousarray(b, dtype=np.float32) for _, b in layers]
        self._buffers = [np.empty(len(b), dtype=np.float32) for b in self._biases]
        self._scratch = [np.empty(len(b), dtype=np.float32) for b in self._biases]

    @property
    def inputs(self) -> int:
        """Length of the observation."""
        return int(self._weights[0].shape[1])

    @property
    def outputs(self) -> int:
        """Length of the action."""
        return len(self._biases[-1])

    def __call__(self, obs: np.ndarray) -> np.ndarray:
        """Return the raw action for `obs`, shape (inputs,); the next call reuses the buffer."""
        x = obs
        last = len(self._weights) - 1
        for i, weight in enumerate(self._weights):
            y = np.dot(weight, x, out=self._buffers[i])
            y += self._biases[i]
            if i < last:
                scratch = self._scratch[i]
                np.minimum(y, 0.0, out=scratch)
                np.expm1(scratch, out=scratch)
                np.maximum(y, scratch, out=y)
            x = y
        return x


class MlpBatch:
    """Numpy inference of many MLPs of one shape, each on its own rows of observations."""

    def __init__(self, shape: MlpShape, weights: np.ndarray) -> None:
        """Take `weights`, shape (policies, shape.size)."""
        self._layers = [
            (
                np.ascontiguousarray(
                    weights[:, w].reshape(-1, *shape.layer_shapes[i]).transpose(0, 2, 1),
                    dtype=np.float32,
                ),
                np.ascontiguousarray(weights[:, None, b], dtype=np.float32),
            )
            for i, (w, b) in enumerate(shape.slices)
        ]

    def __call__(self, obs: np.ndarray) -> np.ndarray:
        """Map observations (policies, rows, inputs) to actions (policies, rows, outputs)."""
        x = obs
        for i, (weight, bias) in enumerate(self._layers):
            x = np.matmul(x, weight) + bias
            if i < len(self._layers) - 1:
                x = elu(x)
        return x

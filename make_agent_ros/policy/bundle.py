"""A policy as a file: one ONNX model with everything a consumer needs in its metadata.

The first keys are those that mjlab's exporter writes (lists comma-separated), so such files run
here; see `docs/architecture.md` for the contract. Reading is a boundary: bytes may come from
anyone on the graph, so each defect is refused with its own sentence, and nothing is executed but
the three operators of an MLP.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper

from make_agent_ros.go2.constants import (
    ACTION_SCALE,
    CONTROL_DT_S,
    JOINT_NAMES,
    NOMINAL_JOINT_POS,
    POLICY_DAMPING,
    POLICY_STIFFNESS,
    joint_index_map,
)
from make_agent_ros.go2.observation import POLICY_SCALES, POLICY_TERMS, ObservationBuilder
from make_agent_ros.policy.mlp import Layer, MlpPolicy
from make_agent_ros.policy.onnx_file import read_model
from make_agent_ros.policy.onnx_mlp import BundleError, read_layers

FORMAT_VERSION = 1
MAX_BUNDLE_BYTES = 1 << 20
"""Larger files are refused unread; an MLP of 512-256-128 has 0.8 MB. The parser holds the
interpreter lock for about 1 ms per MB, and the control loop waits."""


MAX_VELOCITY_GAIN = 2.0
"""1/s; the estimate lags by a few tenths of a second."""


@dataclass(frozen=True)
class Bundle:
    """A policy and what is needed to run it. Arrays of 12 are in `joint_names` order."""

    layers: list[Layer]
    """ELU MLP: weights (out, in) and biases (out,), float32; linear output."""
    joint_names: tuple[str, ...] = JOINT_NAMES
    joint_stiffness: np.ndarray = field(default_factory=lambda: np.full(12, POLICY_STIFFNESS))
    """N m/rad."""
    joint_damping: np.ndarray = field(default_factory=lambda: np.full(12, POLICY_DAMPING))
    """N m s/rad."""
    default_joint_pos: np.ndarray = field(default_factory=NOMINAL_JOINT_POS.copy)
    """rad; target = default_joint_pos + action_scale * action."""
    action_scale: np.ndarray = field(default_factory=lambda: np.full(12, ACTION_SCALE))
    """rad per unit of action."""
    observation_names: tuple[str, ...] = POLICY_TERMS
    observation_scales: tuple[float, ...] = POLICY_SCALES
    command_names: tuple[str, ...] = ('vx', 'vy', 'wz')
    control_dt: float = CONTROL_DT_S
    """Policy period, s."""
    default_command: np.ndarray = field(default_factory=lambda: np.zeros(3))
    """Command at which it moves as the prompt did: vx m/s, vy m/s, wz rad/s."""
    gait_frequency_hz: float = 0.0
    """Frequency of the `gait_clock` term; 0 when there is none."""
    velocity_gain: float = 0.0
    """Of the loop that corrects the command by the estimated velocity, 1/s; 0: none. See
    `policy.velocity`."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Where it comes from: prompt digest, generator version, seed ... (JSON)."""
    check: Mapping[str, Any] = field(default_factory=dict)
    """Digest and verdict of the sim-to-real check (JSON); empty when unchecked."""

    def __post_init__(self) -> None:
        """Refuse whatever could not run.

        Raises:
            BundleError: naming the value, what is expected and the remedy.
        """
        try:
            joint_index_map(self.joint_names, JOINT_NAMES)
            builder = self.observation_builder()
        except ValueError as error:
            raise BundleError(str(error)) from error
        if len(self.joint_names) != 12:
            raise BundleError(f'{len(self.joint_names)} joint names; a Go2 has 12')
        for name, low, high in (
            ('joint_stiffness', 0.0, 200.0),
            ('joint_damping', 0.0, 20.0),
            ('default_joint_pos', -3.2, 4.6),
            ('action_scale', 1e-4, 5.0),
        ):
            values = np.asarray(getattr(self, name), dtype=np.float64)
            if values.shape != (12,):
                raise BundleError(f'{name} has shape {values.shape}; expected 12 values')
            if not np.all(np.isfinite(values)) or values.min() < low or values.max() > high:
                raise BundleError(
                    f'{name} = {values.tolist()} is outside {low} .. {high}; export it again'
                )
            object.__setattr__(self, name, values)
        command = np.asarray(self.default_command, dtype=np.float64)
        if command.shape != (3,) or not np.all(np.isfinite(command)):
            raise BundleError(f'default_command {command} must be 3 finite values: vx, vy, wz')
        object.__setattr__(self, 'default_command', command)
        if not 0.002 <= self.control_dt <= 0.1:
            raise BundleError(f'control_dt {self.control_dt} s is outside 0.002 .. 0.1')
        if 'gait_clock' in self.observation_names and not 0.3 <= self.gait_frequency_hz <= 8.0:
            raise BundleError(
                f'gait_frequency_hz {self.gait_frequency_hz} is outside 0.3 .. 8; '
                'a policy with a gait_clock term must state it'
            )
        if not 0.0 <= self.velocity_gain <= MAX_VELOCITY_GAIN:
            raise BundleError(
                f'velocity_gain {self.velocity_gain} 1/s is outside 0 .. {MAX_VELOCITY_GAIN:g}'
            )
        if self.velocity_gain and self.control_dt != CONTROL_DT_S:
            raise BundleError(
                f'velocity_gain {self.velocity_gain} with control_dt {self.control_dt} s; the '
                f'velocity is estimated every {CONTROL_DT_S} s only. Set velocity_gain to 0'
            )
        self._check_layers(builder.size)

    def _check_layers(self, inputs: int) -> None:
        if not self.layers:
            raise BundleError('the policy has no layers')
        for i, (weight, bias) in enumerate(self.layers):
            if weight.ndim != 2 or bias.shape != (weight.shape[0],) or weight.shape[1] != inputs:
                what = 'observation terms give' if i == 0 else 'layer before gives'
                raise BundleError(
                    f'layer {i} has weight {weight.shape} and bias {bias.shape}, but the {what} '
                    f'{inputs} values; observation_names and network do not belong together'
                )
            if not (np.all(np.isfinite(weight)) and np.all(np.isfinite(bias))):
                raise BundleError(f'layer {i} holds NaN or Inf; generate or export it again')
            inputs = weight.shape[0]
        if inputs != 12:
            raise BundleError(f'the policy has {inputs} outputs; expected 12 joint actions')

    def observation_builder(self) -> ObservationBuilder:
        """Return the builder of this policy's input from robot state in package order."""
        return ObservationBuilder(
            self.observation_names,
            self.observation_scales,
            np.asarray(self.default_joint_pos),
            joint_index_map(JOINT_NAMES, self.joint_names),
        )

    def policy(self) -> MlpPolicy:
        """Return the network for inference."""
        return MlpPolicy(self.layers)


def to_bytes(bundle: Bundle) -> bytes:
    """Serialise as ONNX: input `obs` (1, n) float32, output `actions` (1, 12) float32."""
    nodes, initializers, name = [], [], 'obs'
    for i, (weight, bias) in enumerate(bundle.layers):
        initializers += [
            onnx.numpy_helper.from_array(np.asarray(weight, dtype=np.float32), f'{i}.weight'),
            onnx.numpy_helper.from_array(np.asarray(bias, dtype=np.float32), f'{i}.bias'),
        ]
        last = i == len(bundle.layers) - 1
        output = 'actions' if last else f'{i}.linear'
        nodes.append(
            onnx.helper.make_node(
                'Gemm', [name, f'{i}.weight', f'{i}.bias'], [output], transB=1, name=f'linear_{i}'
            )
        )
        name = output
        if not last:
            nodes.append(onnx.helper.make_node('Elu', [name], [f'{i}.elu'], name=f'elu_{i}'))
            name = f'{i}.elu'
    size = bundle.layers[0][0].shape[1]
    float32 = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes,
        'policy',
        [onnx.helper.make_tensor_value_info('obs', float32, [1, size])],
        [onnx.helper.make_tensor_value_info('actions', float32, [1, 12])],
        initializers,
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid('', 17)], producer_name='make_agent_ros'
    )
    model.ir_version = 8
    onnx.helper.set_model_props(model, _metadata(bundle))
    return bytes(model.SerializeToString())


def _metadata(bundle: Bundle) -> dict[str, str]:
    def numbers(values: Any) -> str:
        return ','.join(repr(float(v)) for v in values)

    meta = {
        'joint_names': ','.join(bundle.joint_names),
        'joint_stiffness': numbers(bundle.joint_stiffness),
        'joint_damping': numbers(bundle.joint_damping),
        'default_joint_pos': numbers(bundle.default_joint_pos),
        'action_scale': numbers(bundle.action_scale),
        'observation_names': ','.join(bundle.observation_names),
        'observation_scales': numbers(bundle.observation_scales),
        'command_names': ','.join(bundle.command_names),
        'control_dt': repr(float(bundle.control_dt)),
        'default_command': numbers(bundle.default_command),
        'format_version': str(FORMAT_VERSION),
        'provenance': json.dumps(dict(bundle.provenance), sort_keys=True),
        'check': json.dumps(dict(bundle.check), sort_keys=True),
    }
    if bundle.velocity_gain:
        meta['velocity_gain'] = repr(float(bundle.velocity_gain))
    if 'gait_clock' in bundle.observation_names:
        meta['gait_frequency_hz'] = repr(float(bundle.gait_frequency_hz))
    return meta


def from_bytes(data: bytes) -> Bundle:
    """Read and validate a bundle.

    Raises:
        BundleError: with its own message for each defect; nothing is executed.
    """
    if len(data) > MAX_BUNDLE_BYTES:
        raise BundleError(f'{len(data)} bytes; a bundle has at most {MAX_BUNDLE_BYTES}')
    model = read_model(data)
    meta = {prop.key: prop.value for prop in model.metadata_props}
    return _from_metadata(read_layers(model), meta)


def _from_metadata(layers: list[Layer], meta: Mapping[str, str]) -> Bundle:
    required = (
        'joint_names', 'joint_stiffness', 'joint_damping', 'default_joint_pos', 'action_scale',
        'observation_names',
    )  # fmt: skip
    missing = [key for key in required if key not in meta]
    if missing:
        raise BundleError(
            f'metadata lacks {", ".join(missing)}; export with mjlab or make_agent_ros, or give '
            'a YAML file with these keys beside the policy'
        )

    def names(key: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in meta[key].split(','))

    def numbers(key: str, default: str) -> np.ndarray:
        text = meta.get(key, default)
        try:
            return np.array([float(part) for part in text.split(',')])
        except ValueError as error:
            raise BundleError(f'{key} = {text[:80]!r} is not a list of numbers') from error

    def mapping(key: str) -> dict[str, Any]:
        try:
            value = json.loads(meta.get(key, '{}'))
        except ValueError as error:
            raise BundleError(f'{key} = {meta[key][:80]!r} is not JSON') from error
        return value if isinstance(value, dict) else {'value': value}

    version = meta.get('format_version', str(FORMAT_VERSION))
    if version != str(FORMAT_VERSION):
        raise BundleError(
            f'format_version {version!r}; this package reads {FORMAT_VERSION}. Update it'
        )
    terms = names('observation_names')
    scale = numbers('action_scale', '')
    return Bundle(
        layers=layers,
        joint_names=names('joint_names'),
        joint_stiffness=numbers('joint_stiffness', ''),
        joint_damping=numbers('joint_damping', ''),
        default_joint_pos=numbers('default_joint_pos', ''),
        action_scale=np.full(12, scale[0]) if scale.shape == (1,) else scale,
        observation_names=terms,
        observation_scales=tuple(
            float(s) for s in numbers('observation_scales', ','.join(['1'] * len(terms)))
        ),
        command_names=tuple(meta.get('command_names', 'vx,vy,wz').split(',')),
        control_dt=float(numbers('control_dt', str(CONTROL_DT_S))[0]),
        default_command=numbers('default_command', '0,0,0'),
        gait_frequency_hz=float(numbers('gait_frequency_hz', '0')[0]),
        velocity_gain=float(numbers('velocity_gain', '0')[0]),
        provenance=mapping('provenance'),
        check=mapping('check'),
    )


def save(bundle: Bundle, path: str | Path) -> None:
    """Write the bundle to `path` in one step: the old file or the new one, never half."""
    path = Path(path)
    temporary = path.with_name(path.name + '.part')
    temporary.write_bytes(to_bytes(bundle))
    temporary.replace(path)


def load(path: str | Path) -> Bundle:
    """Read a bundle from a file.

    Raises:
        BundleError: no such file, or one of `from_bytes`'s reasons.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BUNDLE_BYTES:
            raise BundleError(
                f'{path}: {path.stat().st_size} bytes; a bundle has at most {MAX_BUNDLE_BYTES}'
            )
        return from_bytes(path.read_bytes())
    except OSError as error:
        raise BundleError(f'{path}: {error.strerror or error}') from error
    except BundleError as error:
        raise BundleError(f'{path}: {error}') from error

"""Policies that others exported: an ONNX file without our metadata and a YAML file beside it.

The YAML has the bundle's keys (`docs/architecture.md`), each with a list or, where one value
serves all joints, a number:

    joint_names: [FR_hip_joint, FR_thigh_joint, ...]
    default_joint_pos: [-0.1, 0.8, -1.5, ...]
    joint_stiffness: 20.0
    joint_damping: 0.5
    action_scale: 0.25
    observation_names: [base_ang_vel, projected_gravity, command, joint_pos, joint_vel, actions]
    observation_scales: [0.25, 1.0, 1.0, 1.0, 0.05, 1.0]
    control_dt: 0.02
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from make_agent_ros.policy.bundle import MAX_BUNDLE_BYTES, Bundle, from_bytes, to_bytes
from make_agent_ros.policy.onnx_file import read_model
from make_agent_ros.policy.onnx_mlp import BundleError, read_layers

_PER_JOINT = ('joint_stiffness', 'joint_damping', 'default_joint_pos', 'action_scale')
_REQUIRED = ('joint_names', 'observation_names', *_PER_JOINT)
_OPTIONAL = (
    'observation_scales', 'command_names', 'control_dt', 'default_command', 'gait_frequency_hz',
    'velocity_gain',
)  # fmt: skip


def read_policy(path: str | Path) -> bytes:
    """Return a policy file as bundle bytes, with the YAML beside it when there is one.

    Args:
        path: `policy.onnx`; `policy.yaml` beside it makes it a third-party policy.

    Raises:
        BundleError: it cannot be read or is not a policy; the message says why.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BUNDLE_BYTES:
            raise BundleError(
                f'{path}: {path.stat().st_size} bytes; a policy has at most {MAX_BUNDLE_BYTES}'
            )
        data = path.read_bytes()
        sidecar = path.with_suffix('.yaml')
        if not sidecar.is_file():
            from_bytes(data)
            return data
        return to_bytes(from_onnx_and_yaml(data, sidecar.read_text(encoding='utf-8')))
    except OSError as error:
        raise BundleError(f'{path}: {error.strerror or error}') from error
    except BundleError as error:
        raise BundleError(f'{path}: {error}') from error


def from_onnx_and_yaml(data: bytes, text: str) -> Bundle:
    """Join a network and its description.

    Args:
        data: ONNX file with an ELU MLP.
        text: YAML with the bundle's keys.

    Raises:
        BundleError: a key is missing, unknown or of the wrong form, or the network is no ELU MLP.
    """
    try:
        described = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BundleError(f'the YAML beside the policy is broken: {error}') from error
    if not isinstance(described, dict):
        raise BundleError('the YAML beside the policy must be a mapping of the bundle keys')
    missing = [key for key in _REQUIRED if key not in described]
    unknown = [key for key in described if key not in (*_REQUIRED, *_OPTIONAL)]
    if missing or unknown:
        raise BundleError(
            f'the YAML beside the policy lacks [{", ".join(missing)}] and has unknown '
            f'[{", ".join(map(str, unknown))}]; keys: {", ".join((*_REQUIRED, *_OPTIONAL))}'
        )
    try:
        values = _values(described)
        return Bundle(
            layers=read_layers(read_model(data)),
            provenance={'source': 'third party, ONNX and YAML'},
            **values,
        )
    except BundleError:
        raise
    except Exception as error:
        raise BundleError(
            f'the YAML beside the policy does not fit ({error}); docs/architecture.md has the keys'
        ) from error


def _values(described: dict[str, Any]) -> dict[str, Any]:
    """Return the bundle's fields: lists as tuples, one number for all joints as twelve."""
    values = {
        key: tuple(value) if isinstance(value, list) else value for key, value in described.items()
    }
    values.setdefault('observation_scales', (1.0,) * len(values['observation_names']))
    for key in _PER_JOINT:
        try:
            numbers = np.asarray(values[key], dtype=np.float64)
        except (TypeError, ValueError) as error:
            given = described[key]
            raise BundleError(f'{key} is {given!r}; give a number, or one per joint') from error
        values[key] = np.full(12, numbers) if numbers.ndim == 0 else numbers
    if 'default_command' in values:
        values['default_command'] = np.asarray(values['default_command'], dtype=np.float64)
    return values

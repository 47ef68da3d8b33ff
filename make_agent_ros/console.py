"""What `make-agent info` prints of a policy bundle."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from make_agent_ros.policy import Bundle, load


def bundle_rows(bundle: Bundle) -> list[tuple[str, str]]:
    """Return what a bundle holds as (what, value)."""
    layers = [str(bundle.layers[0][0].shape[1])]
    layers += [str(weight.shape[0]) for weight, _ in bundle.layers]
    weights = sum(weight.size + bias.size for weight, bias in bundle.layers)
    vx, vy, wz = bundle.default_command
    clock = f'{bundle.gait_frequency_hz:.2f} Hz' if bundle.gait_frequency_hz else 'none'
    return [
        ('network', f'{"-".join(layers)}, ELU, {weights:,} weights'),
        ('period', f'{bundle.control_dt * 1e3:g} ms'),
        ('observation', ', '.join(bundle.observation_names)),
        ('gait clock', clock),
        ('velocity loop', f'{bundle.velocity_gain:g} 1/s' if bundle.velocity_gain else 'none'),
        ('default command', f'vx {vx:.2f} m/s, vy {vy:.2f} m/s, wz {wz:.2f} rad/s'),
        ('stiffness', _span(bundle.joint_stiffness, 'N m/rad')),
        ('damping', _span(bundle.joint_damping, 'N m s/rad')),
        ('action scale', _span(bundle.action_scale, 'rad')),
        ('joints', ', '.join(bundle.joint_names)),
        ('provenance', json.dumps(dict(bundle.provenance)) if bundle.provenance else 'unknown'),
        ('check', json.dumps(dict(bundle.check)) if bundle.check else 'not checked'),
    ]


def _span(values: np.ndarray, unit: str) -> str:
    low, high = float(np.min(values)), float(np.max(values))
    return f'{low:g} {unit}' if low == high else f'{low:g} .. {high:g} {unit}'


def print_bundle(path: Path) -> None:
    """Print a bundle as a table.

    Raises:
        BundleError: the file cannot be read or run.
    """
    table = Table(title=path.name, show_header=False)
    for what, value in bundle_rows(load(path)):
        table.add_row(what, value)
    Console().print(table)

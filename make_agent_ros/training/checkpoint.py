"""Checkpoints without pickle: tensors in safetensors, the rest in JSON.

Both files are replaced in one step, tensors first, so that a run killed at any moment finds a
checkpoint that is whole.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file


def save_checkpoint(
    stem: Path,
    modules: dict[str, torch.nn.Module],
    optimizer: torch.optim.Optimizer | None,
    info: dict[str, Any],
) -> None:
    """Write `stem`.safetensors and `stem`.json.

    Args:
        stem: path without suffix.
        modules: saved under their names, parameters and buffers.
        optimizer: its per-parameter tensors are saved when given.
        info: JSON-ready figures: iteration, seconds, configuration ...
    """
    tensors = {
        f'{name}.{key}': value.detach().contiguous().clone()
        for name, module in modules.items()
        for key, value in module.state_dict().items()
    }
    if optimizer is not None:
        for index, values in optimizer.state_dict()['state'].items():
            for key, value in values.items():
                tensors[f'optimizer.{index}.{key}'] = torch.as_tensor(value).clone()
        info = {**info, 'learning_rate': optimizer.param_groups[0]['lr']}
    part = stem.with_suffix('.safetensors.part')
    save_file(tensors, part)
    part.replace(stem.with_suffix('.safetensors'))
    part = stem.with_suffix('.json.part')
    part.write_text(json.dumps(info, indent=1))
    part.replace(stem.with_suffix('.json'))


def load_checkpoint(
    stem: Path,
    modules: dict[str, torch.nn.Module],
    optimizer: torch.optim.Optimizer | None = None,
) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote into modules and optimizer; return `info`.

    Raises:
        FileNotFoundError: there is no checkpoint; the message names the command that makes one.
    """
    path = stem.with_suffix('.safetensors')
    if not path.exists():
        raise FileNotFoundError(f'{path} does not exist; run `make-agent train {stem.name}` first')
    tensors = load_file(path)
    info: dict[str, Any] = json.loads(stem.with_suffix('.json').read_text())
    for name, module in modules.items():
        prefix = f'{name}.'
        module.load_state_dict(
            {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}
        )
    if optimizer is not None:
        state: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith('optimizer.'):
                _, index, what = key.split('.')
                state.setdefault(int(index), {})[what] = value
        groups = optimizer.state_dict()['param_groups']
        groups[0]['lr'] = info['learning_rate']
        optimizer.load_state_dict({'state': state, 'param_groups': groups})
    return info

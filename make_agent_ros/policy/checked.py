"""The sim-to-real check's verdict inside a bundle, and whether it speaks of exactly this policy.

`checking` writes it, the controller reads it; the robot's computer needs no simulator for that.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from typing import Any

import numpy as np

from make_agent_ros.policy.bundle import Bundle

LET_THROUGH = ('PASS', 'WARN')
"""Verdicts with which a policy may run: a warning is for people to read, a failure is a no."""


def policy_digest(bundle: Bundle) -> str:
    """Return the SHA-256 of all that a policy is, less its check, as hex.

    Of the content, not of the file: two versions of onnx may write one policy differently.
    """
    digest = hashlib.sha256()
    for entry in fields(bundle):
        idle = entry.name == 'gait_frequency_hz' and 'gait_clock' not in bundle.observation_names
        idle |= entry.name == 'velocity_gain' and not bundle.velocity_gain
        if entry.name in ('layers', 'check') or idle:
            continue
        value = json.dumps(getattr(bundle, entry.name), sort_keys=True, default=_plain)
        digest.update(f'{entry.name}={value}\n'.encode())
    for layer in bundle.layers:
        for part in layer:
            digest.update(f'{part.shape}\n'.encode())
            digest.update(np.ascontiguousarray(part, dtype='<f4').tobytes())
    return digest.hexdigest()


def check_holds(bundle: Bundle) -> bool:
    """Tell whether the check inside the bundle was made on exactly this policy."""
    return bundle.check.get('policy') == policy_digest(bundle)


def why_unchecked(bundle: Bundle) -> str:
    """Say what is wrong with the check inside a bundle; empty when it lets the policy through."""
    verdict = bundle.check.get('verdict')
    if verdict is None:
        return 'was never checked'
    if verdict not in LET_THROUGH:
        return (
            f'has the check verdict {verdict!r} ({bundle.check.get("reason", "no reason given")})'
        )
    if not bundle.check.get('report'):
        return f'has the check verdict {verdict!r} without the digest of a report'
    if not check_holds(bundle):
        return 'was changed after its check, or carries the check of another policy'
    return ''


def _plain(value: Any) -> Any:
    return np.asarray(value, dtype=np.float64).tolist()

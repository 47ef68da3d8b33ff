"""Policies as data: flat weights, numpy inference, and the ONNX bundle that travels.

Needs numpy and onnx only, so that the robot's computer runs policies without torch.
"""

from __future__ import annotations

from make_agent_ros.policy.bundle import Bundle, from_bytes, load, save, to_bytes
from make_agent_ros.policy.mlp import MlpBatch, MlpPolicy, MlpShape
from make_agent_ros.policy.onnx_mlp import BundleError

__all__ = [
    'Bundle', 'BundleError', 'MlpBatch', 'MlpPolicy', 'MlpShape', 'from_bytes', 'load', 'save',
    'to_bytes',
]  # fmt: skip

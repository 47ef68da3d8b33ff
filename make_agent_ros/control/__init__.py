"""The controller: state machine, safety envelope, policy runner, real-time loop.

Pure numpy: time enters as an argument, the robot as a link; no torch, MuJoCo or rclpy here.
"""

from __future__ import annotations

from make_agent_ros.control.controller import Controller, ControllerConfig, Inputs
from make_agent_ros.control.faults import Fault, FaultCode, Reaction
from make_agent_ros.control.machine import Mode, Reply, Request, StateMachine
from make_agent_ros.control.runner import PolicyRunner
from make_agent_ros.control.safety import Envelope, SafetyLimits

__all__ = [
    'Controller', 'ControllerConfig', 'Envelope', 'Fault', 'FaultCode', 'Inputs', 'Mode',
    'PolicyRunner', 'Reaction', 'Reply', 'Request', 'SafetyLimits', 'StateMachine',
]  # fmt: skip

"""The robot's vocabulary: names, limits, state, kinematics, observation, wire codec, DDS link.

Needs numpy only; the link alone imports CycloneDDS. Nothing here knows simulators or policies.
"""

from __future__ import annotations

from make_agent_ros.go2.observation import POLICY_SCALES, POLICY_TERMS, ObservationBuilder
from make_agent_ros.go2.state import RobotState, projected_gravity

__all__ = [
    'POLICY_SCALES',
    'POLICY_TERMS',
    'ObservationBuilder',
    'RobotState',
    'projected_gravity',
]

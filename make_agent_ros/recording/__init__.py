"""Recordings: bags, trajectories, gait description, steady prompts, quality figures.

A prompt needs proprioception only; the controller that moved the robot may be anybody's.
"""

from __future__ import annotations

from make_agent_ros.recording.errors import RecordingError
from make_agent_ros.recording.gait import Gait, describe_gait, gait_distance
from make_agent_ros.recording.trajectory import Trajectory

__all__ = ['Gait', 'RecordingError', 'Trajectory', 'describe_gait', 'gait_distance']

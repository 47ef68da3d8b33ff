"""Recordings: bags, trajectories, gait description, steady prompts, quality figures.

A prompt needs proprioception only; the controller that moved the robot may be anybody's.
"""

from __future__ import annotations

from make_agent_ros.recording.errors import RecordingError
from make_agent_ros.recording.gait import Gait, describe_gait, gait_distance
from make_agent_ros.recording.prompt import Segment, cut_prompt, find_segments
from make_agent_ros.recording.trajectory import Trajectory

__all__ = [
    'Gait',
    'RecordingError',
    'Segment',
    'Trajectory',
    'cut_prompt',
    'describe_gait',
    'find_segments',
    'gait_distance',
]

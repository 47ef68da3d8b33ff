"""Foreign recordings as prompts, and several recordings of one style as one."""

from __future__ import annotations

from pathlib import Path

from make_agent_ros.recording.bag import read_bag
from make_agent_ros.recording.trajectory import Trajectory


def import_recording(source: str | Path) -> Trajectory:
    """Read any supported recording (see `recording.bag.read_bag`) for saving as NPZ.

    Raises:
        RecordingError: as `read_bag`.
    """
    return read_bag(source)

"""Parameters of the recorder node."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from make_agent_ros.nodes.parameters import param
from make_agent_ros.recording.recorder import RecorderOptions


@dataclass(frozen=True)
class RecorderConfig:
    """Everything that can be set on the recorder node."""

    interface: str = param('lo', 'Network interface of the robot link.')
    domain: int = param(1, 'DDS domain of the robot link: 1 simulator, 0 robot.', 0, 232)
    robot: str = param('go2', 'Name of the robot, written into the bag.')
    directory: str = param('runs/bags', 'Folder that gets one folder per bag.')
    autostart: bool = param(False, 'Begin to record at once; false: wait for ~/start.')
    max_file_mb: float = param(
        512.0, 'Size at which a new file of the bag begins; 0: never.', 0.0, 1e6, unit='MiB'
    )
    max_file_s: float = param(
        600.0, 'Time after which a new file of the bag begins; 0: never.', 0.0, 1e6, unit='s'
    )
    max_bag_mb: float = param(
        4096.0, 'Largest bag; 0: no limit.', 0.0, 1e7, unit='MiB'
    )  # fmt: skip
    overwrite_oldest: bool = param(
        False, 'At max_bag_mb delete the oldest file of the bag instead of stopping.'
    )
    min_free_mb: float = param(
        500.0, 'Stop recording when the disk has less than this left.', 0.0, 1e6, unit='MiB'
    )
    ring_s: float = param(
        30.0, 'Time kept in memory for ~/snapshot (1 MB per second); 0: none.', 0.0, 600.0,
        unit='s',
    )  # fmt: skip

    def options(self) -> RecorderOptions:
        """Return what the recorder itself takes."""
        return RecorderOptions(
            directory=Path(self.directory).expanduser(),
            max_file_mb=self.max_file_mb,
            max_file_s=self.max_file_s,
            max_bag_mb=self.max_bag_mb,
            overwrite_oldest=self.overwrite_oldest,
            min_free_mb=self.min_free_mb,
            ring_s=self.ring_s,
        )

"""What a demo recorded, and the figures and pictures that follow from it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from make_agent_ros.demo.measure import Measured, fell, gait_of, speed, tracking_error
from make_agent_ros.go2.state import yaw
from make_agent_ros.nodes.track import Track
from make_agent_ros.recording.bag import read_bag, resample
from make_agent_ros.recording.prompt import cut_prompt
from make_agent_ros.recording.trajectory import Trajectory

PROMPT_S = 4.0
FORWARD_S = (2.0, 6.5)
"""The part of the script that the gait is measured on: steady, forward, s after its start."""
PICTURE_HZ = 25.0
TRACK_FILE, SESSION_FILE = 'track.npz', 'session.json'
SAVED = ('shown_s', 'demonstration_s', 'generated_s', 'generated', 'controller')


@dataclass
class Recorded:
    """Everything that a run of the demo leaves behind."""

    bags: Path
    shown_s: tuple[float, float] = (0.0, 0.0)
    """When the first bag was recorded, monotonic, s."""
    demonstration_s: tuple[float, float] = (0.0, 0.0)
    """When the demonstration policy walked the script."""
    generated_s: tuple[float, float] = (0.0, 0.0)
    """When the generated policy walked the script."""
    generated: dict[str, Any] = field(default_factory=dict)
    """The generator's state after generating: seconds per stage, digest, novelty."""
    controller: dict[str, Any] = field(default_factory=dict)
    track: Track | None = None

    def save(self, folder: Path) -> None:
        """Write everything but the bags, so that the report can be made again."""
        assert self.track is not None
        np.savez_compressed(folder / TRACK_FILE, **vars(self.track))
        content = {name: getattr(self, name) for name in SAVED}
        (folder / SESSION_FILE).write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8')

    @classmethod
    def load(cls, folder: Path) -> Recorded:
        """Read what `save` wrote; the bags are expected in `folder/bags`."""
        content = json.loads((folder / SESSION_FILE).read_text(encoding='utf-8'))
        with np.load(folder / TRACK_FILE, allow_pickle=False) as arrays:
            track = Track(**{name: arrays[name] for name in arrays.files})
        return cls(folder / 'bags', track=track, **content)

    @cached_property
    def bag_folders(self) -> list[Path]:
        """The two bags, in the order of recording."""
        return sorted({path.parent for path in self.bags.rglob('*.mcap')})

    @cached_property
    def shown(self) -> Trajectory:
        """What the robot showed, 50 Hz."""
        return resample(read_bag(self.bag_folders[0]))

    @cached_property
    def prompt(self) -> Trajectory:
        """The part that the generator saw: the same function on the same bag."""
        return cut_prompt(read_bag(self.bag_folders[0]), PROMPT_S)

    @cached_property
    def answered(self) -> Trajectory:
        """The generated policy on the script, 50 Hz."""
        return resample(read_bag(self.bag_folders[-1]))

    def walk(self, *, generated: bool) -> Track:
        """Return the track of one of the two scripts."""
        assert self.track is not None
        return self.track.between(*(self.generated_s if generated else self.demonstration_s))


def measure_prompt(recorded: Recorded) -> Measured:
    """Describe the prompt; its speed is that of the bag it was cut from."""
    assert recorded.track is not None
    start_s = recorded.shown_s[0] + float(recorded.prompt.time_s[0] - recorded.shown.time_s[0])
    during = recorded.track.between(start_s, start_s + recorded.prompt.duration_s)
    return Measured('prompt', gait_of(recorded.prompt), speed(during), falls=int(fell(during)))


def measure_walk(name: str, recorded: Recorded, *, generated: bool) -> Measured:
    """Describe a policy on the script: gait while it went forward, tracking over all of it."""
    track = recorded.walk(generated=generated)
    start_s = track.time_s[0]
    forward = track.between(start_s + FORWARD_S[0], start_s + FORWARD_S[1])
    gait = gait_of(recorded.answered.slice(*FORWARD_S) if generated else recorded.shown)
    planar, yaw_rate = tracking_error(track)
    return Measured(name, gait, speed(forward), planar, yaw_rate, int(fell(track)))


def poses(track: Track, seconds: tuple[float, float]) -> np.ndarray:
    """Return MuJoCo poses (x, y, z, quaternion wxyz, 12 joints) at 25 Hz, shape (T, 19).

    Args:
        track: of a walk.
        seconds: from and to, after the track's first row.
    """
    start_s = track.time_s[0]
    times = np.arange(start_s + seconds[0], start_s + seconds[1], 1.0 / PICTURE_HZ)
    rows = np.clip(np.searchsorted(track.time_s, times), 0, len(track.time_s) - 1)
    # Turned so that every walk starts along x: pictures of two walks then compare.
    turn = -yaw(track.quat_wxyz[rows[0]])
    cos, sin = np.cos(turn), np.sin(turn)
    position = track.position[rows] - track.position[rows[0]] * [1.0, 1.0, 0.0]
    position[:, :2] = position[:, :2] @ np.array([[cos, sin], [-sin, cos]])
    w, x, y, z = track.quat_wxyz[rows].T
    half_cos, half_sin = np.cos(turn / 2), np.sin(turn / 2)
    quat = np.stack(
        (
            half_cos * w - half_sin * z,
            half_cos * x - half_sin * y,
            half_cos * y + half_sin * x,
            half_cos * z + half_sin * w,
        ),
        axis=1,
    )
    return np.concatenate((position, quat, np.nan_to_num(track.joint_pos[rows])), axis=1)

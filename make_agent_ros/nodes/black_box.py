"""A black box as a bag for Foxglove and PlotJuggler.

It holds `/lowstate` and `/lowcmd`, the policy's `/observation` and `/action`, and mode and policy
digest as `/marks`. The controller writes the plain arrays at once (`control.blackbox.save`) and
starts this module as a process of its own, so that encoding thousands of messages never competes
with the loop.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from make_agent_ros.control.blackbox import load
from make_agent_ros.control.realtime import start_ordinary
from make_agent_ros.go2.command import JointCommand
from make_agent_ros.go2.state import RobotState
from make_agent_ros.go2.wire import LowCmdEncoder, LowStateEncoder
from make_agent_ros.recording.messages import floats_cdr, string_cdr
from make_agent_ros.recording.writer import BagWriter

MODULE = 'make_agent_ros.nodes.black_box'
NICENESS = 10


def start_conversion(path: Path) -> subprocess.Popen[bytes]:
    """Turn the black box `path` (.npz) into a bag beside it, in a process that outlives us."""
    return start_ordinary([sys.executable, '-m', MODULE, str(path)], start_new_session=True)


def write_bag(path: Path) -> Path:
    """Write the bag of a black box; return its folder, `path` without the suffix.

    Args:
        path: file written by `control.blackbox.save`, with `wall_offset_s` in it.
    """
    box = load(path)
    folder = path.with_suffix('')
    stamps_ns = ((box['time_s'] + float(box['wall_offset_s'])) * 1e9).astype(np.int64).tolist()
    states, commands = LowStateEncoder(), LowCmdEncoder()
    metadata = {'source': 'make_agent_ros controller black box', 'arrays': path.name}
    writer = BagWriter(folder, metadata=metadata)
    mark = ''
    for i, stamp_ns in enumerate(stamps_ns):
        now = f'{box["mode"][i]} {box["policy"][i][:12]}'.strip()
        if now != mark:
            mark = now
            writer.write('/marks', string_cdr(mark), stamp_ns)
        if np.isfinite(box['quat_wxyz'][i]).all():
            writer.write('/lowstate', states.encode(_state(box, i)), stamp_ns)
        if box['armed'][i]:
            writer.write('/lowcmd', commands.encode(_command(box, i)), stamp_ns)
        for name in ('observation', 'action'):
            row = box[name][i]
            # A policy computes at a tenth of the loop's rate; what it said stays in the box.
            if np.isfinite(row[0]) and (i == 0 or not _same(row, box[name][i - 1])):
                writer.write(f'/{name}', floats_cdr(row[np.isfinite(row)].tolist()), stamp_ns)
    writer.close()
    return folder


def _state(box: dict[str, np.ndarray], i: int) -> RobotState:
    return RobotState(
        quat_wxyz=box['quat_wxyz'][i],
        base_ang_vel=box['base_ang_vel'][i],
        joint_pos=box['joint_pos'][i],
        joint_vel=box['joint_vel'][i],
        tick=int(box['tick'][i]),
        base_lin_acc=box['base_lin_acc'][i],
        joint_torque=box['joint_torque'][i],
    )


def _command(box: dict[str, np.ndarray], i: int) -> JointCommand:
    return JointCommand(
        joint_pos=box['target_pos'][i],
        stiffness=box['stiffness'][i],
        damping=box['damping'][i],
    )


def _same(row: np.ndarray, before: np.ndarray) -> bool:
    return np.array_equal(row, before, equal_nan=True)


def main() -> None:
    """Convert the black boxes named on the command line."""
    os.nice(NICENESS)
    for name in sys.argv[1:]:
        write_bag(Path(name))


if __name__ == '__main__':
    main()

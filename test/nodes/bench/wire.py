"""Windows of a wire that never was: commands and states at chosen times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from make_agent_ros.control.admission import standing_state
from make_agent_ros.go2.command import JointCommand, damping_command
from make_agent_ros.go2.state import RobotState
from make_agent_ros.go2.wire import encode_lowcmd, encode_lowstate
from make_agent_ros.nodes.bench.window import Window

HOLD = JointCommand(joint_pos=np.zeros(12), stiffness=np.full(12, 30.0), damping=np.ones(12))
DAMP = damping_command()
OFF = JointCommand(stiffness=HOLD.stiffness, damping=HOLD.damping, enabled=False)
PUSH = JointCommand(damping=DAMP.damping, torque=np.full(12, 2.0))


def rows(samples: Sequence[bytes], size: int) -> np.ndarray:
    return np.frombuffer(b''.join(samples), np.uint8).reshape(-1, size)


def window(
    commands: Sequence[tuple[float, JointCommand]] = (),
    states: Sequence[tuple[float, RobotState]] = (),
    end_s: float = 1.0,
    start_s: float = 0.0,
    heard_late_s: float = 0.0,
) -> Window:
    """A wire on which every second LowCmd was heard so much later than it was sent."""
    sent_s = np.array([time_s for time_s, _ in commands])
    return Window(
        start_s,
        end_s,
        sent_s + heard_late_s * (np.arange(len(sent_s)) % 2),
        1.7e9 + sent_s,
        rows([encode_lowcmd(command) for _, command in commands], 812),
        np.array([time_s for time_s, _ in states]),
        rows([encode_lowstate(state) for _, state in states], 1180),
    )


def every(start_s: float, end_s: float, what, period_s: float = 0.01) -> list:
    count = round((end_s - start_s) / period_s)
    return [(start_s + i * period_s, what) for i in range(count)]


def standing(count: int = 50, period_s: float = 0.01, **changes) -> list[tuple[float, RobotState]]:
    """A robot that trembles, as a real one does."""
    states = []
    for i in range(count):
        state = replace(standing_state(), tick=2 * i, **changes)
        state.joint_pos = state.joint_pos + 1e-3 * (i % 7)
        state.base_ang_vel = state.base_ang_vel + 1e-3 * (i % 5)
        states.append((i * period_s, state))
    return states

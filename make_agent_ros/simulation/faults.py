"""Faults that the simulated robot can have, on the wire and in the body.

`Faults` says what is wrong; `WireFaults` does to the samples what it says. The body's faults
(motors, payload, friction, charge) are applied where the robot is stepped.
"""

from __future__ import annotations

import copy
from collections import deque
from dataclasses import dataclass

import numpy as np

from make_agent_ros.fields import param
from make_agent_ros.go2.constants import JOINT_NAMES
from make_agent_ros.go2.state import RobotState

NONE = 'none'

_SWAPPED = np.r_[3:6, 0:3, 6:12]
"""Joints with the front legs exchanged, package order."""


@dataclass(frozen=True)
class Faults:
    """Everything that can go wrong, harmless by default. Every field may change at any time."""

    drop_state: float = param(
        0.0, 'Share of LowState samples that are never sent.', 0.0, 1.0, dynamic=True
    )
    drop_command: float = param(
        0.0, 'Share of LowCmd samples that the robot does not hear.', 0.0, 1.0, dynamic=True
    )
    delay_state_s: float = param(
        0.0, 'Time that LowState spends on the way.', 0.0, 2.0, unit='s', dynamic=True
    )
    delay_command_s: float = param(
        0.0, 'Time that LowCmd spends on the way.', 0.0, 2.0, unit='s', dynamic=True
    )
    freeze: str = param(
        NONE,
        'values: the sensors repeat their last values while the tick runs on; '
        'all: the same sample is sent over and over, tick included.',
        choices=(NONE, 'values', 'all'),
        dynamic=True,
    )
    corrupt: str = param(
        NONE,
        'nan: one joint angle is not a number; crc: the CRC is wrong; '
        'swap_legs: the front legs arrive in exchanged slots.',
        choices=(NONE, 'nan', 'crc', 'swap_legs'),
        dynamic=True,
    )
    lost_motor: str = param(
        NONE, 'Joint whose motor gives no torque.', choices=(NONE, *JOINT_NAMES), dynamic=True
    )
    motor_strength: float = param(
        1.0, 'Factor on the torque of every motor.', 0.0, 1.5, dynamic=True
    )
    payload_kg: float = param(0.0, 'Mass added to the trunk.', -3.0, 15.0, unit='kg', dynamic=True)
    friction: float = param(
        0.8, 'Sliding friction between feet and ground.', 0.05, 2.0, dynamic=True
    )
    battery_soc: float = param(
        -1.0,
        'State of charge to report; negative: the modelled one.',
        -1.0,
        100.0,
        unit='%',
        dynamic=True,
    )
    motor_temperature_c: float = param(
        -1.0,
        'Temperature to report for every motor; negative: the modelled one.',
        -1.0,
        200.0,
        unit='deg C',
        dynamic=True,
    )


class DelayLine:
    """Hands samples out again after a delay, in order, at the steps of a clock."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[float, bytes]] = deque()

    def pass_through(self, sample: bytes | None, now_s: float, delay_s: float) -> list[bytes]:
        """Put a sample in, if there is one, and return all that are due."""
        if sample is not None:
            self._waiting.append((now_s + delay_s, sample))
        due = []
        # Half a nanosecond of tolerance: times are sums of steps.
        while self._waiting and self._waiting[0][0] <= now_s + 5e-10:
            due.append(self._waiting.popleft()[1])
        return due


class WireFaults:
    """Applies the wire's faults to states and samples."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._frozen_values: RobotState | None = None
        self._frozen_sample: bytes | None = None
        self._states = DelayLine()
        self._commands = DelayLine()

    def on_command(self, sample: bytes | None, now_s: float, faults: Faults) -> list[bytes]:
        """Return the LowCmd samples that reach the robot in this step, oldest first."""
        if sample is not None and self._rng.random() < faults.drop_command:
            sample = None
        return self._commands.pass_through(sample, now_s, faults.delay_command_s)

    def on_state(self, state: RobotState, faults: Faults) -> RobotState:
        """Return what the sensors claim."""
        if faults.freeze == 'values':
            if self._frozen_values is None:
                self._frozen_values = copy.deepcopy(state)
            stuck = copy.copy(self._frozen_values)
            stuck.tick = state.tick
            state = stuck
        else:
            self._frozen_values = None
        if faults.corrupt == 'nan':
            state.joint_pos = state.joint_pos.copy()
            state.joint_pos[0] = np.nan
        elif faults.corrupt == 'swap_legs':
            state.joint_pos = state.joint_pos[_SWAPPED]
            state.joint_vel = state.joint_vel[_SWAPPED]
            state.joint_torque = state.joint_torque[_SWAPPED]
        return state

    def on_sample(self, sample: bytes, now_s: float, faults: Faults) -> list[bytes]:
        """Return the LowState samples that leave the robot in this step, oldest first."""
        if faults.freeze == 'all':
            self._frozen_sample = self._frozen_sample or sample
            sample = self._frozen_sample
        else:
            self._frozen_sample = None
        if faults.corrupt == 'crc':
            sample = sample[:-4] + bytes(b ^ 0xFF for b in sample[-4:])
        dropped = self._rng.random() < faults.drop_state
        return self._states.pass_through(None if dropped else sample, now_s, faults.delay_state_s)

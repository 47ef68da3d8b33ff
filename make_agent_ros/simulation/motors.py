"""The Go2's motors: what a LowCmd makes of them, within torque, speed, heat and charge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from make_agent_ros.go2.command import JointCommand
from make_agent_ros.go2.constants import JOINT_VELOCITY_LIMIT_RAD_S, TORQUE_LIMIT_NM
from make_agent_ros.go2.wire import MODE_SERVO, POS_STOP, VEL_STOP

KNEE_SPEED_RATIO = 13.5 / 30.0
"""Speed up to which the full driving torque is there, as a share of the no-load speed
(unitree_rl_lab, UnitreeActuatorCfg_Go2HV: X1 13.5, X2 30 rad/s)."""
DRIVING_TORQUE_RATIO = 20.2 / 23.4
"""Peak torque in the direction of motion over the peak against it (same source: Y1, Y2)."""

AMBIENT_C = 30.0
HEAT_RISE_C_PER_NM2 = 0.25
"""Final rise of a motor's temperature per squared torque. Ours, chosen so that a robot stands
(about 6 N m at the calves) and trots (about 11 N m) for as long as its battery lasts, under 70
deg C, and a stalled motor passes 100 deg C within two minutes."""
HEAT_TIME_CONSTANT_S = 150.0

BATTERY_WH = 236.8
"""8 Ah at 29.6 V: 8 cells in series. Ours; it only paces how the charge falls."""
CELLS = 8
CELL_EMPTY_V = 3.2
CELL_FULL_V = 4.2
IDLE_POWER_W = 40.0
"""Computers, sensors and radios. Ours."""
COPPER_LOSS_W_PER_NM2 = 0.15
"""Heat loss per squared joint torque. Ours."""


def motor_torque(
    command: JointCommand, modes: np.ndarray, joint_pos: np.ndarray, joint_vel: np.ndarray
) -> np.ndarray:
    """Torque that the motor drives compute, before any limit.

    tau + kp (q - q_measured) + kd (dq - dq_measured), none where the mode is not servo. PosStopF
    and VelStopF switch their term off, as the SDK documents.

    Args:
        command: package order.
        modes: motor modes on the wire, shape (12,).
        joint_pos: rad, shape (12,).
        joint_vel: rad/s, shape (12,).

    Returns:
        N m, shape (12,); 0 where the command is not finite.
    """
    spring = command.stiffness * (command.joint_pos - joint_pos)
    damper = command.damping * (command.joint_vel - joint_vel)
    spring = np.where(command.joint_pos >= 0.99 * POS_STOP, 0.0, spring)
    damper = np.where(command.joint_vel >= 0.99 * VEL_STOP, 0.0, damper)
    torque = command.torque + spring + damper
    return np.where((modes == MODE_SERVO) & np.isfinite(torque), torque, 0.0)


def limit_torque(torque: np.ndarray, joint_vel: np.ndarray) -> np.ndarray:
    """Clip to the torque-speed curve.

    Against the motion a motor gives its peak torque; along the motion a little less, falling
    linearly to nothing between the knee and the no-load speed.

    Args:
        torque: N m, shape (12,).
        joint_vel: rad/s, shape (12,).
    """
    speed = np.abs(joint_vel) / JOINT_VELOCITY_LIMIT_RAD_S
    left = np.minimum(np.maximum((1.0 - speed) / (1.0 - KNEE_SPEED_RATIO), 0.0), 1.0)
    driving = TORQUE_LIMIT_NM * DRIVING_TORQUE_RATIO * left
    upper = np.where(joint_vel >= 0.0, driving, TORQUE_LIMIT_NM)
    lower = np.where(joint_vel <= 0.0, driving, TORQUE_LIMIT_NM)
    return np.minimum(np.maximum(torque, -lower), upper)


@dataclass
class PowerPlant:
    """Motor temperatures and state of charge, carried from step to step."""

    temperature_c: np.ndarray
    """Package order, shape (12,)."""
    soc: float
    """Percent."""
    current_a: float = 0.0

    @classmethod
    def cold(cls, soc: float) -> PowerPlant:
        """Return motors at ambient temperature and a battery at `soc` percent."""
        return cls(np.full(12, AMBIENT_C), soc)

    @property
    def voltage_v(self) -> float:
        """Open-circuit voltage of the pack, linear in the charge."""
        return CELLS * (CELL_EMPTY_V + (CELL_FULL_V - CELL_EMPTY_V) * self.soc / 100.0)

    def step(self, torque: np.ndarray, joint_vel: np.ndarray, dt_s: float) -> None:
        """Advance by `dt_s` under a joint torque."""
        squared = torque * torque
        target = AMBIENT_C + HEAT_RISE_C_PER_NM2 * squared
        self.temperature_c += (target - self.temperature_c) * (dt_s / HEAT_TIME_CONSTANT_S)
        mechanical = float(np.maximum(torque * joint_vel, 0.0).sum())
        power_w = IDLE_POWER_W + mechanical + COPPER_LOSS_W_PER_NM2 * float(squared.sum())
        self.current_a = power_w / self.voltage_v
        self.soc = max(0.0, self.soc - 100.0 * power_w * dt_s / (BATTERY_WH * 3600.0))

"""What the simulated Go2 measures: IMU, encoders, feet, with noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
import numpy as np

from make_agent_ros.fields import param
from make_agent_ros.go2.constants import JOINT_NAMES, LEGS
from make_agent_ros.go2.state import RobotState


@dataclass(frozen=True)
class Noise:
    """Standard deviations of white noise per sample; the sizes are ours, not a robot's."""

    attitude_rad: float = param(0.002, 'Roll, pitch and yaw.', 0.0, 0.2, unit='rad', dynamic=True)
    gyro_rad_s: float = param(0.02, 'Gyroscope.', 0.0, 1.0, unit='rad/s', dynamic=True)
    accelerometer_m_s2: float = param(0.1, 'Accelerometer.', 0.0, 5.0, unit='m/s^2', dynamic=True)
    joint_pos_rad: float = param(0.001, 'Joint encoders.', 0.0, 0.1, unit='rad', dynamic=True)
    joint_vel_rad_s: float = param(0.05, 'Joint velocities.', 0.0, 2.0, unit='rad/s', dynamic=True)
    torque_nm: float = param(0.1, 'Estimated torque.', 0.0, 5.0, unit='N m', dynamic=True)
    foot_force_n: float = param(1.0, 'Foot sensors.', 0.0, 50.0, unit='N', dynamic=True)

    @classmethod
    def none(cls) -> Noise:
        """Return perfect sensors."""
        return cls(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


class Sensors:
    """Reads a model's sensors by name and adds noise."""

    def __init__(self, model: mujoco.MjModel, rng: np.random.Generator) -> None:
        self._rng = rng
        joints = [model.joint(name) for name in JOINT_NAMES]
        self.qpos = np.array([joint.qposadr[0] for joint in joints])
        """Where the joint angles lie in `qpos`, package order."""
        self.dofs = np.array([joint.dofadr[0] for joint in joints])
        """Where the joint velocities lie in `qvel`, package order."""
        self._quat = _sensor_slice(model, 'imu_quat')
        self._gyro = _sensor_slice(model, 'imu_gyro')
        self._acc = _sensor_slice(model, 'imu_acc')
        self._touch = np.array([_sensor_slice(model, f'{leg}_touch').start for leg in LEGS])

    def read(self, data: mujoco.MjData, torque: np.ndarray, noise: Noise) -> RobotState:
        """Return the proprioception of this instant; charge, heat and tick are left to the caller.

        Args:
            data: after `mj_step`.
            torque: what the motors gave in that step, package order, N m.
            noise: standard deviations.
        """
        values = data.sensordata
        n = self._rng.standard_normal(50)
        return RobotState(
            quat_wxyz=_tilted(values[self._quat], noise.attitude_rad * n[:3]),
            base_ang_vel=values[self._gyro] + noise.gyro_rad_s * n[3:6],
            joint_pos=data.qpos[self.qpos] + noise.joint_pos_rad * n[6:18],
            joint_vel=data.qvel[self.dofs] + noise.joint_vel_rad_s * n[18:30],
            base_lin_acc=values[self._acc] + noise.accelerometer_m_s2 * n[30:33],
            joint_torque=torque + noise.torque_nm * n[33:45],
            foot_force=np.maximum(values[self._touch] + noise.foot_force_n * n[45:49], 0.0),
        )


def _sensor_slice(model: mujoco.MjModel, name: str) -> slice:
    sensor = model.sensor(name)
    return slice(int(sensor.adr[0]), int(sensor.adr[0] + sensor.dim[0]))


def _tilted(quat_wxyz: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Rotate by small angles about the body axes, to first order, and normalise."""
    w, x, y, z = quat_wxyz.tolist()  # one robot: floats are faster than arrays
    a, b, c = (0.5 * angles).tolist()
    turned = (
        w - x * a - y * b - z * c,
        x + w * a + y * c - z * b,
        y + w * b + z * a - x * c,
        z + w * c + x * b - y * a,
    )
    return np.array(turned) / math.hypot(*turned)

"""A simulated Go2 that behaves like the robot's low-level side: LowCmd in, LowState out.

One call of `step` is one period of the robot's 500 Hz loop and one physics step. Motor torque is
computed in every step from the last LowCmd heard and from the joints' present state, so it does
not matter at which rate commands arrive. When they stop, the last one holds for ever: nobody has
published what the robot's firmware does then, and the worst case is the one to be safe against.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
import numpy as np

from make_agent_ros.go2.command import JointCommand
from make_agent_ros.go2.constants import JOINT_NAMES, LOWSTATE_DT_S, LYING_JOINT_POS
from make_agent_ros.go2.state import RobotState
from make_agent_ros.go2.wire import (
    LowStateEncoder,
    WireError,
    decode_lowcmd,
    motor_modes,
)
from make_agent_ros.simulation.faults import NONE, Faults, WireFaults
from make_agent_ros.simulation.model import robot_spec
from make_agent_ros.simulation.motors import PowerPlant, limit_torque, motor_torque
from make_agent_ros.simulation.sensors import Noise, Sensors

LYING_HEIGHT_M = 0.14
"""Where the trunk's origin is put down in the folded pose, m; it settles from there."""
SETTLE_S = 0.5


def motor_model() -> mujoco.MjModel:
    """Return the Go2 with torque motors, every body touching the ground, at 500 Hz."""
    spec = robot_spec(feet_only=False)
    spec.option.timestep = LOWSTATE_DT_S
    # One robot in real time can afford a solver that converges.
    spec.option.iterations = 50
    spec.option.ls_iterations = 20
    for actuator in spec.actuators:
        actuator.set_to_motor()
        actuator.ctrllimited = False
        actuator.forcelimited = False
    return spec.compile()


@dataclass(frozen=True)
class Truth:
    """What no sensor of the robot tells, world frame unless `_b`."""

    time_s: float
    """Simulated time since the last reset."""
    position_w: np.ndarray
    """Trunk origin, m, shape (3,)."""
    quat_wxyz: np.ndarray
    lin_vel_b: np.ndarray
    """Velocity of the trunk origin in the body frame, m/s, shape (3,)."""
    ang_vel_b: np.ndarray
    """rad/s, shape (3,)."""


class SimulatedRobot:
    """Body, motors, sensors and wire of one Go2. Not thread-safe; see `RealTimeRobot`."""

    def __init__(
        self, seed: int = 0, noise: Noise | None = None, battery_soc: float = 90.0
    ) -> None:
        """Put the robot on the ground, folded, motors off.

        Args:
            seed: of sensor noise and of random faults.
            noise: of the sensors; the default `Noise` when omitted.
            battery_soc: charge at the start, percent.
        """
        self.model = motor_model()
        self.data = mujoco.MjData(self.model)
        self.noise = noise if noise is not None else Noise()
        self.faults = Faults()
        self.remote = b''
        """What the hand-held remote sends, 40 bytes; empty without one."""
        self.bad_commands = 0
        """LowCmd samples ignored: wrong size, encapsulation or CRC."""
        self.last_bad_command = ''
        self.commands = 0
        """LowCmd samples obeyed."""
        self._rng = np.random.default_rng(seed)
        self._sensors = Sensors(self.model, self._rng)
        self._actuators = np.array([self.model.actuator(name).id for name in JOINT_NAMES])
        self._trunk = self.model.body('base').id
        self._feet = [self.model.geom(leg).id for leg in ('FL', 'FR', 'RL', 'RR')]
        self._nominal = (
            self.model.body_mass[self._trunk],
            self.model.body_inertia[self._trunk].copy(),
        )
        self._battery_soc = battery_soc
        self._encoder = LowStateEncoder()
        self._tick_ms = int(self._rng.integers(0, 100_000))
        self.reset()

    def reset(self) -> None:
        """Lie down where the robot started, motors off; the tick runs on, as on the robot."""
        self._wire = WireFaults(self._rng)
        self._command = JointCommand(enabled=False)
        self._modes = np.zeros(12, dtype=np.uint8)
        self._torque = np.zeros(12)
        self._push_end_s = 0.0
        self.power = PowerPlant.cold(self._battery_soc)
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:7] = (0.0, 0.0, LYING_HEIGHT_M, 1.0, 0.0, 0.0, 0.0)
        self.data.qpos[self._sensors.qpos] = LYING_JOINT_POS
        self._apply_body_faults(self.faults)
        for _ in range(round(SETTLE_S / self.model.opt.timestep)):
            mujoco.mj_step(self.model, self.data)
        self.data.qvel[:] = 0.0
        self.data.time = 0.0
        mujoco.mj_forward(self.model, self.data)

    def set_faults(self, faults: Faults) -> None:
        """Change what is wrong, from the next step on."""
        if (faults.payload_kg, faults.friction) != (self.faults.payload_kg, self.faults.friction):
            self._apply_body_faults(faults)
        self.faults = faults

    def push(self, velocity_change_w: np.ndarray, duration_s: float = 0.1) -> None:
        """Push the trunk with the force that would change the robot's velocity by this much.

        Args:
            velocity_change_w: world frame, m/s, shape (3,).
            duration_s: how long the force acts, s.
        """
        mass = self.model.body_subtreemass[self._trunk]
        self.data.xfrc_applied[self._trunk, :3] = mass * velocity_change_w / duration_s
        self._push_end_s = self.data.time + duration_s

    def step(self, command: bytes | None = None) -> list[bytes]:
        """Advance by one period of 2 ms.

        Args:
            command: LowCmd sample that arrived since the last step.

        Returns:
            The LowState samples to send; one, unless a fault holds them back.
        """
        data = self.data
        for sample in self._wire.on_command(command, data.time, self.faults):
            self._hear(sample)
        if self._push_end_s and data.time >= self._push_end_s:
            data.xfrc_applied[self._trunk] = 0.0
            self._push_end_s = 0.0
        joint_pos, joint_vel = data.qpos[self._sensors.qpos], data.qvel[self._sensors.dofs]
        torque = motor_torque(self._command, self._modes, joint_pos, joint_vel)
        torque = limit_torque(torque, joint_vel) * self.faults.motor_strength
        if self.faults.lost_motor != NONE:
            torque[JOINT_NAMES.index(self.faults.lost_motor)] = 0.0
        data.ctrl[self._actuators] = torque
        mujoco.mj_step(self.model, data)
        self._torque = torque
        self.power.step(torque, joint_vel, self.model.opt.timestep)
        self._tick_ms += round(1000 * self.model.opt.timestep)
        state = self._wire.on_state(self.measure(), self.faults)
        self._encoder.fields['rpy'] = _rpy(state.quat_wxyz)
        self._encoder.fields['power_a'] = self.power.current_a
        sample = self._encoder.encode(state, self._modes)
        return self._wire.on_sample(sample, data.time, self.faults)

    def measure(self) -> RobotState:
        """Return what the sensors read now, before any fault of the wire."""
        state = self._sensors.read(self.data, self._torque, self.noise)
        faults, power = self.faults, self.power
        state.tick = self._tick_ms
        state.wireless_remote = self.remote
        state.battery_soc = power.soc if faults.battery_soc < 0.0 else faults.battery_soc
        state.battery_v = power.voltage_v
        hot = faults.motor_temperature_c
        state.motor_temperature_c = power.temperature_c if hot < 0.0 else np.full(12, hot)
        return state

    def truth(self) -> Truth:
        """Return the trunk's true motion."""
        quat = self.data.qpos[3:7].copy()
        rotation = np.empty(9)
        mujoco.mju_quat2Mat(rotation, quat)
        return Truth(
            time_s=self.data.time,
            position_w=self.data.qpos[:3].copy(),
            quat_wxyz=quat,
            lin_vel_b=rotation.reshape(3, 3).T @ self.data.qvel[:3],
            ang_vel_b=self.data.qvel[3:6].copy(),
        )

    def _hear(self, sample: bytes) -> None:
        try:
            self._command = decode_lowcmd(sample)
        except WireError as error:
            self.bad_commands += 1
            self.last_bad_command = str(error)
            return
        self._modes = motor_modes(sample)
        self.commands += 1

    def _apply_body_faults(self, faults: Faults) -> None:
        mass, inertia = self._nominal
        self.model.body_mass[self._trunk] = mass + faults.payload_kg
        self.model.body_inertia[self._trunk] = inertia * (1.0 + faults.payload_kg / mass)
        self.model.geom_friction[self._feet, 0] = faults.friction
        mujoco.mj_setConst(self.model, mujoco.MjData(self.model))


def _rpy(quat_wxyz: np.ndarray) -> tuple[float, float, float]:
    """Roll, pitch and yaw as in LowState's IMU, rad."""
    w, x, y, z = quat_wxyz.tolist()  # one robot: floats are faster than arrays
    return (
        math.atan2(2.0 * (w * x + y * z), 1.0 - 2.0 * (x * x + y * y)),
        math.asin(max(-1.0, min(1.0, 2.0 * (w * y - z * x)))),
        math.atan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z)),
    )

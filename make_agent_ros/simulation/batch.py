"""Many Go2s at once on `mujoco.rollout`: one call per control step, all cores.

Proprioception of the whole batch comes as one `RobotState`, so that batch and robot share the
observation builder. Truth (velocity, height, contact) is kept beside it for rewards and metrics.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import mujoco
import numpy as np
from mujoco.rollout import Rollout

from make_agent_ros.go2.constants import JOINT_NAMES
from make_agent_ros.go2.state import RobotState
from make_agent_ros.simulation.model import Worlds

CONTACT_FORCE_N = 3.0
"""Touch force above which a foot counts as being on the ground."""


@dataclass(frozen=True)
class SensorNoise:
    """Half-widths of uniform noise on proprioception, per control step."""

    gyro_rad_s: float = 0.15
    tilt_rad: float = 0.03
    joint_pos_rad: float = 0.01
    joint_vel_rad_s: float = 1.0

    @classmethod
    def none(cls) -> SensorNoise:
        """Return perfect sensors."""
        return cls(0.0, 0.0, 0.0, 0.0)


def rotate_inverse(quat_wxyz: np.ndarray, vector_w: np.ndarray) -> np.ndarray:
    """Express world vectors (..., 3) in body frames given body-to-world quaternions (..., 4)."""
    w, q = quat_wxyz[..., :1], -quat_wxyz[..., 1:]
    t = 2.0 * np.cross(q, vector_w)
    return vector_w + w * t + np.cross(q, t)


class BatchSimulation:
    """A batch of robots, each in one of the given worlds.

    Shapes: B robots, `decimation` physics steps per control step.
    """

    def __init__(
        self,
        worlds: Worlds,
        world_index: np.ndarray,
        *,
        decimation: int = 4,
        threads: int | None = None,
        noise: SensorNoise | None = None,
        seed: int = 0,
    ) -> None:
        """Place robot b in world `world_index[b]`.

        Args:
            worlds: randomised copies of one model.
            world_index: shape (B,), integers into `worlds`.
            decimation: physics steps per control step.
            threads: of the rollout pool; all cores when omitted.
            noise: on the proprioception returned by `observe`; none when omitted.
            seed: of the noise.
        """
        self.worlds = worlds
        self.world_index = np.asarray(world_index)
        self.size = len(self.world_index)
        self.decimation = decimation
        self.noise = noise or SensorNoise.none()
        self.rng = np.random.default_rng(seed)
        model = worlds.models[0]
        self.control_dt_s = model.opt.timestep * decimation
        threads = threads or os.cpu_count() or 1
        self._pool = Rollout(nthread=threads)
        self._data = [mujoco.MjData(model) for _ in range(threads)]
        self._models = [worlds.models[i] for i in self.world_index]
        full = mujoco.mjtState.mjSTATE_FULLPHYSICS
        self._control_spec = int(
            mujoco.mjtState.mjSTATE_CTRL | mujoco.mjtState.mjSTATE_QFRC_APPLIED
        )
        n_state = mujoco.mj_stateSize(model, full)
        self._nq, self._nv = model.nq, model.nv
        self.state = np.zeros((self.size, n_state))
        self._states = np.zeros((self.size, decimation, n_state))
        self._sensors = np.zeros((self.size, decimation, model.nsensordata))
        self._control = np.zeros((self.size, decimation, model.nu + model.nv))
        self._warmstart = np.zeros((self.size, model.nv))
        self._touch = [model.sensor(f'{leg}_touch').adr[0] for leg in ('FL', 'FR', 'RL', 'RR')]
        self._joint_qpos = np.array([model.joint(n).qposadr[0] for n in JOINT_NAMES])
        self.foot_contact = np.zeros((self.size, 4), dtype=bool)
        self.touch_force = np.zeros((self.size, 4))
        self.target = np.zeros((self.size, 12))
        """Joint targets in force at the end of the last step, rad, shape (B, 12)."""
        self.last_torque = np.zeros((self.size, 12))
        latency = worlds.latency_s[self.world_index]
        self._latency_steps = np.round(latency / model.opt.timestep).astype(int)
        self._gain = worlds.gain_factor[self.world_index]
        self._kp = model.actuator_gainprm[:, 0] / worlds.gain_factor[0]
        self._kd = -model.actuator_biasprm[:, 2] / worlds.gain_factor[0]
        self._torque_limit = model.actuator_forcerange[:, 1]

    @property
    def qpos(self) -> np.ndarray:
        """Generalised positions, a view, shape (B, 19)."""
        return self.state[:, 1 : 1 + self._nq]

    @property
    def qvel(self) -> np.ndarray:
        """Generalised velocities, a view, shape (B, 18); angular part in the body frame."""
        return self.state[:, 1 + self._nq : 1 + self._nq + self._nv]

    @property
    def base_lin_vel_b(self) -> np.ndarray:
        """Velocity of the trunk in the body frame, m/s, shape (B, 3)."""
        return rotate_inverse(self.qpos[:, 3:7], self.qvel[:, :3])

    @property
    def yaw_frame_velocity(self) -> np.ndarray:
        """Planar velocity in the heading frame, m/s, shape (B, 2)."""
        w, x, y, z = self.qpos[:, 3:7].T
        heading = np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
        c, s = np.cos(heading), np.sin(heading)
        vx, vy = self.qvel[:, 0], self.qvel[:, 1]
        return np.stack((c * vx + s * vy, c * vy - s * vx), axis=-1)

    @property
    def base_height(self) -> np.ndarray:
        """Height of the trunk's origin above the plane, m, shape (B,)."""
        return self.qpos[:, 2]

    def reset(
        self, ids: np.ndarray, joint_pos: np.ndarray, height_m: np.ndarray, yaw: np.ndarray
    ) -> None:
        """Put robots `ids` at the origin: joint angles (n, 12), height (n,), heading (n,)."""
        self.state[ids] = 0.0
        q = np.zeros((len(ids), self._nq))
        q[:, 2] = height_m
        q[:, 3], q[:, 6] = np.cos(yaw / 2), np.sin(yaw / 2)
        q[:, self._joint_qpos] = joint_pos
        self.state[ids, 1 : 1 + self._nq] = q
        self.target[ids] = joint_pos
        self.foot_contact[ids] = False

    def push(self, ids: np.ndarray, velocity_w: np.ndarray) -> None:
        """Add a velocity (n, 3) in the world frame, m/s, to the trunks of robots `ids`."""
        self.qvel[ids, :3] += velocity_w

    def step(self, target: np.ndarray, applied_force: np.ndarray | None = None) -> None:
        """Advance one control step.

        Args:
            target: joint targets, package order, rad, shape (B, 12); each robot receives them
                after its world's latency, until then the previous ones hold.
            applied_force: generalised force held over the step, shape (B, 18); none if omitted.
        """
        nu = 12
        for k in range(self.decimation):
            late = (self._latency_steps > k)[:, None]
            self._control[:, k, :nu] = np.where(late, self.target, target)
        self._control[:, :, nu:] = 0.0 if applied_force is None else applied_force[:, None]
        self._pool.rollout(
            self._models,
            self._data,
            self.state,
            self._control,
            control_spec=self._control_spec,
            initial_warmstart=self._warmstart,
            state=self._states,
            sensordata=self._sensors,
            nstep=self.decimation,
            skip_checks=True,
        )
        time_s = self.state[:, 0] + self.control_dt_s
        self.state[:] = self._states[:, -1]
        # MuJoCo resets a model that diverges, time included: the clock tells.
        diverged = np.abs(self.state[:, 0] - time_s) > 1e-6
        diverged |= ~np.isfinite(self.state).all(axis=1)
        if diverged.any():  # counts as fallen: upside down, at rest
            self.state[diverged] = 0.0
            self.state[diverged, 3], self.state[diverged, 5] = 0.05, 1.0
        self.state[:, 0] = time_s
        self.target[:] = target
        self.touch_force = self._sensors[:, :, self._touch].mean(axis=1)
        self.foot_contact = self.touch_force > CONTACT_FORCE_N
        self.last_torque = np.clip(
            self._gain[:, None]
            * (self._kp * (target - self.qpos[:, 7:]) - self._kd * self.joint_vel),
            -self._torque_limit,
            self._torque_limit,
        )

    @property
    def joint_vel(self) -> np.ndarray:
        """Joint velocities, rad/s, shape (B, 12)."""
        return self.qvel[:, 6:]

    def observe(self) -> RobotState:
        """Return the batch's proprioception with sensor noise."""
        n = self.noise

        def jitter(values: np.ndarray, half_width: float) -> np.ndarray:
            if half_width == 0.0:
                return values.copy()
            return values + self.rng.uniform(-half_width, half_width, values.shape)

        quat = self.qpos[:, 3:7].copy()
        if n.tilt_rad:
            half = self.rng.uniform(-n.tilt_rad / 2, n.tilt_rad / 2, (self.size, 3))
            w, x, y, z = quat.T
            quat += np.stack(
                (
                    -(x * half[:, 0] + y * half[:, 1] + z * half[:, 2]),
                    w * half[:, 0] + y * half[:, 2] - z * half[:, 1],
                    w * half[:, 1] + z * half[:, 0] - x * half[:, 2],
                    w * half[:, 2] + x * half[:, 1] - y * half[:, 0],
                ),
                axis=-1,
            )
            quat /= np.linalg.norm(quat, axis=-1, keepdims=True)
        return RobotState(
            quat_wxyz=quat,
            base_ang_vel=jitter(self.qvel[:, 3:6], n.gyro_rad_s),
            joint_pos=jitter(self.qpos[:, 7:], n.joint_pos_rad),
            joint_vel=jitter(self.qvel[:, 6:], n.joint_vel_rad_s),
            joint_torque=self.last_torque,
        )

    def fallen(self, max_tilt_rad: float = 1.0, min_height_m: float = 0.1) -> np.ndarray:
        """Return which robots are on the ground: tilted too far or too low, bool, shape (B,)."""
        quat = self.qpos[:, 3:7]
        up = 1.0 - 2.0 * (quat[:, 1] ** 2 + quat[:, 2] ** 2)
        return (up < np.cos(max_tilt_rad)) | (self.base_height < min_height_m)

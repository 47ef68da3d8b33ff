"""A robot in lock-step with the controller: MuJoCo physics, simulated time, no threads."""

from __future__ import annotations

from dataclasses import replace

import mujoco
import numpy as np

from make_agent_ros.control import Controller, ControllerConfig, PolicyRunner
from make_agent_ros.go2.command import JointCommand
from make_agent_ros.go2.constants import JOINT_NAMES, LYING_JOINT_POS, TORQUE_LIMIT_NM
from make_agent_ros.go2.observation import POLICY_TERMS, TERM_SIZES
from make_agent_ros.go2.state import RobotState
from make_agent_ros.policy import Bundle
from make_agent_ros.simulation.model import load_model

TICK_S = 0.002


def zero_bundle(**changes) -> Bundle:
    """A legitimate policy that answers every observation with its default pose."""
    terms = changes.get('observation_names')
    inputs = sum(TERM_SIZES[term] for term in terms or POLICY_TERMS)
    layers = [
        (np.zeros((16, inputs), np.float32), np.zeros(16, np.float32)),
        (np.zeros((12, 16), np.float32), np.zeros(12, np.float32)),
    ]
    return Bundle(**{'layers': layers, 'gait_frequency_hz': 2.0, **changes})


def constant_bundle(action: float, **changes) -> Bundle:
    """A policy whose raw action is the same number for every joint."""
    bundle = zero_bundle(**changes)
    layers = [*bundle.layers[:-1], (bundle.layers[-1][0], np.full(12, action, np.float32))]
    return replace(bundle, layers=layers)


class World:
    """A Go2 lying on flat ground, driven by one controller."""

    def __init__(self, config: ControllerConfig | None = None, seed: int = 0) -> None:
        self.controller = Controller(config or ControllerConfig())
        self.model = load_model(timestep_s=TICK_S)
        # Torque is computed here, as the robot's motor drivers do it.
        self.model.actuator_gainprm[:, 0] = 1.0
        self.model.actuator_biasprm[:, 1:3] = 0.0
        self.model.actuator_ctrllimited[:] = 0
        self.data = mujoco.MjData(self.model)
        self._q = [self.model.joint(name).qposadr[0] for name in JOINT_NAMES]
        self._v = [self.model.joint(name).dofadr[0] for name in JOINT_NAMES]
        self._u = [self.model.actuator(name).id for name in JOINT_NAMES]
        self.data.qpos[2] = 0.12
        self.data.qpos[self._q] = LYING_JOINT_POS
        self.rng = np.random.default_rng(seed)
        self.now_s = 100.0
        self.tick = 0
        self.sent: list[JointCommand | None] = []
        self.state = self.measure()
        for _ in range(100):
            self.step()

    def measure(self) -> RobotState:
        noise = self.rng.normal(size=(4, 12))
        return RobotState(
            quat_wxyz=self.data.qpos[3:7].copy(),
            base_ang_vel=self.data.qvel[3:6] + 0.01 * noise[0, :3],
            joint_pos=self.data.qpos[self._q] + 0.002 * noise[1],
            joint_vel=self.data.qvel[self._v] + 0.05 * noise[2],
            stamp_s=self.now_s,
            tick=self.tick,
            base_lin_acc=9.81 * np.array([0.0, 0.0, 1.0]) + 0.05 * noise[3, :3],
        )

    def step(self, change=None) -> JointCommand | None:
        """One low-level period; `change(state)` may alter or drop (None) the sample."""
        self.now_s += TICK_S
        self.tick += 2
        sample = self.measure()
        if change is not None:
            sample = change(sample)
        if sample is not None:
            self.state = sample
        command = self.controller.tick(self.now_s, self.state)
        self.apply(command)
        return command

    def apply(self, command: JointCommand | None) -> None:
        torque = np.zeros(12)
        if command is not None:
            q, v = self.data.qpos[self._q], self.data.qvel[self._v]
            torque = command.stiffness * (command.joint_pos - q) - command.damping * v
        self.data.ctrl[self._u] = np.clip(torque, -TORQUE_LIMIT_NM, TORQUE_LIMIT_NM)
        mujoco.mj_step(self.model, self.data)

    def run(self, seconds: float, change=None) -> None:
        for _ in range(round(seconds / TICK_S)):
            self.step(change)

    def ask(self, request):
        return self.controller.request(request, self.now_s)

    def offer(self, bundle: Bundle, digest: str = 'test') -> None:
        self.controller.offer(PolicyRunner(bundle, digest), self.now_s)

    @property
    def height_m(self) -> float:
        return float(self.data.qpos[2])

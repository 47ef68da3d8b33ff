"""A robot in lock-step with the controller: the real wire format, simulated time, no threads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from make_agent_ros.control import (
    Controller,
    ControllerConfig,
    Mode,
    PolicyRunner,
    Reply,
    Request,
)
from make_agent_ros.go2.command import JointCommand
from make_agent_ros.go2.observation import POLICY_TERMS, TERM_SIZES
from make_agent_ros.go2.state import RobotState
from make_agent_ros.go2.wire import LowCmdEncoder, decode_lowstate
from make_agent_ros.policy import Bundle
from make_agent_ros.simulation.robot import SimulatedRobot

TICK_S = 0.002
Change = Callable[[RobotState], RobotState | None]


def constant_bundle(action: float = 0.0, **changes) -> Bundle:
    """A policy that answers everything with one raw action; 0 holds its default pose."""
    inputs = sum(TERM_SIZES[t] for t in changes.get('observation_names', POLICY_TERMS))
    layers = [
        (np.zeros((8, inputs), np.float32), np.zeros(8, np.float32)),
        (np.zeros((12, 8), np.float32), np.full(12, action, np.float32)),
    ]
    return Bundle(**{'layers': layers, 'gait_frequency_hz': 2.0, **changes})


def explosive_bundle() -> Bundle:
    """A valid policy with finite weights that overflows to infinity on any input."""
    huge = np.full((12, 8), 3e38, np.float32)
    inputs = constant_bundle().observation_builder().size
    layers = [
        (np.zeros((8, inputs), np.float32), np.full(8, 10.0, np.float32)),
        (huge, np.zeros(12, np.float32)),
    ]
    return Bundle(layers=layers, gait_frequency_hz=2.0)


class World:
    """A simulated Go2 lying on flat ground, driven by one controller, tick by tick."""

    def __init__(self, config: ControllerConfig | None = None, seed: int = 0) -> None:
        self.controller = Controller(config or ControllerConfig())
        self.controller.inputs.foreign_writers = ()
        self.robot = SimulatedRobot(seed=seed)
        self.encoder = LowCmdEncoder()
        self.now_s = 100.0
        self.state: RobotState | None = None
        self.last: JointCommand | None = None
        self.change: Change | None = None
        """Alters a decoded sample, or loses it (None)."""
        self.run(0.1)

    def step(self) -> JointCommand | None:
        """One low-level period."""
        self.now_s += TICK_S
        data = None if self.last is None else self.encoder.encode(self.last)
        for sample in self.robot.step(data):
            state = decode_lowstate(sample, self.now_s)
            changed = state if self.change is None else self.change(state)
            self.state = self.state if changed is None else changed
        self.last = self.controller.tick(self.now_s, self.state)
        return self.last

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / TICK_S)):
            self.step()

    def ask(self, request: Request) -> Reply:
        return self.controller.request(request, self.now_s)

    def offer(self, bundle: Bundle, digest: str = 'first') -> None:
        self.controller.offer(PolicyRunner(bundle, digest), self.now_s)

    def bring_to(self, mode: Mode) -> None:
        """Take the way an operator would."""
        if mode is Mode.PASSIVE:
            return
        assert self.ask(Request.ARM).accepted
        self.step()
        if mode is Mode.DAMPING:
            return
        self.offer(constant_bundle())
        assert self.ask(Request.STAND_UP).accepted
        self.run(0.5)
        if mode is Mode.STAND_UP:
            return
        self.run(2.5)
        if mode is Mode.WALK:
            assert self.ask(Request.WALK).accepted
            self.run(0.5)
        elif mode is Mode.LIE_DOWN:
            assert self.ask(Request.LIE_DOWN).accepted
            self.run(0.5)
        elif mode is Mode.FAULT:
            self.change = lambda state: replace(state, joint_pos=np.full(12, np.nan))
            self.step()
            self.change = None
            self.run(0.05)

    @property
    def mode(self) -> Mode:
        return self.controller.mode

    @property
    def height_m(self) -> float:
        return float(self.robot.data.qpos[2])


def is_damping(command: JointCommand | None) -> bool:
    """Whether the command brakes and holds nothing."""
    return (
        command is not None
        and command.enabled
        and not command.stiffness.any()
        and not command.torque.any()
        and bool((command.damping > 0.0).all())
    )

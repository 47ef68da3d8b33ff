"""One low-level tick of the controller: state, command and time in, joint command out.

Pure and single-threaded: the loop calls `tick` and applies requests and policies between two
ticks; nothing here reads a clock, a topic or a file.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from make_agent_ros.control import motion as motions
from make_agent_ros.control.clamp import clamp_command, is_finite
from make_agent_ros.control.faults import Fault, FaultCode, Reaction
from make_agent_ros.control.machine import Mode, Readiness, Reply, Request, StateMachine
from make_agent_ros.control.motion import Motion
from make_agent_ros.control.operator import RemoteOperator
from make_agent_ros.control.runner import PolicyRunner
from make_agent_ros.control.safety import Envelope, SafetyLimits, Signs
from make_agent_ros.control.walker import WalkConfig, Walker
from make_agent_ros.go2.command import DAMPING_KD, JointCommand
from make_agent_ros.go2.constants import NOMINAL_JOINT_POS
from make_agent_ros.go2.state import RobotState

Velocity = tuple[float, float, float]
"""vx m/s, vy m/s, wz rad/s."""


@dataclass(frozen=True)
class ControllerConfig:
    """What an operator may tune."""

    limits: SafetyLimits = field(default_factory=SafetyLimits)
    walk: WalkConfig = field(default_factory=WalkConfig)
    stand_up_s: float = 1.2
    """Time for each of the two stages of standing up, s."""
    lie_down_s: float = 1.5
    stop_walk_s: float = 0.15
    """Time from the last walking pose to the standing pose, s. In simulation, of 12 stops at
    other moments of the shipped pace gait 4 ended on the back with 0.5 s, 1 with 0.25 s, none with
    0.15 s: the feet must be down before the trunk has rolled over them."""
    change_stand_s: float = 0.5
    """Time from one policy's standing pose to another's, s."""
    velocity_min: Velocity = (-0.6, -0.4, -1.0)
    """Lowest command passed to a policy: vx, vy m/s, wz rad/s."""
    velocity_max: Velocity = (1.2, 0.4, 1.0)
    acceleration_max: Velocity = (2.0, 2.0, 4.0)
    """How fast the command passed to a policy may change, m/s^2 and rad/s^2."""
    use_default_command: bool = False
    """Whether a bundle's default command applies until the first velocity command arrives."""
    damping_kd: float = DAMPING_KD
    """Velocity gain of damping, N m s/rad."""
    dry_run: bool = False
    remote_velocity: bool = True
    """Whether the sticks of Unitree's remote set the velocity while they are moved."""


@dataclass
class Inputs:
    """What reaches a tick from outside; each attribute is replaced whole, never half."""

    velocity: tuple[float, float, float, float] | None = None
    """vx, vy m/s, wz rad/s and the monotonic time of arrival, s; None before the first."""
    heartbeat_s: float | None = None
    """When the operator was last heard, monotonic, s."""
    foreign_writers: tuple[str, ...] | None = None
    """Other writers on rt/lowcmd; None until the bus has been searched for long enough."""


class Controller:
    """Composes state machine, envelope, motions and policy."""

    def __init__(self, config: ControllerConfig) -> None:
        self.config = config
        self.machine = StateMachine()
        self.envelope = Envelope(config.limits)
        self.walker = Walker(config.walk)
        self.inputs = Inputs()
        self.faults: list[Fault] = []
        """Every limit violated at the last tick."""
        self.events: deque[str] = deque(maxlen=256)
        """Sentences for the log."""
        self.command = JointCommand()
        """The command of the last tick, package order."""
        self.velocity = np.zeros(3)
        """The velocity command that the policy gets, after limits and slew."""
        self.command_stale = False
        self.clamped_rad = np.zeros(12)
        """How far the last targets were moved by the clamp, rad."""
        self._motion: Motion | None = None
        self._mode = Mode.PASSIVE
        self._last_tick_s = math.nan
        self._signs = Signs()
        self._state: RobotState | None = None
        self._pending_stand: np.ndarray | None = None
        self._remote = RemoteOperator()

    @property
    def mode(self) -> Mode:
        """The mode of the last tick or the one a request has just asked for."""
        return self.machine.mode

    @property
    def stand_pose(self) -> np.ndarray:
        """Where STAND holds the joints: the policy's default pose, package order, rad."""
        runner = self.walker.current
        return np.asarray(NOMINAL_JOINT_POS if runner is None else runner.stand_pose)

    def request(self, request: Request, now_s: float) -> Reply:
        """Answer an operator's request; call between two ticks."""
        blockers = tuple(f for f in self.faults if f.reaction > Reaction.STAND)
        stand_blocker = ''
        if request is Request.STAND_UP:
            stand_blocker = self.envelope.stand_blocker(self._state)
            if not stand_blocker and blockers:
                stand_blocker = f'not standing up: {blockers[0].sentence}'
        ready = Readiness(
            blockers=blockers,
            stand_blocker=stand_blocker,
            has_policy=self.walker.current is not None,
            dry_run=self.config.dry_run,
            bus_searched=self.inputs.foreign_writers is not None,
        )
        reply = self.machine.request(request, now_s, ready)
        self.events.append(f'{request.value}: {reply.sentence}')
        return reply

    def offer(self, runner: PolicyRunner, now_s: float) -> None:
        """Take an admitted policy; call between two ticks."""
        self.walker.offer(now_s, runner, self.command)
        if self._mode is Mode.STAND:
            self._pending_stand = runner.stand_pose

    def tick(self, now_s: float, state: RobotState | None) -> JointCommand | None:
        """Compute the command of this instant.

        Args:
            now_s: monotonic time, s.
            state: the newest sample (new or not), None before the first.

        Returns:
            The command to send (the same object at each call), or None: send nothing.
        """
        self._state = state
        if state is not None:
            self._heed_remote(now_s, state)
        self._signs.policy_time_s = self.walker.last_policy_s if self._mode is Mode.WALK else None
        self._signs.heartbeat_s = self.inputs.heartbeat_s
        self._signs.foreign_writers = self.inputs.foreign_writers or ()
        self.faults = self.envelope.check(now_s, state, self.machine.mode, self._signs)
        self._advance(now_s, self.faults)
        if self._mode is Mode.WALK and state is not None:
            self._shape_velocity(now_s)
            fault = self.walker.tick(now_s, state, self.velocity, self.command)
            self._collect_events()
            if fault is not None:
                self.faults.append(fault)
                self._advance(now_s, [fault])
        self._last_tick_s = now_s
        if not self.machine.armed:
            return None
        self._write(now_s, state)
        return self.command

    def _heed_remote(self, now_s: float, state: RobotState) -> None:
        """Follow the buttons of Unitree's remote; the stop button works in every mode."""
        asked = self._remote.requests(state.wireless_remote)
        if asked is Request.STOP and self.machine.mode in (Mode.PASSIVE, Mode.DAMPING, Mode.FAULT):
            return
        if asked is not None:
            self.request(asked, now_s)

    def _wanted_velocity(self, now_s: float) -> Velocity:
        """Return what the operator asks for: the remote's sticks before /cmd_vel."""
        config, runner = self.config, self.walker.current
        if config.remote_velocity and self._state is not None:
            sticks = self._remote.velocity(
                self._state.wireless_remote, config.velocity_min, config.velocity_max
            )
            if sticks is not None:
                self.command_stale = False
                return sticks
        given = self.inputs.velocity
        if given is None:
            self.command_stale = False
            if config.use_default_command and runner is not None:
                vx, vy, wz = runner.bundle.default_command.tolist()
                return vx, vy, wz
            return 0.0, 0.0, 0.0
        self.command_stale = now_s - given[3] > config.limits.command_age_max_s
        if self.command_stale or not math.isfinite(given[0] + given[1] + given[2]):
            return 0.0, 0.0, 0.0
        return given[:3]

    def _advance(self, now_s: float, faults: list[Fault]) -> None:
        machine = self.machine
        latched = machine.fault
        done = machine.mode is self._mode and self._motion is not None and self._motion.done(now_s)
        mode = machine.step(now_s, faults, done)
        if machine.fault is not None and machine.fault is not latched:
            self.events.append(f'fault, {machine.fault.sentence}')
        if mode is not self._mode:
            self._enter(mode, now_s)
        if self._pending_stand is not None:
            if mode is Mode.STAND:
                self._motion = motions.move_to(
                    now_s, self.command, self._pending_stand, self.config.change_stand_s
                )
            self._pending_stand = None

    def _enter(self, mode: Mode, now_s: float) -> None:
        before, self._mode = self._mode, mode
        config = self.config
        self.events.append(f'{before.value} -> {mode.value}')
        if before is Mode.WALK:
            self.walker.stop()
        if mode is Mode.STAND_UP and self._state is not None:
            measured = self._state.joint_pos
            self._motion = motions.stand_up(now_s, measured, self.stand_pose, config.stand_up_s)
        elif mode is Mode.STAND and before is not Mode.STAND_UP:
            self._motion = motions.move_to(
                now_s, self.command, self.stand_pose, config.stop_walk_s
            )
        elif mode is Mode.LIE_DOWN:
            stand_s = config.stop_walk_s if before is Mode.WALK else 0.0
            self._motion = motions.lie_down(
                now_s, self.command, self.stand_pose, stand_s, config.lie_down_s
            )
        elif mode is Mode.WALK:
            self.velocity.fill(0.0)
            self.walker.start(now_s, self.command)

    def _shape_velocity(self, now_s: float) -> None:
        """Limit the operator's command in age, size and rate of change."""
        config = self.config
        elapsed_s = max(now_s - self._last_tick_s, 0.0)
        wanted = self._wanted_velocity(now_s)
        # Plain floats: three numbers are not worth five array operations.
        for i, before in enumerate(self.velocity.tolist()):
            step = config.acceleration_max[i] * elapsed_s
            value = min(max(wanted[i], config.velocity_min[i]), config.velocity_max[i])
            self.velocity[i] = min(max(value, before - step), before + step)

    def _write(self, now_s: float, state: RobotState | None) -> None:
        """Write the mode's command, bounded, into `self.command`."""
        command, mode = self.command, self._mode
        if mode is Mode.WALK:
            self.walker.write(now_s, command)
        elif mode in (Mode.STAND_UP, Mode.STAND, Mode.LIE_DOWN) and self._motion is not None:
            self._motion.write(now_s, command)
        else:
            self._damp()
        if not is_finite(command):
            fault = Fault(FaultCode.INTERNAL, Reaction.DAMP, f'command not finite in {mode.value}')
            self._advance(now_s, [fault])
            self._damp()
        self.clamped_rad.fill(0.0)
        if state is not None and self.envelope.finite:
            self.clamped_rad[:] = clamp_command(command, state.joint_pos, state.joint_vel)

    def _damp(self) -> None:
        command = self.command
        command.values.fill(0.0)
        command.damping.fill(self.config.damping_kd)
        command.enabled = True

    def _collect_events(self) -> None:
        if self.walker.events:
            self.events.extend(self.walker.events)
            self.walker.events.clear()

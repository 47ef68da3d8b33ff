"""Walking with a policy: its schedule, the blend at a swap, and the way back from a bad one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from make_agent_ros.control.faults import Fault, FaultCode, Reaction
from make_agent_ros.control.runner import PolicyRunner
from make_agent_ros.control.safety import tilt
from make_agent_ros.go2.command import JointCommand
from make_agent_ros.go2.state import RobotState


@dataclass(frozen=True)
class WalkConfig:
    """Schedule, blending and probation."""

    blend_s: float = 0.3
    """Time over which gains and targets pass from one source to the next, s."""
    probation_s: float = 1.0
    """A new policy that leaves the probation envelope within this time is taken back, s."""
    probation_tilt_rad: float = 0.5
    """Largest roll or pitch on probation, rad."""
    probation_ang_vel_rad_s: float = 8.0
    """Largest body rate about any axis on probation, rad/s."""
    action_limit_rad: float = 2.0
    """Largest |action_scale * action| of a plausible policy, rad."""
    target_filter_hz: float = 0.0
    """Cut-off of a first-order filter on the targets between policy ticks; 0 holds them."""
    tick_s: float = 0.002
    """Low-level period, s; a policy tick is due up to half of it early."""


class Walker:
    """Owns the running policy, the one before it and the one that waits."""

    def __init__(self, config: WalkConfig) -> None:
        self.config = config
        self.current: PolicyRunner | None = None
        self.previous: PolicyRunner | None = None
        self.last_policy_s = 0.0
        """When an action was last computed."""
        self.period_error_s = math.nan
        """Latest deviation of the policy period from control_dt; NaN when not a policy tick."""
        self.ran = False
        """Whether the last tick was a policy tick."""
        self.events: list[str] = []
        """Sentences for the log; whoever reads them clears the list."""
        self._due_s = 0.0
        self._blend_start_s = -math.inf
        self._blend_from = JointCommand()
        self._blend_policy: PolicyRunner | None = None
        self._probation_end_s = -math.inf
        self._filtered = np.zeros(12)
        self._walking = False
        self._first = True

    @property
    def on_probation(self) -> bool:
        """Whether the running policy may still be taken back."""
        return self._probation_end_s > self.last_policy_s

    @property
    def phase(self) -> float:
        """Gait cycles at the last policy tick; 0 without a policy."""
        return 0.0 if self.current is None else self.current.phase(self.last_policy_s)

    def start(self, now_s: float, last: JointCommand) -> None:
        """Begin walking from the command `last`, at gait phase 0."""
        assert self.current is not None
        self.current.start(now_s, 0.0, None)
        self.current.target[:] = last.joint_pos
        self.previous = None
        self._begin(now_s, last, None)
        self._filtered[:] = last.joint_pos
        self.last_policy_s = self._due_s = now_s
        self._walking, self._first = True, True

    def stop(self) -> None:
        """Leave WALK; the running policy stays loaded and counts as proven."""
        self._walking = False
        self.previous = self._blend_policy = None
        self._probation_end_s = -math.inf

    def offer(self, now_s: float, runner: PolicyRunner, last: JointCommand) -> None:
        """Swap to `runner` between two ticks; while walking, blend and put it on probation."""
        if not self._walking or self.current is None:
            self.current, self.previous = runner, None
            self.events.append(f'policy {runner.name} loaded')
            return
        old = self.current
        runner.start(now_s, old.phase(now_s), last.joint_pos)
        # A policy on probation is not a place to return to; the proven one before it is.
        if not self.on_probation or self.previous is None:
            self.previous = old
        self.current = runner
        self._due_s = min(self._due_s, now_s + runner.dt_s)
        self._begin(now_s, last, old)
        self.events.append(f'policy {runner.name} replaces {old.name}')

    def _begin(self, now_s: float, last: JointCommand, policy: PolicyRunner | None) -> None:
        self._blend_start_s = now_s
        self._blend_policy = policy
        self._probation_end_s = now_s + self.config.probation_s
        for name in ('joint_pos', 'stiffness', 'damping'):
            getattr(self._blend_from, name)[:] = getattr(last, name)

    def tick(
        self, now_s: float, state: RobotState, velocity: np.ndarray, last: JointCommand
    ) -> Fault | None:
        """Run the policy when it is due.

        Returns:
            A fault when there is no policy to return to.
        """
        self.ran = False
        if self.current is None or now_s < self._due_s - 0.5 * self.config.tick_s:
            return None
        runner = self.current
        blending = now_s - self._blend_start_s < self.config.blend_s
        if self._blend_policy is not None and blending:
            self._blend_policy.step(now_s, state, velocity)
        fine = runner.step(now_s, state, velocity)
        self.ran = True
        self.period_error_s = 0.0 if self._first else now_s - self.last_policy_s - runner.dt_s
        self._first = False
        self._due_s += runner.dt_s
        if self._due_s < now_s:
            self._due_s = now_s + runner.dt_s
        on_probation = now_s < self._probation_end_s
        reason = self._complaint(runner, state, fine) if on_probation else ''
        if on_probation and reason:
            self.last_policy_s = now_s
            return self._take_back(now_s, reason, last)
        if fine:
            self.last_policy_s = now_s
        else:
            detail = f'policy {runner.name} computed NaN or Inf'
            return Fault(FaultCode.POLICY_NOT_FINITE, Reaction.DAMP, detail)
        return None

    def _complaint(self, runner: PolicyRunner, state: RobotState, fine: bool) -> str:
        """Why the policy on probation must go; empty when it may stay."""
        config = self.config
        if not fine:
            return 'computed NaN or Inf'
        asked = float(np.abs(runner.offset).max())
        if asked > config.action_limit_rad:
            return f'asked for {asked:.2f} rad from its default pose'
        roll, pitch = tilt(*state.quat_wxyz.tolist())
        if max(abs(roll), abs(pitch)) > config.probation_tilt_rad:
            return f'tilted the robot to roll {roll:.2f}, pitch {pitch:.2f} rad'
        spin = float(np.abs(state.base_ang_vel).max())
        if spin > config.probation_ang_vel_rad_s:
            return f'turned the robot at {spin:.1f} rad/s'
        return ''

    def _take_back(self, now_s: float, reason: str, last: JointCommand) -> Fault | None:
        assert self.current is not None
        bad, proven = self.current, self.previous
        what = f'policy {bad.name} {reason} within its first {self.config.probation_s} s'
        if proven is None:
            self.current = None
            return Fault(FaultCode.POLICY_PROBATION, Reaction.STAND, what)
        proven.resume(last.joint_pos)
        self.current, self.previous = proven, None
        self._begin(now_s, last, None)
        self._probation_end_s = -math.inf
        self._due_s = now_s
        self.events.append(f'{what}; policy {proven.name} runs again')
        return None

    def write(self, now_s: float, command: JointCommand) -> None:
        """Write the command of this instant into `command`."""
        assert self.current is not None
        runner = self.current
        target = runner.target
        if self.config.target_filter_hz > 0.0:
            gain = 1.0 - math.exp(
                -2.0 * math.pi * self.config.target_filter_hz * self.config.tick_s
            )
            self._filtered += gain * (target - self._filtered)
            target = self._filtered
        share = (now_s - self._blend_start_s) / max(self.config.blend_s, 1e-6)
        if share >= 1.0:
            self._blend_policy = None
            command.joint_pos[:] = target
            command.stiffness[:] = runner.stiffness
            command.damping[:] = runner.damping
        else:
            share = max(share, 0.0)
            source = self._blend_from
            start = source.joint_pos if self._blend_policy is None else self._blend_policy.target
            np.add(start, share * (target - start), out=command.joint_pos)
            for name in ('stiffness', 'damping'):
                old = getattr(source, name)
                new = getattr(runner, name)
                np.add(old, share * (new - old), out=getattr(command, name))
        command.joint_vel.fill(0.0)
        command.torque.fill(0.0)
        command.enabled = True

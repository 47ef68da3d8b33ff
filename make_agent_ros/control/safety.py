"""The safety envelope: which measured values mean that the robot must not go on.

Pure: time and measurements enter as arguments. One `Envelope.check` per low-level tick returns
every violated limit; the state machine takes the most severe. Figures without another source are
those of the acceptance table in `docs/`, derived from ros2_control, PX4, Spot and the A1 bridge.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np

from make_agent_ros.control.faults import Fault, FaultCode, Reaction
from make_agent_ros.control.machine import MOVING, Mode
from make_agent_ros.control.posture import posture_doubt
from make_agent_ros.go2.constants import (
    JOINT_LOWER_RAD,
    JOINT_NAMES,
    JOINT_UPPER_RAD,
    JOINT_VELOCITY_LIMIT_RAD_S,
)
from make_agent_ros.go2.state import RobotState

_JUMP_FACTOR = 1.5
_JUMP_MARGIN_RAD = 0.05
_SLOWEST_JUMP_RAD_S = _JUMP_FACTOR * float(JOINT_VELOCITY_LIMIT_RAD_S.min())


@dataclass(frozen=True)
class SafetyLimits:
    """The figures of the envelope."""

    state_age_warn_s: float = 0.02
    """Age of the last lowstate that is worth a warning, s."""
    state_age_max_s: float = 0.05
    """Age of the last lowstate that means damping, s."""
    frozen_max_s: float = 0.05
    """How long samples may keep arriving with identical values or an unchanged tick, s."""
    roll_max_rad: float = 0.9
    """Largest roll in any moving mode, rad."""
    pitch_max_rad: float = 1.3
    """Largest pitch in any moving mode, rad."""
    stand_up_tilt_max_rad: float = 0.5
    """Roll or pitch beyond which the robot does not stand up, rad."""
    joint_range_factor: float = 1.1
    """Measured angles may span this multiple of the joint range while standing or walking."""
    lying_range_factor: float = 1.25
    """The same while standing up or lying down: folded calves rest at -2.8, past the limit."""
    joint_velocity_factor: float = 1.5
    """Measured speeds may be this multiple of the motors' no-load speed."""
    motor_temperature_warn_c: float = 70.0
    """Motor temperature that is worth a warning, deg C."""
    motor_temperature_max_c: float = 85.0
    """Beyond it the robot lies down, deg C."""
    battery_warn_percent: float = 20.0
    """State of charge that is worth a warning, percent."""
    battery_min_percent: float = 8.0
    """Below it the robot lies down, and does not stand up, percent."""
    policy_age_max_s: float = 0.06
    """Three policy periods without an action mean damping, s."""
    command_age_max_s: float = 0.5
    """Older velocity commands count as zero; the robot keeps balancing, s."""
    heartbeat_age_max_s: float = 0.6
    """Three missed operator heartbeats of 200 ms mean lying down, s."""
    check_joint_order: bool = True
    """Whether the robot stands up only from a pose that no mix-up of joints explains better."""
    require_heartbeat: bool = False
    """Whether the operator must be heard on ~/heartbeat or /joy."""

    def __post_init__(self) -> None:
        """Refuse limits that switch a check off by accident.

        Raises:
            ValueError: a limit is not finite and positive, or a warning lies beyond its limit.
        """
        for item in fields(self):
            value = getattr(self, item.name)
            if not isinstance(value, bool) and not (math.isfinite(value) and value > 0.0):
                raise ValueError(f'{item.name} = {value}; a safety limit is finite and positive')
        if self.state_age_warn_s > self.state_age_max_s:
            raise ValueError(
                f'state_age_warn_s {self.state_age_warn_s} exceeds state_age_max_s '
                f'{self.state_age_max_s}; warn before the limit'
            )


@dataclass
class Signs:
    """Signs of life from around the loop; None where there has been none yet."""

    policy_time_s: float | None = None
    """When the running policy last computed an action; None outside WALK."""
    heartbeat_s: float | None = None
    """When the operator was last heard."""
    foreign_writers: tuple[str, ...] = ()
    """Other writers on rt/lowcmd."""


def widened_range(factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Return lower and upper bounds of joint ranges widened about their middle by `factor`."""
    margin = 0.5 * (factor - 1.0) * (JOINT_UPPER_RAD - JOINT_LOWER_RAD)
    return JOINT_LOWER_RAD - margin, JOINT_UPPER_RAD + margin


class Envelope:
    """Checks every tick; remembers just enough to see frozen or jumping values."""

    def __init__(self, limits: SafetyLimits) -> None:
        self.limits = limits
        self._velocity_max = limits.joint_velocity_factor * JOINT_VELOCITY_LIMIT_RAD_S
        tight = np.concatenate((widened_range(limits.joint_range_factor)[1], self._velocity_max))
        wide = np.concatenate((widened_range(limits.lying_range_factor)[1], self._velocity_max))
        self._middle = np.concatenate((0.5 * (JOINT_LOWER_RAD + JOINT_UPPER_RAD), np.zeros(12)))
        self._reach = {
            mode: (wide if mode in (Mode.STAND_UP, Mode.LIE_DOWN) else tight) - self._middle
            for mode in MOVING
        }
        """How far the 12 angles and 12 speeds may be from `_middle`."""
        self._measured = np.zeros(30)
        """Body rates, accelerations, joint angles and speeds of the newest sample."""
        self._scratch = np.zeros(24)
        self.finite = False
        """Whether the newest sample holds numbers only."""
        self._stamp_s = -math.inf
        self._print = math.nan
        self._print_time_s = -math.inf
        self._tick = 0
        self._tick_time_s = -math.inf
        self._tick_counts = False
        self._joint_pos = np.full(12, np.nan)
        self._moved = np.zeros(12)
        self._jump: Fault | None = None
        self._frozen: Fault | None = None

    def check(
        self, now_s: float, state: RobotState | None, mode: Mode, signs: Signs
    ) -> list[Fault]:
        """Return every limit that is violated now.

        Args:
            now_s: monotonic time, s.
            state: the newest sample, new at this tick or not; None before the first.
            mode: the mode of the last tick; posture is judged in moving modes only.
            signs: what is known of policy, operator and bus.
        """
        faults: list[Fault] = []
        self._check_signs(now_s, signs, mode, faults)
        if state is None:
            faults.append(_damp(FaultCode.NO_STATE, 'no lowstate received yet'))
            return faults
        self._check_age(now_s - state.stamp_s, faults)
        np.concatenate(
            (state.base_ang_vel, state.base_lin_acc, state.joint_pos, state.joint_vel),
            out=self._measured,
        )
        checksum = float(np.add.reduce(self._measured))
        w, x, y, z = state.quat_wxyz.tolist()
        norm = w * w + x * x + y * y + z * z
        self.finite = math.isfinite(checksum + norm)
        if not self.finite:
            faults.append(_damp(FaultCode.STATE_NOT_FINITE, _not_finite(state)))
            return faults
        if state.stamp_s != self._stamp_s:
            self._compare_with_last(state, checksum)
        if self._frozen is not None:
            faults.append(self._frozen)
        if not 0.81 < norm < 1.21:
            faults.append(
                _damp(FaultCode.ATTITUDE_INVALID, f'quaternion norm {math.sqrt(norm):.2f}, not 1')
            )
            return faults
        self._check_wear(state, faults)
        if mode in MOVING:
            self._check_tilt(*tilt(w, x, y, z), faults)
            self._check_joints(state, mode, faults)
            if self._jump is not None:
                faults.append(self._jump)
        return faults

    def stand_blocker(self, state: RobotState | None) -> str:
        """Say why the robot cannot stand up from where it is; empty when it can."""
        if state is None:
            return 'no lowstate yet; check the robot and the network with make-agent doctor'
        roll, pitch = tilt(*state.quat_wxyz.tolist())
        limit = self.limits.stand_up_tilt_max_rad
        if not (abs(roll) < limit and abs(pitch) < limit):
            return (
                f'not standing up: roll {roll:.2f} and pitch {pitch:.2f} rad, each must be under '
                f'{limit} rad; put the robot on its belly'
            )
        lower, upper = widened_range(self.limits.lying_range_factor)
        outside = (state.joint_pos < lower) | (state.joint_pos > upper)
        if outside.any():
            i = int(outside.argmax())
            return (
                f'not standing up: {JOINT_NAMES[i]} measures {state.joint_pos[i]:.2f} rad, '
                f'outside {lower[i]:.2f} .. {upper[i]:.2f}; check the encoder and joint order'
            )
        doubt = posture_doubt(state) if self.limits.check_joint_order else ''
        return f'not standing up: {doubt}' if doubt else ''

    def _check_signs(self, now_s: float, signs: Signs, mode: Mode, faults: list[Fault]) -> None:
        limits = self.limits
        if signs.foreign_writers:
            writers = ', '.join(signs.foreign_writers)
            faults.append(_damp(FaultCode.SECOND_WRITER, f'also writing rt/lowcmd: {writers}'))
        if mode is Mode.WALK and signs.policy_time_s is not None:
            age = now_s - signs.policy_time_s
            if age > limits.policy_age_max_s:
                faults.append(
                    _damp(FaultCode.POLICY_AGE, _over('action', age, limits.policy_age_max_s))
                )
        if limits.require_heartbeat:
            age = math.inf if signs.heartbeat_s is None else now_s - signs.heartbeat_s
            if age > limits.heartbeat_age_max_s:
                detail = _over('operator heartbeat', age, limits.heartbeat_age_max_s)
                faults.append(Fault(FaultCode.HEARTBEAT, Reaction.LIE_DOWN, detail))

    def _check_age(self, age_s: float, faults: list[Fault]) -> None:
        if age_s > self.limits.state_age_max_s:
            detail = _over('lowstate', age_s, self.limits.state_age_max_s)
            faults.append(_damp(FaultCode.STATE_AGE, detail))
        elif age_s > self.limits.state_age_warn_s:
            detail = _over('lowstate', age_s, self.limits.state_age_warn_s)
            faults.append(Fault(FaultCode.STATE_AGE, Reaction.WARN, detail))

    def _compare_with_last(self, state: RobotState, checksum: float) -> None:
        """Look for frozen values, a frozen tick and jumps between two samples."""
        now_s = state.stamp_s
        step_s = now_s - self._stamp_s
        self._stamp_s = now_s
        if checksum != self._print:
            self._print, self._print_time_s = checksum, now_s
        # Held up on the way, samples arrive in a burst: then the robot's own count tells how far
        # apart they were taken (ms on a Go2).
        ticked_s = 1e-3 * (state.tick - self._tick) if self._tick_counts else 0.0
        if state.tick != self._tick:
            # A robot that never counts (some simulators) is not frozen.
            self._tick_counts = self._tick_counts or self._tick != 0
            self._tick, self._tick_time_s = state.tick, now_s
        same_s = now_s - self._print_time_s
        tick_s = now_s - self._tick_time_s if self._tick_counts else 0.0
        self._frozen = None
        if max(same_s, tick_s) > self.limits.frozen_max_s:
            what = 'sensor values' if same_s >= tick_s else f'tick {state.tick}'
            detail = f'{what} unchanged for {1e3 * max(same_s, tick_s):.0f} ms'
            self._frozen = _damp(FaultCode.STATE_FROZEN, detail)
        self._jump = None
        moved = self._moved
        np.subtract(state.joint_pos, self._joint_pos, out=moved)
        np.abs(moved, out=moved)
        self._joint_pos[:] = state.joint_pos
        if step_s < self.limits.state_age_max_s:
            apart_s = max(step_s, min(ticked_s, self.limits.state_age_max_s), 0.002)
            # The slowest joint's reach first: what moved less has not jumped.
            if np.maximum.reduce(moved) > _JUMP_MARGIN_RAD + apart_s * _SLOWEST_JUMP_RAD_S:
                self._find_jump(moved, apart_s, step_s)

    def _find_jump(self, moved: np.ndarray, apart_s: float, step_s: float) -> None:
        excess = moved - _JUMP_FACTOR * apart_s * JOINT_VELOCITY_LIMIT_RAD_S
        i = int(excess.argmax())
        if excess[i] > _JUMP_MARGIN_RAD:
            detail = f'{JOINT_NAMES[i]} moved {moved[i]:.2f} rad in {1e3 * step_s:.1f} ms'
            self._jump = _damp(FaultCode.JOINT_JUMP, detail)

    def _check_wear(self, state: RobotState, faults: list[Fault]) -> None:
        limits = self.limits
        hottest = float(state.motor_temperature_c.max())
        if hottest > limits.motor_temperature_warn_c:
            over = hottest > limits.motor_temperature_max_c
            limit = limits.motor_temperature_max_c if over else limits.motor_temperature_warn_c
            name = JOINT_NAMES[int(state.motor_temperature_c.argmax())]
            faults.append(
                Fault(
                    FaultCode.MOTOR_TEMPERATURE,
                    Reaction.LIE_DOWN if over else Reaction.WARN,
                    f'{name} at {hottest:.0f} deg C exceeds {limit:.0f}',
                )
            )
        if state.battery_soc < limits.battery_warn_percent:
            under = state.battery_soc < limits.battery_min_percent
            limit = limits.battery_min_percent if under else limits.battery_warn_percent
            faults.append(
                Fault(
                    FaultCode.BATTERY,
                    Reaction.LIE_DOWN if under else Reaction.WARN,
                    f'{state.battery_soc:.0f} % charge is under {limit:.0f} %',
                )
            )

    def _check_tilt(self, roll: float, pitch: float, faults: list[Fault]) -> None:
        for name, value, limit in (
            ('roll', roll, self.limits.roll_max_rad),
            ('pitch', pitch, self.limits.pitch_max_rad),
        ):
            if abs(value) > limit:
                detail = f'{name} {value:.2f} rad exceeds {limit:.2f} rad'
                faults.append(_damp(FaultCode.TILT, detail))

    def _check_joints(self, state: RobotState, mode: Mode, faults: list[Fault]) -> None:
        away, reach = self._scratch, self._reach[mode]
        np.subtract(self._measured[6:], self._middle, out=away)
        np.abs(away, out=away)
        beyond = away > reach
        if not beyond.any():
            return
        if beyond[:12].any():
            i = int(beyond.argmax())
            middle = self._middle[i]
            detail = (
                f'{JOINT_NAMES[i]} measures {state.joint_pos[i]:.2f} rad, outside '
                f'{middle - reach[i]:.2f} .. {middle + reach[i]:.2f} rad'
            )
            faults.append(_damp(FaultCode.JOINT_RANGE, detail))
        if beyond[12:].any():
            i = int((away[12:] - reach[12:]).argmax())
            detail = (
                f'{JOINT_NAMES[i]} at {state.joint_vel[i]:.1f} rad/s exceeds '
                f'{self._velocity_max[i]:.1f} rad/s'
            )
            faults.append(_damp(FaultCode.JOINT_VELOCITY, detail))


def tilt(w: float, x: float, y: float, z: float) -> tuple[float, float]:
    """Roll and pitch of a body-to-world quaternion of any positive norm (REP-103), rad.

    Scalars in place of `go2.state.roll_pitch`: a tick has no time for arrays of one.
    """
    scale = 1.0 / max(w * w + x * x + y * y + z * z, 1e-12)
    gx = 2.0 * (w * y - x * z) * scale
    gy = -2.0 * (y * z + w * x) * scale
    gz = 2.0 * (x * x + y * y) * scale - 1.0
    return math.atan2(-gy, -gz), math.atan2(gx, math.hypot(gy, gz))


def _damp(code: FaultCode, detail: str) -> Fault:
    return Fault(code, Reaction.DAMP, detail)


def _over(what: str, age_s: float, limit_s: float) -> str:
    age = 'never heard' if math.isinf(age_s) else f'{1e3 * age_s:.0f} ms old'
    return f'{what} {age}, limit {1e3 * limit_s:.0f} ms'


def _not_finite(state: RobotState) -> str:
    for name in ('quat_wxyz', 'base_ang_vel', 'base_lin_acc', 'joint_pos', 'joint_vel'):
        values = getattr(state, name)
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            where = JOINT_NAMES[bad[0]] if name.startswith('joint') else str(bad[0])
            return f'{name}[{where}] is {values[bad[0]]}'
    return 'a measured value is NaN or Inf'

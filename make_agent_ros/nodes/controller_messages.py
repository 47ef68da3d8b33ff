"""ROS messages of the controller node, made from robot state, loop status and timing."""

from __future__ import annotations

import json
import math

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from sensor_msgs.msg import Imu, JointState

from make_agent_ros.control.faults import Fault, FaultCode, Reaction
from make_agent_ros.control.loop import RealtimeLoop, Status
from make_agent_ros.go2.constants import JOINT_NAMES
from make_agent_ros.go2.state import RobotState

# Standard deviations of the Go2's IMU are not published; these are the noise of the simulator.
_GYRO_VARIANCE = 0.02**2
_ACC_VARIANCE = 0.1**2
_ATTITUDE_VARIANCE = 0.01**2
RECENT = 2000
"""Ticks, 4 s, that the percentiles on /diagnostics are of."""


def joint_state(state: RobotState, stamp: Time) -> JointState:
    """Return positions, velocities and efforts by name, SI."""
    message = JointState(name=list(JOINT_NAMES))
    message.header.stamp = stamp
    message.position = state.joint_pos.tolist()
    message.velocity = state.joint_vel.tolist()
    message.effort = state.joint_torque.tolist()
    return message


def imu(state: RobotState, stamp: Time) -> Imu:
    """Return the IMU as REP-145 asks: body frame, SI, gravity included in the acceleration."""
    message = Imu()
    message.header.stamp = stamp
    message.header.frame_id = 'imu_link'
    w, x, y, z = state.quat_wxyz.tolist()
    q, rate, acc = message.orientation, message.angular_velocity, message.linear_acceleration
    q.w, q.x, q.y, q.z = w, x, y, z
    rate.x, rate.y, rate.z = state.base_ang_vel.tolist()
    acc.x, acc.y, acc.z = state.base_lin_acc.tolist()
    message.orientation_covariance = np.diag([_ATTITUDE_VARIANCE] * 3).ravel()
    message.angular_velocity_covariance = np.diag([_GYRO_VARIANCE] * 3).ravel()
    message.linear_acceleration_covariance = np.diag([_ACC_VARIANCE] * 3).ravel()
    return message


def state_json(status: Status | None, note: str, dry_run: bool) -> str:
    """Return the text of `~/state`: mode, fault, policy and command as JSON."""
    if status is None:
        return json.dumps({'mode': 'PASSIVE', 'armed': False, 'fault': None, 'note': note})
    fault = status.fault
    return json.dumps(
        {
            'mode': status.mode.value,
            'armed': status.armed,
            'dry_run': dry_run,
            'fault': None if fault is None else {**_fault_dict(fault)},
            'violated': [_fault_dict(f) for f in status.warnings],
            'policy': status.policy,
            'on_probation': status.on_probation,
            'command': [round(v, 3) for v in status.velocity],
            'command_stale': status.command_stale,
            'velocity_estimated': _rounded(status.estimated),
            'command_added': _rounded(status.added),
            'note': note,
        }
    )


def _rounded(values: tuple[float, ...] | None) -> list[float] | None:
    return None if values is None else [round(v, 3) for v in values]


def _fault_dict(fault: Fault) -> dict[str, str]:
    return {
        'code': fault.code.value,
        'reaction': fault.reaction.name,
        'sentence': fault.sentence,
    }


def diagnostics(loop: RealtimeLoop, stamp: Time, name: str, dry_run: bool) -> DiagnosticArray:
    """Return the health of controller, timing and permissions."""
    status = loop.status
    message = DiagnosticArray()
    message.header.stamp = stamp
    message.status = [
        _mode_status(status, name, dry_run),
        _timing_status(loop, name),
        _permission_status(loop, name),
    ]
    return message


def _mode_status(status: Status | None, name: str, dry_run: bool) -> DiagnosticStatus:
    result = DiagnosticStatus(name=f'{name}: mode', hardware_id='go2')
    if status is None:
        result.level, result.message = DiagnosticStatus.STALE, 'the control loop has not started'
        return result
    worst = max((f.reaction for f in status.warnings), default=Reaction.WARN)
    sentences = [f.sentence for f in status.warnings]
    if status.fault is not None:
        result.level, result.message = DiagnosticStatus.ERROR, status.fault.sentence
    elif sentences:
        severe = worst > Reaction.WARN
        result.level = DiagnosticStatus.ERROR if severe else DiagnosticStatus.WARN
        result.message = '; '.join(sentences)
    else:
        result.level = DiagnosticStatus.OK
        result.message = status.mode.value + (', dry run' if dry_run else '')
    age = math.nan if status.state is None else status.time_s - status.state.stamp_s
    result.values = [
        KeyValue(key='mode', value=status.mode.value),
        KeyValue(key='armed', value=str(status.armed).lower()),
        KeyValue(key='policy', value=status.policy[:12]),
        KeyValue(key='lowstate age ms', value=f'{1e3 * age:.1f}'),
    ]
    if status.state is not None and not any(
        f.code is FaultCode.STATE_NOT_FINITE for f in status.warnings
    ):
        hottest = float(status.state.motor_temperature_c.max())
        result.values += [
            KeyValue(key='battery %', value=f'{status.state.battery_soc:.0f}'),
            KeyValue(key='hottest motor deg C', value=f'{hottest:.0f}'),
        ]
    return result


def _timing_status(loop: RealtimeLoop, name: str) -> DiagnosticStatus:
    figures = loop.timing.figures(last=RECENT)
    late = figures['overruns'] / max(figures['ticks'], 1.0)
    result = DiagnosticStatus(name=f'{name}: timing', hardware_id='go2')
    result.level = DiagnosticStatus.WARN if late > 1e-3 else DiagnosticStatus.OK
    result.message = (
        f'latency p50 {figures["latency_us_p50"]:.0f} us, p99 {figures["latency_us_p99"]:.0f} us; '
        f'{figures["overruns"]:.0f} overruns in {figures["ticks"]:.0f} ticks'
    )
    result.values = [KeyValue(key=key, value=f'{value:.1f}') for key, value in figures.items()]
    return result


def _permission_status(loop: RealtimeLoop, name: str) -> DiagnosticStatus:
    missing = loop.missing_permissions
    result = DiagnosticStatus(name=f'{name}: real-time permissions', hardware_id='go2')
    result.level = DiagnosticStatus.WARN if missing else DiagnosticStatus.OK
    result.message = '; '.join(missing) or 'granted'
    return result

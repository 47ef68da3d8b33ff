"""Parameters of the simulator node, and its ROS messages made from truth and figures."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from nav_msgs.msg import Odometry

from make_agent_ros.fields import parameter_infos
from make_agent_ros.go2.remote import REMOTE_BYTES, Button, Remote, encode_remote
from make_agent_ros.nodes.parameters import ParameterError, group, param
from make_agent_ros.simulation.faults import Faults
from make_agent_ros.simulation.realtime import SimulationReport
from make_agent_ros.simulation.robot import Truth
from make_agent_ros.simulation.sensors import Noise

SLOW = 0.95
"""Real-time factor, relative to the one asked for, below which the node warns."""


@dataclass(frozen=True)
class SimulatorConfig:
    """Everything that can be set on the simulator node."""

    interface: str = param('lo', 'Network interface on which the simulated robot appears.')
    domain: int = param(1, 'DDS domain of the simulated robot; a real Go2 uses 0.', 0, 232)
    headless: bool = param(True, "false: open MuJoCo's viewer (needs a display).")
    seed: int = param(0, 'Seed of sensor noise and random faults.', 0)
    real_time_factor: float = param(1.0, 'Speed of simulated time.', 0.05, 20.0)
    battery_soc: float = param(90.0, 'Charge at the start.', 1.0, 100.0, unit='%')
    sport_mode: str = param(
        '',
        "Name of Unitree's own controller that holds the motors at the start, as on a robot that "
        'was just switched on: normal, ai, advanced or mcf. Empty: already released.',
        choices=('', 'normal', 'ai', 'advanced', 'mcf'),
    )
    odometry_hz: float = param(50.0, 'Rate of odom.', 1.0, 500.0, unit='Hz')
    publish_clock: bool = param(False, 'Publish simulated time on /clock at 100 Hz.')
    push_velocity: list[float] = param(
        [0.0, 0.6, 0.0],
        'Velocity change that ~/push gives the robot, world x, y, z.',
        -3.0,
        3.0,
        unit='m/s',
        dynamic=True,
    )
    remote_buttons: str = param(
        '',
        "Buttons held on the robot's remote, joined by +, e.g. L2+B; they reach the controller "
        'as on a real Go2, inside LowState.',
        dynamic=True,
    )
    remote_sticks: list[float] = param(
        [0.0, 0.0, 0.0, 0.0],
        "Sticks of the robot's remote: left x, left y, right x, right y; right and up positive.",
        -1.0,
        1.0,
        dynamic=True,
    )
    noise: Noise = group(Noise)
    faults: Faults = group(Faults)

    def __post_init__(self) -> None:
        for name, size in (('push_velocity', 3), ('remote_sticks', 4)):
            if len(getattr(self, name)) != size:
                raise ParameterError(
                    f'parameter {name} has {len(getattr(self, name))} values; it takes {size}'
                )
        self.remote_bytes()  # refuses unknown buttons

    def remote_bytes(self) -> bytes:
        """Return the remote's 40 bytes; all zero, as without a remote, when nothing is touched."""
        names = [name.strip().upper() for name in self.remote_buttons.split('+') if name.strip()]
        unknown = [name for name in names if name not in Button.__members__]
        if unknown:
            raise ParameterError(
                f'parameter remote_buttons names {", ".join(unknown)}; there are '
                f'{", ".join(Button.__members__)}'
            )
        buttons = Button(0)
        for name in names:
            buttons |= Button[name]
        if not buttons and not any(self.remote_sticks):
            return bytes(REMOTE_BYTES)
        return encode_remote(Remote(buttons, *self.remote_sticks))


def active_faults(faults: Faults) -> dict[str, object]:
    """Return the faults that differ from a healthy robot."""
    return {
        info.name: getattr(faults, info.name)
        for info in parameter_infos(Faults)
        if getattr(faults, info.name) != info.default
    }


def odometry(truth: Truth, stamp: Time) -> Odometry:
    """Return the trunk's true pose (odom frame) and velocity (base frame, REP-105)."""
    message = Odometry()
    message.header.stamp = stamp
    message.header.frame_id = 'odom'
    message.child_frame_id = 'base'
    pose, twist = message.pose.pose, message.twist.twist
    pose.position.x, pose.position.y, pose.position.z = truth.position_w.tolist()
    w, x, y, z = truth.quat_wxyz.tolist()
    pose.orientation.x, pose.orientation.y = x, y
    pose.orientation.z, pose.orientation.w = z, w
    twist.linear.x, twist.linear.y, twist.linear.z = truth.lin_vel_b.tolist()
    twist.angular.x, twist.angular.y, twist.angular.z = truth.ang_vel_b.tolist()
    return message


def clock_time(time_s: float) -> Time:
    """Return simulated seconds as a ROS time."""
    return Time(sec=int(time_s), nanosec=int(time_s % 1.0 * 1e9))


def state_text(
    report: SimulationReport, faults: Faults, writers: list[str], sport_mode: str
) -> str:
    """Return the text of `~/state` as JSON."""
    wire = report.wire
    state = {
        'state': 'running',
        'stamp_s': round(time.time(), 3),
        'steps': report.steps,
        'real_time_factor': round(report.real_time_factor, 4),
        'late_ms_max': round(1e3 * report.late_s_max, 3),
        'overruns': report.overruns,
        'commands': report.commands,
        'bad_commands': report.bad_commands,
        'command_age_ms': _ms(report.command_age_s),
        'lowcmd_writers': writers,
        'sport_mode': sport_mode,
        'faults': active_faults(faults),
    }
    if wire is not None:
        state['lowcmd_gap_ms_max'] = _ms(wire.gap_s_max)
        state['lowcmd_gap_ms_p99'] = _ms(wire.gap_s_p99)
        state['reply_us_p50'] = _scaled(wire.reply_s_p50, 1e6, 1)
        state['reply_us_p99'] = _scaled(wire.reply_s_p99, 1e6, 1)
    return json.dumps(state)


def _ms(seconds: float) -> float | None:
    return _scaled(seconds, 1e3, 3)


def _scaled(seconds: float, factor: float, digits: int) -> float | None:
    # JSON has no NaN
    return round(factor * seconds, digits) if math.isfinite(seconds) else None


def diagnostics(
    report: SimulationReport,
    asked_factor: float,
    faults: Faults,
    writers: list[str],
    bad_command: str,
    stamp: Time,
) -> DiagnosticArray:
    """Return the node's diagnostics: speed, commands heard, writers, faults set."""
    level, text = DiagnosticStatus.OK, 'running'
    if report.real_time_factor and report.real_time_factor < SLOW * asked_factor:
        level = DiagnosticStatus.WARN
        text = (
            f'runs at {report.real_time_factor:.2f} of real time, asked for {asked_factor:g}; '
            'free a core or lower real_time_factor'
        )
    if report.bad_commands:
        level, text = DiagnosticStatus.WARN, f'LowCmd samples ignored: {bad_command}'
    if len(writers) > 1:
        level = DiagnosticStatus.ERROR
        text = f'{len(writers)} writers on rt/lowcmd ({"; ".join(writers)}); stop all but one'
    active = active_faults(faults)
    if active and level == DiagnosticStatus.OK:
        level = DiagnosticStatus.WARN
        text = f'faults injected: {", ".join(active)}; ~/clear_faults ends them'
    values = {
        'real-time factor': f'{report.real_time_factor:.3f}',
        'steps': report.steps,
        'overruns': report.overruns,
        'worst lateness ms': f'{1e3 * report.late_s_max:.2f}',
        'LowCmd obeyed': report.commands,
        'LowCmd ignored': report.bad_commands,
        'LowCmd age ms': f'{1e3 * report.command_age_s:.1f}',
        'LowCmd gap max ms': f'{1e3 * report.wire.gap_s_max:.2f}' if report.wire else 'none yet',
        'faults': json.dumps(active),
    }
    status = DiagnosticStatus(
        level=level,
        name='simulator: robot',
        message=text,
        hardware_id='simulated go2',
        values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
    )
    message = DiagnosticArray(status=[status])
    message.header.stamp = stamp
    return message

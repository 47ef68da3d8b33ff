"""Everything that `bench faults` does to a walking robot, and what should follow."""

from __future__ import annotations

import enum
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from make_agent_ros.control.controller import ControllerConfig
from make_agent_ros.control.safety import SafetyLimits
from make_agent_ros.go2.dds import LOWCMD_TOPIC, Participant
from make_agent_ros.nodes.bench.rig import Rig
from make_agent_ros.nodes.bench.window import PERIOD_S

Act = Callable[[Rig], None]

_LIMITS = SafetyLimits()
TWO_PERIODS_MS = 2e3 * PERIOD_S
"""From a violated limit to the first damping command, ms."""
SILENCE_MS = 1e3 * _LIMITS.state_age_max_s + TWO_PERIODS_MS
FROZEN_MS = 1e3 * _LIMITS.frozen_max_s + TWO_PERIODS_MS
_CONFIG = ControllerConfig()
LIE_DOWN_MS = 1e3 * (_CONFIG.stop_walk_s + _CONFIG.lie_down_s) + TWO_PERIODS_MS
GUARD_MS = 250.0
"""`guard_timeout_s` as shipped."""
GUARD_START_MS = 100.0
"""The guard makes its writer in need; the robot must find it first."""
SERVICE_MS = 50.0
DISCOVERY_MS = 300.0
SHORT_HANG_S = 0.12


class Expect(enum.Enum):
    """What a healthy controller does."""

    DAMP = 'damp'
    """Damping, at once."""
    LIE_DOWN = 'lie down'
    """Lie down under control, then damping."""
    WALK = 'walk on'
    STOP = 'stand on the spot'
    """Velocity zero, keep balancing."""
    SAFE = 'walk on or damp'
    """The body may or may not cope; what must not be is a fallen robot that is driven."""


@dataclass(frozen=True)
class Case:
    """One fault: how it is made, how it shows on the wire, what must follow."""

    name: str
    """Key in the figures."""
    does: str
    """For the table."""
    inject: Act
    """Returns at once."""
    expect: Expect = Expect.DAMP
    limit_ms: float = TWO_PERIODS_MS
    """From the sign on the wire, or from the order, to the first damping command."""
    sign: str = ''
    """What LowState shows first (`window.SIGNS`); empty: nothing, time counts from the order."""
    cure: Act = lambda rig: None
    prepare: Act = lambda rig: None
    """Slow work before the robot walks."""
    watch_s: float = 0.8
    """Observed for this long."""
    ends: bool = False
    """Whether damping may end (a controller that was told to leave damps half a second)."""


def _set(**faults: float | str) -> Act:
    """Set fault parameters of the simulator."""
    values = {f'faults__{name}': value for name, value in faults.items()}
    return lambda rig: rig.operator.set_parameters('simulator', **values)


def _push(x: float, y: float) -> Act:
    def push(rig: Rig) -> None:
        rig.operator.set_parameters('simulator', push_velocity=[x, y, 0.0])
        rig.call('simulator/push')

    return push


def _send(node: str, number: signal.Signals) -> Act:
    return lambda rig: rig.signal(node, number)


def _short_hang(rig: Rig) -> None:
    rig.signal('controller', signal.SIGSTOP)
    time.sleep(SHORT_HANG_S)
    rig.signal('controller', signal.SIGCONT)


def _remote(buttons: str) -> Act:
    return lambda rig: rig.operator.set_parameters('simulator', remote_buttons=buttons)


class _Intruder:
    """A second program that announces itself as a writer of rt/lowcmd."""

    def __init__(self) -> None:
        self._participant: Participant | None = None

    def lurk(self, rig: Rig) -> None:
        self._participant = Participant('lo', rig.dds_domain)

    def come(self, rig: Rig) -> None:
        assert self._participant is not None
        self._writer = self._participant.writer(LOWCMD_TOPIC)

    def go(self, rig: Rig) -> None:
        if self._participant is not None:
            self._participant.close()


_intruder = _Intruder()

CASES: tuple[Case, ...] = (
    Case('state_nan', 'NaN in a joint angle', _set(corrupt='nan'), sign='nan'),
    Case('state_swapped', 'front legs in exchanged slots', _set(corrupt='swap_legs'), sign='jump'),
    Case('state_bad_crc', 'wrong CRC in every LowState', _set(corrupt='crc'),
         limit_ms=SILENCE_MS, sign='crc'),
    Case('state_dropped', 'every LowState lost', _set(drop_state=1.0),
         limit_ms=SILENCE_MS, sign='silence'),
    Case('state_half_dropped', 'every second LowState lost', _set(drop_state=0.5), Expect.WALK),
    Case('state_delayed', 'LowState 100 ms late', _set(delay_state_s=0.1),
         limit_ms=SILENCE_MS, sign='silence'),
    Case('state_frozen', 'the same LowState over and over', _set(freeze='all'),
         limit_ms=FROZEN_MS, sign='repeated'),
    Case('values_frozen', 'sensor values repeat, the tick runs on', _set(freeze='values'),
         limit_ms=FROZEN_MS, sign='repeated'),
    Case('robot_silent', 'the robot stops in its tracks (SIGSTOP)',
         _send('simulator', signal.SIGSTOP), limit_ms=SILENCE_MS, sign='silence',
         cure=_send('simulator', signal.SIGCONT)),
    Case('command_half_dropped', 'the robot hears every second LowCmd', _set(drop_command=0.5),
         Expect.SAFE, sign='tilt'),
    Case('command_delayed', 'LowCmd 30 ms late', _set(delay_command_s=0.03), Expect.SAFE,
         sign='tilt', watch_s=2.5),
    Case('motor_lost', 'FL_calf gives no torque', _set(lost_motor='FL_calf_joint'), Expect.SAFE,
         sign='tilt', watch_s=2.5),
    Case('motors_weak', 'motors at 30 %', _set(motor_strength=0.3), Expect.SAFE, sign='tilt',
         watch_s=2.5),
    Case('payload', '8 kg on the trunk', _set(payload_kg=8.0), Expect.SAFE, sign='tilt',
         watch_s=2.5),
    Case('ice', 'friction 0.1', _set(friction=0.1), Expect.SAFE, sign='tilt', watch_s=2.5),
    Case('push', 'pushed sideways by 0.5 m/s', _push(0.0, 0.5), Expect.SAFE, sign='tilt',
         watch_s=2.0),
    Case('tilt', 'pushed over, 3 m/s sideways', _push(0.0, 3.0), sign='tilt', watch_s=2.5),
    Case('battery_low', 'charge 5 %', _set(battery_soc=5.0), Expect.LIE_DOWN, LIE_DOWN_MS,
         sign='battery', watch_s=2.2),
    Case('motor_hot', 'motors at 95 deg C', _set(motor_temperature_c=95.0), Expect.LIE_DOWN,
         LIE_DOWN_MS, sign='hot', watch_s=2.2),
    Case('remote_stop', 'L2 + B on the remote', _remote('L2+B'), sign='remote',
         cure=_remote('')),
    Case('operator_stop', 'the ~/stop service', lambda rig: _ask(rig, 'controller/stop'),
         limit_ms=SERVICE_MS),
    Case('heartbeat_lost', 'the operator falls silent', lambda rig: rig.operator.beat(False),
         Expect.LIE_DOWN, 1e3 * _LIMITS.heartbeat_age_max_s + LIE_DOWN_MS,
         cure=lambda rig: rig.operator.beat(True), watch_s=2.8),
    Case('cmd_vel_silent', '/cmd_vel falls silent', lambda rig: rig.operator.drive(None),
         Expect.STOP, 1e3 * _LIMITS.command_age_max_s + SERVICE_MS, watch_s=2.0),
    Case('second_writer', 'another writer on rt/lowcmd', _intruder.come,
         limit_ms=DISCOVERY_MS, prepare=_intruder.lurk, cure=_intruder.go),
    Case('controller_stalls', 'the controller hangs for 120 ms (SIGSTOP)', _short_hang,
         limit_ms=1e3 * SHORT_HANG_S + SERVICE_MS),
    Case('controller_hangs', 'the controller hangs for good (SIGSTOP)',
         _send('controller', signal.SIGSTOP), limit_ms=GUARD_MS + GUARD_START_MS,
         cure=_send('controller', signal.SIGCONT)),
    Case('controller_told_to_end', 'the controller gets SIGTERM',
         _send('controller', signal.SIGTERM), limit_ms=SERVICE_MS, ends=True),
    Case('controller_killed', 'the controller is killed (SIGKILL)',
         _send('controller', signal.SIGKILL), limit_ms=GUARD_START_MS),
)  # fmt: skip
"""In the order of the table; those that cost a controller come last."""


def _ask(rig: Rig, service: str) -> None:
    rig.call(service)


BY_NAME = {case.name: case for case in CASES}

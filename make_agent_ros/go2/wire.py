"""Go2 messages as bytes: LowState_ and LowCmd_ to and from numpy, with the robot's CRC.

No IDL object is built. A sample is decoded by one gather of the floats wanted and encoded by
scattering into a preallocated buffer; `layout` says where each field lies. The joint order on the
wire is the SDK's; the maps below are made from the joint names.

CRC: CRC-32/MPEG-2 over the message as a packed C struct, taken as little-endian words, most
significant byte first, the last word (the CRC itself) left out (unitree_sdk2py `utils/crc.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from fastcrc.crc32 import mpeg_2

from make_agent_ros.go2.command import JointCommand
from make_agent_ros.go2.constants import (
    JOINT_NAMES,
    LEGS,
    N_MOTOR_SLOTS,
    SDK_JOINT_NAMES,
    SDK_LEGS,
    joint_index_map,
)
from make_agent_ros.go2.layout import (
    CDR_LITTLE_ENDIAN,
    LOWCMD,
    LOWCMD_LAYOUT,
    LOWSTATE,
    LOWSTATE_LAYOUT,
    MessageLayout,
    offset_of,
)
from make_agent_ros.go2.state import RobotState

POS_STOP = 2.146e9
"""`PosStopF`: a motor slot with this angle has no position target [SDK]."""
VEL_STOP = 16000.0
"""`VelStopF`: a motor slot with this velocity has no velocity target [SDK]."""
MODE_SERVO = 0x01
MODE_OFF = 0x00

Buffer = bytes | bytearray | memoryview

_SLOT = joint_index_map(SDK_JOINT_NAMES, JOINT_NAMES)
"""Motor slot of each joint, package order."""
_FOOT = np.array([SDK_LEGS.index(leg) for leg in LEGS])
"""Place of each leg's foot sensor, package order."""
_UNUSED = np.setdiff1d(np.arange(N_MOTOR_SLOTS), _SLOT)


class WireError(ValueError):
    """Bytes that are not the message they should be."""


class CrcError(WireError):
    """A message whose CRC is not the one of its contents."""


def _check_form(layout: MessageLayout, data: Buffer, where: str = '') -> None:
    if len(data) != layout.size:
        raise WireError(
            f'{where}{layout.name} sample has {len(data)} bytes, expected {layout.size}; '
            'is the publisher a Go2 (unitree_go) and not another robot (unitree_hg)?'
        )
    if data[0] != 0 or data[1] not in CDR_LITTLE_ENDIAN:
        raise WireError(
            f'{where}{layout.name} sample begins with {bytes(data[:2]).hex()}, expected plain '
            'little-endian CDR (0001 or 0007)'
        )


def _crc(layout: MessageLayout, data: Buffer) -> int:
    return mpeg_2(np.frombuffer(data, dtype=np.uint8).take(layout.crc_order).tobytes())


def _carried_crc(data: Buffer) -> int:
    return int.from_bytes(data[-4:], 'little')


def _check_crc(layout: MessageLayout, data: Buffer) -> None:
    expected, carried = _crc(layout, data), _carried_crc(data)
    if carried != expected:
        raise CrcError(
            f'{layout.name} carries CRC {carried:#010x}, its contents give {expected:#010x}; '
            'compute the CRC last, after every other field is set'
        )


def lowstate_crc(data: Buffer) -> int:
    """Return the CRC that belongs to a LowState_ sample, whatever it carries."""
    _check_form(LOWSTATE_LAYOUT, data)
    return _crc(LOWSTATE_LAYOUT, data)


def lowcmd_crc(data: Buffer) -> int:
    """Return the CRC that belongs to a LowCmd_ sample, whatever it carries."""
    _check_form(LOWCMD_LAYOUT, data)
    return _crc(LOWCMD_LAYOUT, data)


def _state_words() -> tuple[np.ndarray, dict[str, slice]]:
    """Indices of the floats that RobotState holds, and where each group comes to lie."""
    groups = {
        name: offset_of(LOWSTATE, name) // 4 + np.arange(size)
        for name, size in (('quaternion', 4), ('gyroscope', 3), ('accelerometer', 3))
    }
    for name in ('q', 'dq', 'tau_est'):
        groups[name] = LOWSTATE_LAYOUT.motor_bytes(name, _SLOT) // 4
    groups['power_v'] = np.array([offset_of(LOWSTATE, 'power_v') // 4])
    slices: dict[str, slice] = {}
    start = 0
    for name, words in groups.items():
        slices[name] = slice(start, start + len(words))
        start += len(words)
    return np.concatenate(list(groups.values())), slices


_STATE_WORDS, _STATE_SLICES = _state_words()
_TEMPERATURE_BYTES = LOWSTATE_LAYOUT.motor_bytes('temperature', _SLOT)
_FOOT_FORCE_HALVES = offset_of(LOWSTATE, 'foot_force') // 2 + _FOOT
_TICK = slice(offset_of(LOWSTATE, 'tick'), offset_of(LOWSTATE, 'tick') + 4)
_REMOTE = slice(offset_of(LOWSTATE, 'wireless_remote'), offset_of(LOWSTATE, 'bit_flag'))
_SOC = offset_of(LOWSTATE, 'bms') + offset_of(LOWSTATE['bms'], 'soc')


def decode_lowstate(data: Buffer, stamp_s: float = 0.0, *, check_crc: bool = False) -> RobotState:
    """Return what the robot says, in package order.

    Args:
        data: one sample with its encapsulation header, 1,180 bytes.
        stamp_s: monotonic receive time, s.
        check_crc: refuse a sample whose CRC is wrong. Off by default, because simulators in the
            field leave the CRC of LowState_ 0.

    Raises:
        WireError: wrong size or encapsulation.
        CrcError: `check_crc` is set and the CRC does not fit.
    """
    _check_form(LOWSTATE_LAYOUT, data)
    if check_crc:
        _check_crc(LOWSTATE_LAYOUT, data)
    raw = np.frombuffer(data, dtype=np.uint8)
    values = raw.view('<f4').take(_STATE_WORDS).astype(np.float64)
    part = _STATE_SLICES
    return RobotState(
        quat_wxyz=values[part['quaternion']],
        base_ang_vel=values[part['gyroscope']],
        joint_pos=values[part['q']],
        joint_vel=values[part['dq']],
        stamp_s=stamp_s,
        tick=int.from_bytes(data[_TICK], 'little'),
        base_lin_acc=values[part['accelerometer']],
        joint_torque=values[part['tau_est']],
        motor_temperature_c=raw.take(_TEMPERATURE_BYTES).astype(np.float64),
        foot_force=raw.view('<i2').take(_FOOT_FORCE_HALVES).astype(np.float64),
        battery_soc=float(data[_SOC]),
        battery_v=float(values[-1]),
        wireless_remote=bytes(data[_REMOTE]),
    )


STATE_RECORD = np.dtype(
    [
        ('tick', 'u4'),
        ('quat_wxyz', 'f4', 4),
        ('base_ang_vel', 'f4', 3),
        ('base_lin_acc', 'f4', 3),
        ('joint_pos', 'f4', 12),
        ('joint_vel', 'f4', 12),
        ('joint_torque', 'f4', 12),
        ('foot_force', 'i2', 4),
        ('motor_temperature_c', 'u1', 12),
        ('battery_soc', 'u1'),
        ('battery_v', 'f4'),
    ]
)
"""One row of `decode_lowstates`: package order, units as in `RobotState`."""


def decode_lowstates(samples: Sequence[Buffer]) -> np.ndarray:
    """Decode many LowState_ samples at once (a bag).

    Args:
        samples: each with its encapsulation header.

    Returns:
        Structured array of `STATE_RECORD`, shape (len(samples),).

    Raises:
        WireError: a sample has another size or encapsulation; the message says which.
    """
    for i, sample in enumerate(samples):
        _check_form(LOWSTATE_LAYOUT, sample, f'sample {i}: ')
    raw = np.frombuffer(b''.join(samples), dtype=LOWSTATE)
    motors = raw['motor'][:, _SLOT]
    out = np.empty(len(raw), dtype=STATE_RECORD)
    out['tick'] = raw['tick']
    out['quat_wxyz'] = raw['quaternion']
    out['base_ang_vel'] = raw['gyroscope']
    out['base_lin_acc'] = raw['accelerometer']
    out['joint_pos'] = motors['q']
    out['joint_vel'] = motors['dq']
    out['joint_torque'] = motors['tau_est']
    out['foot_force'] = raw['foot_force'][:, _FOOT]
    out['motor_temperature_c'] = motors['temperature']
    out['battery_soc'] = raw['bms']['soc']
    out['battery_v'] = raw['power_v']
    return out


class LowStateEncoder:
    """Writes LowState_ samples into one preallocated buffer (the simulated robot's side)."""

    def __init__(self) -> None:
        self._buffer = bytearray(LOWSTATE_LAYOUT.size)
        self._buffer[1] = CDR_LITTLE_ENDIAN[0]
        self._raw = np.frombuffer(self._buffer, dtype=np.uint8)
        self._words = self._raw.view('<f4')
        self.fields = self._raw.view(LOWSTATE)[0]
        """Every field by name (`layout.LOWSTATE`), for what RobotState does not hold."""
        self.fields['head'] = (0xFE, 0xEF)
        self.fields['level_flag'] = 0xFF
        self._values = np.zeros(len(_STATE_WORDS), dtype=np.float32)
        self._modes = LOWSTATE_LAYOUT.mode_bytes[_SLOT]

    def __deepcopy__(self, memo: dict[int, object]) -> LowStateEncoder:
        """Copy the buffer; a copy of each view of it would show another one."""
        copy = LowStateEncoder()
        copy._buffer[:] = self._buffer
        return copy

    def encode(self, state: RobotState, motor_modes: np.ndarray | int = MODE_SERVO) -> bytes:
        """Return one sample with its CRC, 1,180 bytes.

        Args:
            state: proprioception of one robot, package order.
            motor_modes: mode of each motor, package order, shape (12,) or one for all.
        """
        values, part = self._values, _STATE_SLICES
        values[part['quaternion']] = state.quat_wxyz
        values[part['gyroscope']] = state.base_ang_vel
        values[part['accelerometer']] = state.base_lin_acc
        values[part['q']] = state.joint_pos
        values[part['dq']] = state.joint_vel
        values[part['tau_est']] = state.joint_torque
        values[part['power_v']] = state.battery_v
        self._words[_STATE_WORDS] = values
        self._raw[_TEMPERATURE_BYTES] = np.minimum(np.maximum(state.motor_temperature_c, 0), 255)
        self._raw[self._modes] = motor_modes
        force = np.minimum(np.maximum(state.foot_force, -32768), 32767)
        self._raw.view('<i2')[_FOOT_FORCE_HALVES] = force
        self._buffer[_TICK] = (state.tick & 0xFFFFFFFF).to_bytes(4, 'little')
        self._buffer[_SOC] = int(state.battery_soc)
        self._buffer[_REMOTE] = state.wireless_remote[:40].ljust(40, b'\0')
        self._buffer[-4:] = _crc(LOWSTATE_LAYOUT, self._buffer).to_bytes(4, 'little')
        return bytes(self._buffer)


class LowCmdEncoder:
    """Writes LowCmd_ samples into one preallocated buffer (the controller's side)."""

    def __init__(self) -> None:
        self._buffer = bytearray(LOWCMD_LAYOUT.size)
        self._buffer[1] = CDR_LITTLE_ENDIAN[0]
        self._raw = np.frombuffer(self._buffer, dtype=np.uint8)
        self._words = self._raw.view('<f4')
        fields = self._raw.view(LOWCMD)[0]
        fields['head'] = (0xFE, 0xEF)
        fields['level_flag'] = 0xFF
        fields['motor']['q'][_UNUSED] = POS_STOP
        fields['motor']['dq'][_UNUSED] = VEL_STOP
        self._raw[LOWCMD_LAYOUT.mode_bytes] = MODE_SERVO

    def __deepcopy__(self, memo: dict[int, object]) -> LowCmdEncoder:
        """Copy the buffer, as `LowStateEncoder` does."""
        copy = LowCmdEncoder()
        copy._buffer[:] = self._buffer
        return copy

    def encode(self, command: JointCommand) -> bytes:
        """Return one sample with its CRC, 812 bytes."""
        self._words[_COMMAND_WORDS] = command.values
        self._raw[_COMMAND_MODES] = MODE_SERVO if command.enabled else MODE_OFF
        self._buffer[-4:] = _crc(LOWCMD_LAYOUT, self._buffer).to_bytes(4, 'little')
        return bytes(self._buffer)


_COMMAND_WORDS = np.stack(
    [LOWCMD_LAYOUT.motor_bytes(name, _SLOT) // 4 for name in ('q', 'kp', 'kd', 'tau', 'dq')]
)
"""Where `JointCommand.values` lies in the floats of a sample, shape (5, 12)."""
_COMMAND_MODES = LOWCMD_LAYOUT.mode_bytes[_SLOT]


def encode_lowstate(state: RobotState, motor_modes: np.ndarray | int = MODE_SERVO) -> bytes:
    """Return one LowState_ sample; `LowStateEncoder` does the same without set-up per call."""
    return LowStateEncoder().encode(state, motor_modes)


def encode_lowcmd(command: JointCommand) -> bytes:
    """Return one LowCmd_ sample; `LowCmdEncoder` does the same without set-up per call."""
    return LowCmdEncoder().encode(command)


def motor_modes(data: Buffer) -> np.ndarray:
    """Return the motor modes of a LowCmd_ sample, package order, uint8, shape (12,)."""
    modes: np.ndarray = np.frombuffer(data, dtype=np.uint8).take(_COMMAND_MODES)
    return modes


def decode_lowcmd(data: Buffer, *, check_crc: bool = True) -> JointCommand:
    """Return what a LowCmd_ sample asks for, package order.

    `enabled` is set when all twelve motors are in servo mode; `motor_modes` tells them apart.

    Raises:
        WireError: wrong size or encapsulation.
        CrcError: the CRC does not fit.
    """
    _check_form(LOWCMD_LAYOUT, data)
    if check_crc:
        _check_crc(LOWCMD_LAYOUT, data)
    command = JointCommand(enabled=bool((motor_modes(data) == MODE_SERVO).all()))
    command.values[:] = np.frombuffer(data, dtype='<f4').take(_COMMAND_WORDS)
    return command

"""Where every field lies in the CDR bytes of `unitree_go.msg.dds_` LowState_ and LowCmd_.

All fields of both messages have a fixed size, so their XCDR1 encoding is a fixed layout: 4 bytes
of encapsulation header, then each primitive aligned to its size, counted from the end of that
header. The buffers that CycloneDDS hands over include the header; so do the offsets here.

One thing keeps this from being a plain C struct: CDR has no padding at the end of a struct. The
first motor's `mode` byte follows the field before it directly, while the `mode` of every other
motor follows the previous motor's last word. So a motor record here starts at `q`, and the modes
are two fields of their own (`motor_mode_first`, `motor_mode_rest`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from make_agent_ros.go2.constants import N_MOTOR_SLOTS

CDR_HEADER_SIZE = 4
LOWSTATE_SIZE = 1180
"""Bytes of a LowState_ sample, header included (1,176 of payload)."""
LOWCMD_SIZE = 812
"""Bytes of a LowCmd_ sample, header included (808 of payload)."""

CDR_LITTLE_ENDIAN = (0x01, 0x07)
"""Second header byte of the encodings read here: XCDR1 and XCDR2, plain, little endian. They give
the same bytes for these messages, which hold no 8-byte primitive."""


def _record(itemsize: int, **fields: tuple[Any, int]) -> np.dtype:
    """Return a structured dtype from name -> (format, byte offset)."""
    return np.dtype(
        {
            'names': list(fields),
            'formats': [fmt for fmt, _ in fields.values()],
            'offsets': [offset for _, offset in fields.values()],
            'itemsize': itemsize,
        }
    )


MOTOR_STATE = _record(
    48,
    q=('<f4', 0),
    dq=('<f4', 4),
    ddq=('<f4', 8),
    tau_est=('<f4', 12),
    q_raw=('<f4', 16),
    dq_raw=('<f4', 20),
    ddq_raw=('<f4', 24),
    temperature=('u1', 28),
    lost=('<u4', 32),
    reserve=(('<u4', 2), 36),
)
"""One motor of LowState_ without its mode; the next motor's mode byte is at offset 44."""

BMS_STATE = _record(
    44,
    version_high=('u1', 0),
    version_low=('u1', 1),
    status=('u1', 2),
    soc=('u1', 3),
    current=('<i4', 4),
    cycle=('<u2', 8),
    bq_ntc=(('u1', 2), 10),
    mcu_ntc=(('u1', 2), 12),
    cell_vol=(('<u2', 15), 14),
)

_ONE_MODE_OF_STATE = _record(48, mode=('u1', 0))

LOWSTATE = _record(
    LOWSTATE_SIZE,
    encapsulation=(('u1', 4), 0),
    head=(('u1', 2), 4),
    level_flag=('u1', 6),
    frame_reserve=('u1', 7),
    sn=(('<u4', 2), 8),
    version=(('<u4', 2), 16),
    bandwidth=('<u2', 24),
    quaternion=(('<f4', 4), 28),
    gyroscope=(('<f4', 3), 44),
    accelerometer=(('<f4', 3), 56),
    rpy=(('<f4', 3), 68),
    imu_temperature=('u1', 80),
    motor_mode_first=('u1', 81),
    motor=((MOTOR_STATE, 20), 84),
    motor_mode_rest=((_ONE_MODE_OF_STATE, 19), 128),
    bms=(BMS_STATE, 1040),
    foot_force=(('<i2', 4), 1084),
    foot_force_est=(('<i2', 4), 1092),
    tick=('<u4', 1100),
    wireless_remote=(('u1', 40), 1104),
    bit_flag=('u1', 1144),
    adc_reel=('<f4', 1148),
    temperature_ntc1=('u1', 1152),
    temperature_ntc2=('u1', 1153),
    power_v=('<f4', 1156),
    power_a=('<f4', 1160),
    fan_frequency=(('<u2', 4), 1164),
    reserve=('<u4', 1172),
    crc=('<u4', 1176),
)
"""LowState_ with its 4-byte encapsulation header."""

MOTOR_CMD = _record(
    36,
    q=('<f4', 0),
    dq=('<f4', 4),
    tau=('<f4', 8),
    kp=('<f4', 12),
    kd=('<f4', 16),
    reserve=(('<u4', 3), 20),
)
"""One motor of LowCmd_ without its mode; the next motor's mode byte is at offset 32."""

_ONE_MODE_OF_CMD = _record(36, mode=('u1', 0))

LOWCMD = _record(
    LOWCMD_SIZE,
    encapsulation=(('u1', 4), 0),
    head=(('u1', 2), 4),
    level_flag=('u1', 6),
    frame_reserve=('u1', 7),
    sn=(('<u4', 2), 8),
    version=(('<u4', 2), 16),
    bandwidth=('<u2', 24),
    motor_mode_first=('u1', 26),
    motor=((MOTOR_CMD, 20), 28),
    motor_mode_rest=((_ONE_MODE_OF_CMD, 19), 60),
    bms_off=('u1', 744),
    bms_reserve=(('u1', 3), 745),
    wireless_remote=(('u1', 40), 748),
    led=(('u1', 12), 788),
    fan=(('u1', 2), 800),
    gpio=('u1', 802),
    reserve=('<u4', 804),
    crc=('<u4', 808),
)
"""LowCmd_ with its 4-byte encapsulation header."""


def offset_of(dtype: np.dtype, name: str) -> int:
    """Return the byte offset of a field."""
    assert dtype.fields is not None
    return int(dtype.fields[name][1])


def _mark_used(dtype: np.dtype, start: int, used: np.ndarray) -> None:
    """Set `used` where a field of `dtype` lies, looking into records and arrays of records."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        for i in range(int(np.prod(shape))):
            _mark_used(base, start + i * base.itemsize, used)
    elif dtype.fields is not None:
        for fmt, offset, *_ in dtype.fields.values():
            _mark_used(fmt, start + offset, used)
    else:
        used[start : start + dtype.itemsize] = True


class MessageLayout:
    """Index arrays into one message's bytes: motor fields and the order the CRC reads."""

    def __init__(self, name: str, dtype: np.dtype, motor: np.dtype) -> None:
        self.name = name
        self.dtype = dtype
        self.size = dtype.itemsize
        self._motor = motor
        self._motor_start = offset_of(dtype, 'motor')
        self.mode_bytes = self._motor_start + np.arange(N_MOTOR_SLOTS) * motor.itemsize - 4
        """Byte offset of each slot's mode, shape (20,)."""
        self.mode_bytes[0] = offset_of(dtype, 'motor_mode_first')
        self.crc_order = self._crc_order()
        """Byte offsets in the order that the CRC reads them, shape (size - 4,)."""

    def motor_bytes(self, name: str, slots: np.ndarray) -> np.ndarray:
        """Byte offsets of a motor field for these slots, shape (len(slots),)."""
        start = self._motor_start + offset_of(self._motor, name)
        return np.asarray(start + slots * self._motor.itemsize)

    def _crc_order(self) -> np.ndarray:
        """The packed C struct, word by word, most significant byte first.

        The struct starts its motor array on a word where CDR does not, four bytes earlier seen
        from the buffer's start; from the first motor's `q` on, struct and buffer (header
        included) coincide. Padding reads byte 0, which is 0 in every encapsulation header.
        """
        used = np.zeros(self.size, dtype=bool)
        _mark_used(self.dtype, 0, used)
        source = np.where(used, np.arange(self.size), 0)
        first = int(self.mode_bytes[0])
        packed = np.zeros(self.size, dtype=np.intp)
        packed[: first - CDR_HEADER_SIZE] = source[CDR_HEADER_SIZE:first]
        packed[self._motor_start - 4] = first
        packed[self._motor_start :] = source[self._motor_start :]
        return packed[:-4].reshape(-1, 4)[:, ::-1].ravel()


LOWSTATE_LAYOUT = MessageLayout('LowState_', LOWSTATE, MOTOR_STATE)
LOWCMD_LAYOUT = MessageLayout('LowCmd_', LOWCMD, MOTOR_CMD)

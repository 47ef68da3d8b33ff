"""Unitree's hand-held remote, as it comes inside every lowstate.

The 40 bytes of `wireless_remote`: 2 bytes of head, 16 button bits, then five little-endian floats
lx, rx, ry, L2, ly ([SDK] unitree_sdk2 `gamepad.hpp`, `xRockerBtnDataStruct`).
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass

REMOTE_BYTES = 40
_LAYOUT = struct.Struct('<2xH5f')


class Button(enum.IntFlag):
    """Buttons by their bit ([SDK] `xKeySwitchUnion`)."""

    R1 = 1 << 0
    L1 = 1 << 1
    START = 1 << 2
    SELECT = 1 << 3
    R2 = 1 << 4
    L2 = 1 << 5
    F1 = 1 << 6
    F2 = 1 << 7
    A = 1 << 8
    B = 1 << 9
    X = 1 << 10
    Y = 1 << 11
    UP = 1 << 12
    RIGHT = 1 << 13
    DOWN = 1 << 14
    LEFT = 1 << 15


@dataclass(frozen=True)
class Remote:
    """One reading of the remote; sticks are -1 .. 1, right and up positive."""

    buttons: Button
    left_x: float
    left_y: float
    right_x: float
    right_y: float

    def pressed(self, combination: Button) -> bool:
        """Whether all buttons of `combination` are down."""
        return self.buttons & combination == combination


def button_bits(data: bytes) -> int:
    """Return the 16 button bits; 0 where there is no remote. Cheap enough for every tick."""
    return data[2] | data[3] << 8 if len(data) >= REMOTE_BYTES else 0


def parse_remote(data: bytes) -> Remote | None:
    """Return the reading in `data`; None where there is no remote or its sticks make no sense."""
    if len(data) < REMOTE_BYTES:
        return None
    buttons, lx, rx, ry, _, ly = _LAYOUT.unpack_from(data)
    if not all(-1.01 <= value <= 1.01 for value in (lx, rx, ry, ly)):
        return None
    return Remote(Button(buttons), lx, ly, rx, ry)


def encode_remote(remote: Remote) -> bytes:
    """Return the 40 bytes of a reading (simulated remotes, tests)."""
    sticks = (remote.left_x, remote.right_x, remote.right_y, 0.0, remote.left_y)
    return _LAYOUT.pack(int(remote.buttons), *sticks).ljust(REMOTE_BYTES, b'\0')

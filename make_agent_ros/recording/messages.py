"""Message definitions that go into our bags, so that any MCAP tool can decode them.

The field lists are those of the published IDL of unitree_sdk2 (`unitree_go.msg.dds_`) and of ROS 2
`common_interfaces`, written as ros2msg text: the message, then each message it uses.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

LOWSTATE_TYPE = 'unitree_go/msg/LowState'
LOWCMD_TYPE = 'unitree_go/msg/LowCmd'
TWIST_TYPE = 'geometry_msgs/msg/Twist'
STRING_TYPE = 'std_msgs/msg/String'
FLOATS_TYPE = 'std_msgs/msg/Float32MultiArray'

TOPIC_TYPES: dict[str, str] = {
    '/lowstate': LOWSTATE_TYPE,
    '/lowcmd': LOWCMD_TYPE,
    '/cmd_vel': TWIST_TYPE,
    '/marks': STRING_TYPE,
    '/observation': FLOATS_TYPE,
    '/action': FLOATS_TYPE,
}
"""What the recorder and the black box write; the names are those that `ros2 topic` shows for the
robot's topics. Observation and action are a policy's, in the black box only."""

_FIELDS: dict[str, str] = {
    'unitree_go/LowState': """uint8[2] head
uint8 level_flag
uint8 frame_reserve
uint32[2] sn
uint32[2] version
uint16 bandwidth
unitree_go/IMUState imu_state
unitree_go/MotorState[20] motor_state
unitree_go/BmsState bms_state
int16[4] foot_force
int16[4] foot_force_est
uint32 tick
uint8[40] wireless_remote
uint8 bit_flag
float32 adc_reel
uint8 temperature_ntc1
uint8 temperature_ntc2
float32 power_v
float32 power_a
uint16[4] fan_frequency
uint32 reserve
uint32 crc
""",
    'unitree_go/IMUState': """float32[4] quaternion
float32[3] gyroscope
float32[3] accelerometer
float32[3] rpy
uint8 temperature
""",
    'unitree_go/MotorState': """uint8 mode
float32 q
float32 dq
float32 ddq
float32 tau_est
float32 q_raw
float32 dq_raw
float32 ddq_raw
uint8 temperature
uint32 lost
uint32[2] reserve
""",
    'unitree_go/BmsState': """uint8 version_high
uint8 version_low
uint8 status
uint8 soc
int32 current
uint16 cycle
uint8[2] bq_ntc
uint8[2] mcu_ntc
uint16[15] cell_vol
""",
    'unitree_go/LowCmd': """uint8[2] head
uint8 level_flag
uint8 frame_reserve
uint32[2] sn
uint32[2] version
uint16 bandwidth
unitree_go/MotorCmd[20] motor_cmd
unitree_go/BmsCmd bms_cmd
uint8[40] wireless_remote
uint8[12] led
uint8[2] fan
uint8 gpio
uint32 reserve
uint32 crc
""",
    'unitree_go/MotorCmd': """uint8 mode
float32 q
float32 dq
float32 tau
float32 kp
float32 kd
uint32[3] reserve
""",
    'unitree_go/BmsCmd': """uint8 off
uint8[3] reserve
""",
    'geometry_msgs/Twist': """geometry_msgs/Vector3 linear
geometry_msgs/Vector3 angular
""",
    'geometry_msgs/Vector3': """float64 x
float64 y
float64 z
""",
    'std_msgs/String': """string data
""",
    'std_msgs/Float32MultiArray': """std_msgs/MultiArrayLayout layout
float32[] data
""",
    'std_msgs/MultiArrayLayout': """std_msgs/MultiArrayDimension[] dim
uint32 data_offset
""",
    'std_msgs/MultiArrayDimension': """string label
uint32 size
uint32 stride
""",
}

_USES: dict[str, tuple[str, ...]] = {
    'unitree_go/LowState': ('unitree_go/IMUState', 'unitree_go/MotorState', 'unitree_go/BmsState'),
    'unitree_go/LowCmd': ('unitree_go/MotorCmd', 'unitree_go/BmsCmd'),
    'geometry_msgs/Twist': ('geometry_msgs/Vector3',),
    'std_msgs/Float32MultiArray': ('std_msgs/MultiArrayLayout', 'std_msgs/MultiArrayDimension'),
}


def schema_text(message_type: str) -> str:
    """Return the ros2msg definition of a type of `TOPIC_TYPES`, with the types it uses.

    Raises:
        KeyError: a type that the recorder does not write.
    """
    name = message_type.replace('/msg/', '/')
    parts = [_FIELDS[name], *(f'MSG: {used}\n{_FIELDS[used]}' for used in _USES.get(name, ()))]
    return f'{"=" * 80}\n'.join(parts)


def plain_cdr(data: bytes) -> bytes:
    """Return the sample with the header of plain little-endian CDR, which every ROS tool reads.

    XCDR2 samples (header 0007) of these messages hold the same bytes: no 8-byte primitive.
    """
    return data if data[:4] == b'\x00\x01\x00\x00' else b'\x00\x01\x00\x00' + data[4:]


def string_cdr(text: str) -> bytes:
    """Return a `std_msgs/msg/String` sample."""
    raw = text.encode() + b'\0'
    return b'\x00\x01\x00\x00' + struct.pack('<I', len(raw)) + raw


def floats_cdr(values: Sequence[float]) -> bytes:
    """Return a `std_msgs/msg/Float32MultiArray` sample without a layout."""
    return b'\x00\x01\x00\x00' + struct.pack(f'<3I{len(values)}f', 0, 0, len(values), *values)

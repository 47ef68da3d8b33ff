from __future__ import annotations

import copy
import dataclasses
import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unitree_sdk2py.idl.default import unitree_go_msg_dds__LowCmd_, unitree_go_msg_dds__LowState_
from unitree_sdk2py.idl.unitree_go.msg.dds_ import LowCmd_, LowState_
from unitree_sdk2py.utils.crc import CRC

from make_agent_ros.go2 import wire
from make_agent_ros.go2.command import JointCommand, damping_command
from make_agent_ros.go2.constants import JOINT_NAMES, LEGS, SDK_JOINT_NAMES, SDK_LEGS
from make_agent_ros.go2.layout import LOWCMD, LOWSTATE
from make_agent_ros.go2.state import RobotState

seeds = st.integers(0, 2**32 - 1)


def fill(message, rng: np.random.Generator) -> None:
    """Give every field of an IDL message a random value of its type.

    Bytes stay under 128 and halves under 32,768: the SDK's CRC packs some unsigned fields with
    signed struct codes and raises above that.
    """
    for field in dataclasses.fields(message):
        value = getattr(message, field.name)
        if dataclasses.is_dataclass(value):
            fill(value, rng)
        elif isinstance(value, list) and dataclasses.is_dataclass(value[0]):
            for item in value:
                fill(item, rng)
        else:
            setattr(message, field.name, random_value(str(field.type), value, rng))


def random_value(kind: str, value, rng: np.random.Generator):
    if isinstance(value, (list, tuple)):
        return [random_value(kind, item, rng) for item in value]
    if 'float' in kind:
        return float(np.float32(rng.normal(scale=10.0 ** rng.integers(-3, 9))))
    for word, high in (('int8', 128), ('int16', 2**15), ('int32', 2**31)):
        if word in kind:
            return int(rng.integers(0, high))
    raise AssertionError(f'no generator for {kind}')


def random_lowstate(seed: int) -> LowState_:
    message = unitree_go_msg_dds__LowState_()
    fill(message, np.random.default_rng(seed))
    return message


def random_lowcmd(seed: int) -> LowCmd_:
    message = unitree_go_msg_dds__LowCmd_()
    fill(message, np.random.default_rng(seed))
    message.crc = CRC().Crc(message)
    return message


def random_command(seed: int) -> JointCommand:
    rng = np.random.default_rng(seed)
    arrays = rng.normal(size=(5, 12)).astype(np.float32).astype(np.float64)
    return JointCommand(*arrays, enabled=bool(rng.integers(2)))


def random_state(seed: int) -> RobotState:
    rng = np.random.default_rng(seed)

    def floats(n: int) -> np.ndarray:
        return rng.normal(size=n).astype(np.float32).astype(np.float64)

    return RobotState(
        quat_wxyz=floats(4),
        base_ang_vel=floats(3),
        joint_pos=floats(12),
        joint_vel=floats(12),
        tick=int(rng.integers(2**32)),
        base_lin_acc=floats(3),
        joint_torque=floats(12),
        motor_temperature_c=rng.integers(0, 128, 12).astype(np.float64),
        foot_force=rng.integers(-3000, 3000, 4).astype(np.float64),
        battery_soc=float(rng.integers(0, 101)),
        battery_v=float(floats(1)[0]),
        wireless_remote=rng.integers(0, 128, 40).astype(np.uint8).tobytes(),
    )


@given(seeds)
def test_lowcmd_bytes_and_crc_equal_the_sdks(seed):
    command = random_command(seed)
    message = unitree_go_msg_dds__LowCmd_()
    message.head = [0xFE, 0xEF]
    message.level_flag = 0xFF
    for slot in range(20):
        motor = message.motor_cmd[slot]
        motor.mode, motor.q, motor.dq = 1, 2.146e9, 16000.0
        if slot >= 12:
            continue
        joint = JOINT_NAMES.index(SDK_JOINT_NAMES[slot])
        motor.mode = 1 if command.enabled else 0
        motor.q, motor.dq = command.joint_pos[joint], command.joint_vel[joint]
        motor.kp, motor.kd = command.stiffness[joint], command.damping[joint]
        motor.tau = command.torque[joint]
    message.crc = CRC().Crc(message)
    assert wire.encode_lowcmd(command) == message.serialize()


@given(seeds)
def test_lowcmd_of_the_sdk_decodes_to_its_fields_with_its_crc(seed):
    message = random_lowcmd(seed)
    data = message.serialize()
    command = wire.decode_lowcmd(data)
    modes = wire.motor_modes(data)
    for i, name in enumerate(JOINT_NAMES):
        motor = message.motor_cmd[SDK_JOINT_NAMES.index(name)]
        assert (command.joint_pos[i], command.joint_vel[i]) == (motor.q, motor.dq)
        assert (command.stiffness[i], command.damping[i]) == (motor.kp, motor.kd)
        assert command.torque[i] == motor.tau
        assert modes[i] == motor.mode


@given(seeds)
def test_every_field_of_both_messages_lies_where_the_sdk_serialises_it(seed):
    for message, dtype in ((random_lowstate(seed), LOWSTATE), (random_lowcmd(seed), LOWCMD)):
        fields = np.frombuffer(message.serialize(), dtype=dtype)[0]
        motors = message.motor_state if dtype is LOWSTATE else message.motor_cmd
        for name in fields['motor'].dtype.names:
            np.testing.assert_array_equal(
                fields['motor'][name], np.array([getattr(m, name) for m in motors], 'f8')
            )
        modes = [fields['motor_mode_first'], *fields['motor_mode_rest']['mode']]
        assert modes == [m.mode for m in motors]
        nested = {'imu_temperature': ('imu_state', 'temperature')}
        nested.update({n: ('imu_state', n) for n in ('quaternion', 'gyroscope')})
        nested.update({n: ('imu_state', n) for n in ('accelerometer', 'rpy')})
        nested.update({'bms_off': ('bms_cmd', 'off'), 'bms_reserve': ('bms_cmd', 'reserve')})
        for name in fields.dtype.names:
            if name == 'encapsulation' or name.startswith('motor'):
                continue
            if name == 'bms':
                for part in fields['bms'].dtype.names:
                    expected = getattr(message.bms_state, part)
                    np.testing.assert_array_equal(fields['bms'][part], expected)
                continue
            owner, attribute = nested.get(name, (None, name))
            source = message if owner is None else getattr(message, owner)
            np.testing.assert_array_equal(fields[name], np.array(getattr(source, attribute), 'f8'))


@given(seeds)
def test_lowstate_decodes_to_the_sdks_fields_in_package_order(seed):
    message = random_lowstate(seed)
    message.crc = CRC().Crc(message)
    state = wire.decode_lowstate(message.serialize(), stamp_s=1.5, check_crc=True)
    np.testing.assert_array_equal(state.quat_wxyz, message.imu_state.quaternion)
    np.testing.assert_array_equal(state.base_ang_vel, message.imu_state.gyroscope)
    np.testing.assert_array_equal(state.base_lin_acc, message.imu_state.accelerometer)
    for i, name in enumerate(JOINT_NAMES):
        motor = message.motor_state[SDK_JOINT_NAMES.index(name)]
        assert (state.joint_pos[i], state.joint_vel[i]) == (motor.q, motor.dq)
        assert state.joint_torque[i] == motor.tau_est
        assert state.motor_temperature_c[i] == motor.temperature
    for i, leg in enumerate(LEGS):
        assert state.foot_force[i] == message.foot_force[SDK_LEGS.index(leg)]
    assert (state.tick, state.battery_soc) == (message.tick, message.bms_state.soc)
    assert state.battery_v == message.power_v
    assert state.wireless_remote == bytes(message.wireless_remote)
    assert state.stamp_s == 1.5


@given(seeds)
def test_encoded_lowstate_is_read_by_the_sdk_and_carries_its_crc(seed):
    state = random_state(seed)
    data = wire.encode_lowstate(state)
    message = LowState_.deserialize(data)
    assert message.serialize() == data
    assert message.crc == CRC().Crc(message) == wire.lowstate_crc(data)
    for i, name in enumerate(JOINT_NAMES):
        assert message.motor_state[SDK_JOINT_NAMES.index(name)].q == state.joint_pos[i]


@given(st.lists(seeds, max_size=5))
def test_a_batch_decodes_like_its_samples_one_by_one(batch):
    samples = [random_lowstate(seed).serialize() for seed in batch]
    table = wire.decode_lowstates(samples)
    assert len(table) == len(samples)
    for row, sample in zip(table, samples, strict=True):
        state = wire.decode_lowstate(sample)
        for name in wire.STATE_RECORD.names:
            np.testing.assert_array_equal(row[name], getattr(state, name))


@given(seeds, st.integers(4, 811), st.integers(0, 7))
def test_any_flipped_bit_of_a_lowcmd_field_fails_the_crc(seed, byte, bit):
    data = bytearray(random_lowcmd(seed).serialize())
    data[byte] ^= 1 << bit
    if byte in lowcmd_padding():
        wire.decode_lowcmd(data)  # carries nothing, so the CRC does not cover it
    else:
        with pytest.raises(wire.CrcError, match='CRC'):
            wire.decode_lowcmd(data)


@functools.cache
def lowcmd_padding() -> set[int]:
    """Bytes that no field of LowCmd_ covers, found by serialising a message of all ones."""
    message = unitree_go_msg_dds__LowCmd_()
    nan_bits = float(np.frombuffer(b'\x01\x01\x01\x01', '<f4')[0])

    def ones(msg) -> None:
        for field in dataclasses.fields(msg):
            value = getattr(msg, field.name)
            kind = str(field.type)
            one = nan_bits if 'float' in kind else 1
            if 'int16' in kind:
                one = 0x0101
            elif 'int32' in kind:
                one = 0x01010101
            if dataclasses.is_dataclass(value):
                ones(value)
            elif isinstance(value, list) and dataclasses.is_dataclass(value[0]):
                for item in value:
                    ones(item)
            else:
                setattr(msg, field.name, [one] * len(value) if hasattr(value, '__len__') else one)

    ones(message)
    return {i for i, b in enumerate(message.serialize()) if b == 0 and i >= 4}


def test_one_encoder_leaves_nothing_of_the_previous_command_behind():
    encoder = wire.LowCmdEncoder()
    encoder.encode(random_command(1))
    assert encoder.encode(damping_command()) == wire.encode_lowcmd(damping_command())


@pytest.mark.parametrize('size', [0, 4, 811, 813, 1180])
def test_a_lowcmd_of_the_wrong_size_is_refused_with_both_sizes(size):
    with pytest.raises(wire.WireError, match=rf'{size} bytes, expected 812'):
        wire.decode_lowcmd(bytes(size))


def test_big_endian_samples_are_refused_rather_than_misread():
    data = bytearray(wire.encode_lowstate(random_state(3)))
    data[1] = 0
    with pytest.raises(wire.WireError, match='little-endian'):
        wire.decode_lowstate(data)


def test_a_batch_names_the_sample_that_is_broken():
    good = wire.encode_lowstate(random_state(3))
    with pytest.raises(wire.WireError, match='sample 1: LowState_ sample has 3 bytes'):
        wire.decode_lowstates([good, b'abc', good])


@pytest.mark.parametrize('duplicate', [copy.copy, copy.deepcopy])
def test_a_copied_command_is_sent_as_it_is_changed_later(duplicate):
    first = JointCommand(joint_pos=np.ones(12), enabled=False)
    second = duplicate(first)
    second.joint_pos[:] = 2.0
    assert wire.decode_lowcmd(wire.encode_lowcmd(second)).joint_pos.tolist() == [2.0] * 12
    assert wire.decode_lowcmd(wire.encode_lowcmd(first)).joint_pos.tolist() == [1.0] * 12
    assert not second.enabled


def test_a_copied_encoder_writes_what_it_is_given():
    state = random_state(3)
    for encoder, message in (
        (wire.LowStateEncoder(), state),
        (wire.LowCmdEncoder(), damping_command()),
    ):
        assert copy.deepcopy(encoder).encode(message) == encoder.encode(message)

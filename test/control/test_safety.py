from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from make_agent_ros.control.faults import Fault, FaultCode, Reaction
from make_agent_ros.control.machine import MOVING, Mode
from make_agent_ros.control.safety import Envelope, SafetyLimits, Signs, tilt
from make_agent_ros.go2.constants import JOINT_LOWER_RAD, LYING_JOINT_POS, NOMINAL_JOINT_POS
from make_agent_ros.go2.state import RobotState, projected_gravity, roll_pitch

LIMITS = SafetyLimits()


def sample(i: int, **changes) -> RobotState:
    """The i-th sample of a healthy robot standing still, 2 ms apart."""
    noise = np.random.default_rng(i).normal(size=12)
    state = RobotState(
        quat_wxyz=np.array([1.0, 0.0, 0.0, 0.0]),
        base_ang_vel=0.01 * noise[:3],
        joint_pos=NOMINAL_JOINT_POS + 0.001 * noise,
        joint_vel=0.05 * noise,
        stamp_s=10.0 + 0.002 * i,
        tick=2 * i + 1,
        base_lin_acc=np.array([0.0, 0.0, 9.81]),
        motor_temperature_c=np.full(12, 40.0),
        battery_soc=80.0,
    )
    return replace(state, **changes)


def quaternion(roll: float, pitch: float) -> np.ndarray:
    cr, sr, cp, sp = np.cos(roll / 2), np.sin(roll / 2), np.cos(pitch / 2), np.sin(pitch / 2)
    return np.array([cr * cp, sr * cp, cr * sp, -sr * sp])


def with_joint(index: int, value: float) -> np.ndarray:
    q = NOMINAL_JOINT_POS.copy()
    q[index] = value
    return q


def codes(faults: list[Fault], at_least: Reaction = Reaction.WARN) -> set[FaultCode]:
    return {fault.code for fault in faults if fault.reaction >= at_least}


def after_healthy_start(mode: Mode, state: RobotState, signs: Signs | None = None):
    """Faults of `state` after ten healthy samples."""
    envelope = Envelope(LIMITS)
    for i in range(10):
        assert envelope.check(sample(i).stamp_s, sample(i), mode, Signs()) == []
    return envelope.check(state.stamp_s, state, mode, signs or Signs())


NAN12 = np.full(12, np.nan)
BAD_SAMPLES = [
    ('nan joint', {'joint_pos': NAN12}, FaultCode.STATE_NOT_FINITE, Reaction.DAMP, set(Mode)),
    ('inf rate', {'joint_vel': np.full(12, np.inf)}, FaultCode.STATE_NOT_FINITE, Reaction.DAMP,
     set(Mode)),
    ('nan gyro', {'base_ang_vel': np.full(3, np.nan)}, FaultCode.STATE_NOT_FINITE, Reaction.DAMP,
     set(Mode)),
    ('nan attitude', {'quat_wxyz': np.full(4, np.nan)}, FaultCode.STATE_NOT_FINITE, Reaction.DAMP,
     set(Mode)),
    ('zero quaternion', {'quat_wxyz': np.zeros(4)}, FaultCode.ATTITUDE_INVALID, Reaction.DAMP,
     set(Mode)),
    ('roll', {'quat_wxyz': quaternion(0.95, 0.0)}, FaultCode.TILT, Reaction.DAMP, MOVING),
    ('roll right', {'quat_wxyz': quaternion(-0.95, 0.0)}, FaultCode.TILT, Reaction.DAMP, MOVING),
    ('pitch', {'quat_wxyz': quaternion(0.0, 1.35)}, FaultCode.TILT, Reaction.DAMP, MOVING),
    ('upside down', {'quat_wxyz': quaternion(3.1, 0.0)}, FaultCode.TILT, Reaction.DAMP, MOVING),
    ('range', {'joint_pos': with_joint(2, JOINT_LOWER_RAD[2] - 0.15)}, FaultCode.JOINT_RANGE,
     Reaction.DAMP, {Mode.STAND, Mode.WALK}),
    ('far range', {'joint_pos': with_joint(2, -3.3)}, FaultCode.JOINT_RANGE, Reaction.DAMP,
     MOVING),
    ('jump', {'joint_pos': with_joint(4, 0.4)}, FaultCode.JOINT_JUMP, Reaction.DAMP, MOVING),
    ('speed', {'joint_vel': np.full(12, 50.0)}, FaultCode.JOINT_VELOCITY, Reaction.DAMP, MOVING),
    ('hot', {'motor_temperature_c': np.full(12, 90.0)}, FaultCode.MOTOR_TEMPERATURE,
     Reaction.LIE_DOWN, set(Mode)),
    ('warm', {'motor_temperature_c': np.full(12, 75.0)}, FaultCode.MOTOR_TEMPERATURE,
     Reaction.WARN, set(Mode)),
    ('empty', {'battery_soc': 5.0}, FaultCode.BATTERY, Reaction.LIE_DOWN, set(Mode)),
    ('low', {'battery_soc': 15.0}, FaultCode.BATTERY, Reaction.WARN, set(Mode)),
]  # fmt: skip


@pytest.mark.parametrize(
    ('mode', 'case'),
    list(product(Mode, BAD_SAMPLES)),
    ids=lambda v: getattr(v, 'name', None) or v[0],
)
def test_each_bad_sample_has_its_reaction_in_the_modes_it_matters_in(mode, case):
    _, changes, code, reaction, modes = case
    faults = after_healthy_start(mode, sample(10, **changes))
    found = [fault for fault in faults if fault.code is code]
    assert bool(found) is (mode in modes), faults
    assert all(fault.reaction is reaction for fault in found)


@pytest.mark.parametrize('mode', list(Mode))
def test_state_age_warns_at_20_ms_and_damps_after_50_ms(mode):
    envelope = Envelope(LIMITS)
    state = sample(0)
    reactions = []
    for age_ms in (19.0, 21.0, 49.0, 51.0):
        faults = envelope.check(state.stamp_s + 1e-3 * age_ms, state, mode, Signs())
        reactions.append([fault.reaction for fault in faults if fault.code is FaultCode.STATE_AGE])
    assert reactions == [[], [Reaction.WARN], [Reaction.WARN], [Reaction.DAMP]]


def test_no_state_at_all_is_a_fault():
    assert codes(Envelope(LIMITS).check(1.0, None, Mode.DAMPING, Signs())) == {FaultCode.NO_STATE}


@pytest.mark.parametrize('frozen', ['values', 'tick'])
def test_samples_that_keep_coming_with_old_contents_are_found_within_60_ms(frozen):
    envelope = Envelope(LIMITS)
    for i in range(10):
        envelope.check(sample(i).stamp_s, sample(i), Mode.WALK, Signs())
    found_ms = None
    for i in range(10, 60):
        state = sample(9) if frozen == 'values' else sample(i, tick=sample(9).tick)
        state = replace(state, stamp_s=10.0 + 0.002 * i)
        if frozen == 'values':
            state.tick = 2 * i + 1
        faults = envelope.check(state.stamp_s, state, Mode.WALK, Signs())
        if FaultCode.STATE_FROZEN in codes(faults, Reaction.DAMP):
            found_ms = 2.0 * (i - 9)
            break
    assert found_ms is not None
    assert 50.0 <= found_ms <= 60.0


def test_a_robot_that_never_counts_is_not_frozen():
    envelope = Envelope(LIMITS)
    for i in range(100):
        state = sample(i, tick=0)
        assert envelope.check(state.stamp_s, state, Mode.WALK, Signs()) == []


def test_a_lying_pose_past_the_calf_limit_is_no_fault_while_standing_up_or_lying_down():
    q = LYING_JOINT_POS.copy()
    q[2::3] = -2.8
    for mode in (Mode.STAND_UP, Mode.LIE_DOWN, Mode.DAMPING):
        envelope = Envelope(LIMITS)
        state = sample(0, joint_pos=q)
        assert envelope.check(state.stamp_s, state, mode, Signs()) == []


def test_a_policy_without_an_action_for_60_ms_is_a_fault_only_while_walking():
    for mode in Mode:
        state = sample(10)
        for age_s, late in ((0.059, False), (0.061, True)):
            signs = Signs(policy_time_s=state.stamp_s - age_s)
            faults = after_healthy_start(mode, state, signs)
            assert (FaultCode.POLICY_AGE in codes(faults)) is (late and mode is Mode.WALK)


def test_a_second_writer_is_a_damping_fault_that_names_the_writer():
    faults = after_healthy_start(Mode.STAND, sample(10), Signs(foreign_writers=('sport on go2',)))
    assert [fault.reaction for fault in faults] == [Reaction.DAMP]
    assert 'sport on go2' in faults[0].sentence


def test_three_missed_heartbeats_make_the_robot_lie_down_when_heartbeats_are_required():
    envelope = Envelope(replace(LIMITS, require_heartbeat=True))
    state = sample(0)
    heard = Signs(heartbeat_s=state.stamp_s - 0.59)
    assert envelope.check(state.stamp_s, state, Mode.WALK, heard) == []
    for signs in (Signs(), Signs(heartbeat_s=state.stamp_s - 0.61)):
        faults = envelope.check(state.stamp_s, state, Mode.WALK, signs)
        assert [(f.code, f.reaction) for f in faults] == [(FaultCode.HEARTBEAT, Reaction.LIE_DOWN)]


def test_a_tilted_or_folded_wrong_robot_may_not_stand_up():
    envelope = Envelope(LIMITS)
    assert envelope.stand_blocker(sample(0, joint_pos=LYING_JOINT_POS)) == ''
    assert 'on its belly' in envelope.stand_blocker(sample(0, quat_wxyz=quaternion(0.6, 0.0)))
    assert 'FL_calf_joint' in envelope.stand_blocker(sample(0, joint_pos=with_joint(2, 0.5)))
    assert 'lowstate' in envelope.stand_blocker(None)


def test_scalar_tilt_agrees_with_the_array_version():
    rng = np.random.default_rng(0)
    for quat in rng.normal(size=(100, 4)):
        unit = quat / np.linalg.norm(quat)
        expected = roll_pitch(projected_gravity(unit))
        np.testing.assert_allclose(tilt(*quat), expected, atol=1e-9)


@pytest.mark.parametrize(
    'changes',
    [{'roll_max_rad': 0.0}, {'state_age_max_s': float('nan')}, {'state_age_warn_s': 0.2}],
)
def test_limits_that_would_switch_a_check_off_are_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        replace(LIMITS, **changes)

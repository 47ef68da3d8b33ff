from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from make_agent_ros.control.faults import REMEDY, Fault, FaultCode, Reaction, most_severe
from make_agent_ros.control.machine import (
    MIN_DAMPING_S,
    MOVING,
    Mode,
    Readiness,
    Request,
    StateMachine,
)

READY = Readiness(has_policy=True)
REACTIONS = [Reaction.WARN, Reaction.STAND, Reaction.LIE_DOWN, Reaction.DAMP]


def fault(reaction: Reaction = Reaction.DAMP, code: FaultCode = FaultCode.TILT) -> Fault:
    return Fault(code, reaction, 'roll 1.02 rad exceeds 0.90 rad')


def machine_in(mode: Mode) -> StateMachine:
    """Bring a machine into a mode by requests and steps alone."""
    machine = StateMachine()
    if mode is Mode.PASSIVE:
        return machine
    machine.request(Request.ARM, 0.0, READY)
    if mode in (Mode.STAND_UP, Mode.STAND, Mode.WALK, Mode.LIE_DOWN):
        machine.request(Request.STAND_UP, 0.0, READY)
    if mode in (Mode.STAND, Mode.WALK, Mode.LIE_DOWN):
        machine.step(1.0, [], motion_done=True)
    if mode is Mode.WALK:
        machine.request(Request.WALK, 1.0, READY)
    if mode is Mode.LIE_DOWN:
        machine.request(Request.LIE_DOWN, 1.0, READY)
    if mode is Mode.FAULT:
        machine.step(1.0, [fault()], motion_done=False)
    assert machine.mode is mode
    return machine


def expected_mode(mode: Mode, reaction: Reaction) -> Mode:
    if mode is Mode.PASSIVE or reaction is Reaction.WARN:
        return mode
    if reaction is Reaction.STAND:
        return Mode.STAND if mode is Mode.WALK else mode
    if reaction is Reaction.LIE_DOWN and mode in MOVING:
        return Mode.LIE_DOWN
    return Mode.FAULT


@pytest.mark.parametrize(('mode', 'reaction'), list(product(Mode, REACTIONS)))
def test_each_reaction_leads_from_each_mode_where_the_ladder_says(mode, reaction):
    machine = machine_in(mode)
    assert machine.step(2.0, [fault(reaction)], motion_done=False) is expected_mode(mode, reaction)


@pytest.mark.parametrize(('mode', 'code'), list(product(Mode, FaultCode)))
def test_a_damping_fault_is_latched_in_every_armed_mode_and_outlives_its_cause(mode, code):
    machine = machine_in(mode)
    machine.step(2.0, [fault(code=code)], motion_done=False)
    for i in range(100):
        machine.step(2.0 + 0.1 * i, [], motion_done=True)
    latched = mode is not Mode.PASSIVE
    assert (machine.mode is Mode.FAULT) is latched
    assert (machine.fault is not None) is latched


@pytest.mark.parametrize('mode', [m for m in Mode if m is not Mode.PASSIVE])
def test_of_two_faults_the_more_severe_one_wins_in_any_order(mode):
    mild, hard = fault(Reaction.LIE_DOWN, FaultCode.BATTERY), fault()
    for order in ([mild, hard], [hard, mild]):
        machine = machine_in(mode)
        if machine.fault is None:
            machine.step(2.0, order, motion_done=False)
            assert machine.fault is hard
            assert machine.mode is Mode.FAULT


def test_the_end_of_an_older_motion_does_not_cut_lying_down_short():
    machine = machine_in(Mode.STAND)
    mild = fault(Reaction.LIE_DOWN, FaultCode.BATTERY)
    assert machine.step(2.0, [mild], motion_done=True) is Mode.LIE_DOWN


def test_a_harder_fault_interrupts_lying_down():
    machine = machine_in(Mode.WALK)
    machine.step(2.0, [fault(Reaction.LIE_DOWN, FaultCode.BATTERY)], motion_done=False)
    assert machine.mode is Mode.LIE_DOWN
    machine.step(2.1, [fault()], motion_done=False)
    assert machine.mode is Mode.FAULT


def test_after_lying_down_for_a_fault_the_machine_is_in_fault():
    machine = machine_in(Mode.STAND)
    machine.step(2.0, [fault(Reaction.LIE_DOWN)], motion_done=False)
    assert machine.step(3.0, [], motion_done=True) is Mode.FAULT


@pytest.mark.parametrize('mode', list(Mode))
def test_stop_is_accepted_in_every_mode_and_moves_nothing(mode):
    machine = machine_in(mode)
    assert machine.request(Request.STOP, 2.0, READY).accepted
    assert machine.mode in (Mode.PASSIVE, Mode.DAMPING, Mode.FAULT)


@pytest.mark.parametrize('mode', list(Mode))
def test_stop_works_even_while_limits_are_violated(mode):
    machine = machine_in(mode)
    assert machine.request(Request.STOP, 2.0, Readiness(blockers=(fault(),))).accepted
    assert machine.mode not in MOVING


@pytest.mark.parametrize(
    ('mode', 'request_', 'word'),
    [
        (Mode.PASSIVE, Request.STAND_UP, '~/arm'),
        (Mode.PASSIVE, Request.WALK, 'STAND'),
        (Mode.DAMPING, Request.WALK, '~/stand_up'),
        (Mode.STAND_UP, Request.WALK, 'wait until'),
        (Mode.STAND, Request.DISARM, '~/lie_down'),
        (Mode.WALK, Request.DISARM, '~/stop'),
        (Mode.LIE_DOWN, Request.STAND_UP, 'DAMPING'),
        (Mode.FAULT, Request.STAND_UP, '~/reset'),
        (Mode.FAULT, Request.WALK, '~/reset'),
        (Mode.FAULT, Request.ARM, '~/reset'),
    ],
)
def test_a_refusal_changes_nothing_and_says_what_to_do(mode, request_, word):
    machine = machine_in(mode)
    reply = machine.request(request_, 5.0, READY)
    assert not reply.accepted
    assert word in reply.sentence
    assert machine.mode is mode


def test_walking_without_a_policy_is_refused():
    reply = machine_in(Mode.STAND).request(Request.WALK, 2.0, Readiness())
    assert not reply.accepted
    assert '/policy' in reply.sentence


def test_a_second_writer_keeps_the_motors_disarmed():
    machine = StateMachine()
    writer = fault(code=FaultCode.SECOND_WRITER)
    reply = machine.request(Request.ARM, 0.0, Readiness(blockers=(writer,)))
    assert not reply.accepted
    assert REMEDY[FaultCode.SECOND_WRITER] in reply.sentence
    assert not machine.armed


def test_arming_waits_until_other_writers_would_be_known():
    reply = StateMachine().request(Request.ARM, 0.0, Readiness(bus_searched=False))
    assert not reply.accepted
    assert 'other writers' in reply.sentence


def test_a_dry_run_cannot_be_armed():
    reply = StateMachine().request(Request.ARM, 0.0, Readiness(dry_run=True))
    assert not reply.accepted
    assert 'dry_run:=false' in reply.sentence


def test_reset_is_refused_while_the_cause_lasts_and_accepted_after():
    machine = machine_in(Mode.FAULT)
    refused = machine.request(Request.RESET, 2.0, Readiness(blockers=(fault(),)))
    assert not refused.accepted
    assert machine.fault is not None
    assert machine.request(Request.RESET, 3.0, READY).accepted
    assert machine.mode is Mode.DAMPING
    assert machine.armed


def test_motors_are_left_alone_only_after_half_a_second_of_damping():
    machine = machine_in(Mode.WALK)
    machine.request(Request.STOP, 10.0, READY)
    assert not machine.request(Request.DISARM, 10.0 + 0.9 * MIN_DAMPING_S, READY).accepted
    assert machine.request(Request.DISARM, 10.0 + 1.1 * MIN_DAMPING_S, READY).accepted
    assert machine.mode is Mode.PASSIVE


def test_every_fault_code_has_a_remedy_and_a_sentence_with_value_and_limit():
    for code in FaultCode:
        sentence = fault(code=code).sentence
        assert code.value in sentence
        assert '1.02 rad exceeds 0.90' in sentence
        assert REMEDY[code] in sentence


def test_the_most_severe_of_none_is_none():
    assert most_severe([]) is None


faults_lists = st.lists(
    st.builds(fault, st.sampled_from(REACTIONS), st.sampled_from(list(FaultCode))), max_size=3
)
readiness = st.builds(
    Readiness,
    blockers=st.sampled_from([(), (fault(),)]),
    stand_blocker=st.sampled_from(['', 'tilted']),
    has_policy=st.booleans(),
    dry_run=st.booleans(),
)
steps = st.tuples(st.just('step'), faults_lists, st.booleans())
asks = st.tuples(st.just('ask'), st.sampled_from(list(Request)), readiness)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(steps, asks), max_size=40))
def test_no_sequence_leaves_a_latched_fault_without_an_accepted_reset(sequence):
    machine = StateMachine()
    now_s = 0.0
    for kind, first, second in sequence:
        now_s += 0.3
        before = machine.fault
        if kind == 'step':
            machine.step(now_s, first, second)
            freed = False
        else:
            reply = machine.request(first, now_s, second)
            freed = first is Request.RESET and reply.accepted
        if before is not None and not freed:
            assert machine.fault is not None
            assert machine.mode in (Mode.LIE_DOWN, Mode.FAULT)
            assert machine.fault.reaction >= before.reaction


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(steps, asks), max_size=40))
def test_no_sequence_moves_a_motor_before_arming(sequence):
    machine = StateMachine()
    for i, (kind, first, second) in enumerate(sequence):
        if kind == 'step':
            machine.step(0.3 * i, first, second)
        elif first is not Request.ARM:
            machine.request(first, 0.3 * i, second)
        assert not machine.armed
        assert machine.mode is Mode.PASSIVE

"""What counts as the right reaction to a fault, as late and as wrong."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip('rclpy')
from make_agent_ros.nodes.bench.cases import BY_NAME, CASES, Case, Expect
from make_agent_ros.nodes.bench.figures import clean
from make_agent_ros.nodes.bench.verdict import GONE, LATE, OK, WRONG, Look, judge, summarise
from make_agent_ros.nodes.bench.window import SIGNS

from .wire import DAMP, HOLD, every, standing, window

PERIOD_S = 0.002
ORDER_S = 0.1
WALKING, DAMPED = Look(0.5, 'WALK'), Look(0.5, 'FAULT', 'state_age')


def case(expect: Expect, limit_ms: float = 54.0, **changes) -> Case:
    return Case('probe', 'a probe', lambda rig: None, expect, limit_ms, **changes)


def reacting(after_s: float, end_s: float = 0.5):
    """Commands of a controller that walks and, some time after the order, damps."""
    damped_s = ORDER_S + after_s
    commands = every(0.0, damped_s, HOLD, PERIOD_S) + every(damped_s, end_s, DAMP, PERIOD_S)
    return window(commands, end_s=end_s)


def walking(end_s: float = 0.5):
    return window(every(0.0, end_s, HOLD, PERIOD_S), end_s=end_s)


def test_damping_in_time_is_ok_and_timed_from_the_order():
    trial = judge(case(Expect.DAMP), reacting(0.05), ORDER_S, [DAMPED])
    assert trial.verdict == OK
    assert trial.reaction_ms == pytest.approx(50.0, abs=0.1)
    assert (trial.mode, trial.fault) == ('FAULT', 'state_age')


def test_damping_after_the_limit_is_late():
    assert judge(case(Expect.DAMP), reacting(0.06), ORDER_S, [DAMPED]).verdict == LATE


def test_time_counts_from_the_sign_on_the_wire_where_there_is_one():
    states = [item for item in standing() if item[0] < 0.125]
    wire = replace(reacting(0.06), state_s=window(states=states).state_s,
                   states=window(states=states).states)  # fmt: skip
    trial = judge(case(Expect.DAMP, sign='silence'), wire, ORDER_S, [DAMPED])
    assert trial.reaction_ms == pytest.approx(40.0, abs=0.1)
    assert trial.from_order_ms == pytest.approx(60.0, abs=0.1)


def test_walking_on_where_damping_is_due_is_wrong():
    assert judge(case(Expect.DAMP), walking(), ORDER_S, [WALKING]).verdict == WRONG
    assert judge(case(Expect.LIE_DOWN), walking(), ORDER_S, [WALKING]).verdict == WRONG


def test_damping_where_walking_is_due_is_wrong():
    assert judge(case(Expect.WALK), reacting(0.05), ORDER_S, [DAMPED]).verdict == WRONG
    assert judge(case(Expect.WALK), walking(), ORDER_S, [WALKING]).verdict == OK


def test_driving_the_robot_again_after_damping_is_wrong():
    wire = window(
        every(0.0, 0.12, HOLD, PERIOD_S)
        + every(0.12, 0.3, DAMP, PERIOD_S)
        + every(0.3, 0.5, HOLD, PERIOD_S),
        end_s=0.5,
    )
    for expect in (Expect.DAMP, Expect.SAFE, Expect.LIE_DOWN):
        assert judge(case(expect), wire, ORDER_S, [DAMPED]).verdict == WRONG


def test_damping_that_stops_is_late_unless_it_may_end():
    wire = replace(reacting(0.01), end_s=1.5)
    assert judge(case(Expect.DAMP), wire, ORDER_S, [DAMPED]).verdict == LATE
    ends = case(Expect.DAMP, ends=True)
    assert judge(ends, wire, ORDER_S, [Look(1.5, GONE)]).verdict == OK


def test_silence_of_cmd_vel_is_answered_by_standing_still_not_by_damping():
    looks = [Look(0.3, 'WALK'), Look(0.62, 'WALK', stale=True)]
    stop = case(Expect.STOP, 550.0)
    trial = judge(stop, walking(0.7), ORDER_S, looks)
    assert trial.verdict == OK
    assert trial.reaction_ms == pytest.approx(520.0)
    assert judge(stop, walking(0.7), ORDER_S, looks[:1]).verdict == WRONG


def test_a_fallen_robot_that_is_driven_is_wrong_where_falling_is_forgiven():
    quat = [math.cos(0.5), math.sin(0.5), 0.0, 0.0]
    fallen = window(states=[(t, replace(s, quat_wxyz=quat)) for t, s in standing()])
    wire = replace(walking(), state_s=fallen.state_s, states=fallen.states)
    safe = case(Expect.SAFE, sign='tilt')
    assert judge(safe, wire, ORDER_S, [WALKING]).verdict == WRONG
    upright = window(states=standing())
    wire = replace(walking(), state_s=upright.state_s, states=upright.states)
    assert judge(safe, wire, ORDER_S, [WALKING]).verdict == OK


@given(st.floats(0.0, 0.3), st.sampled_from(list(Expect)))
def test_no_verdict_is_ok_beyond_the_limit(after_s, expect):
    trial = judge(case(expect), reacting(round(after_s, 3)), ORDER_S, [DAMPED])
    if trial.verdict == OK:
        assert trial.reaction_ms <= 54.0
        assert trial.gap_ms <= 4.0 + 1e-6


def test_a_pause_is_told_as_heard_and_as_sent():
    commands = every(0.0, 0.15, HOLD, PERIOD_S) + every(0.15, 0.5, DAMP, PERIOD_S)
    trial = judge(case(Expect.DAMP), window(commands, end_s=0.5, heard_late_s=0.0019),
                  ORDER_S, [DAMPED])  # fmt: skip
    assert trial.verdict == OK
    assert trial.gap_ms == pytest.approx(3.9, abs=0.1)
    assert trial.sent_gap_ms == pytest.approx(2.0, abs=0.1)
    late = [item for item in commands if not 0.2 < item[0] < 0.21]
    trial = judge(case(Expect.DAMP), window(late, end_s=0.5), ORDER_S, [DAMPED])
    assert trial.verdict == LATE
    assert trial.sent_gap_ms == pytest.approx(10.0, abs=2.1)


def test_figures_of_a_case_are_flat_and_the_worst_verdict_counts():
    damp = case(Expect.DAMP)
    trials = [judge(damp, reacting(after_s), ORDER_S, [DAMPED]) for after_s in (0.05, 0.052, 0.07)]
    figures = clean(summarise(damp, trials))
    assert figures['fault.probe.reaction_ms'] == pytest.approx(52.0, abs=0.1)
    assert figures['fault.probe.reaction_ms_max'] == pytest.approx(70.0, abs=0.1)
    assert figures['fault.probe.verdict'] == LATE
    assert figures['fault.probe.state'] == 'FAULT state_age'
    assert figures['fault.probe.runs'] == 3.0
    assert all(value is None or isinstance(value, float | str) for value in figures.values())


def test_every_case_has_a_name_of_its_own_a_known_sign_and_time_to_show_itself():
    assert len(BY_NAME) == len(CASES)
    for item in CASES:
        assert item.sign in ('', 'silence', *SIGNS)
        assert item.limit_ms < 1e3 * item.watch_s or item.expect in (Expect.SAFE, Expect.WALK)


def test_the_cases_cover_every_fault_of_the_simulator():
    from make_agent_ros.fields import parameter_infos
    from make_agent_ros.simulation.faults import Faults

    done: dict[str, object] = {}

    class Recorder:
        """Stands where the rig does and notes what is set."""

        class operator:  # noqa: N801
            @staticmethod
            def set_parameters(node, **values):
                done.update(values)

            drive = beat = staticmethod(lambda value: None)

        call = staticmethod(lambda service: '')

    for item in CASES:
        if 'controller' not in item.name and item.name not in ('robot_silent', 'second_writer'):
            item.inject(Recorder)
    set_ = {name.removeprefix('faults__') for name in done}
    assert {info.name for info in parameter_infos(Faults)} <= set_

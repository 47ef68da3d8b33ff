"""What one injected fault led to, from the wire and from what the controller said: pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from make_agent_ros.nodes.bench.cases import TWO_PERIODS_MS, Case, Expect
from make_agent_ros.nodes.bench.figures import Figures, median_and_max
from make_agent_ros.nodes.bench.window import Window

GONE = 'gone'
OK, LATE, WRONG = 'ok', 'late', 'WRONG'


@dataclass(frozen=True)
class Look:
    """The controller's state as somebody on the graph saw it at one moment."""

    time_s: float
    mode: str
    """`gone` when its process has ended."""
    fault: str = ''
    stale: bool = False
    """Whether it takes /cmd_vel for lost."""


@dataclass(frozen=True)
class Trial:
    """One repetition."""

    reaction_ms: float
    """From the sign on the wire (from the order without one) to the first damping command, or
    where standing on the spot is right, to that; NaN when there was no reaction."""
    from_order_ms: float
    """The same from when the fault was ordered."""
    gap_ms: float
    """Longest pause in LowCmd after that, as heard; from the order on when there was none."""
    sent_gap_ms: float
    """The same by the time stamps that the samples carry: tells who was late, the controller or
    the way to the instrument."""
    mode: str
    fault: str
    verdict: str


def judge(case: Case, window: Window, ordered_s: float, looks: Sequence[Look]) -> Trial:
    """Judge one repetition.

    Args:
        case: what was done.
        window: the wire from before the order until the end of the watch.
        ordered_s: when the fault was ordered, monotonic, s.
        looks: the controller's states since then, oldest first.
    """
    last = looks[-1]
    fault = next((look.fault for look in reversed(looks) if look.fault), '')
    sign_s = window.first_bad_s(case.sign, ordered_s) if case.sign else math.nan
    since_s = ordered_s if math.isnan(sign_s) else sign_s
    until_s = None if case.ends else window.end_s
    damped_s = window.first_damping_s(ordered_s)
    acted_s = damped_s
    if case.expect is Expect.STOP:
        acted_s = next((look.time_s for look in looks if look.stale), math.nan)
    reaction_ms = 1e3 * (acted_s - since_s)
    gap_from_s = ordered_s if math.isnan(damped_s) else damped_s
    gap_ms = 1e3 * window.gap_s_max(gap_from_s, until_s)
    driven_again = not math.isnan(damped_s) and window.active_after(damped_s) > 0
    right = _right(case, last, not math.isnan(damped_s), driven_again, not math.isnan(sign_s))
    in_time = gap_ms <= TWO_PERIODS_MS and not reaction_ms > case.limit_ms
    return Trial(
        reaction_ms=reaction_ms,
        from_order_ms=1e3 * (acted_s - ordered_s),
        gap_ms=gap_ms,
        sent_gap_ms=1e3 * window.sent_gap_s_max(gap_from_s, until_s),
        mode=last.mode,
        fault=fault,
        verdict=WRONG if not right else OK if in_time else LATE,
    )


def _right(case: Case, last: Look, damped: bool, driven_again: bool, signed: bool) -> bool:
    """Whether the right thing happened, however late."""
    if driven_again:
        return False
    if case.expect in (Expect.DAMP, Expect.LIE_DOWN):
        return damped
    if case.expect is Expect.WALK:
        return not damped and last.mode == 'WALK'
    if case.expect is Expect.STOP:
        return not damped and last.mode == 'WALK' and last.stale
    return damped or (last.mode == 'WALK' and not signed)


def summarise(case: Case, trials: Sequence[Trial]) -> Figures:
    """Return the flat figures of a case; median and maximum over the repetitions."""
    reaction, reaction_max = median_and_max([trial.reaction_ms for trial in trials])
    order, order_max = median_and_max([trial.from_order_ms for trial in trials])
    ladder = (OK, LATE, WRONG)
    values: Figures = {
        'reaction_ms': reaction,
        'reaction_ms_max': reaction_max,
        'from_order_ms': order,
        'from_order_ms_max': order_max,
        'limit_ms': case.limit_ms,
        'gap_ms_max': max(trial.gap_ms for trial in trials),
        'sent_gap_ms_max': max(trial.sent_gap_ms for trial in trials),
        'state': _said({_state(trial) for trial in trials}),
        'fault': _said({trial.fault for trial in trials if trial.fault}),
        'runs': float(len(trials)),
        'damped': float(sum(not math.isnan(trial.reaction_ms) for trial in trials)),
        'verdict': max((trial.verdict for trial in trials), key=ladder.index),
    }
    if case.expect is Expect.STOP:
        del values['damped']
    return {f'fault.{case.name}.{key}': value for key, value in values.items()}


def _state(trial: Trial) -> str:
    return f'{trial.mode} {trial.fault}'.strip()


def _said(words: set[str]) -> str:
    return ', '.join(sorted(words))

"""`make-agent bench faults`: the simulator's faults on a walking robot, timed on the wire."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from make_agent_ros.nodes.bench import BenchError
from make_agent_ros.nodes.bench.cases import BY_NAME, CASES, Case
from make_agent_ros.nodes.bench.figures import Figures, clean, progress, shown, write
from make_agent_ros.nodes.bench.rig import Rig
from make_agent_ros.nodes.bench.verdict import GONE, OK, Look, Trial, judge, summarise

LOOK_S = 0.005
BEFORE_S = 0.1
"""Of the wire before the order that is kept, s."""
STRIDE_S = 0.5
"""Faults come at a random moment of the stride."""

Trials = dict[str, list[Trial]]


def run_faults(
    json_path: Path | None = None,
    *,
    repeats: int = 5,
    seed: int = 0,
    only: Sequence[str] = (),
) -> Figures:
    """Inject the faults one after the other and print the table.

    Args:
        json_path: where the flat figures are written.
        repeats: times that each fault is injected.
        seed: of the moments in the stride.
        only: names of cases; all when empty.

    Returns:
        The figures; after Ctrl-C those of what was measured until then, `complete` 0.

    Raises:
        BenchError: an unknown case, or a graph that does not get to walk.
    """
    unknown = [name for name in only if name not in BY_NAME]
    if unknown:
        raise BenchError(f'no fault called {", ".join(unknown)}; there are {", ".join(BY_NAME)}')
    cases = [BY_NAME[name] for name in only] or list(CASES)
    trials: Trials = {}
    complete = 1.0
    try:
        _inject_all(cases, repeats, np.random.default_rng(seed), trials)
    except KeyboardInterrupt:
        complete = 0.0
    figures = collect(cases, trials)
    figures.update(complete=complete, load_average_1min=os.getloadavg()[0])
    write(figures, json_path)
    Console().print(table(cases, figures))
    return clean(figures)


def _inject_all(
    cases: Sequence[Case], repeats: int, rng: np.random.Generator, trials: Trials
) -> None:
    heartbeat = {'limits.require_heartbeat': True}
    with (
        progress(repeats * len(cases)) as bar,
        Rig('simulator', 'controller', controller=heartbeat) as rig,
    ):
        rig.operator.beat(True)
        rig.await_nodes()
        for case in cases:
            bar.say(case.name)
            for _ in range(repeats):
                trials.setdefault(case.name, []).append(_inject(rig, case, rng))
                bar.advance()


def _inject(rig: Rig, case: Case, rng: np.random.Generator) -> Trial:
    case.prepare(rig)
    rig.walk()
    time.sleep(float(rng.uniform(0.0, STRIDE_S)))
    ordered_s = time.monotonic()
    try:
        case.inject(rig)
        looks = _watch(rig, ordered_s + case.watch_s)
        window = rig.window(ordered_s - BEFORE_S)
    finally:
        case.cure(rig)
    if looks[-1].mode == GONE:
        rig.relaunch('controller')
    rig.recover()
    return judge(case, window, ordered_s, looks)


def _watch(rig: Rig, until_s: float) -> list[Look]:
    looks = []
    while not looks or time.monotonic() < until_s:
        state = rig.state
        fault = state.get('fault') or {}
        mode = state['mode'] if rig.alive('controller') else GONE
        stale = bool(state.get('command_stale'))
        looks.append(Look(time.monotonic(), mode, fault.get('code', ''), stale))
        time.sleep(LOOK_S)
    return looks


def collect(cases: Sequence[Case], trials: Trials) -> Figures:
    """Return the flat figures of every case that was tried at least once."""
    figures: Figures = {}
    tried = [case for case in cases if trials.get(case.name)]
    for case in tried:
        figures.update(summarise(case, trials[case.name]))
    verdicts = [figures[f'fault.{case.name}.verdict'] for case in tried]
    figures['faults'] = float(len(tried))
    figures['faults_ok'] = float(verdicts.count(OK))
    figures['faults_late'] = float(verdicts.count('late'))
    figures['faults_wrong'] = float(verdicts.count('WRONG'))
    return figures


def table(cases: Sequence[Case], figures: Figures) -> Table:
    """Return the fault table: fault, reaction, milliseconds on the wire."""
    result = Table(title='Faults while walking; times on the wire, median (max)')
    for heading in ('fault', 'expected', 'ended in', 'ms', 'limit', 'gap after', ''):
        result.add_column(heading, justify='right' if heading in ('ms', 'limit') else 'left')
    for case in cases:
        key = f'fault.{case.name}'
        if f'{key}.verdict' not in figures:
            continue
        median, longest = (_number(figures[f'{key}.{k}']) for k in ('reaction_ms',
                                                                   'reaction_ms_max'))  # fmt: skip
        result.add_row(
            case.does,
            case.expect.value,
            str(figures[f'{key}.state']),
            f'{shown(median)} ({shown(longest)})',
            f'{case.limit_ms:.0f}',
            shown(_number(figures[f'{key}.gap_ms_max']), 'ms'),
            str(figures[f'{key}.verdict']),
        )
    return result


def _number(value: object) -> float:
    return float(value) if isinstance(value, float | int) else float('nan')

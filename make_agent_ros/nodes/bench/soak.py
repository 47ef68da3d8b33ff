"""`make-agent bench soak`: a long walk with the recorder on; nothing may be lost, nothing grow."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rich.console import Console
from rich.table import Table

from make_agent_ros.control import realtime
from make_agent_ros.go2.layout import LOWSTATE_SIZE
from make_agent_ros.go2.ticks import TickCounter
from make_agent_ros.nodes.bench import BenchError
from make_agent_ros.nodes.bench.figures import Figures, Value, clean, progress, shown, write
from make_agent_ros.nodes.bench.rig import Rig
from make_agent_ros.nodes.bench.usage import ProcessRecord
from make_agent_ros.recording.errors import RecordingError
from make_agent_ros.recording.storage import Findings, iter_messages

NODES = ('simulator', 'controller', 'recorder', 'generator')
CIRCLE = (0.4, 0.0, 0.4)
"""Walked for minutes, a straight line would leave the world."""
LOOK_S, FORGET_S = 1.0, 30.0
STOP_RECORDER_S = 60.0


@dataclass
class Walk:
    """What is noted on the way."""

    seconds: float = 0.0
    falls: dict[str, int] = field(default_factory=dict)
    """Latched fault -> how often; the robot is stood up again."""
    processes: dict[str, ProcessRecord] = field(default_factory=dict)
    before: dict[str, float] = field(default_factory=dict)
    timing: dict[str, float] = field(default_factory=dict)
    """The controller's own books, from `/diagnostics`, before the walk and at its end."""
    tap: dict[str, float] = field(default_factory=dict)
    recorder: dict[str, Any] = field(default_factory=dict)
    bag: dict[str, float] = field(default_factory=dict)
    complete: bool = False

    def counted(self, key: str) -> Value:
        """Return what the controller counted during the walk."""
        if key not in self.timing:
            return None
        return self.timing[key] - self.before.get(key, 0.0)


def run_soak(json_path: Path | None = None, *, minutes: float = 10.0) -> Figures:
    """Walk in a circle with the whole graph of `deploy` and the recorder on.

    Args:
        json_path: where the flat figures are written.
        minutes: how long.

    Returns:
        The figures; after Ctrl-C those of the time until then, `complete` 0.

    Raises:
        BenchError: the graph does not get to walk.
    """
    walk = Walk()
    with Rig(*NODES) as rig:
        rig.await_nodes()
        _follow_diagnostics(rig, walk)
        rig.walk()
        rig.operator.drive(CIRCLE)
        rig.call('recorder/start')
        rig.tap.ask('reset')
        walk.before = dict(walk.timing)
        try:
            _walk(rig, walk, 60.0 * minutes)
            walk.complete = True
        except KeyboardInterrupt:
            pass
        walk.tap = rig.tap.ask('figures')
        write(collect(walk), json_path)  # whatever becomes of the bag
        rig.operator.call('recorder/stop', STOP_RECORDER_S)
        walk.recorder = _stopped(rig)
        realtime.leave_realtime()
        with Console(stderr=True).status('reading the bag'):
            walk.bag = read_back(Path(walk.recorder['path']))
    figures = collect(walk)
    write(figures, json_path)
    Console().print(table(figures))
    return clean(figures)


def _walk(rig: Rig, walk: Walk, duration_s: float) -> None:
    pids = {node: rig.graph.pid(node) for node in NODES}
    guard = rig.guard_pid()
    if guard is not None:
        pids['guard'] = guard
    walk.processes = {name: ProcessRecord(pid) for name, pid in pids.items()}
    started_s = forgot_s = time.monotonic()
    with progress(duration_s, counted=False) as bar:
        bar.say('walking')
        while walk.seconds < duration_s:
            now_s = time.monotonic()
            bar.advance(now_s - started_s - walk.seconds)
            walk.seconds = now_s - started_s
            for record in walk.processes.values():
                record.look(now_s)
            _check(rig, walk)
            if now_s - forgot_s > FORGET_S:
                rig.operator.forget_track()
                forgot_s = now_s
            time.sleep(LOOK_S)


def _check(rig: Rig, walk: Walk) -> None:
    """Count a fault and stand the robot up again; a dead node ends the measurement."""
    for node in NODES:
        if not rig.alive(node):
            raise BenchError(f'{node} ended with exit code {rig.graph.exit_codes()[node]}')
    fault = rig.state.get('fault')
    if fault:
        walk.falls[fault['code']] = walk.falls.get(fault['code'], 0) + 1
        rig.recover()
        rig.walk()
        rig.operator.drive(CIRCLE)


def _follow_diagnostics(rig: Rig, walk: Walk) -> None:
    def on_diagnostics(message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == 'controller: timing':
                walk.timing.update({item.key: float(item.value) for item in status.values})

    rig.operator.node.create_subscription(DiagnosticArray, '/diagnostics', on_diagnostics, 5)


def _stopped(rig: Rig) -> dict[str, Any]:
    return rig.operator.wait_for(
        'recorder', lambda state: not state['recording'], STOP_RECORDER_S, 'the end of the bag'
    )


def read_back(path: Path) -> dict[str, float]:
    """Read a bag from beginning to end and count what is in it and what its ticks say is not."""
    ticks, counts = TickCounter(), {'/lowstate': 0, '/lowcmd': 0}
    gap_s, last_ns = 0.0, 0
    findings = Findings()
    try:
        for message in iter_messages(path, lambda _: True, findings):
            if message.topic not in counts:
                continue
            counts[message.topic] += 1
            if message.topic == '/lowstate' and len(message.data) == LOWSTATE_SIZE:
                ticks.see(message.data)
                if last_ns:
                    gap_s = max(gap_s, 1e-9 * (message.publish_ns - last_ns))
                last_ns = message.publish_ns
    except RecordingError:
        return {'readable': 0.0}
    return {
        'readable': float(not findings.notes),
        'lowstate': float(counts['/lowstate']),
        'lowcmd': float(counts['/lowcmd']),
        'lost': float(ticks.missing),
        'lowstate_gap_ms_max': 1e3 * gap_s,
    }


def collect(walk: Walk) -> Figures:
    """Return the flat figures of a walk."""
    figures: Figures = {
        'complete': float(walk.complete),
        'seconds': walk.seconds,
        'faults': float(sum(walk.falls.values())),
        'lowcmd_gap_ms_max': walk.tap.get('lowcmd_gap_ms_max'),
        'lowcmd_count': walk.tap.get('lowcmd_count'),
        'lowstate_gap_ms_max': walk.tap.get('lowstate_gap_ms_max'),
        'lost_on_wire': walk.tap.get('lowstate_lost'),
        'lost_at_controller': walk.counted('lost'),
        'skipped_by_controller': walk.counted('skipped'),
        'lost_at_recorder': _number(walk.recorder.get('dropped')),
        'overruns': walk.counted('overruns'),
        'ticks': walk.counted('ticks'),
        'bag_mb': _number(walk.recorder.get('megabytes')),
    }
    figures.update({f'fault.{code}': float(times) for code, times in walk.falls.items()})
    figures.update({f'bag_{key}': value for key, value in walk.bag.items()})
    for name, record in walk.processes.items():
        figures.update({f'{name}.{key}': value for key, value in record.figures().items()})
    return figures


def _number(value: Any) -> Value:
    return None if value is None else float(value)


def table(figures: Figures) -> Table:
    """Return the walk as a table: processes below, the wire in the title."""

    def text(key: str, unit: str = '') -> str:
        value = figures.get(key)
        return shown(float(value) if isinstance(value, float | int) else math.nan, unit)

    lost = ', '.join(
        f'{text(f"lost_{where}")} {where.replace("_", " ")}'
        for where in ('on_wire', 'at_controller', 'at_recorder')
    )
    result = Table(
        title=f'{text("seconds", "s")} of walking: {text("faults")} faults, samples lost {lost}, '
        f'{text("skipped_by_controller")} skipped by the controller for newer ones; longest '
        f'LowCmd gap {text("lowcmd_gap_ms_max", "ms")}'
    )
    for heading in ('process', 'memory, MiB: start', 'end', 'per minute', 'share of a core'):
        result.add_column(heading, justify='left' if heading == 'process' else 'right')
    for name in (*NODES, 'guard'):
        if f'{name}.cpu_share' in figures:
            share = figures[f'{name}.cpu_share']
            result.add_row(
                name,
                text(f'{name}.rss_mb_start'),
                text(f'{name}.rss_mb_end'),
                f'{figures[f"{name}.rss_mb_per_min"]:+.2f}',
                f'{share:.0%}' if isinstance(share, float) else '-',
            )
    return result

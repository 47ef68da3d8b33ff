"""`make-agent bench recorder`: is anything lost, what does it cost, what does kill -9 leave."""

from __future__ import annotations

import contextlib
import math
import os
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table

from make_agent_ros.go2.ticks import TickCounter
from make_agent_ros.nodes import arguments, graph
from make_agent_ros.nodes.bench import BenchError
from make_agent_ros.nodes.bench.child import Child
from make_agent_ros.nodes.bench.figures import Figures, clean, progress, shown, write
from make_agent_ros.nodes.bench.usage import ProcessRecord
from make_agent_ros.nodes.deploy import Graph
from make_agent_ros.nodes.network import free_domains
from make_agent_ros.nodes.recorder_traffic import number_of
from make_agent_ros.recording.storage import Findings, iter_messages

if TYPE_CHECKING:
    from make_agent_ros.nodes.client import Operator

START_S, STOP_S = 90.0, 60.0
COMMAND = (0.4, 0.0, 0.2)
"""Published on `/cmd_vel` meanwhile."""


@dataclass
class Stand:
    """The real recorder node, the traffic on its wire, and an operator."""

    folder: Path
    traffic: Child
    graph: Graph
    operator: Operator

    def await_recording(self) -> None:
        """Wait until samples go into a bag.

        Raises:
            BenchError: they do not.
        """
        self._wait(lambda state: state['recording'] and state['rate_hz'] > 300.0, 'a recording')

    def await_samples(self) -> None:
        """Wait until lowstate arrives; errors as `await_recording`."""
        self._wait(lambda state: state['rate_hz'] > 300.0, 'lowstate')

    def _wait(self, condition: Any, what: str) -> None:
        from make_agent_ros.nodes.client import OperatorError

        try:
            self.operator.wait_for('recorder', condition, START_S, what)
        except OperatorError as error:
            raise BenchError(f'{error}; exit codes {self.graph.exit_codes()}') from error


@contextlib.contextmanager
def stand(autostart: bool) -> Iterator[Stand]:
    """Start everything on domains of its own; nothing is left behind."""
    with contextlib.ExitStack() as stack:
        enter = stack.enter_context
        temporary = tempfile.TemporaryDirectory(
            prefix='make-agent-recorder-', ignore_cleanup_errors=True
        )
        folder = Path(enter(temporary))
        ros_domain, dds_domain = free_domains(2)
        environment = {
            'ROS_DOMAIN_ID': str(ros_domain), 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        }  # fmt: skip
        os.environ.update(environment)
        from make_agent_ros.nodes.client import Operator

        traffic = enter(Child('make_agent_ros.nodes.recorder_traffic', str(dds_domain)))
        values = {'domain': str(dds_domain), 'record': str(autostart).lower()}
        planned = graph.with_parameters(
            graph.plan('record', arguments.settings_from(values)),
            recorder={'directory': str(folder / 'bags')},
        )
        running = enter(Graph(planned, lambda node, line: None, environment))
        operator = enter(Operator(ros_domain))
        operator.drive(COMMAND)
        yield Stand(folder / 'bags', traffic, running, operator)


@dataclass
class Contents:
    """What is in a bag."""

    samples: dict[str, int] = field(default_factory=dict)
    """Topic -> samples."""
    lost_lowstate: int = 0
    """Missing between the first and the last, by the tick."""
    lost_lowcmd: int = 0
    """Missing between the first and the last, by the number."""
    disorder: int = 0
    """Samples stamped before their predecessor on the topic."""
    back_ns: int = 0
    """Longest step back in time from one sample to the next, of any topics."""
    last_ns: int = 0
    notes: tuple[str, ...] = ()


def read_back(path: Path) -> Contents:
    """Read a bag from beginning to end."""
    contents, findings, ticks, numbers = Contents(), Findings(), TickCounter(), []
    newest: dict[str, int] = {}
    for message in iter_messages(path, lambda kind: True, findings):
        contents.samples[message.topic] = contents.samples.get(message.topic, 0) + 1
        contents.disorder += message.log_ns <= newest.get(message.topic, 0)
        newest[message.topic] = message.log_ns
        contents.back_ns = max(contents.back_ns, contents.last_ns - message.log_ns)
        contents.last_ns = max(contents.last_ns, message.log_ns)
        if message.topic == '/lowstate':
            ticks.see(message.data)
        elif message.topic == '/lowcmd':
            numbers.append(number_of(message.data))
    contents.lost_lowstate = ticks.missing
    contents.lost_lowcmd = int((np.diff(numbers) - 1).sum()) if numbers else 0
    contents.notes = tuple(findings.notes)
    return contents


def run_recorder(
    json_path: Path | None = None, *, minutes: float = 10.0, kills: int = 20, seed: int = 0
) -> Figures:
    """Record for minutes, then kill the recorder at random moments.

    Args:
        json_path: where the flat figures are written.
        minutes: of recording, both topics at 500 Hz and `/cmd_vel`.
        kills: how many times a recording recorder is killed with SIGKILL.
        seed: of the moments.

    Raises:
        BenchError: the recorder does not get to record.
    """
    figures = _record(60.0 * minutes)
    if kills:
        figures.update(_kill(kills, random.Random(seed)))
    write(figures, json_path)
    Console().print(table(figures))
    return clean(figures)


def _record(duration_s: float) -> Figures:
    with stand(autostart=False) as bench:
        bench.await_samples()
        path = Path(bench.operator.call('recorder/start', STOP_S).split()[-1])
        first = bench.traffic.ask('figures')
        bench.traffic.ask('reset')
        record = ProcessRecord(bench.graph.pid('recorder'))
        with progress(duration_s, counted=False) as bar:
            bar.say('recording')
            start_s = time.monotonic()
            while (now_s := time.monotonic()) - start_s < duration_s:
                record.look(now_s)
                bar.advance(now_s - start_s - bar.done)
                time.sleep(1.0)
        sent = bench.traffic.ask('figures')
        bench.operator.call('recorder/stop', STOP_S)
        state = bench.operator.wait_for(
            'recorder', lambda state: not state['recording'], STOP_S, 'the end of the bag'
        )
        contents = read_back(path)
    seconds = (sent['sent_ns'] - first['sent_ns']) * 1e-9
    usage = record.figures()
    return {
        'seconds': seconds,
        'sent_hz': (sent['number'] - first['number']) / seconds,
        'sent_late_ms_max': sent['late_ms_max'],
        'lowstate': float(contents.samples.get('/lowstate', 0)),
        'lowcmd': float(contents.samples.get('/lowcmd', 0)),
        'cmd_vel': float(contents.samples.get('/cmd_vel', 0)),
        'dropped_by_recorder': float(state['dropped']),
        'lost_lowstate': float(contents.lost_lowstate),
        'lost_lowcmd': float(contents.lost_lowcmd),
        'disorder': float(contents.disorder),
        'step_back_ms_max': 1e-6 * contents.back_ns,
        'readable': float(not contents.notes),
        'megabytes': float(state['megabytes']),
        'cpu_share': usage.get('cpu_share', math.nan),
        'rss_mb_max': usage.get('rss_mb_max', math.nan),
        'rss_mb_per_min': usage.get('rss_mb_per_min', math.nan),
    }


def _kill(count: int, rng: random.Random) -> Figures:
    """Kill the recorder at random moments; what its bag lacks at the end, and in the middle."""
    lost_s, gaps, unreadable = [], 0, 0
    with stand(autostart=True) as bench, progress(count) as bar:
        for _ in range(count):
            bar.say('kill -9')
            bench.await_recording()
            time.sleep(rng.uniform(0.5, 2.5))
            sent_ns = int(bench.traffic.ask('figures')['sent_ns'])
            bench.graph.kill('recorder')
            contents = read_back(max(bench.folder.iterdir(), key=lambda bag: bag.stat().st_mtime))
            unreadable += not contents.samples.get('/lowstate')
            gaps += contents.lost_lowstate + contents.lost_lowcmd
            lost_s.append((sent_ns - contents.last_ns) * 1e-9)
            bench.operator.forget('recorder')
            bench.graph.start_again('recorder')
            bar.advance()
    return {
        'kills': float(count),
        'kill_unreadable': float(unreadable),
        'kill_lost_inside': float(gaps),
        'kill_lost_s_median': float(np.median(lost_s)),
        'kill_lost_s_max': float(np.max(lost_s)),
    }


def table(figures: Figures) -> Table:
    """Return the figures for people."""
    result = Table(title='recorder node', show_header=False)

    def text(key: str, unit: str = '') -> str:
        value = figures.get(key)
        return shown(float(value) if isinstance(value, float | int) else math.nan, unit)

    share = figures.get('cpu_share')
    rows = {
        'recorded': f'{text("seconds", "s")}, sent at {text("sent_hz", "Hz")}',
        'samples': f'{text("lowstate")} lowstate, {text("lowcmd")} lowcmd, {text("cmd_vel")} '
        'cmd_vel',
        'missing': f'{text("lost_lowstate")} lowstate by ticks, {text("lost_lowcmd")} lowcmd by '
        'number',
        'processor': f'{share:.1%} of a core' if isinstance(share, float) else '-',
        'memory': f'{text("rss_mb_max", "MiB")}, {text("rss_mb_per_min", "MiB")} per minute',
    }
    if 'kills' in figures:
        rows['kill -9'] = (
            f'{text("kills")} times: lost {figures["kill_lost_s_median"]:.2f} s (median), '
            f'{figures["kill_lost_s_max"]:.2f} s (most), {text("kill_lost_inside")} inside, '
            f'{text("kill_unreadable")} unreadable'
        )
    for name, line in rows.items():
        result.add_row(name, line)
    return result

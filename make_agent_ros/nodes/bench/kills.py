"""`make-agent bench kills`: kill -9 of each node in turn, at random moments of a moving robot."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from make_agent_ros.nodes.bench import BenchError
from make_agent_ros.nodes.bench.figures import (
    Figures,
    clean,
    median_and_max,
    progress,
    shown,
    write,
)
from make_agent_ros.nodes.bench.rig import FORWARD, MOVING, START_S, Rig
from make_agent_ros.nodes.bench.window import SIGNS, Window
from make_agent_ros.recording.errors import RecordingError
from make_agent_ros.recording.storage import Findings, iter_messages

NODES = ('simulator', 'controller', 'recorder', 'generator')
VICTIMS = ('controller', 'simulator', 'guard', 'recorder', 'generator')
BEFORE_S = 0.1
WATCH_S: dict[str, float] = {
    'controller': 1.0, 'simulator': 0.6, 'guard': 0.8, 'recorder': 0.5, 'generator': 0.5,
}  # fmt: skip
"""How long the wire is watched after each kill."""
MOMENT_S = 3.0
"""Kills fall within this time after the order to stand up: on the way up, standing, walking."""
STRIDE_S = 0.5
RECENT_S = 0.1
"""What is on the wire at the end of the watch is what the robot is left with."""
STALE_MS = 350.0
"""An active command may stand this long: `guard_timeout_s` and the guard's start."""
GUARD_BACK_S = 10.0
SAFE = ('damped', 'driven', 'unpowered')


@dataclass(frozen=True)
class Kill:
    """One kill and where it left the robot."""

    victim: str
    mode: str
    """Of the controller when it happened."""
    outcome: str
    """`damped`, `driven` (by fresh commands, on its feet), `unpowered` (nothing was ever sent);
    or `stale`, `fallen`, `driven again`: wrong."""
    stale_ms: float
    """Longest time that an active LowCmd stood without a newer one."""
    damped_ms: float
    """From the kill to the first damping LowCmd; NaN without one."""
    survivors: bool
    """Whether all the other nodes still run."""
    bag_lost_s: float = math.nan
    """For a killed recorder: what its bag lacks at the end, s."""

    @property
    def safe(self) -> bool:
        """Whether the robot ended damped or standing, never with a stale command."""
        return self.outcome in SAFE and self.stale_ms <= STALE_MS and self.survivors


def outcome_of(window: Window, killed_s: float) -> str:
    """Say how a kill ended, from the wire alone.

    Args:
        window: the wire from before the kill until the end of the watch.
        killed_s: when the process was killed, monotonic, s.
    """
    if not len(window.command_s):
        return 'unpowered'
    damped_s = window.first_damping_s(killed_s)
    if damped_s > 0.0 and window.active_after(damped_s):
        return 'driven again'
    if not window.active[-1]:
        return 'damped'
    if window.command_s[-1] < window.end_s - RECENT_S:
        return 'stale'
    tilted = SIGNS['tilt'](window)
    return 'fallen' if len(tilted) and tilted[-1] else 'driven'


def bag_lost_s(folder: Path, killed_ns: int) -> float:
    """Return how much of the end the newest bag in a folder lacks, s; inf if it is unreadable.

    Args:
        folder: of the recorder.
        killed_ns: when it was killed, since the Unix epoch.
    """
    bags = sorted(folder.iterdir()) if folder.is_dir() else []
    last_ns = -math.inf
    with contextlib.suppress(RecordingError):
        for message in iter_messages(bags[-1], lambda _: True, Findings()) if bags else ():
            last_ns = max(last_ns, message.log_ns)
    return 1e-9 * (killed_ns - last_ns)


def run_kills(
    json_path: Path | None = None,
    *,
    count: int = 100,
    seed: int = 0,
    victims: Sequence[str] = VICTIMS,
) -> Figures:
    """Kill nodes in turn and print what happened.

    Returns:
        The figures; after Ctrl-C those of the kills until then, `complete` 0.

    Raises:
        BenchError: the graph does not come up, or not again.
    """
    kills: list[Kill] = []
    started_s = time.monotonic()

    def report() -> Figures:
        figures = collect(kills)
        figures.update(
            complete=float(len(kills) == count),
            seconds=time.monotonic() - started_s,
            seed=float(seed),
        )
        write(figures, json_path)
        return clean(figures)

    with (
        contextlib.suppress(KeyboardInterrupt),
        progress(count) as bar,
        Rig(*NODES, recorder={'autostart': True}) as rig,
    ):
        rig.await_nodes()
        spree = _Spree(rig, np.random.default_rng(seed))
        for i in range(count):
            victim = victims[i % len(victims)]
            bar.say(victim)
            kills.append(spree.kill(victim))
            bar.advance()
            report()
    Console().print(table(kills))
    return report()


class _Spree:
    """Brings the robot up, kills, looks, and puts things right again."""

    def __init__(self, rig: Rig, rng: np.random.Generator) -> None:
        self._rig, self._rng = rig, rng

    def kill(self, victim: str) -> Kill:
        """Kill one process and say where that left the robot."""
        rig = self._rig
        self._get_going()
        mode = rig.state['mode']
        pid = rig.guard_pid() if victim == 'guard' else rig.graph.pid(victim)
        if pid is None:
            raise BenchError('the controller has no guard; is guard_timeout_s 0?')
        killed_s, killed_ns = time.monotonic(), time.time_ns()
        os.kill(pid, signal.SIGKILL)
        time.sleep(WATCH_S[victim])
        window = rig.window(killed_s - BEFORE_S)
        survivors = all(rig.alive(node) for node in NODES if node != victim)
        lost_s = math.nan
        if victim == 'recorder':
            lost_s = bag_lost_s(rig.bags, killed_ns)
        result = Kill(
            victim=victim,
            mode=mode,
            outcome=outcome_of(window, killed_s),
            stale_ms=1e3 * window.stale_s_max(),
            damped_ms=1e3 * (window.first_damping_s(killed_s) - killed_s),
            survivors=survivors,
            bag_lost_s=lost_s,
        )
        self._put_right(victim)
        return result

    def _get_going(self) -> None:
        """Be on the way up, standing or walking, at a moment drawn at random."""
        rig = self._rig
        if rig.state['mode'] not in MOVING:
            rig.call('controller/stand_up')
            end_s = time.monotonic() + float(self._rng.uniform(0.0, MOMENT_S))
        else:
            end_s = time.monotonic() + float(self._rng.uniform(0.0, STRIDE_S))
        rig.operator.drive(FORWARD)
        while time.monotonic() < end_s:
            if rig.state['mode'] == 'STAND':
                rig.call('controller/walk')
            time.sleep(0.01)

    def _put_right(self, victim: str) -> None:
        rig = self._rig
        for node in NODES:
            if not rig.alive(node):
                # The robot and who drives it must be back; for the others nobody waits.
                rig.relaunch(node, wait=node in ('simulator', 'controller'))
        if victim == 'controller':
            rig.await_mode('DAMPING', START_S)
        if victim == 'guard':
            self._await_guard()
        if rig.state['mode'] not in ('STAND_UP', 'STAND', 'WALK'):
            rig.recover()

    def _await_guard(self) -> None:
        deadline = time.monotonic() + GUARD_BACK_S
        while self._rig.guard_pid() is None:
            if time.monotonic() > deadline:
                raise BenchError(f'the controller made no new guard within {GUARD_BACK_S:.0f} s')
            time.sleep(0.02)


def collect(kills: Sequence[Kill]) -> Figures:
    """Return the flat figures: counts per victim and outcome, the longest stale command."""
    figures: Figures = {
        'kills': float(len(kills)),
        'kills_safe': float(sum(kill.safe for kill in kills)),
        'stale_ms_max': max((kill.stale_ms for kill in kills), default=math.nan),
        'stale_ms_limit': STALE_MS,
        'survivors_lost': float(sum(not kill.survivors for kill in kills)),
        'bag_lost_s_max': max(
            (kill.bag_lost_s for kill in kills if not math.isnan(kill.bag_lost_s)),
            default=math.nan,
        ),
    }
    for victim in dict.fromkeys(kill.victim for kill in kills):
        mine = [kill for kill in kills if kill.victim == victim]
        damped, damped_max = median_and_max([kill.damped_ms for kill in mine])
        figures[f'kills.{victim}.count'] = float(len(mine))
        figures[f'kills.{victim}.stale_ms_max'] = max(kill.stale_ms for kill in mine)
        figures[f'kills.{victim}.damped_ms'] = damped
        figures[f'kills.{victim}.damped_ms_max'] = damped_max
        for name in dict.fromkeys(kill.outcome for kill in mine):
            figures[f'kills.{victim}.{name.replace(" ", "_")}'] = float(
                sum(kill.outcome == name for kill in mine)
            )
    for mode in sorted({kill.mode for kill in kills}):
        figures[f'kills_in.{mode}'] = float(sum(kill.mode == mode for kill in kills))
    return figures


def table(kills: Sequence[Kill]) -> Table:
    """Return what happened, one row per victim."""
    safe = sum(kill.safe for kill in kills)
    result = Table(title=f'{len(kills)} kills in a row: {safe} ended safe')
    for heading in ('killed', 'times', 'robot ended', 'to damping, ms', 'stale at most'):
        result.add_column(heading)
    for victim in dict.fromkeys(kill.victim for kill in kills):
        mine = [kill for kill in kills if kill.victim == victim]
        ends = Counter(kill.outcome for kill in mine)
        median, longest = median_and_max([kill.damped_ms for kill in mine])
        result.add_row(
            victim,
            str(len(mine)),
            ', '.join(f'{name} {times}' for name, times in ends.most_common()),
            f'{shown(median)} ({shown(longest)})',
            shown(max(kill.stale_ms for kill in mine), 'ms'),
        )
    return result

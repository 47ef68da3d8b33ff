"""The verbs of this room, for the command line."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from make_agent_ros.nodes.bench.figures import Figures

VERBS = ('controller', 'faults', 'kills', 'soak')


@dataclass(frozen=True)
class Options:
    """What the command line asks for; each verb takes what concerns it."""

    load: bool = False
    seconds: float = 30.0
    repeats: int = 5
    only: Sequence[str] = ()
    count: int = 100
    seed: int = 0
    minutes: float = 10.0


def measure(what: str, options: Options, json_path: Path | None) -> Figures:
    """Run a verb, print its table, write its figures and return them.

    SIGTERM ends it as Ctrl-C does: with the figures until then.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if what == 'faults':
        from make_agent_ros.nodes.bench.faults import run_faults

        return run_faults(json_path, repeats=options.repeats, seed=options.seed, only=options.only)
    if what == 'kills':
        from make_agent_ros.nodes.bench.kills import run_kills

        return run_kills(json_path, count=options.count, seed=options.seed)
    if what == 'soak':
        from make_agent_ros.nodes.bench.soak import run_soak

        return run_soak(json_path, minutes=options.minutes)
    from make_agent_ros.nodes.bench.controller import run_bench, table

    figures = run_bench(json_path, load=options.load, duration_s=options.seconds)
    Console().print(table(figures), highlight=False)
    return {**figures}

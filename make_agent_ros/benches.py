"""`make-agent bench WHAT`: which room measures what, and how its figures are written."""

from __future__ import annotations

from dataclasses import dataclass
from json import dumps
from pathlib import Path

import typer

TRAINING = ('teacher', 'prompts', 'generator', 'quality', 'study', 'check')
"""Those that take options of their own: `make-agent bench quality --help`."""
ALL = ('controller', 'faults', 'kills', 'soak', 'recorder', 'sim', *TRAINING)


@dataclass(frozen=True)
class Options:
    """What the command line asks for; each bench takes what concerns it."""

    load: bool
    seconds: float
    repeats: int
    only: tuple[str, ...]
    count: int | None
    seed: int
    minutes: float
    passed_on: tuple[str, ...]
    """Arguments for those of `TRAINING`."""


def run(what: str, options: Options, json: Path | None) -> None:
    """Measure one of `ALL`, print its table, and write its flat figures to `json` if given."""
    count = options.count
    if what == 'recorder':
        from make_agent_ros.nodes.recorder_bench import run_recorder

        kills = 20 if count is None else count
        run_recorder(json, minutes=options.minutes, kills=kills, seed=options.seed)
        return
    if what not in (*TRAINING, 'sim'):
        from make_agent_ros.nodes.bench.command import Options as Measurement
        from make_agent_ros.nodes.bench.command import measure

        kills = 100 if count is None else max(count, 1)
        wanted = Measurement(
            options.load, options.seconds, options.repeats, options.only, kills, options.seed,
            options.minutes,
        )  # fmt: skip
        measure(what, wanted, json)
        return
    if what == 'sim':
        from make_agent_ros.checking.benchmark import bench_simulation

        figures = bench_simulation()
        typer.echo('\n'.join(f'{name:>20} {value:.4g}' for name, value in figures.items()))
    else:
        from make_agent_ros.training import bench

        figures = bench(what, options.passed_on)
    if json is not None:
        json.write_text(dumps(figures, indent=1) + '\n', encoding='utf-8')

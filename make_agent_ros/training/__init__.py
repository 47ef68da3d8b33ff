"""Training: behaviour space, teacher (PPO), policy zoo, and fitting the generator to it.

Everything here is seeded, resumable and run by `make-agent train`.
"""

from __future__ import annotations

from collections.abc import Sequence


def main(stage: str, arguments: Sequence[str]) -> int:
    """Run one stage of training; see `training.main`."""
    from make_agent_ros.training.main import main as run

    return run(stage, arguments)


def bench(what: str, arguments: Sequence[str]) -> dict[str, float]:
    """Measure 'quality' or 'generator'; see `training.bench`."""
    from make_agent_ros.training.bench import run_generator, run_quality

    return {'quality': run_quality, 'generator': run_generator}[what](arguments)

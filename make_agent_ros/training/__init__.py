"""Training: behaviour space, teacher (PPO), policy zoo, and fitting the generator to it.

Everything here is seeded, resumable and run by `make-agent train`.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

_BENCHES = {
    'teacher': ('teacher_bench', 'run_teacher_bench'),
    'prompts': ('prompt_bench', 'run_prompts'),
    'generator': ('generator_bench', 'run_generator'),
    'quality': ('bench', 'run_quality'),
    'study': ('study', 'run_study'),
    'check': ('truth', 'run_check_bench'),
}
"""Module and function of each bench; none is imported before it is asked for."""


def main(stage: str, arguments: Sequence[str]) -> int:
    """Run one stage of training; see `training.main`."""
    from make_agent_ros.training.main import main as run

    return run(stage, arguments)


def bench(what: str, arguments: Sequence[str]) -> dict[str, float]:
    """Measure one of `benches.TRAINING`, print its table and return its flat figures."""
    module, function = _BENCHES[what]
    found = getattr(import_module(f'make_agent_ros.training.{module}'), function)(arguments)
    return dict(found)

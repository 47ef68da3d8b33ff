"""How long ranking and the sim-to-real check take on this machine: `bench check --speed`."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from make_agent_ros.checking.check import run_check
from make_agent_ros.checking.ranking import rank
from make_agent_ros.checking.report import save_report
from make_agent_ros.checking.scenario import CheckConfig
from make_agent_ros.checking.video import VideoError, render_video
from make_agent_ros.policy.bundle import Bundle
from make_agent_ros.simulation.model import WorldRanges, randomised_worlds
from make_agent_ros.simulation.rollout import rollout
from make_agent_ros.training.prompts import prompt_from_log

CANDIDATES, WALK_S, WORLDS = 16, 20.0, 8
ROUNDS = 3


def bench_speed(
    bundles: Sequence[Bundle],
    *,
    jobs: int = -1,
    config: CheckConfig | None = None,
    walk_s: float = WALK_S,
    rounds: int = ROUNDS,
) -> dict[str, float]:
    """Time what a user waits for.

    Args:
        bundles: good policies; the first is checked, the first 16 (repeated where there are
            fewer) are ranked. Policies that fall early make a check faster.
        jobs: processes of the check.
        config: scenarios of the check; `config/check.yaml` when omitted.
        walk_s: seconds that each candidate walks in each world.
        rounds: rankings.

    Returns:
        `rank_s`: median of the rankings, 16 candidates x 20 s x 8 worlds.
        `check_s`: the default check, our model and where installed Menagerie's, with its report
        and videos; `check_report_s` of these are the report. `check_physx_s`: PhysX in addition,
        `check_all_s`: the check in all engines with its report. `robots`: of `check_s`.
        `video`: 1 where videos could be rendered.
    """
    first = bundles[0]
    log = rollout(
        [first], randomised_worlds(1, 5, WorldRanges.nominal()), first.default_command[None], 6.0
    )
    prompt = prompt_from_log(log, 0, 0, 1.5, 4.0)
    candidates = [bundles[i % len(bundles)] for i in range(CANDIDATES)]
    ranked = [
        rank(candidates, prompt, seed, worlds=WORLDS, seconds=walk_s).seconds
        for seed in range(rounds)
    ]
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        report = run_check(first, prompt, ('mujoco',), config=config, jobs=jobs)
        checked = time.perf_counter() - start
        save_report(report, Path(folder), prompt=prompt)
        total = time.perf_counter() - start
        start = time.perf_counter()
        run_check(first, prompt, ('physx',), config=config, jobs=jobs)
        physx = time.perf_counter() - start
        video = _renders(Path(folder))
    return {
        'rank_s': float(np.median(ranked)),
        'check_s': total,
        'check_report_s': total - checked,
        'check_physx_s': physx,
        'check_all_s': total + physx,
        'robots': float(
            sum(
                result['trials']
                for backend in report.data['backends'].values()
                for result in backend['scenarios'].values()
            )
        ),
        'video': float(video),
    }


def _renders(folder: Path) -> bool:
    try:
        render_video(np.r_[0.0, 0.0, 0.3, 1.0, np.zeros(15)], folder / 'one.mp4')
    except VideoError:
        return False
    return True

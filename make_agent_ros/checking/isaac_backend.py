"""Isaac Gym as a check engine: a subprocess in its own interpreter, with a deadline.

Isaac Gym runs on Python 3.6-3.8 only, this package on 3.10 and later: they can never share a
process. One process per scenario, because Isaac Gym does not survive a second simulation and
because a crash then costs one scenario. Whatever goes wrong becomes one sentence.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from make_agent_ros.checking.result import SCHEMA, BackendError, Report, merge
from make_agent_ros.checking.scenario import CheckConfig
from make_agent_ros.policy.bundle import Bundle, save
from make_agent_ros.recording.gait import Gait
from make_agent_ros.resources import resource_path

RUNNER = 'sim/isaac_gym/runner.py'
DEADLINE_S = 600.0
"""For one scenario, with the start of the simulator."""
TRIALS = 256
"""Robots per scenario at least: they cost next to nothing on a GPU."""
SHOWN_CHARACTERS = 300


def run_isaacgym(
    bundle: Bundle,
    config: CheckConfig,
    wanted: Gait | None,
    interpreter: str,
    progress: Callable[[str], None] = lambda scenario: None,
    *,
    runner: Path | None = None,
    deadline_s: float = DEADLINE_S,
) -> Report:
    """Run all scenarios in Isaac Gym and return the backend's report.

    Args:
        bundle: the policy.
        config: scenarios.
        wanted: gait of the prompt.
        interpreter: Python 3.8 in which Isaac Gym, legged_gym and onnx are installed.
        progress: called with each scenario's name.
        runner: script to run; `sim/isaac_gym/runner.py` when omitted.
        deadline_s: for one scenario.

    Raises:
        BackendError: no interpreter, Isaac Gym does not import, a crash, a hang, or an answer
            that is no report; the message says which, and what helps.
    """
    python = find_interpreter(interpreter)
    start = time.perf_counter()
    reports = []
    for scenario in config.scenarios:
        progress(scenario.name)
        many = replace(scenario, trials=max(scenario.trials, TRIALS))
        one = replace(config, scenarios=(many,))
        script = runner or resource_path(RUNNER)
        reports.append(_run_one(python, script, bundle, one, wanted, deadline_s))
    return {**merge(reports), 'seconds': time.perf_counter() - start}


def find_interpreter(interpreter: str) -> str:
    """Return the path of the interpreter.

    Raises:
        BackendError: none was named, or there is none.
    """
    if not interpreter:
        raise BackendError(
            'no interpreter with Isaac Gym was named; give one with isaacgym_python, for example '
            'the python of a conda environment with Python 3.8'
        )
    found = shutil.which(str(Path(interpreter).expanduser()))
    if found is None:
        raise BackendError(
            f'{interpreter}: no such interpreter; isaacgym_python must name the Python 3.8 in '
            'which Isaac Gym is installed'
        )
    return found


def _run_one(
    python: str,
    script: Path,
    bundle: Bundle,
    config: CheckConfig,
    wanted: Gait | None,
    deadline_s: float,
) -> Report:
    name = config.scenarios[0].name
    with tempfile.TemporaryDirectory(prefix='make_agent_ros-') as temporary:
        folder = Path(temporary)
        save(bundle, folder / 'policy.onnx')
        (folder / 'config.json').write_text(config.to_json())
        command = [python, str(script)]
        for option, file in (('policy', 'policy.onnx'), ('config', 'config.json'),
                             ('out', 'out.json')):  # fmt: skip
            command += [f'--{option}', str(folder / file)]
        if wanted is not None:
            gait = {key: np.asarray(value).tolist() for key, value in asdict(wanted).items()}
            (folder / 'gait.json').write_text(json.dumps(gait))
            command += ['--gait', str(folder / 'gait.json')]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors='replace', timeout=deadline_s
            )
        except subprocess.TimeoutExpired as error:
            raise BackendError(
                f'{name}: Isaac Gym gave no answer within {deadline_s:g} s and was ended; '
                'look for a viewer that waits, or a GPU in use'
            ) from error
        except OSError as error:
            raise BackendError(f'{python} does not start: {error.strerror or error}') from error
        _raise_for(name, python, done)
        return _read(name, folder / 'out.json')


def _raise_for(name: str, python: str, done: subprocess.CompletedProcess[str]) -> None:
    """Turn a failed process into a sentence.

    Raises:
        BackendError: the process did not end with status 0.
    """
    if done.returncode == 0:
        return
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    last = lines[-1][-SHOWN_CHARACTERS:] if lines else 'it said nothing'
    if 'ModuleNotFoundError' in last or 'ImportError' in last:
        raise BackendError(
            f'{python} cannot run the check: {last}. It needs isaacgym, legged_gym, numpy and onnx'
        )
    if done.returncode < 0:
        raise BackendError(
            f'{name}: Isaac Gym crashed (signal {-done.returncode}): {last}. '
            'Check the GPU driver, or run it by hand'
        )
    raise BackendError(f'{name}: Isaac Gym failed with status {done.returncode}: {last}')


def _read(name: str, path: Path) -> Report:
    """Read the runner's report.

    Raises:
        BackendError: there is none, or it is something else.
    """
    try:
        report: Any = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise BackendError(f'{name}: the runner ended without writing a report') from error
    except ValueError as error:
        raise BackendError(f'{name}: the runner wrote no JSON ({error})') from error
    if not isinstance(report, dict) or report.get('schema') != SCHEMA:
        found = report.get('schema') if isinstance(report, dict) else type(report).__name__
        raise BackendError(
            f'{name}: the runner wrote {found!r} where {SCHEMA!r} was expected; '
            'runner and package are of different versions'
        )
    worst = report.get('series', {}).get('worst', {})
    if name not in report.get('scenarios', {}) or 'order' not in worst:
        raise BackendError(f'{name}: the report lacks the scenario that was asked for')
    return report

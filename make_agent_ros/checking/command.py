"""What `make-agent check` does: files in, table, report and verdict out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from make_agent_ros.checking.check import CheckReport, run_check
from make_agent_ros.checking.many import (
    REFUSED,
    Options,
    Outcome,
    check_files,
    find_policies,
    write_outcome,
)
from make_agent_ros.checking.scenario import CheckConfig, ScenarioError, load_config
from make_agent_ros.policy.bundle import load
from make_agent_ros.recording.trajectory import Trajectory

EXIT_PASSED, EXIT_FAILED = 0, 1
AFTER_FALL_S = 1.0
"""A replay ends so long after a fall."""
STYLES = {'PASS': 'green', 'WARN': 'yellow', 'FAIL': 'bold red'}


def read_prompt(path: Path, seconds: float = 4.0) -> Trajectory:
    """Read a prompt from a bag, or a trajectory saved as NPZ.

    Raises:
        RecordingError: the file cannot be used; the message says why.
    """
    if path.suffix == '.npz':
        return Trajectory.load(path)
    from make_agent_ros.recording.bag import read_bag
    from make_agent_ros.recording.prompt import cut_prompt

    return cut_prompt(read_bag(path), seconds)


def check_policies(
    paths: Sequence[Path],
    prompt: Path | None = None,
    backends: Sequence[str] = ('mujoco',),
    out: Path | None = None,
    isaacgym_python: str = '',
    *,
    quick: bool = False,
    scenarios: Sequence[str] | None = None,
    config: Path | None = None,
    video: bool | None = None,
    jobs: int = -1,
) -> int:
    """Check bundles, write their reports, put the verdicts into the bundles.

    Args:
        paths: ONNX bundles or folders of them; the bundles are rewritten with the verdict inside.
        prompt: bag or NPZ that the style came from.
        backends: of `checking.check.BACKENDS`.
        out: folder of the report, or of one folder per policy; beside each policy when omitted.
        isaacgym_python: interpreter in which Isaac Gym is installed.
        quick: fewer scenarios and trials, no independent model.
        scenarios: names; all when omitted.
        config: scenario file; `config/check.yaml` when omitted.
        video: whether to render them; for a single policy when omitted.
        jobs: processes: they share the scenarios of one policy, or the policies.

    Returns:
        Exit status: 0 for PASS and WARN, 1 for FAIL, of the worst.

    Raises:
        BundleError, RecordingError, ScenarioError, ValueError: input that cannot be used. Among
            several policies, one that cannot be used is a line in the table.
    """
    from rich.console import Console

    many = len(paths) > 1 or paths[0].is_dir()
    files = find_policies(paths, out if many else None)
    options = Options(
        backends=tuple(name.strip() for name in backends if name.strip()),
        scenarios=tuple(scenarios) if scenarios else None,
        quick=quick,
        config=load_config(config) if config else None,
        isaacgym_python=isaacgym_python,
        out=out,
        video=not many if video is None else video,
        replay_options=f' --config {config}' if config else '',
    )
    console = Console(stderr=True)
    with console.status('reading the prompt' if prompt else 'starting') as status:
        shown = read_prompt(prompt) if prompt is not None else None
        options = replace(options, prompt=shown)
        if not many:
            report, page = _check_one(files[0], options, jobs, status.update)
        else:
            outcomes = check_files(
                files, options, jobs=jobs,
                progress=lambda done, path: status.update(f'{done} of {len(files)}: {path.name}'),
            )  # fmt: skip
    if many:
        print_outcomes(outcomes)
        return EXIT_FAILED if any(o.verdict in ('FAIL', REFUSED) for o in outcomes) else 0
    print_table(report)
    console.print(f'report: {page}')
    return EXIT_FAILED if report.verdict == 'FAIL' else EXIT_PASSED


def _check_one(
    path: Path, options: Options, jobs: int, tell: Callable[[str], None]
) -> tuple[CheckReport, Path]:
    """Check one policy; all jobs share its scenarios."""
    bundle = load(path)
    report = run_check(
        bundle, options.prompt, options.backends, options.scenarios, options.quick,
        config=options.config, isaacgym_python=options.isaacgym_python, jobs=jobs,
        progress=lambda text: tell(f'checking: {text}'),
    )  # fmt: skip
    tell('writing the report')
    page = write_outcome(path, bundle, report, options, options.out)
    return report, page


def print_outcomes(outcomes: Sequence[Outcome]) -> None:
    """Print one line per policy, and how many passed."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table(box=None, pad_edge=False, header_style='dim')
    for heading in ('policy', 'verdict', 'why', 'report'):
        table.add_column(heading)
    for one in outcomes:
        verdict = Text(one.verdict, style=STYLES.get(one.verdict, 'bold red'))
        table.add_row(str(one.path), verdict, Text(one.reason), str(one.page or ''))
    console.print(table)
    counted = Counter(one.verdict for one in outcomes)
    console.print(', '.join(f'{count} {verdict}' for verdict, count in counted.most_common()))


def print_table(report: CheckReport) -> None:
    """Print one line per scenario, one column per backend, and the verdict."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    backends = report.data['backends']
    table = Table(box=None, pad_edge=False, header_style='dim')
    table.add_column('scenario')
    for name in backends:
        table.add_column(name)
    table.add_column('why')
    for scenario in report.data['config']['scenarios']:
        row, why = [], []
        for name, one in backends.items():
            result = one['scenarios'].get(scenario['name'])
            verdict = result['verdict'] if result else '–'
            row.append(Text(verdict, style=STYLES.get(verdict, 'dim')))
            if result and verdict != 'PASS':
                why.append(f'{name}: {result["reason"]}')
        table.add_row(scenario['name'], *row, '; '.join(why))
    console.print(table)
    for name, one in backends.items():
        if 'error' in one:
            console.print(f'{name} did not run: {one["error"]}', style='yellow', markup=False)
    console.print(Text(report.verdict, style=STYLES[report.verdict]), end='  ')
    console.print(report.reason, markup=False)


def parse_replay(text: str, config: CheckConfig) -> tuple[str, int]:
    """Read `SCENARIO:SEED` as reports print it.

    Raises:
        ScenarioError: not of that form, or no such scenario.
    """
    name, _, seed = text.rpartition(':')
    if not name or not seed.isdigit():
        raise ScenarioError(f'{text!r} is no trial; expected SCENARIO:SEED, e.g. pushes:1003')
    return config[name].name, int(seed)


def replay(
    policy: Path,
    trial: str,
    out: Path,
    *,
    backend: str = 'mujoco',
    config: Path | None = None,
) -> str:
    """Play one trial of a report again and render it.

    Args:
        policy: ONNX bundle.
        trial: `SCENARIO:SEED` as the report prints it.
        out: MP4 to write.
        backend: `mujoco`, `menagerie` or `physx`; MuJoCo draws what any of them did.
        config: scenario file; `config/check.yaml` when omitted.

    Returns:
        One sentence: what happened.

    Raises:
        BundleError, ScenarioError, VideoError: input that cannot be used, or no renderer.
        BackendError: an engine that cannot run here.
    """
    import numpy as np

    from make_agent_ros.checking.check import make_engine
    from make_agent_ros.checking.episode import run_episode
    from make_agent_ros.checking.mujoco_backend import scene_model
    from make_agent_ros.checking.trials import draw_trials
    from make_agent_ros.checking.video import render_video

    settings = load_config(config)
    name, seed = parse_replay(trial, settings)
    bundle = load(policy)
    trials = draw_trials(settings[name], [seed], settings.terrains)
    log = run_episode(make_engine(backend, trials, bundle.control_dt), bundle, trials)
    poses = np.concatenate((log.position_w[0], log.quat_wxyz[0], log.joint_pos[0]), axis=1)
    last = log.steps_alive[0] + round(AFTER_FALL_S / log.control_dt_s)
    out.parent.mkdir(parents=True, exist_ok=True)
    render_video(
        poses[:last], out, rate_hz=1.0 / log.control_dt_s, model=scene_model(trials.terrains[0])
    )
    walked = (log.steps_alive[0] - log.start_step) * log.control_dt_s
    end = f'fell after {walked:.1f} s' if log.fell[0] else 'stayed up'
    return f'{name}:{seed} in {backend} {end}; {out}'

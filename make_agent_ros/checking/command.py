"""What `make-agent check` does: files in, table, report and verdict out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from make_agent_ros.checking.check import CheckReport, run_check, with_check
from make_agent_ros.checking.report import save_report
from make_agent_ros.checking.scenario import CheckConfig, ScenarioError, load_config
from make_agent_ros.policy.bundle import load, save
from make_agent_ros.recording.trajectory import Trajectory

EXIT_PASSED, EXIT_FAILED = 0, 1


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


def check_policy(
    policy: Path,
    prompt: Path | None = None,
    backends: Sequence[str] = ('mujoco',),
    out: Path | None = None,
    isaacgym_python: str = '',
    *,
    quick: bool = False,
    scenarios: Sequence[str] | None = None,
    config: Path | None = None,
    video: bool = True,
) -> int:
    """Check a bundle, write the report, put the verdict into the bundle.

    Args:
        policy: ONNX bundle; it is rewritten with the verdict inside.
        prompt: bag or NPZ that the style came from.
        backends: of `checking.check.BACKENDS`.
        out: folder of the report; `<policy>.check` beside the policy when omitted.
        isaacgym_python: interpreter in which Isaac Gym is installed.
        quick: fewer scenarios and trials, no independent model.
        scenarios: names; all when omitted.
        config: scenario file; `config/check.yaml` when omitted.
        video: whether to render one.

    Returns:
        Exit status: 0 for PASS and WARN, 1 for FAIL.

    Raises:
        BundleError, RecordingError, ScenarioError, ValueError: input that cannot be used.
    """
    from rich.console import Console

    console = Console(stderr=True)
    bundle = load(policy)
    with console.status('reading the prompt' if prompt else 'starting') as status:
        shown = read_prompt(prompt) if prompt is not None else None
        report = run_check(
            bundle, shown, [name.strip() for name in backends if name.strip()], scenarios, quick,
            config=load_config(config) if config else None,
            isaacgym_python=isaacgym_python,
            progress=lambda text: status.update(f'checking: {text}'),
        )  # fmt: skip
        status.update('writing the report')
        folder = out or policy.with_name(policy.stem + '.check')
        page = save_report(report, folder, prompt=shown, with_video=video)
    save(with_check(bundle, report), policy)
    print_table(report)
    console.print(f'report: {page}')
    return EXIT_FAILED if report.verdict == 'FAIL' else EXIT_PASSED


def print_table(report: CheckReport) -> None:
    """Print one line per scenario, one column per backend, and the verdict."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    styles = {'PASS': 'green', 'WARN': 'yellow', 'FAIL': 'bold red'}
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
            row.append(Text(verdict, style=styles.get(verdict, 'dim')))
            if result and verdict != 'PASS':
                why.append(f'{name}: {result["reason"]}')
        table.add_row(scenario['name'], *row, '; '.join(why))
    console.print(table)
    for name, one in backends.items():
        if 'error' in one:
            console.print(f'{name} did not run: {one["error"]}', style='yellow', markup=False)
    console.print(Text(report.verdict, style=styles[report.verdict]), end='  ')
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
    model: str = 'mujoco',
    config: Path | None = None,
) -> str:
    """Play one trial of a report again and render it.

    Args:
        policy: ONNX bundle.
        trial: `SCENARIO:SEED` as the report prints it.
        out: MP4 to write.
        model: `mujoco` or `menagerie`.
        config: scenario file; `config/check.yaml` when omitted.

    Returns:
        One sentence: what happened.

    Raises:
        BundleError, ScenarioError, VideoError: input that cannot be used, or no renderer.
    """
    import numpy as np

    from make_agent_ros.checking.episode import run_episode
    from make_agent_ros.checking.mujoco_backend import MujocoEngine, terrain_spec
    from make_agent_ros.checking.scenario import draw_trials
    from make_agent_ros.checking.video import render_video

    settings = load_config(config)
    name, seed = parse_replay(trial, settings)
    bundle = load(policy)
    trials = draw_trials(settings[name], [seed], settings.terrains)
    log = run_episode(MujocoEngine(trials, bundle.control_dt, model=model), bundle, trials)
    poses = np.concatenate((log.position_w[0], log.quat_wxyz[0], log.joint_pos[0]), axis=1)
    ground = terrain_spec('mujoco', trials.terrains[0]).compile()
    render_video(poses, out, rate_hz=1.0 / log.control_dt_s, model=ground)
    end = (
        f'fell after {log.steps_alive[0] * log.control_dt_s:.1f} s' if log.fell[0] else 'stayed up'
    )
    return f'{name}:{seed} {end}; {out}'

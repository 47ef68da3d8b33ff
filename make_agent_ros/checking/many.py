"""Many policies through the check: from Python, or as files with a report each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from make_agent_ros.checking.check import CheckReport, run_check, with_check
from make_agent_ros.checking.scenario import CheckConfig, ScenarioError, load_config
from make_agent_ros.checking.sweep import sweep
from make_agent_ros.policy.bundle import Bundle, BundleError, load, save
from make_agent_ros.recording.trajectory import Trajectory

REFUSED = 'REFUSED'
"""In place of a verdict: the file is no policy."""


@dataclass(frozen=True)
class Options:
    """What holds for every policy of a sweep; see `run_check`."""

    backends: tuple[str, ...] = ('mujoco',)
    scenarios: tuple[str, ...] | None = None
    quick: bool = False
    config: CheckConfig | None = None
    isaacgym_python: str = ''
    prompt: Trajectory | None = None
    out: Path | None = None
    """Folder that gets one folder per policy; beside each policy when omitted."""
    video: bool = False
    replay_options: str = ''
    """What the command on the page that plays a trial again needs beside the trial."""


@dataclass(frozen=True)
class Outcome:
    """What became of one file."""

    path: Path
    verdict: str
    """PASS, WARN, FAIL or REFUSED."""
    reason: str
    page: Path | None = None
    """The report."""


def check_many(
    bundles: Sequence[Bundle],
    options: Options | None = None,
    *,
    jobs: int | None = -1,
    progress: Callable[[int, Bundle], None] = lambda done, bundle: None,
) -> list[CheckReport]:
    """Check policies, one per job, on all cores or wherever `joblib.parallel_config` says.

    Args:
        bundles: P policies. They travel to the workers and reports travel back: the machines of
            a cluster need the package, but share no files.
        options: for all of them; the default check when omitted.
        jobs: as in `sweep`.
        progress: called with the number of policies done and the one that was just finished.

    Returns:
        P reports.
    """
    settings = _settled(options or Options())
    threads = 0 if jobs == 1 else 1
    return sweep(
        lambda bundle: _check(bundle, settings, threads), bundles, jobs=jobs, progress=progress
    )


def check_files(
    paths: Sequence[Path],
    options: Options | None = None,
    *,
    jobs: int | None = -1,
    progress: Callable[[int, Path], None] = lambda done, path: None,
) -> list[Outcome]:
    """Check policy files: each gets its report and carries its verdict afterwards.

    Args:
        paths: ONNX bundles; they are rewritten. A file that is no policy is refused in its
            outcome and stops nothing.
        options: for all of them; the default check when omitted.
        jobs: as in `sweep`; workers read and write the files, so machines must share them.
        progress: called with the number of files done and the one that was just finished.
    """
    settings = _settled(options or Options())
    threads = 0 if jobs == 1 else 1
    return sweep(
        lambda path: _check_file(path, settings, threads), paths, jobs=jobs, progress=progress
    )


def find_policies(paths: Sequence[Path], out: Path | None = None) -> list[Path]:
    """Return the policy files that `paths` name: files as they are, folders by their *.onnx.

    Raises:
        ScenarioError: nothing to check, or two files of one name whose reports would share `out`.
    """
    found: list[Path] = []
    for path in paths:
        found += sorted(path.glob('*.onnx')) if path.is_dir() else [path]
    if not found:
        raise ScenarioError(
            f'no policy in {", ".join(map(str, paths))}; expected .onnx files, or a folder of them'
        )
    folders = [report_folder(file, out) for file in found]
    twice = sorted({str(f) for f, folder in zip(found, folders, strict=True)
                    if folders.count(folder) > 1})  # fmt: skip
    if twice:
        raise ScenarioError(
            f'{", ".join(twice)}: their reports would share a folder; give each policy once, or '
            'without --out'
        )
    return found


def report_folder(policy: Path, out: Path | None) -> Path:
    """Return where the report of one of several policies goes."""
    return out / policy.stem if out else policy.with_name(policy.stem + '.check')


def _settled(options: Options) -> Options:
    """Read the configuration here: workers elsewhere may have another one."""
    return replace(options, config=options.config or load_config())


def _check(bundle: Bundle, options: Options, threads: int) -> CheckReport:
    return run_check(
        bundle, options.prompt, options.backends, options.scenarios, options.quick,
        config=options.config, isaacgym_python=options.isaacgym_python, threads=threads,
    )  # fmt: skip


def _check_file(path: Path, options: Options, threads: int) -> Outcome:
    try:
        bundle = load(path)
    except BundleError as error:
        return Outcome(path, REFUSED, str(error))
    report = _check(bundle, options, threads)
    page = write_outcome(path, bundle, report, options, report_folder(path, options.out))
    return Outcome(path, report.verdict, report.reason, page)


def write_outcome(
    path: Path, bundle: Bundle, report: CheckReport, options: Options, folder: Path | None
) -> Path:
    """Write the report, put the verdict into the policy's file, and return the page's path.

    Args:
        path: of the policy.
        bundle: what it holds.
        report: on it.
        options: of the check.
        folder: of the report; beside the policy when omitted.
    """
    from make_agent_ros.checking.report import save_report

    page = save_report(
        report, folder or report_folder(path, None), prompt=options.prompt,
        with_video=options.video, replay=f'make-agent check {path}{options.replay_options}',
        name=path.name,
    )  # fmt: skip
    save(with_check(bundle, report), path)
    return page

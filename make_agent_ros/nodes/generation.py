"""From a bag to the one policy that moves like it: the path that node and command line share."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from make_agent_ros import __version__
from make_agent_ros.fields import param
from make_agent_ros.policy import Bundle

if TYPE_CHECKING:
    from make_agent_ros.recording import Trajectory

Progress = Callable[[str], None]
"""Takes one word for the stage that begins: read, cut, load, sample, rank."""


class GenerationError(ValueError):
    """No policy can be generated; the message says why and what helps."""


@dataclass(frozen=True)
class GeneratorConfig:
    """Parameters of the generator node: `config/generator.yaml`."""

    bag: str = param(
        'runs/bags',
        'Bag with the prompt, or a folder of bags, of which the newest is taken.',
        dynamic=True,
    )
    candidates: int = param(16, 'Policies that are sampled and ranked.', 1, 256, dynamic=True)
    refine: int = param(
        2,
        'Rounds, at most, that steer the candidates to the gait of the prompt, until the best is '
        'good enough; each is one more ranking.',
        0,
        10,
        dynamic=True,
    )
    prompt_s: float = param(
        4.0, 'Length of the prompt cut from the bag.', 1.0, 30.0, unit='s', dynamic=True
    )
    seed: int = param(
        0,
        'Seed of sampling and ranking; the same seed and bag give the same policy.',
        dynamic=True,
    )
    allow_novel: bool = param(
        False, 'Go on with a prompt unlike anything the generator was trained on.', dynamic=True
    )
    require_check: bool = param(
        False, 'Publish only what passes the sim-to-real check; up to a minute more.', dynamic=True
    )
    model: str = param('', 'Folder of the trained generator; empty: the one shipped.')
    out: str = param('runs/policies', 'Folder for the bundles written.')


@dataclass(frozen=True)
class Generated:
    """What came out."""

    bundle: Bundle
    prompt: Trajectory
    novelty: float
    """Distance of the prompt from the training set."""
    threshold: float
    """Distance from which a prompt counts as novel."""
    doubt: float
    """Score of the prompt's most doubtful check, refused above 1; see `recording.doubts`."""
    seconds: dict[str, float]
    """Duration of each stage, s."""
    summary: str


def newest_bag(path: str | Path) -> Path:
    """Return `path` if it is a bag, else the newest bag inside it.

    Raises:
        GenerationError: there is none.
    """
    path = Path(path).expanduser()
    if path.is_file() or (path / 'metadata.yaml').is_file() or list(path.glob('*.mcap')):
        return path
    files = [*path.glob('*/*.mcap'), *path.glob('*/*.db3')] if path.is_dir() else []
    if not files:
        raise GenerationError(
            f'no bag at {path}; record one first: recorder/start, or make-agent record'
        )
    return max(files, key=lambda file: file.stat().st_mtime).parent


def generate_best(
    config: GeneratorConfig,
    progress: Progress = lambda stage: None,
    more: Sequence[str | Path] = (),
) -> Generated:
    """Cut the prompt, sample candidates, rank them by rollouts, return the best.

    Args:
        config: parameters.
        progress: told each stage as it begins.
        more: further bags of the same style, which make the prompt more certain.

    Raises:
        RecordingError: the bag is unusable; the message says why.
        OddPromptError: it does not look like a Go2 walking, and that was not allowed.
        GenerationError: no bag there, or the check was asked for and failed.
        NovelPromptError: a prompt unlike the training behaviours that was not allowed.
    """
    from make_agent_ros.checking.refining import refine
    from make_agent_ros.generator import Generator
    from make_agent_ros.recording.bag import read_bag
    from make_agent_ros.recording.doubts import examine, require_plausible
    from make_agent_ros.recording.familiar import walks_beside
    from make_agent_ros.recording.importing import cut_prompts
    from make_agent_ros.resources import resource_path

    clock = _StageClock(progress)
    bag = newest_bag(config.bag)
    bags = [bag, *(newest_bag(path) for path in more)]
    clock.stage('read')
    recorded = [read_bag(path) for path in bags]
    clock.stage('cut')
    prompts = cut_prompts(recorded, config.prompt_s, any_style=config.allow_novel)
    prompt = prompts[0]
    clock.stage('load')
    model = Path(config.model).expanduser() if config.model else resource_path('models/generator')
    look = examine if config.allow_novel else require_plausible
    doubt = max(look(one, walks_beside(model)).score for one in prompts)
    generator = Generator.load(model)
    distance, threshold = generator.novelty(prompts)
    clock.stage('sample')
    proposal = generator.propose(
        prompts, n=config.candidates, seed=config.seed, allow_novel=config.allow_novel
    )
    clock.stage('rank')
    refined = refine(
        partial(generator.decode_proposal, proposal),
        partial(generator.steer, proposal),
        proposal.latent.cpu().numpy(),
        prompts,
        config.seed,
        config.refine,
    )
    bundles, ranking, best = refined.bundles, refined.ranking, refined.best
    provenance = {
        **best.provenance,
        'bag': ', '.join(path.name for path in bags),
        'candidates': len(bundles),
        'refined': refined.rounds,
        'version': __version__,
    }
    # The command at which it moves as fast as the prompt did.
    best = replace(best, provenance=provenance, default_command=ranking.command[ranking.best])
    if config.require_check:
        clock.stage('check')
        best = _checked(best, prompt)  # last: the verdict names the digest of all before it
    seconds = clock.end()
    times = 'once' if refined.rounds == 1 else f'{refined.rounds} times'
    refined_by = f', steered {times},' if refined.rounds else ''
    return Generated(
        bundle=best,
        prompt=prompt,
        novelty=distance,
        threshold=threshold,
        doubt=doubt,
        seconds=seconds,
        summary=(
            f'best of {len(bundles)}{refined_by} for a {prompt.duration_s:.1f} s prompt from '
            f'{", ".join(path.name for path in bags)}: '
            f'sampled in {seconds["sample"]:.2f} s, ranked in {seconds["rank"]:.1f} s'
        ),
    )


def _checked(bundle: Bundle, prompt: Trajectory) -> Bundle:
    """Return the bundle with the verdict of the sim-to-real check inside.

    Raises:
        GenerationError: the verdict is FAIL.
    """
    from make_agent_ros.checking.check import run_check, with_check

    report = run_check(bundle, prompt)
    if report.verdict == 'FAIL':
        raise GenerationError(
            f'the best candidate fails the sim-to-real check: {report.reason}; show another '
            'prompt, or look at it with require_check off and make-agent check'
        )
    return with_check(bundle, report)


class _StageClock:
    """Tells which stage begins and how long each took."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._name = ''
        self._since_s = 0.0
        self._seconds: dict[str, float] = {}

    def stage(self, name: str) -> None:
        self.end()
        self._name, self._since_s = name, time.monotonic()
        self._progress(name)

    def end(self) -> dict[str, float]:
        if self._name:
            self._seconds[self._name] = time.monotonic() - self._since_s
            self._name = ''
        return dict(self._seconds)

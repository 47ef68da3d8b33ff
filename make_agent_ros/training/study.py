"""`make-agent bench study`: everything there is to measure about the generator, in one page.

All methods on all splits, then one change at a time on held-out behaviours: how many behaviours
train, what training does without, the sampler, the length of the prompt. Every part is kept when
it is done, so a run that was stopped goes on, and parts can be measured in any order.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import tyro
from rich.console import Console

from make_agent_ros.generator.model import Generator
from make_agent_ros.policy.velocity import VELOCITY_FILE
from make_agent_ros.resources import resource_path
from make_agent_ros.training.baselines import NAMES
from make_agent_ros.training.bench import methods_of
from make_agent_ros.training.distil import ABLATIONS as ZOO_ABLATIONS
from make_agent_ros.training.distil import ZooConfig, build_zoo
from make_agent_ros.training.generator import train_generator
from make_agent_ros.training.held_out import SHOWINGS, SPLITS, Material, QualityConfig
from make_agent_ros.training.ladder import bench_quality
from make_agent_ros.training.losses import ABLATIONS, GeneratorConfig
from make_agent_ros.training.methods import (
    ALSO_CORRECTED,
    CORRECTED,
    DIRECT,
    NEAREST,
    REFINED,
    TEACHER,
)
from make_agent_ros.training.progress import with_progress
from make_agent_ros.training.split import Split
from make_agent_ros.training.teacher import CALIBRATION_FILE

MEASURED = 'generator_measured'
"""Folder of the generator that has seen no withheld behaviour, within a run."""
FULL_SIZE = 'official'
"""The one baseline that takes days without a GPU: measured only where it has been fitted."""
USUAL = 'usual'
"""The part that changes nothing, for the others to be held against."""
STEPS = (1, 2, 4, 16)
GUIDANCE = (1.5, 2.5)
PROMPT_S = (1.0, 2.0, 8.0)
"""Beside the usual ones, which the split `interpolation` has."""
Kind = Literal['split', 'scaling', 'ablation', 'sampler', 'prompt']


@dataclass(frozen=True)
class StudyConfig:
    """Measure the generator of a run in every way, and write it down as one page."""

    folder: Path = Path('runs/training')
    """Run with all zoos (`make-agent train zoo`) and `generator_measured`."""
    out: Path = Path('runs/study')
    """Receives one JSON per part, `results.json` and `results.html`."""
    split: Path | None = None
    """YAML of the behaviour split; the package's config/behaviours.yaml when omitted."""
    parts: tuple[str, ...] = ()
    """Parts to measure now, by name or kind; all when empty. The page has all that are done."""
    config: QualityConfig = field(default_factory=QualityConfig)
    """Sizes; `methods` are those on the splits, all when empty."""
    fewer_prompts: int = 50
    """Of the parts that change one thing at a time."""
    behaviours: tuple[int, ...] = (50, 200, 600, 2000)
    """Points of the scaling curve."""
    zoo: int = 600
    """Behaviours of the zoos that do without something, as many as a point of the curve has."""
    generator: GeneratorConfig = field(
        default_factory=lambda: GeneratorConfig(
            sides=('training',), codec_updates=2000, flow_updates=1000
        )
    )
    """Of the generators for curve and ablations: the usual one in a third of the updates."""
    distil: ZooConfig = field(default_factory=ZooConfig)
    """Of these zoos; `without` is the part's own."""


@dataclass(frozen=True)
class Part:
    """One thing that is measured."""

    name: str
    kind: Kind
    config: QualityConfig
    generator: str = MEASURED
    """Folder of the generator within the run."""
    train: GeneratorConfig | None = None
    """How that generator is made where there is none yet."""
    without: str = ''
    """Of `distil.ABLATIONS`: its zoo has a folder of its own, in which the generator lies."""


def parts_of(study: StudyConfig) -> list[Part]:
    """Return all parts, the splits first."""
    n = study.config.candidates
    ranked = (f'median_of_{n}', f'best_of_{n}')
    baselines = tuple(m for m in NAMES if m not in (*NEAREST, FULL_SIZE))
    if (study.folder / 'baselines' / f'{FULL_SIZE}.json').exists():
        baselines += (FULL_SIZE,)
    corrected = tuple(name + CORRECTED for name in ALSO_CORRECTED)
    everything = (TEACHER, *DIRECT, *ranked, REFINED, *corrected, *NEAREST, *baselines)
    ladder = study.config.methods or everything
    parts = [
        Part(name, 'split', replace(study.config, splits=(name,), methods=ladder))
        for name in SPLITS
    ]
    one = replace(
        study.config,
        splits=('interpolation',),
        methods=('regression', 'first_sample'),
        prompts=min(study.fewer_prompts, study.config.prompts),
    )
    for count in study.behaviours:
        train = replace(study.generator, behaviours=count)
        parts.append(Part(f'scale_{count}', 'scaling', one, f'scale_{count}', train))
    for name in ABLATIONS:
        train = replace(study.generator, without=(name,))
        parts.append(Part(f'without_{name}', 'ablation', one, f'without_{name}', train))
    for name in ZOO_ABLATIONS:
        folder = f'without_{name}'
        parts.append(
            Part(folder, 'ablation', one, f'{folder}/{MEASURED}', study.generator, without=name)
        )
    sampled = replace(one, methods=('first_sample',))
    return [
        *parts,
        Part(USUAL, 'sampler', one),
        Part('open_loop', 'sampler', replace(one, velocity_loop=False)),
        *(Part(f'steps_{n}', 'sampler', replace(sampled, steps=n)) for n in STEPS),
        *(Part(f'guidance_{g:g}', 'sampler', replace(sampled, guidance=g)) for g in GUIDANCE),
        *(Part(f'prompt_{t:g}', 'prompt', replace(one, prompt_s=t)) for t in PROMPT_S),
        *(Part(f'shown_{k}', 'prompt', replace(one, shown=k)) for k in SHOWINGS if k != USUAL),
    ]


def run_study(arguments: Sequence[str]) -> dict[str, float]:
    """Run `bench study` and return all figures that are known; see `measure_all`."""
    study = tyro.cli(StudyConfig, args=list(arguments), prog='make-agent bench study')
    return measure_all(study, Split.load(study.split), arguments)


def measure_all(study: StudyConfig, split: Split, arguments: Sequence[str]) -> dict[str, float]:
    """Measure what is asked for and not yet known, write the page, return all known figures.

    Figures of splits keep their names, `<what>.<split>.<method>`; those of other parts have the
    part's name before them.

    Args:
        study: what to measure.
        split: of the behaviours.
        arguments: of the command, for the page.

    Raises:
        ValueError: `parts` names one that does not exist.
    """
    parts = parts_of(study)
    known = {part.name for part in parts} | {part.kind for part in parts}
    if unknown := [name for name in study.parts if name not in known]:
        raise ValueError(f'no part {unknown}; choose from {", ".join(sorted(known))}')
    study.out.mkdir(parents=True, exist_ok=True)
    console = Console(stderr=True)
    for part in parts:
        if study.parts and not {part.name, part.kind} & set(study.parts):
            continue
        seconds = measure_part(study, part, split)
        console.print(f'{part.name}: ' + (f'{seconds:.0f} s' if seconds else 'known already'))
    results = {part.name: found for part in parts if (found := read_part(study, part))}
    flat: dict[str, float] = {}
    for part in parts:
        if part.name in results:
            prefix = '' if part.kind == 'split' else f'{part.name}.'
            flat |= {prefix + k: v for k, v in results[part.name]['figures'].items()}
    (study.out / 'results.json').write_text(json.dumps(flat, indent=1) + '\n', encoding='utf-8')
    from make_agent_ros.training.study_page import study_page

    page = study_page([part for part in parts if part.name in results], results, arguments)
    (study.out / 'results.html').write_text(page, encoding='utf-8')
    console.print(f'{study.out / "results.html"}: {len(results)} of {len(parts)} parts')
    return flat


def read_part(study: StudyConfig, part: Part) -> dict[str, Any] | None:
    """Return what was measured: `figures`, `config`, `generator`, `seconds`; None if nothing."""
    path = study.out / f'{part.name}.json'
    return json.loads(path.read_text(encoding='utf-8')) if path.exists() else None


def measure_part(study: StudyConfig, part: Part, split: Split) -> float:
    """Measure the methods of a part that are not known; return the seconds, 0 if all are.

    Methods are added to what is known where all else is the same; how far the best leads them is
    told only for those that were measured together.
    """
    generator = _generator(study, part, split)
    made_with = {
        'config': json.loads(json.dumps(asdict(replace(part.config, methods=())))),
        'generator': str(generator.info.get('digest', 'unknown')),
        'policies': _digest(study.folder / 'zoo_held_out.safetensors'),
        'velocity': _digest(resource_path(f'models/{VELOCITY_FILE}')),
    }
    before = read_part(study, part)
    if before and any(before.get(name) != value for name, value in made_with.items()):
        before = None
    known = methods_of(before['figures'], part.config.splits[0]) if before else []
    missing = tuple(name for name in part.config.methods if name not in known)
    if before and not missing:
        return 0.0
    material = Material.of_run(study.folder, split)
    config = replace(part.config, methods=missing)
    started = time.monotonic()
    figures = with_progress(
        part.name, lambda report: bench_quality(material, generator, config, report)
    )
    seconds = time.monotonic() - started
    if before:
        figures = before['figures'] | _of_methods(figures, missing)
    spent = seconds + (before['seconds'] if before else 0.0)
    found = {**made_with, 'info': generator.info, 'seconds': round(spent, 1), 'figures': figures}
    path = study.out / f'{part.name}.json'
    path.with_suffix('.part').write_text(json.dumps(found, indent=1) + '\n', encoding='utf-8')
    path.with_suffix('.part').replace(path)
    return seconds


def _of_methods(figures: dict[str, float], methods: Sequence[str]) -> dict[str, float]:
    """Return the figures of some methods."""
    ends = tuple(f'.{name}{end}' for name in methods for end in ('', '.low', '.high'))
    return {key: value for key, value in figures.items() if key.endswith(ends)}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.exists() else 'none'


def _generator(study: StudyConfig, part: Part, split: Split) -> Generator:
    """Load the part's generator; make it first where the study has to."""
    train, path = part.train, study.folder / part.generator
    if train is None:
        return Generator.load(path)
    if (path / 'generator.json').exists():
        generator = Generator.load(path)
        if generator.info['config'] == json.loads(json.dumps(asdict(train))):
            return generator
    if part.without:
        path.parent.mkdir(parents=True, exist_ok=True)
        for file in ('teacher.json', 'teacher.safetensors', CALIBRATION_FILE):
            shutil.copyfile(study.folder / file, path.parent / file)
        zoo = replace(study.distil, without=(part.without,))
        small = replace(split, training=study.zoo, held_out=8, corner=8, gait_out=8, withheld=8)
        with_progress(
            f'zoo {part.name}', lambda report: build_zoo(path.parent, zoo, small, report)
        )
    return with_progress(
        part.name, lambda report: train_generator(path.parent, train, report, path.name)
    )

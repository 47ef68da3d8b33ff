"""`make-agent train STAGE`: its options are the dataclasses of the stages."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from safetensors.numpy import load_file, save_file

from make_agent_ros.policy.bundle import Bundle, save
from make_agent_ros.policy.velocity import VELOCITY_FILE, VELOCITY_GAIN
from make_agent_ros.recording.familiar import WALKS_FILE
from make_agent_ros.training.add import run_add
from make_agent_ros.training.behaviour import GAITS, gait_distances
from make_agent_ros.training.distil import ZooConfig, build_zoo
from make_agent_ros.training.familiar import FamiliarConfig, train_familiar
from make_agent_ros.training.fine_tuning import AddConfig
from make_agent_ros.training.generator import GeneratorConfig, train_generator
from make_agent_ros.training.progress import with_progress
from make_agent_ros.training.split import Split
from make_agent_ros.training.teacher import CALIBRATION_FILE, TeacherConfig, train_teacher
from make_agent_ros.training.velocity import VelocityConfig, train_velocity
from make_agent_ros.training.zoo import Zoo, join

STAGES = (
    'teacher', 'zoo', 'velocity', 'familiar', 'generator', 'measured', 'all', 'other', 'ship',
    'add',
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """Where a training run lives."""

    folder: Path = Path('runs/training')
    """Folder of the run: checkpoints, logs of curves, results. A stopped run goes on from here."""
    split: Path | None = None
    """YAML of the behaviour split; the package's config/behaviours.yaml when omitted."""


@dataclass(frozen=True)
class TeacherStage(Run):
    """Train the teacher (PPO)."""

    teacher: TeacherConfig = field(default_factory=TeacherConfig)


@dataclass(frozen=True)
class ZooStage(Run):
    """Distil the policy zoo from the teacher of the run."""

    zoo: ZooConfig = field(default_factory=ZooConfig)


@dataclass(frozen=True)
class VelocityStage(Run):
    """Fit what tells a robot's velocity to the walks of the run's zoo."""

    velocity: VelocityConfig = field(default_factory=VelocityConfig)


@dataclass(frozen=True)
class FamiliarStage(Run):
    """Fit what tells a strange prompt to the walks of the run's zoo."""

    familiar: FamiliarConfig = field(default_factory=FamiliarConfig)


@dataclass(frozen=True)
class GeneratorStage(Run):
    """Fit the generator to the zoo of the run."""

    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    name: str = ''
    """Of the generator within the run: a folder; `generator` or `generator_measured` if empty."""


@dataclass(frozen=True)
class MeasuredStage(GeneratorStage):
    """Fit the generator that the benchmark measures: it sees no withheld behaviour."""


@dataclass(frozen=True)
class AllStages(Run):
    """Teacher, zoo, velocity, familiar and generator, one after the other."""

    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    zoo: ZooConfig = field(default_factory=ZooConfig)
    velocity: VelocityConfig = field(default_factory=VelocityConfig)
    familiar: FamiliarConfig = field(default_factory=FamiliarConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)


@dataclass(frozen=True)
class OtherStage:
    """Train a teacher of another seed: it shows prompts of the benchmark's split `foreign`."""

    folder: Path = Path('runs/other_teacher')
    """Of its run."""
    teacher: TeacherConfig = field(default_factory=lambda: TeacherConfig(500, seed=2))
    models: Path = Path('models')
    """Receives `other_teacher/`."""


@dataclass(frozen=True)
class ShipStage(Run):
    """Put the generator and example policies of the run where the package ships them."""

    models: Path = Path('models')
    """Receives `generator/`, `teacher/`, `demonstration.onnx` and one policy per named gait."""


@dataclass(frozen=True)
class AddStage:
    """Teach a generator the behaviours of given policies, whoever trained them."""

    policies: tyro.conf.Positional[tuple[Path, ...]]
    """Policies (.onnx), each of a behaviour of its own."""
    folder: Path = Path('runs/added')
    """Run whose generator learns; where it has none, the shipped one learns and is put there."""
    config: AddConfig = field(default_factory=AddConfig)


_TYPES: dict[str, type[Run | AddStage | OtherStage]] = {
    'teacher': TeacherStage,
    'zoo': ZooStage,
    'velocity': VelocityStage,
    'familiar': FamiliarStage,
    'generator': GeneratorStage,
    'measured': MeasuredStage,
    'all': AllStages,
    'other': OtherStage,
    'ship': ShipStage,
    'add': AddStage,
}


class StageError(ValueError):
    """An unknown stage."""


def main(stage: str, arguments: Sequence[str]) -> int:
    """Run one stage; return the exit code.

    Args:
        stage: one of `STAGES`.
        arguments: options of the stage, e.g. `--teacher.iterations 1500`; `--help` lists them.

    Raises:
        StageError: an unknown stage.
    """
    if stage not in _TYPES:
        raise StageError(f'unknown stage {stage!r}; choose one of {", ".join(STAGES)}')
    options = tyro.cli(
        Annotated[_TYPES[stage], tyro.conf.configure(tyro.conf.FlagConversionOff)],
        args=list(arguments),
        prog=f'make-agent train {stage}',
    )
    if isinstance(options, AddStage):
        return run_add(options.folder, options.policies, options.config)
    if isinstance(options, OtherStage):
        with_progress(
            'teacher', lambda report: train_teacher(options.folder, options.teacher, report)
        )
        ship_teacher(options.folder, options.models / 'other_teacher')
        return 0
    split = Split.load(options.split)
    if isinstance(options, TeacherStage | AllStages):
        with_progress(
            'teacher', lambda report: train_teacher(options.folder, options.teacher, report)
        )
    if isinstance(options, ZooStage | AllStages):
        with_progress('zoo', lambda report: build_zoo(options.folder, options.zoo, split, report))
    if isinstance(options, VelocityStage | AllStages):
        with_progress(
            'velocity', lambda report: train_velocity(options.folder, options.velocity, report)
        )
    if isinstance(options, FamiliarStage | AllStages):
        with_progress(
            'familiar', lambda report: train_familiar(options.folder, options.familiar, report)
        )
    if isinstance(options, GeneratorStage | AllStages):
        config, name = options.generator, 'generator'
        if isinstance(options, MeasuredStage):
            config, name = replace(config, sides=('training',)), 'generator_measured'
        if isinstance(options, GeneratorStage) and options.name:
            name = options.name
        with_progress(name, lambda report: train_generator(options.folder, config, report, name))
    if isinstance(options, ShipStage):
        ship(options.folder, options.models, split)
    return 0


def ship(folder: Path, models: Path, split: Split) -> None:
    """Copy what a run made into `models/`, with held-out policies as examples.

    Args:
        folder: of a finished run.
        models: receives generator, demonstration, examples and `training.json`.
        split: tells which held-out behaviour `make demo` shows.
    """
    for name in ('generator.safetensors', 'generator.json'):
        (models / 'generator').mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / 'generator' / name, models / 'generator' / name)
    for name in (WALKS_FILE, VELOCITY_FILE):
        shutil.copyfile(folder / name, models / name)
    ship_teacher(folder, models / 'teacher')
    for name in ('base.safetensors', CALIBRATION_FILE):
        shutil.copyfile(folder / name, models / 'teacher' / name)
    held_out = Zoo.load(folder / 'zoo_held_out.safetensors')
    save(_on_a_robot(held_out, split.demonstration), models / 'demonstration.onnx')
    examples = join([held_out, Zoo.load(folder / 'zoo_gait_out.safetensors')])
    distance = gait_distances(examples.behaviours.styles.offsets)
    distance[split.demonstration] = np.inf
    for index, name in enumerate(GAITS):
        example = int(distance[:, index].argmin())
        save(_on_a_robot(examples, example), models / f'{name}.onnx')
    info = {
        stage: json.loads((folder / f'{stage}.json').read_text())
        for stage in ('teacher', 'zoo', 'velocity', 'familiar')
    }
    info['generator'] = json.loads((folder / 'generator' / 'generator.json').read_text())['info']
    (models / 'training.json').write_text(json.dumps(info, indent=1) + '\n')


def _on_a_robot(zoo: Zoo, index: int) -> Bundle:
    """Return a policy of the zoo that keeps to the velocity that it is told."""
    return replace(zoo.bundles([index])[0], velocity_gain=VELOCITY_GAIN)


def ship_teacher(folder: Path, models: Path) -> None:
    """Copy the nets of a run's teacher, without the state of their optimiser, to `models`."""
    models.mkdir(parents=True, exist_ok=True)
    teacher = load_file(folder / 'teacher.safetensors')
    nets = {k: v for k, v in teacher.items() if not k.startswith('optimizer.')}
    save_file(nets, models / 'teacher.safetensors')
    shutil.copyfile(folder / 'teacher.json', models / 'teacher.json')

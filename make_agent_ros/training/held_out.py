"""What the benchmark of quality asks for: held-out behaviours and prompts that show them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from make_agent_ros.generator.embedding import RATE_HZ
from make_agent_ros.policy.bundle import Bundle
from make_agent_ros.recording.gait import Gait
from make_agent_ros.recording.resample import resample
from make_agent_ros.recording.trajectory import Trajectory
from make_agent_ros.resources import resource_path
from make_agent_ros.simulation.batch import SensorNoise
from make_agent_ros.simulation.model import WorldRanges, randomised_worlds
from make_agent_ros.simulation.rollout import RolloutLog, rollout
from make_agent_ros.training.behaviour import BehaviourSet
from make_agent_ros.training.oracle import teacher_rollout
from make_agent_ros.training.prompts import SETTLE_S, prompt_from_log, walked_gait
from make_agent_ros.training.split import Side, Split
from make_agent_ros.training.teacher import Teacher
from make_agent_ros.training.zoo import Zoo

SIDE_OF: dict[str, Side] = {
    'interpolation': 'held_out',
    'corner': 'corner',
    'gait_out': 'gait_out',
}
"""Splits whose prompts policies of the run show, and the sides of the behaviour split there."""
SPLITS = (*SIDE_OF, 'foreign')
"""All splits of the benchmark; see `training.foreign` for the last."""
DEMONSTRATIONS = 4
"""Worlds that a demonstrator may show its behaviour in: the first that it stays up in counts."""


@dataclass(frozen=True)
class Showing:
    """Circumstances in which a policy shows its behaviour."""

    worlds: WorldRanges = field(default_factory=WorldRanges)
    push_m_s: float = 0.0
    noise: SensorNoise = field(default_factory=SensorNoise)
    rate_hz: float = RATE_HZ
    """Of the recording; one at another rate is resampled."""
    recordings: int = 1
    """Prompts of one style, each from another world, that are given together."""


SHOWINGS: dict[str, Showing] = {
    'usual': Showing(),
    'noisy': Showing(noise=SensorNoise(0.45, 0.09, 0.03, 3.0)),
    'loaded': Showing(WorldRanges(payload_kg=(3.0, 4.0))),
    'slippery': Showing(WorldRanges(friction=(0.4, 0.45))),
    'pushed': Showing(push_m_s=0.4),
    'resampled': Showing(rate_hz=33.3),
    'several': Showing(recordings=3),
}
"""Noise of gyro and joints three times the usual; a load beyond training; the slipperiest floor of
training; kicks every 4 s; recorded at two thirds of the rate; up to three recordings of one style
at once."""
Prompt = Trajectory | list[Trajectory]
"""One recording, or several of one style."""


@dataclass(frozen=True)
class QualityConfig:
    """Sizes of the benchmark."""

    splits: tuple[str, ...] = SPLITS
    methods: tuple[str, ...] = ()
    """Only these; when empty the whole ladder. To be named: `refined`, which takes as long again,
    and those of `training.baselines`, which are fitted to the training side first."""
    prompts: int = 100
    """Per split."""
    worlds: int = 10
    seconds: float = 20.0
    candidates: int = 16
    refine: int = 2
    """Rounds of steering of the method `refined`, at most."""
    prompt_s: float = 4.0
    shown: str = 'usual'
    """In which of `SHOWINGS` policies of a run show their behaviours."""
    steps: int = 8
    """Of the flow's integrator."""
    guidance: float = 1.0
    temperature: float = 1.0
    push_m_s: float = 0.4
    """Largest kick per axis while measuring, m/s."""
    velocity_loop: bool = True
    """Whether commands are corrected by the estimated velocity, as on a robot; for all methods."""
    seed: int = 1234


@dataclass(frozen=True)
class HeldOut:
    """n behaviours that nothing was trained on, and a prompt of each."""

    behaviours: BehaviourSet
    """Their true styles, and the velocities they are shown at."""
    commands: np.ndarray
    """What whoever walks them was told, or how fast it truly walked where it was told otherwise:
    vx, vy m/s, wz rad/s, (n, 3)."""
    prompts: list[Prompt]
    """At 50 Hz, of equal length, with noise of the sensors."""
    gait: Gait
    """What was walked in the prompts, by joints, attitude and true contacts, (n,)."""
    tried: int
    """Behaviours that were walked to get n prompts: those whose robot fell are no prompts."""
    bundles: tuple[Bundle, ...] = ()
    """The policies that show them, n or none: a script and the teacher are no such policies."""
    weights: np.ndarray | None = None
    """Of these policies, (n, 8012)."""
    groups: tuple[str, ...] = ()
    """Who shows each prompt, n or none, where figures of each are worth telling."""


@dataclass(frozen=True)
class Material:
    """What the benchmark is run from: a training run, or what the package ships."""

    split: Split
    folder: Path
    """With the teacher, and with the zoos where there are any."""
    training: Zoo | None = None
    """Policies that the generator was trained on; None where they are not shipped."""

    @classmethod
    def of_run(cls, folder: Path, split: Split) -> Material:
        """Take a training run.

        Raises:
            FileNotFoundError: it has no zoo; the message names the command that makes one.
        """
        return cls(split, folder, Zoo.load(folder / 'zoo_training.safetensors'))

    @classmethod
    def shipped(cls, split: Split) -> Material:
        """Take what the package ships: the teacher walks the held-out styles itself."""
        return cls(split, resource_path('models/teacher'))

    def held_out(
        self, name: str, config: QualityConfig, progress: Callable[[float], None]
    ) -> HeldOut:
        """Record the prompts of a split.

        Args:
            name: one of `SPLITS`.
            config: sizes.
            progress: called with the share done.
        """
        if name == 'foreign':
            from make_agent_ros.training.foreign import foreign_held_out

            return foreign_held_out(config, self.split, progress)
        if self.training is None:
            behaviours = self.split.behaviours(SIDE_OF[name])
            return shown_by_teacher(Teacher.load(self.folder), behaviours, config)
        return shown_by_policies(self.folder / f'zoo_{SIDE_OF[name]}.safetensors', config)


def shown_by_policies(path: Path, config: QualityConfig) -> HeldOut:
    """Let the first policies of a zoo that stay up show their behaviours.

    Args:
        path: of a zoo that nothing was trained on.
        config: sizes.

    Raises:
        FileNotFoundError: there is no zoo; the message names the command that makes one.
    """
    zoo = Zoo.load(path)
    ids = np.arange(min(_enough(config.prompts), len(zoo)))
    showing = showing_of(config)
    log = rollout(
        zoo.bundles(ids),
        randomised_worlds(DEMONSTRATIONS, config.seed + 1, showing.worlds),
        zoo.behaviours.default_command[ids],
        _shown_s(config),
        push_m_s=showing.push_m_s,
        seed=config.seed + 1,
    )
    shown = _upright(log, config.prompts, path.name)
    return _cut(log, shown, zoo.behaviours[shown], config, zoo.bundles(shown), zoo.weights[shown])


def showing_of(config: QualityConfig) -> Showing:
    """Return the circumstances that the configuration names.

    Raises:
        ValueError: none is called so.
    """
    if config.shown not in SHOWINGS:
        raise ValueError(f'no prompts {config.shown!r}; choose from {", ".join(SHOWINGS)}')
    return SHOWINGS[config.shown]


def shown_by_teacher(teacher: Teacher, behaviours: BehaviourSet, config: QualityConfig) -> HeldOut:
    """Let the teacher, told the styles, show the first behaviours in which it stays up."""
    asked = behaviours[slice(_enough(config.prompts))]
    log = teacher_rollout(teacher, asked, DEMONSTRATIONS, _shown_s(config), config.seed + 1)
    shown = _upright(log, config.prompts, 'the teacher')
    return _cut(log, shown, asked[shown], config)


def _enough(prompts: int) -> int:
    """Behaviours to try for so many prompts."""
    return prompts + prompts // 5


def _shown_s(config: QualityConfig) -> float:
    # Half a second more: a robot that falls right after the prompt was falling in it.
    return SETTLE_S + config.prompt_s + 0.5


def _upright(log: RolloutLog, count: int, who: str) -> np.ndarray:
    """Return the first `count` rows whose robot stays up in some world.

    Raises:
        ValueError: none does.
    """
    shown = np.flatnonzero(~log.fell.all(axis=1))[:count]
    if not len(shown):
        raise ValueError(
            f'{who}: every robot falls within {log.joint_pos.shape[2] * log.control_dt_s:g} s, so '
            'there is no prompt; train the teacher longer, then the zoo again'
        )
    return shown


def _cut(
    log: RolloutLog,
    shown: np.ndarray,
    behaviours: BehaviourSet,
    config: QualityConfig,
    bundles: Sequence[Bundle] = (),
    weights: np.ndarray | None = None,
) -> HeldOut:
    """Cut a prompt out of each row's first world without a fall."""
    world = log.fell.argmin(axis=1)
    showing = showing_of(config)

    def recording(i: int, w: int) -> Trajectory:
        cut = prompt_from_log(
            log, i, w, SETTLE_S, config.prompt_s, noise=showing.noise, seed=config.seed
        )
        if showing.rate_hz == RATE_HZ:
            return cut
        return resample(resample(cut, showing.rate_hz), RATE_HZ)

    prompts: list[Prompt] = [recording(int(i), int(world[i])) for i in shown]
    if showing.recordings > 1:
        prompts = [
            [recording(int(i), int(w)) for w in np.flatnonzero(~log.fell[i])[: showing.recordings]]
            for i in shown
        ]
    tried = len(log.fell) if len(shown) < config.prompts else int(shown[-1]) + 1
    gait = walked_gait(log, SETTLE_S, config.prompt_s)[shown, world[shown]]
    return HeldOut(
        behaviours, behaviours.default_command, prompts, gait, tried, tuple(bundles), weights
    )

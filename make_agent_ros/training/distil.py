"""From the teacher to the zoo: one small MLP per behaviour, distilled by DAgger.

Many students learn at once with stacked weights. All start from one pretrained net and are pulled
back to it, which puts their weights into one aligned space: the mean of two neighbours' weights
walks (97 % against 1 %). A generator that learns weights by their squared error needs that; ours,
which learns them by their actions, is as good without (`make-agent bench study`).
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from make_agent_ros.checking.sweep import sweep
from make_agent_ros.go2.constants import ACTION_SCALE
from make_agent_ros.go2.observation import POLICY_TERMS, TERM_SIZES
from make_agent_ros.training.behaviour import (
    Allowed,
    BehaviourSet,
    moving,
    sample_commands,
    sample_styles,
)
from make_agent_ros.training.calibration import calibrate
from make_agent_ros.training.env import EnvConfig, StyleEnv
from make_agent_ros.training.progress import Report
from make_agent_ros.training.split import SIDES, Side, Split
from make_agent_ros.training.stacked import StackedMlp, fit_stacked
from make_agent_ros.training.teacher import CALIBRATION_FILE, Teacher
from make_agent_ros.training.zoo import POLICY_SHAPE, Zoo, join

ABLATIONS = ('shared_start', 'clock')
"""What `ZooConfig.without` knows: every student starts from random weights of its own and is
pulled nowhere; students see no gait clock."""
_CLOCK = slice(
    sum(TERM_SIZES[t] for t in POLICY_TERMS[: POLICY_TERMS.index('gait_clock')]),
    sum(TERM_SIZES[t] for t in POLICY_TERMS[: POLICY_TERMS.index('gait_clock') + 1]),
)
"""Where observations hold the clock."""


@dataclass(frozen=True)
class ZooConfig:
    """What `make-agent train zoo` takes."""

    seed: int = 3
    chunk: int = 128
    """Students trained at once; more is slower per student."""
    envs_per_student: int = 8
    rounds: int = 4
    """One round driven by the teacher, the others by the students."""
    steps_per_round: int = 200
    updates_per_round: int = 150
    final_updates: int = 2000
    batch: int = 256
    learning_rate: float = 2e-3
    pull: float = 1e-4
    """Weight of the squared distance to the pretrained net."""
    bank: int = 384
    """Visited states kept per student, with the teacher's actions, for the action loss."""
    jobs: int = 1
    """Chunks at a time, in processes of their own through joblib; -1 for one per core. On other
    machines, too, with another backend: see `checking.sweep`."""
    calibration_rounds: int = 60
    """Walks of 4 s of 512 robots that tell the teacher's velocity bias; see `calibration`."""
    push_period_s: float = 2.0
    """Mean time between kicks."""
    default_share: float = 0.35
    """Share of commands that are the behaviour's own velocity."""
    without: tuple[str, ...] = ()
    """Do without some of `ABLATIONS`, to measure what they are worth."""

    def __post_init__(self) -> None:
        """Refuse ablations that nobody knows.

        Raises:
            ValueError: naming them and the known ones.
        """
        if unknown := [name for name in self.without if name not in ABLATIONS]:
            raise ValueError(f'cannot do without {unknown}; choose from {", ".join(ABLATIONS)}')


Chunk = tuple[Side, int, BehaviourSet]
"""Side, index of its first behaviour there, and behaviours that are trained at once."""


def pretrain(teacher: Teacher, config: ZooConfig, allowed: Allowed | None = None) -> np.ndarray:
    """Clone the teacher over all styles into one net that knows none of them, (8012,).

    Styles are drawn afresh from the allowed space: held-out behaviours are not among them.
    """
    rng = np.random.default_rng([config.seed, 11])
    env = StyleEnv(
        EnvConfig(seed=config.seed, assist=0.0, nominal_start=0.25),
        lambda ids: sample_styles(rng, len(ids), allowed=allowed),
        lambda ids: sample_commands(rng, len(ids)),
        teacher.tell,
    )
    obs, action = [], []
    for _ in range(250):
        label = env.reference + teacher.residual(env.teacher_obs())
        obs.append(_seen(env.obs, config))
        action.append(label.astype(np.float32))
        env.step(label + 0.3 * rng.standard_normal(label.shape))
    generator = torch.Generator().manual_seed(config.seed)
    model = StackedMlp(POLICY_SHAPE, _random_weights(1, config, generator))
    wide = ZooConfig(batch=2048, learning_rate=3e-3)
    fit_stacked(
        model,
        None,
        torch.from_numpy(np.concatenate(obs))[None],
        torch.from_numpy(np.concatenate(action))[None],
        1500,
        wide,
        generator,
    )
    return model.flat.detach().numpy()[0]


def distil(
    teacher: Teacher, behaviours: BehaviourSet, base: np.ndarray, config: ZooConfig, seed: int
) -> Zoo:
    """Train one student per behaviour, together.

    Args:
        teacher: labels every state that is visited.
        behaviours: n of them.
        base: initial weights of every student, (8012,).
        config: sizes.
        seed: of worlds, commands and batches.
    """
    n, per = len(behaviours), config.envs_per_student
    rng = np.random.default_rng([seed, 12])
    styles = behaviours.styles.repeat(per)
    default = np.repeat(behaviours.default_command, per, axis=0)

    def commands(ids: np.ndarray) -> np.ndarray:
        own = (rng.random(len(ids)) < config.default_share)[:, None]
        return np.where(own, default[ids], sample_commands(rng, len(ids)))

    env = StyleEnv(
        EnvConfig(
            envs=n * per,
            worlds=64,
            seed=seed,
            assist=0.0,
            nominal_start=0.25,
            push_period_s=config.push_period_s,
        ),
        lambda ids: styles[ids],
        commands,
        teacher.tell,
    )
    generator = torch.Generator().manual_seed(seed)
    anchor: torch.Tensor | None = torch.from_numpy(base)
    first = torch.from_numpy(base).repeat(n, 1)
    if 'shared_start' in config.without:
        anchor, first = None, _random_weights(n, config, generator)
    model = StackedMlp(POLICY_SHAPE, first)
    obs, action = [], []
    for round_index in range(config.rounds):
        for _ in range(config.steps_per_round):
            label = env.reference + teacher.residual(env.teacher_obs())
            obs.append(_seen(env.obs, config).reshape(n, per, -1))
            action.append(label.reshape(n, per, -1).astype(np.float32))
            if round_index == 0:
                # Noise on the teacher's actions shows how it recovers.
                applied = label + 0.3 * rng.standard_normal(label.shape)
            else:
                with torch.no_grad():
                    out = model(torch.from_numpy(obs[-1]))
                applied = out.numpy().reshape(n * per, -1).astype(np.float64)
            env.step(applied)
        last = round_index == config.rounds - 1
        fit_stacked(
            model,
            anchor,
            torch.from_numpy(np.concatenate(obs, axis=1)),
            torch.from_numpy(np.concatenate(action, axis=1)),
            config.final_updates if last else config.updates_per_round,
            config,
            generator,
        )
    all_obs, all_action = np.concatenate(obs, axis=1), np.concatenate(action, axis=1)
    keep = _choose_bank(all_obs, config.bank, rng)
    return Zoo(
        model.flat.detach().numpy(),
        base,
        np.take_along_axis(all_obs, keep[..., None], axis=1).astype(np.float16),
        np.take_along_axis(all_action, keep[..., None], axis=1).astype(np.float16),
        behaviours,
    )


def _random_weights(n: int, config: ZooConfig, generator: torch.Generator) -> torch.Tensor:
    """Draw initial weights, (n, 8012)."""
    parts: list[torch.Tensor] = []
    for out, inp in POLICY_SHAPE.layer_shapes:
        weight = torch.randn(n, out, inp, generator=generator) / inp**0.5
        if 'clock' in config.without and not parts:
            weight[:, :, _CLOCK] = 0.0
        parts += [weight.flatten(1), torch.zeros(n, out)]
    return torch.cat(parts, dim=1)


def _seen(obs: np.ndarray, config: ZooConfig) -> np.ndarray:
    """Return a copy of observations (B, 47) as students see them."""
    obs = obs.copy()
    if 'clock' in config.without:
        obs[:, _CLOCK] = 0.0
    return obs


def _choose_bank(obs: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Choose rows of (n, rows, 47) without repetition, (n, size).

    States of standing are few and count double: where the gait must stop, small errors creep.
    """
    standing = moving(obs[..., 6:9]) == 0.0  # the command, at scale 1
    # The largest of log weight + Gumbel noise are a weighted draw without replacement.
    key = np.log(1.0 + standing) + rng.gumbel(size=obs.shape[:2])
    return np.argpartition(-key, size - 1, axis=1)[:, :size]


def build_zoo(
    folder: Path, config: ZooConfig, split: Split, progress: Report | None = None
) -> Zoo:
    """Train the zoo of all sides of the split; chunks already on disk are kept.

    Args:
        folder: of the run, with the teacher; receives `base.safetensors`, `zoo/*.safetensors`,
            `zoo_<side>.safetensors`, `zoo.json`.
        config: sizes and seed.
        split: which behaviours.
        progress: called with (chunks done, chunks, a line of figures).

    Returns:
        The training side.

    Raises:
        FileNotFoundError: no teacher in `folder`.
        ValueError: chunks on disk belong to another split, or the calibration to another teacher.
    """
    teacher = Teacher.load(folder)
    parts = folder / 'zoo'
    parts.mkdir(parents=True, exist_ok=True)
    log = folder / 'zoo.json'
    spent_s = json.loads(log.read_text())['seconds'] if log.exists() else 0.0
    started = time.monotonic()
    if not (folder / CALIBRATION_FILE).exists():
        rounds = config.calibration_rounds
        teacher.tell = calibrate(folder, teacher, split.outside, config.seed, rounds)
    base_path = folder / 'base.safetensors'
    if not base_path.exists():
        save_file({'base': pretrain(teacher, config, split.outside)}, base_path)
    base = load_file(base_path)['base']
    chunks = [
        (side, start, behaviours[start : start + config.chunk])
        for side, behaviours in ((side, split.behaviours(side)) for side in SIDES)
        for start in range(0, len(behaviours), config.chunk)
    ]

    def path_of(chunk: Chunk) -> Path:
        return parts / f'{chunk[0]}_{chunk[1]:05d}.safetensors'

    def train(chunk: Chunk) -> Zoo:
        side, start, behaviours = chunk
        seed = config.seed * 100_000 + start + 10_000 * SIDES.index(side)
        return distil(teacher, behaviours, base, config, seed)

    def say(done: int, chunk: Chunk) -> None:
        if progress:
            rate = (time.monotonic() - started) / done
            there = len(chunks) - len(missing) + done
            line = f'{chunk[0]} {chunk[1]}, {rate:.0f} s per {config.chunk}'
            progress(there, len(chunks), line)

    missing = [chunk for chunk in chunks if not path_of(chunk).exists()]
    sweep(
        train, missing, jobs=config.jobs, progress=say,
        keep=lambda chunk, zoo: zoo.save(path_of(chunk)),
    )  # fmt: skip
    zoos = {}
    for side in SIDES:
        zoos[side] = join([Zoo.load(path_of(c)) for c in chunks if c[0] == side])
        drawn, found = split.behaviours(side).styles, zoos[side].behaviours.styles
        if len(drawn) != len(found) or not np.allclose(drawn.vector(), found.vector(), atol=1e-4):
            raise ValueError(
                f'{parts} holds policies of another split ({side} differs); remove that folder, '
                'or name another run with --folder'
            )
        zoos[side].save(folder / f'zoo_{side}.safetensors')
    info = {
        'seconds': round(spent_s + time.monotonic() - started, 1),
        **{side: len(zoo) for side, zoo in zoos.items()},
        'config': asdict(config),
        'split': asdict(split),
        'action_scale': ACTION_SCALE,
    }
    log.write_text(json.dumps(info, indent=1))
    return zoos['training']

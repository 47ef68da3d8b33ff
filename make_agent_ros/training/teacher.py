"""The teacher: one policy, trained with PPO (rsl-rl), that walks every style on command.

It sees what a robot sees plus the style, the leg clocks and the scripted reference, and gives a
residual on that reference. It is the source of the zoo's data, and the oracle of the benchmark.
"""

from __future__ import annotations

import csv
import hashlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from rsl_rl.algorithms import PPO
from rsl_rl.models import MLPModel
from rsl_rl.storage import RolloutStorage

from make_agent_ros.training.checkpoint import load_checkpoint, save_checkpoint
from make_agent_ros.training.env import EnvConfig, Tell
from make_agent_ros.training.rsl_env import GROUPS, RslEnv
from make_agent_ros.training.symmetry import MirrorAugmentation, append_mirrored

CALIBRATION_FILE = 'calibration.safetensors'
"""In the folder of a run: see `training.calibration`."""
NOMINAL_START = 0.2
"""Share of episodes that start at rest in the nominal pose, as policies start on a robot."""


@dataclass(frozen=True)
class TeacherConfig:
    """What `make-agent train teacher` takes."""

    iterations: int = 1600
    """PPO iterations of 24 steps in every environment."""
    envs: int = 512
    seed: int = 1
    steps: int = 24
    checkpoint_every: int = 25
    """Iterations between checkpoints; a run that was stopped goes on from the last."""
    std: tuple[float, float] = (0.35, 0.22)
    """Largest standard deviation of exploration until the assist ends, and at the end. Left to
    itself it grows, and the teacher learns to survive its own noise in place of a clean gait; at
    0.1 the teacher no longer learns what to do beside its path, and students fall there."""
    demand: float = 0.8
    """What practised styles may ask of the trunk; the zoo's ask for 0.7 (`training.demand`)."""
    again: float = 0.3
    """Share of episodes, once there is no assist, that practise a style in which one fell."""
    assist_end: float = 0.35
    """Share of the run after which there is no assist left and pushes have full strength."""


class BoundedPPO(PPO):
    """PPO whose KL-adaptive learning rate stays within bounds.

    rsl-rl lets it sink to 1e-5, where a many-styled task stops learning.
    """

    LOW, HIGH = 1e-4, 1.5e-3

    @property
    def learning_rate(self) -> float:
        """Step size of the next minibatch."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._learning_rate = float(np.clip(value, self.LOW, self.HIGH))


class Teacher:
    """A trained teacher for inference: residual action from the teacher's observation."""

    tell: Tell | None = None
    """For `StyleEnv`: what to tell it so that it moves as commanded; None tells the commands."""

    def __init__(self, actor: MLPModel, tell: Tell | None = None) -> None:
        self.actor, self.tell = actor.eval(), tell

    @classmethod
    def load(cls, folder: Path) -> Teacher:
        """Load the newest checkpoint of a run, with its calibration if there is one.

        Raises:
            FileNotFoundError: no checkpoint in `folder`.
            ValueError: the calibration is of another teacher.
        """
        env = RslEnv(EnvConfig(envs=4, worlds=1))
        algorithm = make_algorithm(env, TeacherConfig())
        load_checkpoint(folder / 'teacher', modules_of(algorithm))
        teacher = cls(algorithm.actor)
        if (folder / CALIBRATION_FILE).exists():
            from make_agent_ros.training.calibration import load_calibration

            teacher.tell = load_calibration(folder / CALIBRATION_FILE, teacher.digest)
        return teacher

    @property
    def digest(self) -> str:
        """What identifies its weights, 16 hexadecimal digits."""
        sha = hashlib.sha256()
        for name, tensor in sorted(self.actor.state_dict().items()):
            sha.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
        return sha.hexdigest()[:16]

    @torch.inference_mode()
    def residual(self, obs: np.ndarray) -> np.ndarray:
        """Map observations (B, 86) to residual actions (B, 12)."""
        x = torch.from_numpy(obs)
        mean = self.actor.mlp(self.actor.obs_normalizer(x))
        return np.clip(mean.numpy().astype(np.float64), -4.0, 4.0)


def make_algorithm(env: RslEnv, config: TeacherConfig) -> BoundedPPO:
    """Build actor, critic and PPO for the environment."""
    obs = env.get_observations()
    groups = {'actor': ['actor'], 'critic': ['actor', 'privileged']}
    gaussian = {'class_name': 'GaussianDistribution', 'init_std': 0.35}
    actor = MLPModel(
        obs, groups, 'actor', env.num_actions, (256, 128), 'elu', True, dict(gaussian)
    )
    critic = MLPModel(obs, groups, 'critic', 1, (256, 128), 'elu', True)
    last = [m for m in actor.mlp.modules() if isinstance(m, torch.nn.Linear)][-1]
    with torch.no_grad():
        last.weight *= 0.01
        last.bias.zero_()
    storage = RolloutStorage('rl', env.num_envs, config.steps, obs, [env.num_actions], 'cpu')
    algorithm = BoundedPPO(
        actor,
        critic,
        storage,
        num_learning_epochs=4,
        num_mini_batches=4,
        clip_param=0.2,
        gamma=0.99,
        lam=0.95,
        value_loss_coef=1.0,
        entropy_coef=0.001,
        learning_rate=1e-3,
        max_grad_norm=1.0,
        schedule='adaptive',
        desired_kl=0.015,
    )
    algorithm.symmetry = MirrorAugmentation(env, append_mirrored, use_data_augmentation=True)
    return algorithm


def modules_of(algorithm: PPO) -> dict[str, torch.nn.Module]:
    """Return what a checkpoint holds."""
    return {'actor': algorithm.actor, 'critic': algorithm.critic}


def train_teacher(
    folder: Path, config: TeacherConfig, progress: Callable[[int, int, str], None] | None = None
) -> Teacher:
    """Train, or go on training, the teacher.

    Args:
        folder: of the run; receives `teacher.safetensors`, `teacher.json`, `teacher.csv`.
        config: sizes and seed.
        progress: called with (iteration, iterations, a line of figures).
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    env = RslEnv(
        EnvConfig(envs=config.envs, seed=config.seed, nominal_start=NOMINAL_START), config.demand
    )
    algorithm = make_algorithm(env, config)
    first, spent_s = 0, 0.0
    if (folder / 'teacher.json').exists():
        info = load_checkpoint(folder / 'teacher', modules_of(algorithm), algorithm.optimizer)
        first, spent_s = info['iteration'], info['seconds']
    algorithm.train_mode()
    obs = env.get_observations()
    started = time.monotonic()
    for iteration in range(first, config.iterations):
        share = iteration / config.iterations
        env.command_range = min(1.0, 0.6 + 2.0 * share)
        env.env.assist[:] = max(0.0, 1.0 - share / config.assist_end) ** 2
        env.env.push_share = min(1.0, share / config.assist_end)
        env.again = config.again * (share >= config.assist_end)
        late = max(0.0, share - config.assist_end) / (1.0 - config.assist_end)
        with torch.no_grad():
            limit = config.std[0] + late * (config.std[1] - config.std[0])
            algorithm.actor.distribution.std_param.clamp_(max=limit)
        rewards = 0.0
        with torch.inference_mode():
            for _ in range(config.steps):
                obs, reward, done, extras = env.step(algorithm.act(obs))
                algorithm.process_env_step(obs, reward, done, extras)
                rewards += float(reward.mean())
            algorithm.compute_returns(obs)
        algorithm.update()
        if (iteration + 1) % 5 == 0:
            seconds = spent_s + time.monotonic() - started
            line = _log(folder, iteration + 1, seconds, rewards / config.steps, env, algorithm)
            if progress:
                progress(iteration + 1, config.iterations, line)
        if (iteration + 1) % config.checkpoint_every == 0 or iteration + 1 == config.iterations:
            save_checkpoint(
                folder / 'teacher',
                modules_of(algorithm),
                algorithm.optimizer,
                {
                    'iteration': iteration + 1,
                    'seconds': spent_s + time.monotonic() - started,
                    'config': asdict(config),
                },
            )
    return Teacher(algorithm.actor)


def _log(
    folder: Path, iteration: int, seconds: float, reward: float, env: RslEnv, algorithm: PPO
) -> str:
    """Append a row to teacher.csv and return it as a line for people."""
    falls = env.falls_per_10s()
    error = np.abs(env.env.mean_velocity - env.env.command)
    row: dict[str, float] = {
        'iteration': iteration,
        'seconds': round(seconds, 1),
        'reward_per_s': round(reward / env.env.dt, 4),
        'learning_rate': algorithm.learning_rate,
        'action_std': round(float(algorithm.actor.output_std.detach().mean()), 4),
        'assist': round(float(env.env.assist[0]), 3),
    }
    names = [name or 'anywhere' for name, _ in GROUPS]
    for k, name in enumerate(names):
        mine = env.group == k
        row[f'falls_per_10s_{name}'] = round(float(falls[k].mean()), 4)
        row[f'falls_per_10s_{name}_slow'] = round(float(falls[k, 0]), 4)
        row[f'vx_error_{name}'] = round(float(error[mine, 0].mean()), 4)
        row[f'vy_error_{name}'] = round(float(error[mine, 1].mean()), 4)
        row[f'wz_error_{name}'] = round(float(error[mine, 2].mean()), 4)
        contact = env.env.terms['contact'][mine]
        row[f'contact_match_{name}'] = round(1.0 - float(contact.mean()), 4)
        row[f'height_error_{name}'] = round(float(env.env.terms['mean_height'][mine].mean()), 4)
        row[f'pitch_error_{name}'] = round(float(env.env.terms['mean_pitch'][mine].mean()), 4)
    path = folder / 'teacher.csv'
    new = not path.exists()
    with path.open('a', newline='') as file:
        writer = csv.DictWriter(file, row)
        if new:
            writer.writeheader()
        writer.writerow(row)
    rates = falls.mean(axis=1)
    falls_text = ' '.join(f'{name} {f:.2f}' for name, f in zip(names, rates, strict=True))
    return f'reward {row["reward_per_s"]:.2f}/s, falls per 10 s: {falls_text}'

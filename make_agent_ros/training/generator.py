"""Fitting the generator to a zoo: codec and embedding together, then the flow.

Stage 1 learns the latent by what policies do: actions of decoded weights on states that the
policies visited, and on perturbed ones, both from the weights' own latent and from the latent that
the embedding of a window predicts. Stage 2 fits the flow to the latents, given embeddings, with
the same action loss on the data point that the flow implies.
"""

from __future__ import annotations

import csv
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from make_agent_ros.generator.codec import mlp_forward
from make_agent_ros.generator.embedding import info_nce
from make_agent_ros.generator.model import Generator, GeneratorSizes
from make_agent_ros.training.behaviour import STYLE_SIZE
from make_agent_ros.training.checkpoint import load_checkpoint, save_checkpoint
from make_agent_ros.training.progress import Report
from make_agent_ros.training.prompts import PromptData, join_prompts, stored_prompts
from make_agent_ros.training.zoo import Zoo, join


@dataclass(frozen=True)
class GeneratorConfig:
    """What `make-agent train generator` takes."""

    seed: int = 5
    sides: tuple[str, ...] = ('training', 'withheld')
    """Sides of the split that train: the benchmark's generator does without `withheld`."""
    latent: int = 48
    embedding: int = 96
    codec_updates: int = 4000
    flow_updates: int = 5000
    batch: int = 96
    """Behaviours per update of stage 1."""
    states: int = 64
    """States per behaviour and update."""
    prompt_s: float = 8.0
    """Steady walking recorded per take."""
    takes: int = 3
    """Recordings per behaviour, each in another world at another velocity."""
    windows: tuple[int, int] = (50, 250)
    """Shortest and longest training window, samples at 50 Hz."""
    learning_rate: float = 1e-3
    perturbation: float = 0.1
    """Standard deviation of the perturbation of states, observation units."""
    latent_noise: float = 0.05
    log_every: int = 100


class TrainingError(ValueError):
    """Training cannot go on; the message says what is missing."""


class _Data:
    """The zoo and its prompts as tensors, with batches drawn reproducibly."""

    def __init__(self, zoo: Zoo, prompts: PromptData, config: GeneratorConfig) -> None:
        self.config = config
        self.rng = np.random.default_rng([config.seed, 31])
        self.generator = torch.Generator().manual_seed(config.seed)
        walked = np.flatnonzero(prompts.valid.any(axis=1))
        if not len(walked):
            raise TrainingError(
                f'none of the {len(zoo)} policies of the zoo walked for {config.prompt_s:g} s; '
                'train the teacher longer, then the zoo again'
            )
        self.usable = walked
        self.prompts = prompts
        self.weights = torch.from_numpy(zoo.weights)
        self.frequency = torch.from_numpy(zoo.behaviours.styles.frequency_hz).float()
        self.style = torch.from_numpy(zoo.behaviours.styles.vector())
        self.obs = torch.from_numpy(zoo.bank_obs)
        self.action = torch.from_numpy(zoo.bank_action)

    def draw(self, count: int) -> np.ndarray:
        """Return ids of behaviours."""
        return self.rng.choice(self.usable, count, replace=count > len(self.usable))

    def windows(self, ids: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Return one window of each behaviour and its mean velocity, (B, T, 30), (B, 3)."""
        prompts = self.prompts
        length = int(self.rng.integers(*self.config.windows, endpoint=True))
        chance = self.rng.random((len(ids), prompts.valid.shape[1])) * prompts.valid[ids]
        take = chance.argmax(axis=1)
        start = self.rng.integers(0, prompts.features.shape[2] - length + 1, len(ids))
        rows = start[:, None] + np.arange(length)
        window = prompts.features[ids[:, None], take[:, None], rows].astype(np.float32)
        velocity = prompts.velocity[ids[:, None], take[:, None], rows].astype(np.float32)
        # Noise of the sensors: gyro, tilt, joint angles, joint velocities in channel units.
        width = np.repeat([0.08, 0.09, 0.02, 0.15], [3, 3, 12, 12]).astype(np.float32)
        level = self.rng.uniform(0.0, 1.5, (len(ids), 1, 1)).astype(np.float32)
        window += level * width * self.rng.uniform(-1, 1, window.shape).astype(np.float32)
        return torch.from_numpy(window), torch.from_numpy(velocity.mean(axis=1))

    def states(self, ids: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return visited states, the teacher's actions there, and the states perturbed."""
        rows = torch.from_numpy(
            self.rng.integers(0, self.obs.shape[1], (len(ids), self.config.states))
        )
        index = torch.from_numpy(ids)[:, None]
        obs = self.obs[index, rows].float()
        noise = torch.randn(obs.shape, generator=self.generator)
        return obs, self.action[index, rows].float(), obs + self.config.perturbation * noise


def _action_loss(
    model: Generator,
    decoded: torch.Tensor,
    true: torch.Tensor,
    states: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> torch.Tensor:
    """Mean squared action error of decoded weights against teacher and own policy, ()."""
    obs, label, perturbed = states
    with torch.no_grad():
        own = mlp_forward(model.shape, true, perturbed)
    both = mlp_forward(model.shape, decoded, torch.cat((obs, perturbed), dim=1))
    visited, elsewhere = both.split(obs.shape[1], dim=1)
    return (visited - label).square().mean() + 0.5 * (elsewhere - own).square().mean()


def train_generator(
    folder: Path,
    config: GeneratorConfig,
    progress: Report | None = None,
    name: str = 'generator',
) -> Generator:
    """Fit the generator to the zoo in `folder`, or go on fitting it.

    Args:
        folder: of the run, with `zoo_<side>.safetensors`; receives `<name>/`,
            `<name>_codec.*`, `<name>_flow.*`, `<name>.csv`, and `prompts_<side>.safetensors`,
            which generators of one run share.
        config: sizes and seed.
        progress: called with (updates done, updates, a line of figures).
        name: of the generator within the run.
    """
    zoo = join([Zoo.load(folder / f'zoo_{side}.safetensors') for side in config.sides])
    started = time.monotonic()
    before = folder / name / 'generator.json'
    spent_s = json.loads(before.read_text())['info']['seconds'] if before.exists() else 0.0
    prompts = join_prompts(
        [
            stored_prompts(folder, side, config.prompt_s, config.seed, config.takes)
            for side in config.sides
        ]
    )
    torch.manual_seed(config.seed)
    data = _Data(zoo, prompts, config)
    model = Generator(
        GeneratorSizes(latent=config.latent, embedding=config.embedding, style_size=STYLE_SIZE)
    )
    model.codec.set_statistics(torch.from_numpy(zoo.base), data.weights)
    total = config.codec_updates + config.flow_updates
    trainer = _Trainer(folder / name, model, data, config)

    def report(done: int, figures: dict[str, float]) -> None:
        if progress:
            text = ', '.join(f'{k} {v:.4f}' for k, v in figures.items())
            progress(done, total, text)

    trainer.fit_codec(report)
    trainer.fit_flow(report)
    _set_novelty(model, data)
    digest = hashlib.sha256(zoo.weights.tobytes()).hexdigest()[:16]
    model.info = {
        'config': asdict(config),
        'zoo': {'policies': len(zoo), 'sha256': digest},
        'seconds': round(spent_s + time.monotonic() - started, 1),
        'figures': trainer.latest,
    }
    model.info['digest'] = _digest(model)
    model.save(folder / name)
    return model.eval()


def _digest(model: Generator) -> str:
    sha = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        sha.update(name.encode() + tensor.numpy().tobytes())
    return sha.hexdigest()[:16]


class _Trainer:
    """Two optimisers over one model, with a log and checkpoints after each stage."""

    def __init__(self, stem: Path, model: Generator, data: _Data, config: GeneratorConfig) -> None:
        self.stem, self.model, self.data, self.config = stem, model, data, config
        self.latest: dict[str, float] = {}

    def _run(
        self,
        stage: str,
        updates: int,
        parameters: list[torch.nn.Parameter],
        loss: Callable[[], tuple[torch.Tensor, dict[str, torch.Tensor]]],
        report: Callable[[int, dict[str, float]], None],
        done_before: int,
    ) -> None:
        stem = self.stem.with_name(f'{self.stem.name}_{stage}')
        modules = {'model': self.model}
        if stem.with_suffix('.json').exists():
            info: dict[str, Any] = load_checkpoint(stem, modules)
            if info['config'] == _plain(asdict(self.config)):
                self.latest.update(info['figures'])
                return
        optimizer = torch.optim.AdamW(parameters, lr=self.config.learning_rate, weight_decay=1e-5)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.config.learning_rate, total_steps=updates, pct_start=0.05
        )
        self.model.train()
        sums: dict[str, float] = {}
        for k in range(1, updates + 1):
            value, parts = loss()
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
            for name, part in parts.items():
                sums[name] = sums.get(name, 0.0) + float(part.detach()) / self.config.log_every
            if k % self.config.log_every == 0:
                self._log(stage, k, sums)
                report(done_before + k, sums)
                self.latest.update(sums)
                sums = {}
        info = {'config': _plain(asdict(self.config)), 'figures': self.latest}
        save_checkpoint(stem, modules, None, info)

    def _log(self, stage: str, update: int, figures: dict[str, float]) -> None:
        path = self.stem.with_suffix('.csv')
        new = not path.exists()
        with path.open('a', newline='') as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(['stage', 'update', 'figure', 'value'])
            writer.writerows([stage, update, k, f'{v:.6g}'] for k, v in figures.items())

    def fit_codec(self, report: Callable[[int, dict[str, float]], None]) -> None:
        """Stage 1: codec, embedding, heads and the deterministic embedding -> latent map."""
        model, data = self.model, self.data

        def loss() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
            ids = data.draw(self.config.batch)
            true, states = data.weights[ids], data.states(ids)
            window_a, velocity_a = data.windows(ids)
            window_b, _ = data.windows(ids)
            e_a, v_a = model.embedding(window_a)
            e_b, _ = model.embedding(window_b)
            z_w = model.codec.encode(true, data.frequency[ids])
            noise = torch.randn(z_w.shape, generator=data.generator)
            z_p = model.to_latent(e_a)
            decoded_w, f_w = model.codec.decode(z_w + self.config.latent_noise * noise)
            decoded_p, f_p = model.codec.decode(z_p)
            log_f = data.frequency[ids].log()
            parts = {
                'codec action': _action_loss(model, decoded_w, true, states),
                'prompt action': _action_loss(model, decoded_p, true, states),
                'latent': (z_w - z_p).square().mean(),
                'size': z_w.square().mean(),
                'frequency': (f_w.log() - log_f).square().mean()
                + (f_p.log() - log_f).square().mean(),
                'weights': ((decoded_w - true) / model.codec.scale).square().mean(),
                'style': (model.embedding.style(e_a) - data.style[ids]).square().mean(),
                'velocity': (v_a - velocity_a).square().mean(),
                'contrast': info_nce(e_a, e_b),
            }
            weights = {
                'codec action': 1.0, 'prompt action': 1.0, 'latent': 0.1, 'size': 1e-3,
                'frequency': 5.0, 'weights': 0.05, 'style': 0.3, 'velocity': 1.0,
                'contrast': 0.05,
            }  # fmt: skip
            return sum(weights[k] * v for k, v in parts.items()), parts  # type: ignore[return-value]

        parameters = [
            p for net in (model.embedding, model.codec, model.to_latent) for p in net.parameters()
        ]
        self._run('codec', self.config.codec_updates, parameters, loss, report, 0)

    def fit_flow(self, report: Callable[[int, dict[str, float]], None]) -> None:
        """Stage 2: the flow on latents given embeddings; everything else is frozen."""
        model, data = self.model, self.data
        with torch.no_grad():
            latents = model.codec.encode(data.weights, data.frequency)[data.usable]
            model.flow.mean.copy_(latents.mean(0))
            model.flow.std.copy_(latents.std(0).clamp_min(1e-3))

        def loss() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
            ids = data.draw(2 * self.config.batch)
            with torch.no_grad():
                embedding, _ = model.embedding(data.windows(ids)[0])
                latent = model.codec.encode(data.weights[ids], data.frequency[ids])
            matching, implied = model.flow.loss(latent, embedding, generator=data.generator)
            few = ids[: self.config.batch]
            decoded, _ = model.codec.decode(implied[: self.config.batch])
            parts = {
                'flow': matching,
                'flow action': _action_loss(model, decoded, data.weights[few], data.states(few)),
            }
            return parts['flow'] + 0.5 * parts['flow action'], parts

        self._run(
            'flow',
            self.config.flow_updates,
            list(model.flow.parameters()),
            loss,
            report,
            self.config.codec_updates,
        )


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration as JSON would give it back."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in config.items()}


@torch.no_grad()
def _set_novelty(model: Generator, data: _Data) -> None:
    """Store the training embeddings and the distance that unseen windows stay under."""
    model.eval()
    ids = data.usable
    rows = np.arange(min(200, data.prompts.features.shape[2]))

    def embed(take: int) -> torch.Tensor:
        window = data.prompts.features[ids[:, None], take, rows].astype(np.float32)
        return model.embedding(torch.from_numpy(window))[0]

    known = embed(0)
    model.known = known
    distances = []
    for take in range(1, data.prompts.valid.shape[1]):
        valid = torch.from_numpy(data.prompts.valid[ids, take])
        # Root of the mean over the embedding's values, as `Generator.novelty` measures.
        distance = torch.cdist(embed(take), known) / known.shape[1] ** 0.5
        distance.fill_diagonal_(torch.inf)  # the behaviour itself does not count as known
        distances.append(distance.min(dim=1).values[valid])
    if not sum(len(d) for d in distances):
        raise TrainingError(
            'no policy of the zoo walked in a second take, so nothing tells how far prompts of a '
            'known behaviour are apart; train the teacher longer, or take more takes'
        )
    model.novelty_threshold = torch.quantile(torch.cat(distances), 0.995)

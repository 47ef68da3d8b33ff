"""Fitting the generator to a zoo: codec and embedding together, then the flow.

Stage 1 learns the latent by what policies do: actions of decoded weights on states that the
policies visited, and on perturbed ones, from the latent that the walked style predicts, from the
style that is read off a window, and from the weights' own latent. Stage 2 fits the flow to the
latents, given embeddings, with the same action loss on the data point that the flow implies.
"""

from __future__ import annotations

import csv
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from make_agent_ros.generator.model import Generator, GeneratorSizes
from make_agent_ros.training.behaviour import STYLE_SIZE
from make_agent_ros.training.checkpoint import load_checkpoint, save_checkpoint
from make_agent_ros.training.expected import expected_styles
from make_agent_ros.training.losses import (
    GeneratorConfig,
    Parts,
    TrainingData,
    TrainingError,
    codec_loss,
    flow_loss,
)
from make_agent_ros.training.progress import Report
from make_agent_ros.training.prompts import join_prompts, stored_prompts
from make_agent_ros.training.zoo import Zoo, join

__all__ = ['GeneratorConfig', 'TrainingError', 'digest_of', 'train_generator']


STATISTICS_DRAWS = 40
"""Batches that tell how far latents lie from their regression."""


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
    prompts = join_prompts(
        [
            stored_prompts(folder, side, config.prompt_s, config.seed, config.takes)
            for side in config.sides
        ]
    )
    torch.manual_seed(config.seed)
    data = TrainingData(zoo, prompts, config)
    told = zoo.behaviours.styles.vector()
    data.style = torch.from_numpy(
        expected_styles(told, prompts.style, prompts.valid & data.counts[:, None], config.seed)
    )
    model = Generator(
        GeneratorSizes(
            latent=config.latent,
            embedding=config.embedding,
            style_size=STYLE_SIZE,
            codec_width=config.codec_width,
        )
    )
    model.codec.set_statistics(
        torch.from_numpy(zoo.base),
        data.weights[data.usable],
        data.frequency[data.usable],
        per_layer='layer_scale' not in config.without,
    )
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
        'zoo': {'policies': len(data.usable), 'of': len(zoo), 'sha256': digest},
        'seconds': round(trainer.spent_s + time.monotonic() - started, 1),
        'figures': trainer.latest,
    }
    model.info['digest'] = digest_of(model)
    model.save(folder / name)
    return model.eval()


def digest_of(model: Generator) -> str:
    """Return what identifies the weights of a generator, 16 hexadecimal digits."""
    sha = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        sha.update(name.encode() + tensor.numpy().tobytes())
    return sha.hexdigest()[:16]


class _Trainer:
    """Two optimisers over one model, with a log and checkpoints after each stage."""

    def __init__(
        self, stem: Path, model: Generator, data: TrainingData, config: GeneratorConfig
    ) -> None:
        self.stem, self.model, self.data, self.config = stem, model, data, config
        self.latest: dict[str, float] = {}
        self.spent_s = 0.0
        """On stages that were on disk."""

    def _run(
        self,
        stage: str,
        updates: int,
        parameters: list[torch.nn.Parameter],
        loss: Callable[[Generator, TrainingData], tuple[torch.Tensor, Parts]],
        report: Callable[[int, dict[str, float]], None],
        done_before: int,
    ) -> None:
        stem = self.stem.with_name(f'{self.stem.name}_{stage}')
        modules = {'model': self.model}
        if self._made_alike(stem):
            made = load_checkpoint(stem, modules)
            self.latest.update(made['figures'])
            self.spent_s += made['seconds']
            return
        started = time.monotonic()
        optimizer = torch.optim.AdamW(parameters, lr=self.config.learning_rate, weight_decay=1e-5)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.config.learning_rate, total_steps=updates, pct_start=0.05
        )
        self.model.train()
        sums: dict[str, float] = {}
        for k in range(1, updates + 1):
            value, parts = loss(self.model, self.data)
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
        info = {
            'config': _plain(asdict(self.config)),
            'nets': self.nets,
            'figures': self.latest,
            'seconds': round(time.monotonic() - started, 1),
        }
        save_checkpoint(stem, modules, None, info)

    def _made_alike(self, stem: Path) -> bool:
        """Tell whether a stage is on disk, of the same configuration and the same nets."""
        path = stem.with_suffix('.json')
        if not path.exists():
            return False
        made: dict[str, Any] = json.loads(path.read_text())
        return made.get('config') == _plain(asdict(self.config)) and made.get('nets') == self.nets

    @property
    def nets(self) -> str:
        """Which nets these are: names and shapes of their parameters, as 16 hexadecimal digits."""
        shapes = [f'{k} {tuple(v.shape)}' for k, v in sorted(self.model.state_dict().items())
                  if k != 'known']  # fmt: skip
        return hashlib.sha256('\n'.join(shapes).encode()).hexdigest()[:16]

    def _log(self, stage: str, update: int, figures: dict[str, float]) -> None:
        path = self.stem.with_suffix('.csv')
        new = not path.exists()
        with path.open('a', newline='') as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(['stage', 'update', 'figure', 'value'])
            writer.writerows([stage, update, k, f'{v:.6g}'] for k, v in figures.items())

    def fit_codec(self, report: Callable[[int, dict[str, float]], None]) -> None:
        """Stage 1: codec, embedding, heads and the deterministic style -> latent map."""
        model = self.model
        parameters = [
            p for net in (model.embedding, model.codec, model.to_latent) for p in net.parameters()
        ]
        self._run('codec', self.config.codec_updates, parameters, codec_loss, report, 0)

    def fit_flow(self, report: Callable[[int, dict[str, float]], None]) -> None:
        """Stage 2: the flow around the regression, given embeddings; everything else is frozen."""
        model, data = self.model, self.data
        with torch.no_grad():
            left = []
            for _ in range(STATISTICS_DRAWS):
                ids = data.draw(data.config.batch)
                latent = model.codec.encode(data.weights[ids], data.frequency[ids])
                left.append(latent - model.to_latent(data.styles(ids)))
            residual = torch.cat(left)
            model.flow.mean.copy_(residual.mean(0))
            model.flow.std.copy_(residual.std(0).clamp_min(1e-3))

        self._run(
            'flow',
            self.config.flow_updates,
            list(model.flow.parameters()),
            flow_loss,
            report,
            self.config.codec_updates,
        )


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration as JSON would give it back."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in config.items()}


@torch.no_grad()
def _set_novelty(model: Generator, data: TrainingData) -> None:
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

"""Practice: what generated policies' gaits lack is taken off the map from prompts to latents.

Losses on actions do not tell how a policy walks: small errors of action add up to a phase that is
0.05 cycle off or a body that hangs 1 cm low, and alike for behaviours that are alike. So the
generator makes a policy for every training behaviour, that policy and the behaviour's own walk in
the same worlds, and the difference of their gaits, steered away (`generator.steering`), is what
the map learns. The flow's samples lie around the map's latent, and move with it.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import torch

from make_agent_ros.generator.model import Generator
from make_agent_ros.generator.steering import steered
from make_agent_ros.recording.gait import Gait, GaitChange, mean_gait
from make_agent_ros.simulation.model import WorldRanges, randomised_worlds
from make_agent_ros.simulation.rollout import rollout
from make_agent_ros.training.held_out import walked_gait
from make_agent_ros.training.losses import TrainingData
from make_agent_ros.training.progress import Report
from make_agent_ros.training.prompts import SETTLE_S
from make_agent_ros.training.zoo import Zoo

WORLDS = 2
"""That a behaviour walks in, drawn anew for every `SHARE` behaviours."""
SECONDS = 6.0
SHARE = 64
UPDATES = 1500
"""Of the map, per round."""
LEARNING_RATE = 5e-4
STREAM = 41
"""Of the random numbers of worlds."""


def practise(
    model: Generator,
    zoo: Zoo,
    data: TrainingData,
    rounds: int,
    report: Report | None = None,
) -> dict[str, float]:
    """Teach `model.to_latent` in rounds what policies lacked when they walked.

    Args:
        model: trained; its map from embedding to latent is changed.
        zoo: policies that it was trained on.
        data: with their prompts.
        rounds: of walking and learning.
        report: called with (rounds done, rounds, a line of figures).

    Returns:
        Means over behaviours, before each round (the first is 0): `phase.<k>` of the largest error
        of a leg, cycles; `height.<k>`, m; `falls.<k>`, share of walks.
    """
    model.eval()
    ids, figures = data.usable, {}
    embedding = first_embeddings(model, data)
    own, own_up = _walk(zoo, ids, None, model)
    for k in range(rounds):
        with torch.no_grad():
            latent = model.to_latent(embedding)
        walked, up = _walk(zoo, ids, latent, model)
        both = up & own_up
        change = GaitChange.between(mean_gait(walked, both), mean_gait(own, both))
        lacks = {
            f'phase.{k}': float(np.nanmean(np.abs(change.phase).max(axis=-1))),
            f'height.{k}': float(np.nanmean(np.abs(change.height_m))),
            f'falls.{k}': 1.0 - float(up.mean()),
        }
        target = torch.cat(
            [
                steered(
                    latent[i : i + 1], change[i : i + 1], embedding[i], embedding,
                    model.embedding.style, model.to_latent,
                )
                for i in range(len(ids))
            ]
        )  # fmt: skip
        _learn(model, data, ids, target - latent)
        figures |= lacks
        if report:
            report(k + 1, rounds, ', '.join(f'{name} {v:.4f}' for name, v in lacks.items()))
    return figures


@torch.no_grad()
def first_embeddings(model: Generator, data: TrainingData) -> torch.Tensor:
    """Return embeddings of 4 s of each usable behaviour's first valid take, (n, E)."""
    take = data.prompts.valid[data.usable].argmax(axis=1)
    rows = np.arange(min(200, data.prompts.features.shape[2]))
    window = data.prompts.features[data.usable[:, None], take[:, None], rows].astype(np.float32)
    return torch.cat([model.embedding(part)[0] for part in torch.from_numpy(window).split(256)])


def _walk(
    zoo: Zoo, ids: np.ndarray, latent: torch.Tensor | None, model: Generator
) -> tuple[Gait, np.ndarray]:
    """Walk policies of the zoo, or decoded ones: gaits and who stayed up, (n, W)."""
    gaits, up = [], []
    command = zoo.behaviours.default_command
    for start in range(0, len(ids), SHARE):
        rows = ids[start : start + SHARE]
        bundles = (
            zoo.bundles(rows)
            if latent is None
            else [
                replace(bundle, velocity_gain=0.0)
                for bundle in model.decode(latent[start : start + SHARE], np.zeros(3), {})
            ]
        )
        worlds = randomised_worlds(WORLDS, STREAM * 1009 + start, WorldRanges())
        log = rollout(bundles, worlds, command[rows], SECONDS, seed=STREAM + start)
        gaits.append(walked_gait(log, SETTLE_S, SECONDS - SETTLE_S))
        up.append(~log.fell)
    return Gait.concatenate(gaits), np.concatenate(up)


def _learn(
    model: Generator, data: TrainingData, ids: np.ndarray, correction: torch.Tensor
) -> None:
    """Fit the map to itself plus the corrections (n, L), on windows of the n behaviours."""
    before = copy.deepcopy(model.to_latent)
    parameters = list(model.to_latent.parameters())
    optimizer = torch.optim.AdamW(parameters, LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=UPDATES, pct_start=0.05
    )
    for _ in range(UPDATES):
        draw = data.rng.integers(0, len(ids), 2 * data.config.batch)
        with torch.no_grad():
            embedding, _ = model.embedding(data.windows(ids[draw])[0])
            target = before(embedding) + correction[draw]
        loss = (model.to_latent(embedding) - target).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()

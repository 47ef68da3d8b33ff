"""What a generator already knows, as training data: its own samples.

A zoo has hundreds of megabytes and is not shipped. The generator holds the embeddings of all
behaviours that it was trained on; policies sampled for them are walked and recorded like a zoo's.
Training on these pairs keeps it what it was while it learns something new.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from make_agent_ros.generator.model import Generator
from make_agent_ros.policy.bundle import Bundle
from make_agent_ros.policy.mlp import MlpShape
from make_agent_ros.training.added import AddError, PolicyTeacher, shown_behaviours
from make_agent_ros.training.behaviour import sample_default_commands
from make_agent_ros.training.distil import distil
from make_agent_ros.training.fine_tuning import AddConfig, Lesson
from make_agent_ros.training.prompts import record_prompts


def known_policies(generator: Generator, count: int, seed: int) -> list[Bundle]:
    """Sample policies for behaviours that the generator was trained on, at velocities of a draw.

    Args:
        generator: with the embeddings of its training behaviours.
        count: of behaviours; as many as there are, if fewer.
        seed: of the choice, the samples and the velocities.
    """
    rng = np.random.default_rng([seed, 61])
    n = min(count, len(generator.known))
    rows = rng.permutation(len(generator.known))[:n]
    latent = generator.latents(
        generator.known[rows], generator=torch.Generator().manual_seed(seed)
    )
    bundles = generator.decode(latent, np.zeros(3), {'rehearsal': seed})
    command = sample_default_commands(rng, n)
    return [replace(b, default_command=c) for b, c in zip(bundles, command, strict=True)]


def walking(bundles: Sequence[Bundle], seed: int) -> list[Bundle]:
    """Return those that stay up and step evenly."""
    _, walks = shown_behaviours(bundles, seed)
    return [b for b, ok in zip(bundles, walks, strict=True) if ok]


def rehearse(bundles: Sequence[Bundle], base: np.ndarray, config: AddConfig) -> Lesson:
    """Make training data of the generator's own policies, whose weights stay as they are.

    Args:
        bundles: policies; those that do not walk are left out.
        base: net that the zoo's policies began as, (8012,).
        config: sizes and seed.

    Raises:
        AddError: none of them walks.
    """
    behaviours, walks = shown_behaviours(bundles, config.seed)
    kept = np.flatnonzero(walks)
    if not len(kept):
        raise AddError(
            f'none of {len(bundles)} policies that the generator makes walks, so there is nothing '
            'to keep; train it first (make-agent train generator)'
        )
    chosen, behaviours = [bundles[i] for i in kept], behaviours[kept]
    prompts = record_prompts(chosen, behaviours, config.prompt_s, config.seed, config.takes)
    # One round driven by the policies themselves visits the states and labels them; the students
    # that come with it are fitted to next to nothing and not used.
    visit = replace(config.zoo, envs_per_student=2, rounds=1, final_updates=4, batch=8)
    visited = distil(PolicyTeacher(chosen), behaviours, base, visit, config.seed)
    weights = np.stack([MlpShape.flatten(b.layers) for b in chosen])
    return Lesson(replace(visited, weights=weights), prompts)

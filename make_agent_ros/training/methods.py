"""Every way to a policy for a prompt that the benchmark of quality compares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial

import numpy as np
import torch

from make_agent_ros.checking.ranking import Ranking, rank
from make_agent_ros.checking.refining import refine
from make_agent_ros.generator.model import Generator, Proposal
from make_agent_ros.policy.bundle import Bundle
from make_agent_ros.policy.velocity import VELOCITY_GAIN
from make_agent_ros.training.baselines import NAMES, fit_once, make
from make_agent_ros.training.generator import GeneratorConfig
from make_agent_ros.training.held_out import HeldOut, Material, QualityConfig
from make_agent_ros.training.prompts import stored_prompts

TEACHER = 'teacher'
"""The oracle: told the true style, it walks itself and makes no policy (`training.oracle`)."""
OF_POLICY = ('demonstrator', 'codec')
"""Methods that start from the held-out policy itself."""
DIRECT = (*OF_POLICY, 'by_embedding', 'regression', 'first_sample')
"""Methods of `Methods` that take no rollouts, in the order of the ladder."""
REFINED = 'refined'
"""The best of N and of candidates steered to the prompt's gait, as `make-agent generate` gives it;
see `checking.refining`."""
CORRECTED = '_corrected'
"""Ends the names of methods whose one policy gets its command corrected as ranking does it."""
ALSO_CORRECTED = ('regression', 'hypernetwork')
NEAREST = ('nearest_embedding', 'nearest_style')
"""Baselines that belong to the ladder: a training policy as it is."""


class Methods:
    """Every way to a policy for each prompt of one split."""

    def __init__(
        self, held_out: HeldOut, generator: Generator, material: Material, config: QualityConfig
    ) -> None:
        self.held_out, self.generator, self.material = held_out, generator, material
        self.config = config
        self.embedded = [generator.embed(prompt) for prompt in held_out.prompts]
        """Embedding and velocity of each prompt."""
        n = config.candidates
        self.ranked = (f'median_of_{n}', f'best_of_{n}')
        """Names of the methods that choose among n samples."""
        self.proposals: list[Proposal] = []
        self.rounds: list[int] = []
        """That steering took for each prompt."""
        self._rankings: list[Ranking] = []

    @property
    def known(self) -> tuple[str, ...]:
        """Names of all methods."""
        others = (name for name in NAMES if name not in NEAREST)
        corrected = (name + CORRECTED for name in ALSO_CORRECTED)
        return (TEACHER, *DIRECT, *NEAREST, *self.ranked, REFINED, *corrected, *others)

    @property
    def usual(self) -> tuple[str, ...]:
        """Names of the methods of the ladder that there is material for."""
        return tuple(
            name
            for name in (TEACHER, *DIRECT, *NEAREST, *self.ranked, REFINED)
            if not self.missing(name)
        )

    def missing(self, name: str) -> str:
        """Return what a method lacks on this split, or nothing."""
        name = name.removesuffix(CORRECTED)
        if name in OF_POLICY and not self.held_out.bundles:
            return 'no policy of the run shows these prompts'
        if name in NAMES and self.material.training is None:
            return 'there is no training run'
        return ''

    def bundles(self, name: str, progress: Callable[[float], None]) -> list[Bundle]:
        """Return the policy that a method makes from each prompt.

        Args:
            name: one of `known` but the teacher.
            progress: called with the share done, by methods that take rollouts.
        """
        if name in self.ranked:
            return self._chosen(name, progress)
        if name == REFINED:
            return self._refined(progress)
        if name.endswith(CORRECTED):
            return self._corrected(self.bundles(name.removesuffix(CORRECTED), progress), progress)
        return list(getattr(self, name)() if name in DIRECT else self._baseline(name))

    def demonstrator(self) -> list[Bundle]:
        """The held-out policies themselves, at the velocity they were shown at."""
        return [replace(bundle, velocity_gain=VELOCITY_GAIN) for bundle in self.held_out.bundles]

    @torch.no_grad()
    def codec(self) -> list[Bundle]:
        """The held-out policies, encoded and decoded: what the codec can say at best."""
        assert self.held_out.weights is not None
        found = []
        for i, (_, velocity) in enumerate(self.embedded):
            frequency = torch.tensor([self.held_out.bundles[i].gait_frequency_hz])
            weights = torch.from_numpy(self.held_out.weights[i : i + 1])
            latent = self.generator.codec.encode(weights, frequency)
            found += self.generator.decode(latent, velocity, {})
        return found

    @torch.no_grad()
    def regression(self) -> list[Bundle]:
        """One latent by regression from the style that is read off, in place of the flow."""
        both = zip(self.held_out.prompts, self.embedded, strict=True)
        return self._regressed([self.generator.styles(prompt, e) for prompt, (e, _) in both])

    @torch.no_grad()
    def by_embedding(self) -> list[Bundle]:
        """The same from the style that the embedding says, whatever the gait measures."""
        return self._regressed([self.generator.embedding.style(e) for e, _ in self.embedded])

    def _regressed(self, styles: list[torch.Tensor]) -> list[Bundle]:
        found = []
        for style, (_, velocity) in zip(styles, self.embedded, strict=True):
            found += self.generator.decode(self.generator.to_latent(style)[None], velocity, {})
        return found

    @cached_property
    def pools(self) -> list[list[Bundle]]:
        """N candidates for each prompt: the regression, and samples of the flow."""
        options = {
            name: getattr(self.config, name) for name in ('steps', 'guidance', 'temperature')
        }
        n = self.config.candidates
        self.proposals = [
            self.generator.propose(prompt, n, seed=i, allow_novel=True, **options)
            for i, prompt in enumerate(self.held_out.prompts)
        ]
        return [self.generator.decode_proposal(one) for one in self.proposals]

    @property
    def samples(self) -> list[list[Bundle]]:
        """The flow's samples for each prompt, without the regression."""
        return [pool[1:] or pool for pool in self.pools]

    def first_sample(self) -> list[Bundle]:
        """The flow's first sample."""
        return [samples[0] for samples in self.samples]

    def _baseline(self, name: str) -> list[Bundle]:
        """One of `training.baselines`, fitted to the training side once and kept in the run."""
        folder, training = self.material.folder, self.material.training
        assert training is not None
        usual = GeneratorConfig()
        method = make(name, embed=self._embed)
        prompts = stored_prompts(folder, 'training', usual.prompt_s, usual.seed, usual.takes)
        fit_once(method, folder / 'baselines', training, prompts)
        velocity = np.stack([v for _, v in self.embedded])
        style = self.held_out.behaviours.styles.vector()
        prompts = [p[0] if isinstance(p, list) else p for p in self.held_out.prompts]
        return method.bundles(prompts, velocity, self.config.seed, style)

    @torch.no_grad()
    def _embed(self, windows: np.ndarray) -> np.ndarray:
        return np.asarray(self.generator.embedding(torch.from_numpy(windows))[0])

    def _refined(self, progress: Callable[[float], None]) -> list[Bundle]:
        """The best of the candidates and of steered ones, ranked by rollouts in other worlds."""
        found = []
        known = self._rankings or [None] * len(self.pools)
        for i, (one, first) in enumerate(zip(self.proposals, known, strict=True)):
            refined = refine(
                partial(self.generator.decode_proposal, one),
                partial(self.generator.steer, one),
                one.latent.cpu().numpy(),
                self.held_out.prompts[i],
                seed=i,
                rounds=self.config.refine,
                first=first,
            )
            self.rounds.append(refined.rounds)
            command = refined.ranking.command[refined.ranking.best]
            found.append(replace(refined.best, default_command=command))
            progress((i + 1) / len(self.proposals))
        return found

    def _corrected(self, bundles: list[Bundle], progress: Callable[[float], None]) -> list[Bundle]:
        """The same policies at the commands at which they move as fast as the prompts did."""
        found = []
        for i, (bundle, prompt) in enumerate(zip(bundles, self.held_out.prompts, strict=True)):
            command = rank([bundle], prompt, seed=i).command[0]
            found.append(replace(bundle, default_command=command))
            progress((i + 1) / len(bundles))
        return found

    def judged_by_prompt(self, name: str) -> bool:
        """Tell whether a method's commands are corrected, and so are not what is asked for."""
        return name in (*self.ranked, REFINED) or name.endswith(CORRECTED)

    def _chosen(self, name: str, progress: Callable[[float], None]) -> list[Bundle]:
        """Median or best of N samples, ranked by rollouts in other worlds."""
        if not self._rankings:
            for i, (prompt, pool) in enumerate(
                zip(self.held_out.prompts, self.pools, strict=True)
            ):
                self._rankings.append(rank(pool, prompt, seed=i))
                progress((i + 1) / len(self.pools))
        found = []
        for pool, ranking in zip(self.pools, self._rankings, strict=True):
            k = ranking.best if name == self.ranked[-1] else int(ranking.order[len(pool) // 2])
            found.append(replace(pool[k], default_command=ranking.command[k]))
        return found

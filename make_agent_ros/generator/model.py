"""The trained generator: a prompt goes in, policies come out as bundles.

| Make-An-Agent (arXiv 2407.10973)  | here                                      | shape    |
|-----------------------------------|-------------------------------------------|----------|
| behaviour embedding e             | `BehaviourEmbedding(window)`              | (E,) 96  |
| (none)                            | style s, `Generator.styles(prompt, e)`    | (18,)    |
| policy parameters theta           | flat weights of a 47-64-64-12 MLP         | (8012,)  |
| latent z = encoder(theta)         | `WeightCodec.encode`                      | (L,) 64  |
| decoder, theta = decoder(z)       | `WeightCodec.decode`                      | (8012,)  |
| denoiser of z given e             | `LatentFlow`, around `to_latent(s)`       | (L,)     |

The style is read twice: as the embedding's head says, which is surer of walks like those of
training, and by the gait that the prompt measures, which does not depend on who walks, so that a
controller that no policy of the training resembles is read as well as any. The regression takes
what lies between them, the candidates are spread from the one to the other.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from make_agent_ros.generator.codec import WeightCodec
from make_agent_ros.generator.embedding import BehaviourEmbedding, trajectory_features
from make_agent_ros.generator.flow import LatentFlow
from make_agent_ros.generator.steering import steered
from make_agent_ros.generator.style import STYLE_SIZE, between, walked_style
from make_agent_ros.generator.velocity import agreed
from make_agent_ros.policy.bundle import Bundle
from make_agent_ros.policy.mlp import MlpShape
from make_agent_ros.policy.velocity import VELOCITY_GAIN
from make_agent_ros.recording.gait_change import GaitChange
from make_agent_ros.recording.loads import gait_of_prompts
from make_agent_ros.recording.odometry import estimate_velocity
from make_agent_ros.recording.trajectory import Trajectory
from make_agent_ros.resources import resource_path

FORMAT_VERSION = 3
COMMAND_LOW, COMMAND_HIGH = (-0.6, -0.4, -1.0), (1.2, 0.4, 1.0)
"""Velocities that the policies are trained for; a prompt's own is clipped to them."""

FREQUENCY_RANGE_HZ = (0.5, 6.0)
"""Gait clocks outside are clipped; training has 1.5-4 Hz."""


MEASURED_SHARE = 0.5
"""Of the measured style in that of the regression. Of single walks of its policies, unranked,
those qualify that are told with shares of 0, 0.3, 0.6 and 1: between behaviours of training 82,
85, 83 and 80 %, shown by another teacher 38, 63, 69 and 66 %, by a script 4, 17, 27 and 23 % (60
and 2 x 20 prompts, 8 worlds, the step frequency still shared alike)."""
GOLDEN = (5.0**0.5 - 1.0) / 2.0
SUREST, WARMER = 0.5, 0.1
"""Share of the flow's noise in the first sample, and how much more each later one has, up to all.
First samples with 0.5 qualified in 92.5 % of single walks, with all of it in 88 %, without any in
94 % (40 prompts between behaviours, 6 worlds of 14 s; scratch script)."""


class GeneratorFileError(ValueError):
    """A folder whose generator cannot be read; the message says why and what to do."""


class NovelPromptError(ValueError):
    """A prompt unlike anything that the generator was trained on."""

    def __init__(self, distance: float, threshold: float) -> None:
        self.distance, self.threshold = distance, threshold
        super().__init__(
            f'the prompt is far from all training behaviours: distance {distance:.2f}, expected '
            f'below {threshold:.2f}. The policy may not walk or not resemble it; check the '
            'recording, or allow novel prompts explicitly'
        )


@dataclass(frozen=True)
class GeneratorSizes:
    """What rebuilds the nets from a file."""

    policy_inputs: int = 47
    policy_hidden: tuple[int, ...] = (64, 64)
    latent: int = 32
    embedding: int = 64
    style_size: int = STYLE_SIZE
    codec_width: int = 256
    flow_width: int = 256


@dataclass(frozen=True)
class Proposal:
    """Candidates before they are decoded."""

    latent: torch.Tensor
    """(n, L)."""
    style: torch.Tensor
    """What the first was generated from, (18,)."""
    velocity: np.ndarray
    """Read off the prompt: vx, vy m/s, wz rad/s, (3,)."""
    provenance: dict[str, Any]


class Generator(torch.nn.Module):
    """Embedding, codec and flow together, with the embeddings of the training behaviours."""

    def __init__(self, sizes: GeneratorSizes, info: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.sizes = sizes
        self.info = info or {}
        """Provenance: configuration, seeds, training figures."""
        self.shape = MlpShape(sizes.policy_inputs, tuple(sizes.policy_hidden), 12)
        self.embedding = BehaviourEmbedding(sizes.embedding, sizes.style_size)
        self.codec = WeightCodec(self.shape, sizes.latent, sizes.codec_width)
        self.to_latent = torch.nn.Sequential(
            torch.nn.Linear(sizes.style_size, 256),
            torch.nn.ELU(),
            torch.nn.Linear(256, 256),
            torch.nn.ELU(),
            torch.nn.Linear(256, sizes.latent),
        )
        """Regression from style to latent: what the flow's samples lie around."""
        self.flow = LatentFlow(sizes.latent, sizes.embedding, sizes.flow_width)
        self.register_buffer('known', torch.zeros(0, sizes.embedding))
        self.register_buffer('novelty_threshold', torch.tensor(torch.inf))

    # -- files ----------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write `generator.safetensors` (half precision) and `generator.json`."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {
            k: (v.half() if v.is_floating_point() else v).contiguous()
            for k, v in self.state_dict().items()
        }
        save_file(tensors, folder / 'generator.safetensors')
        meta = {'format_version': FORMAT_VERSION, 'sizes': vars(self.sizes), 'info': self.info}
        (folder / 'generator.json').write_text(json.dumps(meta, indent=1) + '\n')

    @classmethod
    def load(cls, folder: str | Path | None = None) -> Generator:
        """Read a generator; the shipped one when no folder is given.

        Raises:
            FileNotFoundError: no generator there; the message names the command that trains one.
            GeneratorFileError: damaged, or written by another version of this package.
        """
        path = Path(folder) if folder is not None else resource_path('models/generator')
        if not (path / 'generator.json').exists():
            raise FileNotFoundError(
                f'{path} holds no generator.json; run `make-agent train all` or give the folder '
                'of a trained generator'
            )
        try:
            meta = json.loads((path / 'generator.json').read_text())
            version = meta['format_version']
            if version != FORMAT_VERSION:
                raise GeneratorFileError(
                    f'{path}: format {version}; this package reads {FORMAT_VERSION}. Train it '
                    'again (make-agent train generator; an extended one: train add), or '
                    'use the package that wrote it'
                )
            model = cls(GeneratorSizes(**meta['sizes']), meta['info'])
            tensors = {k: v.float() for k, v in load_file(path / 'generator.safetensors').items()}
            model.known = torch.zeros_like(tensors['known'])
            model.load_state_dict(tensors)
        except (KeyError, TypeError, json.JSONDecodeError, SafetensorError, RuntimeError) as error:
            raise GeneratorFileError(
                f'{path}: damaged ({type(error).__name__}: {str(error).splitlines()[0]}); copy '
                'generator.json and generator.safetensors of one training run there again'
            ) from error
        return model.eval()

    @property
    def device(self) -> torch.device:
        """Where the nets are; `to` moves them.

        Noise is drawn on the CPU: a seed means one set of samples on every device, up to rounding.
        """
        return self.known.device

    # -- use ------------------------------------------------------------------------------------

    @torch.no_grad()
    def embed(self, prompts: Trajectory | Sequence[Trajectory]) -> tuple[torch.Tensor, np.ndarray]:
        """Embed one prompt, or several of one style together.

        Returns:
            Embedding (E,), mean over the prompts, and velocity vx, vy, wz (3,): what the net and
            leg odometry say, each weighted by its certainty.
        """
        prompts = [prompts] if isinstance(prompts, Trajectory) else list(prompts)
        windows = [torch.from_numpy(trajectory_features(p)).to(self.device) for p in prompts]
        rows = [self.embedding(window[None]) for window in windows]
        embedding = torch.cat([e for e, _ in rows]).mean(0)
        told = [
            agreed(net[0].cpu().numpy(), estimate_velocity(prompt))
            for (_, net), prompt in zip(rows, prompts, strict=True)
        ]
        return embedding, np.clip(np.mean(told, axis=0), COMMAND_LOW, COMMAND_HIGH)

    @torch.no_grad()
    def styles(
        self,
        prompts: Trajectory | Sequence[Trajectory],
        embedding: torch.Tensor,
        share: np.ndarray | float = MEASURED_SHARE,
    ) -> torch.Tensor:
        """Return styles of one prompt, or of several of one style together, (..., 18).

        Args:
            prompts: one 50 Hz trajectory, or several of one style.
            embedding: of the prompts, (E,).
            share: of the measured one, from 0, what the embedding says, to 1, (...).
        """
        said = self.embedding.style(embedding).cpu().numpy()
        measured = walked_style(said, gait_of_prompts(prompts))
        return torch.from_numpy(between(said, measured, share)).to(self.device)

    @torch.no_grad()
    def novelty(self, prompts: Trajectory | Sequence[Trajectory]) -> tuple[float, float]:
        """Return the distance to the nearest training behaviour, and the refusal threshold.

        The threshold is the 99.5th percentile of what unseen windows of training behaviours
        have, measured against the other behaviours.
        """
        return self._novelty(self.embed(prompts)[0])

    def _novelty(self, embedding: torch.Tensor) -> tuple[float, float]:
        distance = (self.known - embedding).square().mean(1).sqrt().min()
        return float(distance), float(self.novelty_threshold)

    def sample(
        self, prompts: Trajectory | Sequence[Trajectory], n: int = 16, seed: int = 0, **how: Any
    ) -> list[Bundle]:
        """Generate `n` policies that move as the prompt does: what `propose` draws, decoded."""
        return self.decode_proposal(self.propose(prompts, n, seed, **how))

    @torch.no_grad()
    def propose(
        self,
        prompts: Trajectory | Sequence[Trajectory],
        n: int = 16,
        seed: int = 0,
        *,
        allow_novel: bool = False,
        **options: Any,
    ) -> Proposal:
        """Draw `n` candidates for policies that move as the prompt does, as latents.

        The first is the regression of the style half-way between the two that were read, which
        unranked is better than a sample (`bench quality`). The others are samples of the flow
        around styles all the way from the one to the other, for ranking to choose from: the first
        of them the surest, with `SUREST` of the flow's noise, later ones with all of it.

        Args:
            prompts: one 50 Hz trajectory, or several of one style.
            n: number of candidates.
            seed: of the noise; the same seed gives the same policies.
            allow_novel: generate even when the prompt is unlike the training behaviours.
            options: `steps`, `guidance` and `temperature` of `LatentFlow.sample`; the last is a
                factor on the noise of all samples.

        Raises:
            NovelPromptError: the prompt is too far, and `allow_novel` is off.
        """
        embedding, velocity = self.embed(prompts)
        distance, threshold = self._novelty(embedding)
        if distance > threshold and not allow_novel:
            raise NovelPromptError(distance, threshold)
        # Golden-ratio steps fill the way evenly, however many there are.
        share = (MEASURED_SHARE + GOLDEN * np.arange(-1, n - 1)) % 1.0
        share[0] = MEASURED_SHARE
        style = self.styles(prompts, embedding, share)
        noise = torch.Generator().manual_seed(seed)
        warm = torch.clamp(SUREST + WARMER * torch.arange(-1.0, n - 1), max=1.0)[:, None]
        options['temperature'] = options.get('temperature', 1.0) * warm
        latent = self.flow.sample(embedding.expand(n, -1), generator=noise, **options)
        latent[0] = 0.0
        latent += self.to_latent(style)
        first = prompts if isinstance(prompts, Trajectory) else prompts[0]
        provenance = {
            'prompt_sha256': first.digest(),
            'prompt_source': Path(first.source).name,
            'generator': self.info.get('digest', 'unknown'),
            'seed': seed,
            'novelty': round(distance, 4),
        }
        return Proposal(latent, style[0], velocity, provenance)

    def decode_proposal(
        self, proposal: Proposal, latent: np.ndarray | None = None
    ) -> list[Bundle]:
        """Turn a proposal, or other latents (n, L) for the same prompt, into bundles."""
        chosen = proposal.latent
        if latent is not None:
            chosen = torch.from_numpy(latent).to(self.device)
        return self.decode(chosen, proposal.velocity, proposal.provenance)

    def steer(self, proposal: Proposal, latent: np.ndarray, change: GaitChange) -> np.ndarray:
        """Return latents (n, L) whose policies walk more like the prompt; see `steering`.

        Args:
            proposal: which the latents came from.
            latent: (n, L).
            change: what the gaits of their policies lack of the prompt's, (n,).
        """
        return np.asarray(
            steered(
                torch.from_numpy(latent).to(self.device),
                change,
                proposal.style,
                self.to_latent,
            ).cpu()
        )

    @torch.no_grad()
    def latents(self, embedding: torch.Tensor, **options: Any) -> torch.Tensor:
        """Draw one latent per embedding, without a prompt: regression plus a sample of the flow.

        Args:
            embedding: (B, E).
            options: of `LatentFlow.sample`.

        Returns:
            (B, L).
        """
        centre = self.to_latent(self.embedding.style(embedding))
        return centre + self.flow.sample(embedding, **options)

    @torch.no_grad()
    def decode(
        self, latent: torch.Tensor, velocity: np.ndarray, provenance: dict[str, Any]
    ) -> list[Bundle]:
        """Turn latents (n, L) into bundles that carry `velocity` as their default command."""
        weights, frequency = (part.cpu() for part in self.codec.decode(latent))
        frequency = frequency.clamp(*FREQUENCY_RANGE_HZ)
        template = Bundle(
            layers=self.shape.unflatten(weights[0].numpy()),
            gait_frequency_hz=float(frequency[0]),
            default_command=velocity,
            velocity_gain=VELOCITY_GAIN,
        )
        return [
            replace(
                template,
                layers=self.shape.unflatten(w.numpy()),
                gait_frequency_hz=float(f),
                provenance={**provenance, 'candidate': i},
            )
            for i, (w, f) in enumerate(zip(weights, frequency, strict=True))
        ]

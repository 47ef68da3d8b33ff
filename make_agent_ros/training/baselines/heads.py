"""From the embedding of a prompt to the flat weights of an ordinary MLP, three ways.

Each head returns flat weights, layout of `policy.mlp`, so all are trained through the same action
loss and all come out as ordinary bundles. With e the embedding (E,) and a layer y = W x + b:

| head     | the net that it stands for                    | what is folded                    |
|----------|-----------------------------------------------|-----------------------------------|
| `Concat` | one net that takes (x, e) as its input        | b' = b + W_e e in the first layer |
| `Film`   | one net, hidden y scaled and shifted by e     | W' = diag(g) W, b' = g b + s      |
| `Hyper`  | weights that are a function of e, from a base | W' = W_base + scale * residual(e) |

FiLM is arXiv 1709.07871, applied before the activation, with g = 1 + gain(e).
"""

from __future__ import annotations

import torch
from torch import nn

from make_agent_ros.policy.mlp import MlpShape


class _Shared(nn.Module):
    """One trainable MLP of a shape, as flat weights (W,)."""

    def __init__(self, shape: MlpShape) -> None:
        super().__init__()
        self.shape = shape
        parts = []
        for out, inp in shape.layer_shapes:
            parts += [torch.randn(out * inp) / inp**0.5, torch.zeros(out)]
        self.flat = nn.Parameter(torch.cat(parts))

    def start_from(self, base: torch.Tensor, scale: torch.Tensor) -> None:
        """Take what the head needs of the zoo: its common start and its spread, (8012,) each.

        One shared net has its own size and starts from random weights; only `Hyper` uses this.
        """


class Concat(_Shared):
    """One net that reads observation and embedding: the embedding moves the first biases."""

    def __init__(self, shape: MlpShape, embedding: int) -> None:
        """Build the net of `shape`, and the columns that take E = `embedding` more inputs."""
        super().__init__(shape)
        self.columns = nn.Linear(embedding, shape.hidden[0], bias=False)

    def forward(self, embedding: torch.Tensor) -> torch.Tensor:
        """Return flat weights, (B, E) -> (B, W)."""
        _, b = self.shape.slices[0]
        flat = self.flat.expand(len(embedding), -1)
        first = flat[:, b] + self.columns(embedding)
        return torch.cat((flat[:, : b.start], first, flat[:, b.stop :]), dim=1)

    def direct(self, embedding: torch.Tensor, obs: torch.Tensor) -> torch.Tensor:
        """Run the net as it is meant, on inputs (obs, e): (B, E), (B, rows, n) -> (B, rows, m)."""
        layers = list(zip(self.shape.layer_shapes, self.shape.slices, strict=True))
        x = torch.cat((obs, embedding[:, None].expand(-1, obs.shape[1], -1)), dim=-1)
        for i, (dims, (w, b)) in enumerate(layers):
            weight = self.flat[w].reshape(dims)
            if i == 0:
                weight = torch.cat((weight, self.columns.weight), dim=1)
            x = nn.functional.linear(x, weight, self.flat[b])
            x = nn.functional.elu(x) if i < len(layers) - 1 else x
        return x


class Film(_Shared):
    """One net whose hidden layers the embedding scales and shifts."""

    def __init__(self, shape: MlpShape, embedding: int) -> None:
        """Build the net of `shape`, and its modulation by E = `embedding` values."""
        super().__init__(shape)
        self.modulation = nn.Sequential(
            nn.Linear(embedding, 128), nn.ELU(), nn.Linear(128, 2 * sum(shape.hidden))
        )
        nn.init.normal_(self.modulation[-1].weight, std=0.01)
        nn.init.zeros_(self.modulation[-1].bias)

    def gains(self, embedding: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return gain and shift of every hidden layer, (B, width) each."""
        gain, shift = self.modulation(embedding).chunk(2, dim=-1)
        sizes = list(self.shape.hidden)
        return list(zip((1.0 + gain).split(sizes, -1), shift.split(sizes, -1), strict=True))

    def forward(self, embedding: torch.Tensor) -> torch.Tensor:
        """Return flat weights, (B, E) -> (B, W)."""
        n, parts = len(embedding), []
        modulation = self.gains(embedding)
        for i, (dims, (w, b)) in enumerate(
            zip(self.shape.layer_shapes, self.shape.slices, strict=True)
        ):
            weight, bias = self.flat[w].reshape(dims), self.flat[b]
            if i < len(modulation):
                gain, shift = modulation[i]
                parts += [(gain[..., None] * weight).flatten(1), gain * bias + shift]
            else:
                parts += [weight.flatten().expand(n, -1), bias.expand(n, -1)]
        return torch.cat(parts, dim=1)

    def direct(self, embedding: torch.Tensor, obs: torch.Tensor) -> torch.Tensor:
        """Run the net as it is meant, modulating activations; shapes as in `Concat.direct`."""
        modulation = self.gains(embedding)
        x = obs
        for i, (dims, (w, b)) in enumerate(
            zip(self.shape.layer_shapes, self.shape.slices, strict=True)
        ):
            x = nn.functional.linear(x, self.flat[w].reshape(dims), self.flat[b])
            if i < len(modulation):
                gain, shift = modulation[i]
                x = nn.functional.elu(gain[:, None] * x + shift[:, None])
        return x


class Hyper(nn.Module):
    """A hypernetwork: the residual from the zoo's common start, in units of each layer's spread.

    No latent between prompt and weights, and no weights as targets.
    """

    def __init__(self, shape: MlpShape, embedding: int, width: int = 256) -> None:
        """Build the net from E = `embedding` values to the weights of `shape`."""
        super().__init__()
        self.shape = shape
        self.register_buffer('base', torch.zeros(shape.size))
        self.register_buffer('scale', torch.ones(shape.size))
        self.net = nn.Sequential(
            nn.Linear(embedding, width), nn.ELU(), nn.Linear(width, width), nn.ELU()
        )
        self.residual = nn.Linear(width, shape.size)
        nn.init.normal_(self.residual.weight, std=0.1 / width**0.5)
        nn.init.zeros_(self.residual.bias)

    def start_from(self, base: torch.Tensor, scale: torch.Tensor) -> None:
        """Take the zoo's common start and each layer's spread, (8012,) each."""
        self.base.copy_(base)
        self.scale.copy_(scale)

    def forward(self, embedding: torch.Tensor) -> torch.Tensor:
        """Return flat weights, (B, E) -> (B, W)."""
        return self.base + self.scale * self.residual(self.net(embedding))


def layer_scale(shape: MlpShape, residual: torch.Tensor) -> torch.Tensor:
    """Return the root mean square of residuals (n, W) per layer's weights and biases, (W,)."""
    scale = torch.ones(shape.size)
    for parts in shape.slices:
        for part in parts:
            scale[part] = residual[:, part].square().mean().sqrt().clamp_min(1e-6)
    return scale

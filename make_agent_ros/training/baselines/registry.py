"""All baselines by name."""

from __future__ import annotations

from collections.abc import Callable

from make_agent_ros.training.baselines.cloning import Cloning
from make_agent_ros.training.baselines.conditioned import Conditioned
from make_agent_ros.training.baselines.method import Method
from make_agent_ros.training.baselines.nearest import BasePolicy, Embed, Nearest
from make_agent_ros.training.baselines.official import SMALL, Official

_MAKERS: dict[str, Callable[[], Method]] = {
    'cloning_scratch': lambda: Cloning('scratch'),
    'cloning_base': lambda: Cloning('base'),
    'hypernetwork': lambda: Conditioned('hypernetwork'),
    'conditioned_concat': lambda: Conditioned('conditioned_concat'),
    'conditioned_film': lambda: Conditioned('conditioned_film'),
    'nearest_style': lambda: Nearest('nearest'),
    'mean_of_two_style': lambda: Nearest('mean_of_two'),
    'noisy_style': lambda: Nearest('noisy'),
    'base': BasePolicy,
    'official': Official,
    'official_small': lambda: Official(SMALL, 'official_small'),
}
_BY_EMBEDDING: dict[str, Callable[[Embed], Method]] = {
    'nearest_embedding': lambda embed: Nearest('nearest', embed=embed),
    'mean_of_two_embedding': lambda embed: Nearest('mean_of_two', embed=embed),
    'noisy_embedding': lambda embed: Nearest('noisy', embed=embed),
}
NAMES: tuple[str, ...] = (*_MAKERS, *_BY_EMBEDDING)
"""What `make` takes."""


def make(name: str, embed: Embed | None = None) -> Method:
    """Return a baseline of its usual size; build it from its class for another.

    Args:
        name: one of `NAMES`.
        embed: windows (B, T, 30) -> embeddings (B, E), for those by embedding.

    Raises:
        ValueError: an unknown name, or one by embedding without an embedding.
    """
    if name in _MAKERS:
        return _MAKERS[name]()
    if name not in _BY_EMBEDDING:
        raise ValueError(f'no baseline {name!r}; there are {", ".join(NAMES)}')
    if embed is None:
        raise ValueError(f'{name} needs an embedding; give `embed`, or take nearest_style')
    return _BY_EMBEDDING[name](embed)

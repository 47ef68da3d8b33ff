"""Policies of mixed quality, to try the check on: good ones, and good ones with a known fault.

The faults are those that exports and training runs really have: weights of an early hour of
training, noise on the weights, gains, scale, default pose or period of another robot, joints in
another order. Each has a size, drawn from harmless to hopeless.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from make_agent_ros.policy.bundle import Bundle

SHARES = {
    'good': 0.25,
    'early': 0.15,
    'noise': 0.20,
    'gains': 0.15,
    'scale': 0.05,
    'pose': 0.08,
    'order': 0.07,
    'period': 0.05,
}
"""Kind -> share of the policies."""
TITLES = {
    'good': 'as trained',
    'early': 'early training: on the way from the base net to the trained one',
    'noise': 'noise on the weights',
    'gains': 'wrong gains (kp and kd x 0.5-1.6)',
    'scale': 'wrong action scale (x 0.5-1.7)',
    'pose': 'wrong default pose',
    'order': 'wrong joint order',
    'period': 'runs too slowly (25-40 ms per step)',
}


@dataclass(frozen=True)
class Specimen:
    """One policy with what was done to it."""

    name: str
    kind: str
    """A key of `SHARES`."""
    amount: float
    """Size of the fault, in the units of its kind; 0 for none."""
    bundle: Bundle


def make_specimens(
    good: Sequence[Bundle], count: int, seed: int, base: Sequence[np.ndarray] | None = None
) -> list[Specimen]:
    """Make `count` policies of mixed quality, reproducibly.

    No policy is in the mixture twice: where there are fewer good ones than the share asks for,
    noised ones take the place.

    Args:
        good: trained policies of one network shape; every fault starts from one of them.
        count: how many to make.
        seed: of the choice, the faults and their sizes.
        base: weights and biases, layer by layer, of the net that the good ones were trained from;
            the mean of the good ones when omitted.

    Raises:
        ValueError: no good policies.
    """
    if not good:
        raise ValueError('no policies to start from; train a zoo or name a folder of bundles')
    rng = np.random.default_rng([seed, 41])
    base = _mean(good) if base is None else base
    kinds = [kind for kind, share in SHARES.items() for _ in range(round(share * count))]
    kinds = (['good'] * count + kinds)[-count:]
    spare = max(0, kinds.count('good') - len(good))
    kinds = ['noise'] * spare + kinds[spare:]
    order = rng.permutation(len(good))
    faults: dict[str, Callable[[Bundle], tuple[Bundle, float]]] = {
        'good': lambda bundle: (bundle, 0.0),
        'early': lambda bundle: _early(bundle, base, rng),
        'noise': lambda bundle: _noise(bundle, rng),
        'gains': lambda bundle: _gains(bundle, rng),
        'scale': lambda bundle: _scale(bundle, rng),
        'pose': lambda bundle: _pose(bundle, rng),
        'order': lambda bundle: _order(bundle, rng),
        'period': lambda bundle: _period(bundle, rng),
    }
    made = []
    for i, kind in enumerate(kinds):
        bundle, amount = faults[kind](good[order[i % len(good)]])
        made.append(Specimen(f'{i:03d} {kind} {amount:.2f}', kind, amount, bundle))
    return made


def _mean(bundles: Sequence[Bundle]) -> list[np.ndarray]:
    parts = [[part for layer in bundle.layers for part in layer] for bundle in bundles]
    return [np.mean(same, axis=0) for same in zip(*parts, strict=True)]


def _with_weights(bundle: Bundle, parts: Sequence[np.ndarray]) -> Bundle:
    single = [np.asarray(part, dtype=np.float32) for part in parts]
    return replace(bundle, layers=list(zip(single[::2], single[1::2], strict=True)))


def _weights(bundle: Bundle) -> list[np.ndarray]:
    return [part for layer in bundle.layers for part in layer]


def _early(
    bundle: Bundle, base: Sequence[np.ndarray], rng: np.random.Generator
) -> tuple[Bundle, float]:
    """Part of the way from the base; the amount is what is missing."""
    missing = rng.uniform(0.1, 1.0)
    parts = [
        own + missing * (first - own) for own, first in zip(_weights(bundle), base, strict=True)
    ]
    return _with_weights(bundle, parts), missing


def _noise(bundle: Bundle, rng: np.random.Generator) -> tuple[Bundle, float]:
    """Gaussian noise in units of the spread of each layer's weights."""
    sigma = rng.uniform(0.05, 0.8)
    parts = [part + sigma * part.std() * rng.normal(size=part.shape) for part in _weights(bundle)]
    return _with_weights(bundle, parts), sigma


def _gains(bundle: Bundle, rng: np.random.Generator) -> tuple[Bundle, float]:
    kp, kd = rng.uniform(0.5, 1.6, 2)
    changed = replace(
        bundle,
        joint_stiffness=bundle.joint_stiffness * kp,
        joint_damping=bundle.joint_damping * kd,
    )
    return changed, float(np.abs(np.log([kp, kd])).max())


def _scale(bundle: Bundle, rng: np.random.Generator) -> tuple[Bundle, float]:
    factor = rng.uniform(0.5, 1.7)
    return replace(bundle, action_scale=bundle.action_scale * factor), abs(np.log(factor))


def _pose(bundle: Bundle, rng: np.random.Generator) -> tuple[Bundle, float]:
    """Every joint's zero off by up to the amount, rad."""
    size = rng.uniform(0.05, 0.4)
    offset = rng.uniform(-size, size, 12)
    return replace(bundle, default_joint_pos=bundle.default_joint_pos + offset), size


def _order(bundle: Bundle, rng: np.random.Generator) -> tuple[Bundle, float]:
    """Names of two legs or of two joints swapped; the amount counts joints in the wrong place."""
    names = np.array(bundle.joint_names).reshape(4, 3)
    if rng.random() < 0.6:
        a, b = rng.choice(4, 2, replace=False)
        names[[a, b]] = names[[b, a]]
    else:
        leg = rng.integers(4)
        a, b = rng.choice(3, 2, replace=False)
        names[leg, [a, b]] = names[leg, [b, a]]
    changed = names.ravel() != np.array(bundle.joint_names)
    return replace(bundle, joint_names=tuple(map(str, names.ravel()))), float(changed.sum())


def _period(bundle: Bundle, rng: np.random.Generator) -> tuple[Bundle, float]:
    period = float(rng.choice([0.025, 0.03, 0.035, 0.04]))
    return replace(bundle, control_dt=period), 1e3 * period

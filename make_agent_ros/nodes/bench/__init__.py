"""Benchmarks that need real processes: the nodes against the simulated robot.

`controller` times the loop beside the loop of field scripts; `faults`, `kills` and `soak` run the
graph of `deploy` and judge it from the wire (`rig`, `tap`, `window`).
"""

from __future__ import annotations

HIDDEN = (128, 128)
"""Layers of the policy that both loops run."""


class BenchError(RuntimeError):
    """A measurement could not be made; the message says why and what to do."""

"""Benchmarks that need real processes: the controller node against the simulated robot.

Each part is a process of its own that answers JSON lines; `controller.run_bench` conducts them.
"""

from __future__ import annotations

HIDDEN = (128, 128)
"""Layers of the policy that both loops run."""

"""Show a Unitree Go2 a way of moving; get a neural policy that moves that way."""

from __future__ import annotations

__version__ = '0.1.0'

"""`make-agent demo`: record a gait on a simulated Go2, generate a policy for it, walk it, compare.

Real node processes over real DDS; this room only plays the operator and measures.
"""

from __future__ import annotations

from make_agent_ros.demo.run import run_demo

__all__ = ['run_demo']

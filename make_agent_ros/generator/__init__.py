"""From a trajectory to the weights of a policy: embedding, weight codec, latent flow, sampling.

Make-An-Agent (arXiv 2407.10973) for a quadruped; `model.py` has the table of its symbols.
"""

from __future__ import annotations

from make_agent_ros.generator.model import Generator, NovelPromptError

__all__ = ['Generator', 'NovelPromptError']

"""What the generator is measured against: other ways from a prompt to a policy.

`make(name)` gives a `Method`: `fit` it to a zoo and its prompts, then ask for `bundles`.
"""

from __future__ import annotations

from make_agent_ros.training.baselines.cloning import Cloning, CloningConfig
from make_agent_ros.training.baselines.conditioned import Conditioned, ConditionedConfig
from make_agent_ros.training.baselines.fitting import BaselineError, FitConfig, FitLog
from make_agent_ros.training.baselines.method import Method, fit_once
from make_agent_ros.training.baselines.nearest import BasePolicy, Nearest
from make_agent_ros.training.baselines.official import Official, OfficialConfig, time_sampling
from make_agent_ros.training.baselines.registry import NAMES, make

__all__ = [
    'NAMES', 'BasePolicy', 'BaselineError', 'Cloning', 'CloningConfig', 'Conditioned',
    'ConditionedConfig', 'FitConfig', 'FitLog', 'Method', 'Nearest', 'Official',
    'OfficialConfig', 'fit_once', 'make', 'time_sampling',
]  # fmt: skip

"""What is shipped must stay as good as it is: the quick benchmark of quality, with its limits.

`make-agent bench quality --quick` measures the same; the limits leave room for the platform's
rounding, not for a worse generator. Raise them when a better one is shipped.
"""

from __future__ import annotations

import pytest

from make_agent_ros.training.bench import run_quality

FLOORS = {
    'first_sample_survival.interpolation.first_sample': 0.96,
    'walks_rollouts.interpolation.teacher': 0.95,
    'walks_rollouts.interpolation.regression': 0.95,
    'walks_rollouts.interpolation.first_sample': 0.95,
    'walks_rollouts.interpolation.best_of_16': 0.96,
    'qualified_rollouts.interpolation.teacher': 0.88,
    'qualified_rollouts.interpolation.regression': 0.90,
    'qualified_rollouts.interpolation.first_sample': 0.87,
    'qualified_rollouts.interpolation.best_of_16': 0.91,
    'prompt_swap.interpolation': 0.95,
}


@pytest.fixture(scope='module')
def figures():
    return run_quality(['--quick'])


@pytest.mark.parametrize('name', FLOORS)
def test_the_shipped_generator_is_as_good_as_its_model_card_says(figures, name):
    assert figures[name] >= FLOORS[name], {k: round(figures[k], 3) for k in FLOORS}

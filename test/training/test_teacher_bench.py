"""The bench of the teacher: groups that cover the space, and figures that tell a fall."""

from __future__ import annotations

import numpy as np

from make_agent_ros.training.teacher import Teacher
from make_agent_ros.training.teacher_bench import TeacherBench, bench_teacher


class _Constant(Teacher):
    """A teacher that adds the same to every action."""

    def __init__(self, value):
        self.value = value

    def residual(self, obs):
        return np.full((len(obs), 12), self.value)


def test_falls_are_told_by_gait_and_by_demand():
    config = TeacherBench(styles=24, worlds=1, seconds=11.0, push_m_s=0.0)
    figures = bench_teacher(_Constant(4.0), config)  # 1 rad off: no leg can stand like that
    assert figures['walks.all'] == 24
    assert figures['falls.all'] > 0.9
    assert figures['falls.all.low'] < figures['falls.all'] <= figures['falls.all.high'] <= 1.0
    bins = [figures[k] for k in figures if k.startswith('walks.demand')]
    assert sum(bins) == figures['walks.all']
    gaits = ('anywhere', 'trot', 'pace', 'bound', 'pronk', 'walk', 'canter')
    assert sum(figures[f'walks.{name}'] for name in gaits) == figures['walks.all']

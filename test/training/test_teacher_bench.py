"""The bench of the teacher: groups that cover the space, and figures that tell a fall."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np

from make_agent_ros.resources import resource_path
from make_agent_ros.training.behaviour import GAITS, BehaviourSet, demand_share, sample_styles
from make_agent_ros.training.oracle import teacher_rollout
from make_agent_ros.training.teacher import Teacher
from make_agent_ros.training.teacher_bench import TeacherBench, bench_teacher, unsteady_walks


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
    bins = [figures[k] for k in figures if k.startswith('walks.toppling')]
    assert sum(bins) == figures['walks.all']
    bins = [figures[k] for k in figures if k.startswith('walks.stance')]
    assert figures['walks.feasible'] <= sum(bins) <= figures['walks.all']
    gaits = ('anywhere', 'trot', 'pace', 'bound', 'pronk', 'walk', 'canter')
    assert sum(figures[f'walks.{name}'] for name in gaits) == figures['walks.all']


def test_a_walk_is_unsteady_whose_legs_step_otherwise_than_in_other_worlds():
    gaits = np.array([list(GAITS).index('trot'), list(GAITS).index('pace')])
    rng = np.random.default_rng(0)
    styles = sample_styles(rng, 2, gaits, np.full(2, 0.6), lambda s: demand_share(s) < 0.4)
    behaviours = BehaviourSet(styles, np.array([[0.3, 0.0, 0.0]] * 2))
    teacher = Teacher.load(resource_path('models/teacher'))
    log = teacher_rollout(teacher, behaviours, worlds=4, seconds=10.0, seed=3)
    assert not log.fell.any()
    assert not unsteady_walks(log).any()
    swapped = {
        f.name: np.concatenate((value[:, :3], value[::-1, 3:]), axis=1)
        for f in fields(log)
        if isinstance(value := getattr(log, f.name), np.ndarray)
    }
    one_in_four = unsteady_walks(replace(log, **swapped))
    assert one_in_four[:, 3].all() and not one_in_four[:, :3].any()

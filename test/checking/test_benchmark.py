from __future__ import annotations

from make_agent_ros.checking.benchmark import bench_simulation


def test_the_batch_spends_most_of_its_time_in_the_physics_engine():
    figures = bench_simulation(robots=64, worlds=8, steps=10)
    assert figures['control_steps_per_s'] > 100.0
    # the target is 0.85 on a quiet machine; a busy one must not fail the suite
    assert figures['ratio_to_rollout'] > 0.5
    assert set(figures) >= {'rollout_steps_per_s', 'robots', 'threads'}

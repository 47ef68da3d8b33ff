"""`make-agent bench generator`: each side alone in a fresh process."""

from __future__ import annotations

from make_agent_ros.training.generator_bench import demonstration_prompt, models_mb, run_generator


def test_ours_is_timed_alone_and_needs_no_training_run():
    figures = run_generator(['--repeats', '1', '--official-repeats', '0', '--device', 'cpu'])
    assert 'ratio' not in figures
    assert 0.0 < figures['seconds_16'] <= figures['seconds_16_p95'] + 1e-9
    assert 50.0 < figures['peak_rss_mb'] <= figures['peak_rss_ranked_mb']
    assert 1e6 < figures['parameters'] < 1e7
    assert 1.0 < models_mb() == figures['models_mb'] < 20.0


def test_the_prompt_is_the_demonstration_walking():
    prompt = demonstration_prompt(seconds=2.0)
    assert prompt.joint_pos.shape == (100, 12)
    assert prompt.joint_pos.std(axis=0).max() > 0.05

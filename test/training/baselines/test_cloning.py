from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from make_agent_ros.policy.mlp import MlpBatch, MlpShape
from make_agent_ros.training.baselines import BaselineError, Cloning, CloningConfig, FitConfig
from make_agent_ros.training.baselines import cloning as module
from make_agent_ros.training.baselines.cloning import demonstrate, gait_clock, joint_targets
from make_agent_ros.training.zoo import POLICY_SHAPE

from .conftest import START_S
from .synthetic import marching

QUICK = CloningConfig(fit=FitConfig(60, learning_rate=2e-3, weight_decay=0.0, clip=float('inf')))


def test_torques_give_back_the_targets_that_the_controller_sent(walk):
    _, sent, prompt = walk
    free = np.abs(prompt.joint_torque) < 20.0  # at its limit a motor hides the rest
    assert free.mean() > 0.9
    np.testing.assert_allclose(joint_targets(prompt)[free], sent[free], atol=1e-4)


def test_the_policy_itself_explains_its_own_demonstration(walk, monkeypatch):
    """With the true clock, what was seen at t makes the policy do what is labelled at t."""
    bundle, _, prompt = walk
    hz = bundle.gait_frequency_hz
    true = hz * 0.02 * (round(START_S * 50) + 1 + np.arange(len(prompt)))
    monkeypatch.setattr(module, 'gait_clock', lambda _: (hz, true))
    shown = demonstrate(prompt, bundle.default_command)
    flat = MlpShape.flatten(bundle.layers)[None]
    done = MlpBatch(POLICY_SHAPE, flat)(shown.obs[None])[0]
    error = np.abs(done - shown.action)
    assert np.quantile(error, 0.9) < 0.01  # of actions with a spread of about 1
    late = np.abs(done[1:] - shown.action[:-1])
    assert np.median(late) > 20 * np.median(error)


@pytest.mark.parametrize(('duty', 'hz'), [(0.5, 2.5), (0.65, 1.7)])
def test_the_gait_clock_is_zero_where_the_first_leg_touches_down(duty, hz):
    frequency, phase = gait_clock(marching(hz, duty))
    assert frequency == pytest.approx(hz, rel=0.01)
    off = (phase - hz * np.arange(len(phase)) / 50.0 + 0.5) % 1.0 - 0.5
    assert (
        np.abs(off).max() < 0.08
    )  # of `swing` 8 mm and more, so the duty factor is a little high


def test_cloning_follows_the_prompt_better_the_longer_it_is_fitted(tiny, walk):
    bundle, _, prompt = walk
    for begin in ('scratch', 'base'):
        method = Cloning(begin, QUICK)
        method.fit(*tiny)
        made = method.bundles([prompt], bundle.default_command[None], seed=1)[0]
        (log,) = method.log.values()
        assert log.losses[0] > 0.0
        shown = demonstrate(prompt, bundle.default_command)
        flat = MlpShape.flatten(made.layers)[None]
        error = (MlpBatch(POLICY_SHAPE, flat)(shown.obs[None])[0] - shown.action).var(axis=0)
        assert error.mean() < 0.2 * shown.action.var(axis=0).mean()
        assert method.seconds_per_prompt > 0.0


def test_prompts_of_different_lengths_are_cloned_side_by_side_as_alone(tiny, prompt):
    """Policies share a batch, not a gradient."""
    method = Cloning('base', QUICK)
    method.fit(*tiny)
    velocity = np.tile([0.5, 0.0, 0.0], (2, 1))
    short = prompt.rows(slice(0, 100))
    a = method.bundles([prompt, short], velocity, seed=3)
    b = method.bundles([prompt, prompt], velocity, seed=3)
    np.testing.assert_allclose(a[0].layers[0][0], b[0].layers[0][0], atol=1e-5)
    assert a[0].provenance['prompt_sha256'] == prompt.digest() != short.digest()


def test_the_same_seed_clones_the_same_policy(tiny, prompt):
    velocity = np.array([[0.5, 0.0, 0.0]])
    made = [Cloning('scratch', QUICK).bundles([prompt], velocity, seed=s)[0] for s in (1, 1, 2)]
    weights = [MlpShape.flatten(b.layers) for b in made]
    np.testing.assert_array_equal(weights[0], weights[1])
    assert np.abs(weights[0] - weights[2]).max() > 0.01


def test_a_log_without_torques_and_one_at_another_rate_are_refused(prompt):
    velocity = np.zeros((1, 3))
    silent = replace(prompt, joint_torque=np.zeros((len(prompt), 12)))
    with pytest.raises(BaselineError, match=r'no joint torques.*tau_est'):
        Cloning('scratch', QUICK).bundles([silent], velocity)
    fast = replace(prompt, time_s=prompt.time_s / 4.0)
    with pytest.raises(ValueError, match=r'\d+\.\d samples per second.*resample'):
        Cloning('scratch', QUICK).bundles([fast], velocity)
    with pytest.raises(BaselineError, match='not fitted'):
        Cloning('base', QUICK).bundles([prompt], velocity)
    with pytest.raises(BaselineError, match='one row vx, vy, wz per prompt'):
        Cloning('scratch', QUICK).bundles([prompt], np.zeros(3))

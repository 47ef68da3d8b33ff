"""What physics asks of a gait, against cases with known answers."""

from __future__ import annotations

import numpy as np
import pytest

from make_agent_ros.simulation.model import load_model
from make_agent_ros.training.behaviour import GAITS
from make_agent_ros.training.demand import (
    GRAVITY_M_S2,
    INERTIA_KG_M2,
    MASS_KG,
    SAMPLES,
    demand_of,
    support_loads,
)


def of(name, frequency_hz=2.0, duty=0.5, width_m=0.28):
    return demand_of(
        np.array([GAITS[name]]), np.full((1, 4), duty), np.array([frequency_hz]),
        np.array([width_m]),
    )  # fmt: skip


def test_the_legs_carry_the_weight_on_average():
    rng = np.random.default_rng(0)
    load = support_loads(rng.random((50, 4)), rng.uniform(0.35, 0.8, (50, 4)))
    assert load.shape == (50, SAMPLES, 4)
    np.testing.assert_allclose(load.mean(axis=1).sum(axis=1), 1.0, atol=1e-9)


def test_a_trot_asks_for_next_to_nothing_a_pace_to_roll_a_bound_to_pitch_a_pronk_to_leap():
    trot, pace, bound, pronk = (of(n) for n in ('trot', 'pace', 'bound', 'pronk'))
    assert max(trot.roll_rad[0], trot.pitch_rad[0]) < 1e-6
    assert pace.roll_rad[0] > 1.0 > 1e-6 > pace.pitch_rad[0]
    assert bound.pitch_rad[0] > 0.5 > 1e-6 > bound.roll_rad[0]
    assert pronk.bounce_m[0] > 5 * max(d.bounce_m[0] for d in (trot, pace, bound))
    assert trot.leaping[0] == pace.leaping[0] == 0.0
    assert bound.leaping[0] == pronk.leaping[0] == 1.0


def test_a_pronk_leaps_as_high_as_a_ball_of_its_flight_time():
    # All feet up for 1 - duty: g t^2 / 8 of free flight, the rest while the legs push.
    frequency, duty = 2.0, 0.5
    flight = GRAVITY_M_S2 * ((1 - duty) / frequency) ** 2 / 8
    push = flight  # at 2 g its mirror image; a little more, as legs load up gradually
    assert of('pronk', frequency, duty).bounce_m[0] == pytest.approx(flight + push, rel=0.15)


def test_demand_falls_with_the_square_of_the_frequency_and_grows_with_the_width():
    slow, fast = of('pace', 1.5), of('pace', 3.0)
    assert slow.roll_rad[0] == pytest.approx(4.0 * fast.roll_rad[0])
    wide = of('pace', 3.0, width_m=0.35)
    assert wide.roll_rad[0] == pytest.approx(1.25 * fast.roll_rad[0])


def test_mass_and_inertia_are_those_of_the_robot():
    mujoco = pytest.importorskip('mujoco')
    from make_agent_ros.go2.constants import NOMINAL_JOINT_POS

    model = load_model()
    data = mujoco.MjData(model)
    data.qpos[2:7], data.qpos[7:] = (0.3, 1.0, 0.0, 0.0, 0.0), NOMINAL_JOINT_POS
    mujoco.mj_forward(model, data)
    inertia = np.zeros((3, 3))
    for body in range(1, model.nbody):
        turn = data.ximat[body].reshape(3, 3)
        arm = data.xipos[body] - data.subtree_com[1]
        inertia += turn @ np.diag(model.body_inertia[body]) @ turn.T
        inertia += model.body_mass[body] * (arm @ arm * np.eye(3) - np.outer(arm, arm))
    np.testing.assert_allclose(np.diag(inertia)[:2], INERTIA_KG_M2, rtol=0.01)
    assert model.body_mass.sum() == pytest.approx(MASS_KG, rel=0.002)

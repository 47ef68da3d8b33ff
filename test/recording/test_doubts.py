"""Which recordings are refused as prompts, and with which reason.

The good one is a shipped policy that walks in simulation; what is done to it is what happens to
recordings on the way from a robot.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from make_agent_ros.go2.constants import JOINT_NAMES, NOMINAL_JOINT_POS
from make_agent_ros.policy.bundle import load
from make_agent_ros.recording.checks import ground_slope
from make_agent_ros.recording.doubts import OddPromptError, examine, require_plausible
from make_agent_ros.recording.errors import RecordingError
from make_agent_ros.recording.familiar import (
    FEATURES,
    SHARES,
    FamiliarWalks,
    shipped_walks,
    walks_beside,
)
from make_agent_ros.recording.loads import lift_of_feet
from make_agent_ros.recording.prompt import cut_prompt
from make_agent_ros.resources import resource_path
from make_agent_ros.simulation.model import WorldRanges, randomised_worlds
from make_agent_ros.simulation.rollout import rollout
from make_agent_ros.training.walks import Walks

from .synthetic import Walk, make_walk, quaternion

GAITS = ('trot', 'pace', 'bound')


@pytest.fixture(scope='module')
def recordings():
    """6 s of three shipped policies, as a robot would record them."""
    bundles = [load(resource_path(f'models/{name}.onnx')) for name in GAITS]
    worlds = randomised_worlds(1, 0, WorldRanges.nominal())
    log = rollout(bundles, worlds, np.tile([0.4, 0.0, 0.1], (len(bundles), 1)), 7.0, seed=1)
    return dict(zip(GAITS, Walks.from_log(log).after(1.5).recordings(), strict=True))


@pytest.fixture(scope='module')
def trot(recordings):
    return cut_prompt(recordings['trot'])


@pytest.fixture(scope='module')
def walks():
    found = shipped_walks()
    assert found is not None
    return found


def legs(prompt, order):
    index = np.concatenate([3 * leg + np.arange(3) for leg in order])
    return replace(
        prompt, joint_pos=prompt.joint_pos[:, index], joint_vel=prompt.joint_vel[:, index]
    )


def turned(prompt, *joints):
    sign = np.ones(12)
    sign[[JOINT_NAMES.index(joint) for joint in joints]] = -1.0
    return replace(prompt, joint_pos=prompt.joint_pos * sign, joint_vel=prompt.joint_vel * sign)


def frozen(prompt, joint):
    pos, vel = prompt.joint_pos.copy(), prompt.joint_vel.copy()
    pos[:, joint], vel[:, joint] = pos[0, joint], 0.0
    return replace(prompt, joint_pos=pos, joint_vel=vel)


def held_up(prompt):
    level = np.tile([1.0, 0.0, 0.0, 0.0], (len(prompt), 1))
    return replace(prompt, quat_wxyz=level, base_ang_vel=np.zeros((len(prompt), 3)))


HIPS = [f'{leg}_hip_joint' for leg in ('FL', 'FR', 'RL', 'RR')]
ODD = {
    'legs in SDK order': (lambda p: legs(p, (1, 0, 3, 2)), 'wiring', 'map the joints by name'),
    'front and rear swapped': (lambda p: legs(p, (2, 3, 0, 1)), 'wiring', 'another order'),
    'hips the other way round': (lambda p: turned(p, *HIPS), 'wiring', 'hip joints'),
    'calf counted positive': (lambda p: turned(p, 'FL_calf_joint'), 'joint range', 'FL_calf'),
    'gyroscope turned': (lambda p: replace(p, base_ang_vel=-p.base_ang_vel), 'gyroscope', 'signs'),
    'xyzw for wxyz': (
        lambda p: replace(p, quat_wxyz=p.quat_wxyz[:, [1, 2, 3, 0]]), 'wiring', 'x y z w'
    ),
    'degrees per second': (
        lambda p: replace(p, joint_vel=np.rad2deg(p.joint_vel)), 'joint velocities', 'other units'
    ),
    'stuck encoder': (lambda p: frozen(p, 4), 'stuck joint', 'FR_thigh_joint'),
    'stuck leg': (lambda p: frozen(p, [6, 7, 8]), 'still leg', 'leg RL'),
    'legs move in the air': (held_up, 'trunk at rest', 'hangs'),
    'standing': (
        lambda p: replace(p, joint_pos=np.tile(NOMINAL_JOINT_POS, (len(p), 1))), 'standing',
        'the robot stands',
    ),
    'noise': (
        lambda p: replace(
            p, joint_pos=p.joint_pos + np.random.default_rng(0).normal(0.0, 0.5, (len(p), 12))
        ),
        'aperiodic', 'repeats',
    ),
}  # fmt: skip


@pytest.mark.parametrize('gait', GAITS)
def test_walk_of_a_policy_is_taken(recordings, walks, gait):
    examination = require_plausible(cut_prompt(recordings[gait]), walks)
    assert 0.0 < examination.score <= 1.0 and examination.doubts == ()
    assert 0.0 < examination.rarity <= 1.0
    assert 'nearest to a doubt' in examination.sentence


@pytest.mark.parametrize('name', ODD)
def test_odd_prompt_is_refused_for_its_reason(trot, walks, name):
    change, kind, words = ODD[name]
    odd = replace(change(trot), source='mine.mcap')
    with pytest.raises(OddPromptError) as caught:
        require_plausible(odd, walks)
    doubts = {doubt.kind: doubt.sentence for doubt in caught.value.examination.doubts}
    assert words in doubts[kind]
    message = str(caught.value)
    assert message.startswith('mine.mcap: score ') and 'refused above 1' in message


def test_faults_that_a_symmetric_gait_does_not_tell_apart_are_both_named(trot, walks):
    for change in (lambda p: legs(p, (1, 0, 3, 2)), lambda p: turned(p, *HIPS)):
        with pytest.raises(OddPromptError) as caught:
            require_plausible(change(trot), walks)
        [wiring] = [d for d in caught.value.examination.doubts if d.kind == 'wiring']
        assert 'map the joints by name' in wiring.sentence and 'hip joints' in wiring.sentence
        assert 'front hips' not in wiring.sentence and wiring.sentence.count('; or, ') == 1


@pytest.mark.parametrize(('swing_m', 'drags'), [(0.0, True), (0.003, True), (0.02, False)])
def test_leg_that_never_steps_is_refused_and_one_that_steps_low_is_not(swing_m, drags):
    swing = np.array([0.06, 0.06, swing_m, 0.06])
    prompt, _ = make_walk(Walk(vx=0.4, pitch_sway=0.03, swing_m=swing), 4.0, noise_rad=0.003)
    np.testing.assert_allclose(lift_of_feet(prompt), swing, atol=0.006)
    told = {doubt.kind: doubt.sentence for doubt in examine(prompt).doubts}
    assert ('dragging foot' in told) == drags
    if drags:
        assert 'foot RL leaves the ground by' in told['dragging foot']


def test_policies_of_all_gaits_lift_their_feet_by_joints_and_by_torques(recordings):
    for recording in recordings.values():
        prompt = cut_prompt(recording)
        without = replace(prompt, joint_torque=np.zeros_like(prompt.joint_torque))
        assert lift_of_feet(prompt).min() > 0.02 < lift_of_feet(without).min()


def test_several_prompts_are_judged_by_the_oddest(trot, walks):
    assert require_plausible([trot, trot], walks).score == examine(trot, walks).score
    with pytest.raises(OddPromptError, match='other units'):
        require_plausible([trot, ODD['degrees per second'][0](trot)], walks)


def test_without_statistics_the_sensors_are_still_compared(trot):
    examination = examine(trot)
    assert {'wiring', 'unfamiliar'}.isdisjoint(check.kind for check in examination.checks)
    assert np.isnan(examination.rarity) and examination.doubts == ()
    assert examine(legs(trot, (1, 0, 3, 2))).doubts == ()  # this takes the statistics
    assert examine(held_up(trot)).doubts[0].kind == 'trunk at rest'


@pytest.mark.parametrize('tilt', [(0.0, 0.2), (0.15, 0.0), (-0.1, 0.1)])
def test_slope_is_measured_whatever_the_trunk_does(tilt):
    """A robot that walks parallel to a slope has the same joint angles, and a turned attitude."""
    roll, pitch = tilt
    walk, _ = make_walk(Walk(vx=0.4, pitch_sway=0.03), 4.0, noise_rad=0.003)
    turn = quaternion(roll, pitch, 0.0)
    w, x, y, z = walk.quat_wxyz.T
    a, b, c, d = turn
    quat = np.stack(
        (a * w - b * x - c * y - d * z, a * x + b * w + c * z - d * y,
         a * y - b * z + c * w + d * x, a * z + b * y - c * x + d * w), axis=1,
    )  # fmt: skip
    from make_agent_ros.go2.state import projected_gravity

    slope = ground_slope(walk.joint_pos, projected_gravity(quat))
    np.testing.assert_allclose(slope, (-pitch, roll), atol=0.03)


def test_rarity_is_the_share_of_walks_beyond(walks):
    rarity = [walks.rarity(score) for score in np.linspace(0.0, walks.scores[-1], 30)]
    assert rarity == sorted(rarity, reverse=True)
    assert rarity[0] == 1.0 and rarity[-1] == pytest.approx(SHARES[-1])
    assert walks.rarity(walks.scores[-1] + 0.01) == 0.0
    # what is refused is rare among good walks
    assert walks.rarity(1.0) < 0.03


def test_statistics_survive_a_file_and_damage_is_told(walks, tmp_path):
    walks.save(tmp_path / 'walks.npz')
    again = walks_beside(tmp_path / 'generator')
    features = np.random.default_rng(0).normal(size=(5, FEATURES)) * walks.scale
    np.testing.assert_allclose(again.distance(features), walks.distance(features), rtol=1e-5)
    assert walks_beside(tmp_path / 'elsewhere' / 'generator') is None
    replace(walks, mean=walks.mean[:, :10]).save(tmp_path / 'short.npz')
    with pytest.raises(RecordingError, match='train familiar'):
        FamiliarWalks.load(tmp_path / 'short.npz')
    np.savez(tmp_path / 'other.npz', scale=np.ones(FEATURES))
    with pytest.raises(RecordingError, match='lacks mean'):
        FamiliarWalks.load(tmp_path / 'other.npz')

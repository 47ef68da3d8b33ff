"""Recordings that must be refused: mix-ups, other robots, no walk, other ground, other gaits.

Each kind is made from walks of held-out policies or simulated on its own, so that everything else
about the recording is as it should be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import mujoco
import numpy as np

from make_agent_ros.generator.embedding import RATE_HZ
from make_agent_ros.go2.constants import NOMINAL_JOINT_POS
from make_agent_ros.go2.kinematics import foot_positions, joint_positions
from make_agent_ros.policy.bundle import Bundle
from make_agent_ros.recording.trajectory import Trajectory
from make_agent_ros.simulation.batch import SensorNoise
from make_agent_ros.simulation.model import randomised_worlds, robot_spec
from make_agent_ros.simulation.rollout import rollout
from make_agent_ros.training.behaviour import BehaviourSet
from make_agent_ros.training.prompts import SETTLE_S
from make_agent_ros.training.scripted import scripted_walks
from make_agent_ros.training.walks import MAX_TILT_RAD, Walks

Change = Callable[[Trajectory, np.random.Generator], Trajectory]

LEG_ORDERS: dict[str, tuple[int, int, int, int]] = {
    'legs_sdk_order': (1, 0, 3, 2),
    'legs_front_rear': (2, 3, 0, 1),
    'legs_front_pair': (1, 0, 2, 3),
    'legs_rear_pair': (0, 1, 3, 2),
    'legs_left_pair': (2, 1, 0, 3),
    'legs_diagonal': (3, 2, 1, 0),
    'legs_cyclic': (1, 3, 0, 2),
}
"""Which leg's data come under the names FL, FR, RL, RR; the SDK sends FR, FL, RR, RL."""


@dataclass(frozen=True)
class OddSources:
    """What the odd recordings are made from."""

    walks: Sequence[Trajectory]
    """Recordings of held-out styles that are fine themselves."""
    bundles: Sequence[Bundle]
    """Held-out policies."""
    behaviours: BehaviourSet
    """Of the policies."""
    known: BehaviourSet
    """The training side."""
    seconds: float
    """Length of a recording."""
    seed: int


def _joints(prompt: Trajectory, index: np.ndarray, sign: np.ndarray | None = None) -> Trajectory:
    sign = np.ones(12) if sign is None else sign
    names = ('joint_pos', 'joint_vel', 'joint_torque')
    return replace(prompt, **{n: getattr(prompt, n)[:, index] * sign for n in names})


def _leg_order(order: tuple[int, ...]) -> Change:
    index = np.concatenate([3 * leg + np.arange(3) for leg in order])
    return lambda prompt, rng: _joints(prompt, index)


def _sign(joints: Sequence[int]) -> Change:
    sign = np.ones(12)
    sign[list(joints)] = -1.0
    return lambda prompt, rng: _joints(prompt, np.arange(12), sign)


def _imu_turned(prompt: Trajectory, rng: np.random.Generator) -> Trajectory:
    """An IMU mounted a quarter turn to the left: x of the sensor is y of the body."""
    w, x, y, z = prompt.quat_wxyz.T
    c = np.sqrt(0.5)
    quat = c * np.stack((w - z, x + y, y - x, z + w), axis=1)
    wx, wy, wz = prompt.base_ang_vel.T
    return replace(prompt, quat_wxyz=quat, base_ang_vel=np.stack((wy, -wx, wz), axis=1))


def _frozen(count: int) -> Change:
    """Encoders that repeat one value: of one joint, or of one leg."""

    def change(prompt: Trajectory, rng: np.random.Generator) -> Trajectory:
        stuck = rng.integers(12) if count == 1 else 3 * rng.integers(4) + np.arange(3)
        pos, vel = prompt.joint_pos.copy(), prompt.joint_vel.copy()
        pos[:, stuck], vel[:, stuck] = pos[0, stuck], 0.0
        return replace(prompt, joint_pos=pos, joint_vel=vel)

    return change


def _held_up(prompt: Trajectory, rng: np.random.Generator) -> Trajectory:
    """The legs of a walk, the trunk on a stand: what moving the legs in the air shows."""
    usual, steps = SensorNoise(), len(prompt)
    sway = 0.01 * _smooth(rng, steps, 3, 0.5)
    quat = np.concatenate((np.ones((steps, 1)), 0.5 * sway), axis=1)
    return replace(
        prompt,
        quat_wxyz=quat / np.linalg.norm(quat, axis=1, keepdims=True),
        base_ang_vel=np.gradient(sway, 1.0 / RATE_HZ, axis=0)
        + rng.uniform(-usual.gyro_rad_s, usual.gyro_rad_s, (steps, 3)),
        joint_torque=np.zeros((steps, 12)),
    )


def _smooth(rng: np.random.Generator, steps: int, columns: int, fastest_hz: float) -> np.ndarray:
    """Random smooth motion of unit size, (steps, columns)."""
    time = np.arange(steps)[:, None, None] / RATE_HZ
    frequency = rng.uniform(0.1, fastest_hz, (6, columns))
    phase = rng.uniform(0.0, 2.0 * np.pi, (6, columns))
    return np.asarray(np.sin(2.0 * np.pi * frequency * time + phase).sum(axis=1) / np.sqrt(3.0))


def _hand_guided(prompt: Trajectory, rng: np.random.Generator) -> Trajectory:
    joint_pos = NOMINAL_JOINT_POS + 0.2 * _smooth(rng, len(prompt), 12, 1.5)
    velocity = np.gradient(joint_pos, 1.0 / RATE_HZ, axis=0)
    return replace(_held_up(prompt, rng), joint_pos=joint_pos, joint_vel=velocity)


def _white(prompt: Trajectory, rng: np.random.Generator) -> Trajectory:
    shape = prompt.joint_pos.shape
    return replace(
        prompt,
        joint_pos=NOMINAL_JOINT_POS + 0.2 * rng.standard_normal(shape),
        joint_vel=3.0 * rng.standard_normal(shape),
    )


def _standing(prompt: Trajectory, rng: np.random.Generator) -> Trajectory:
    usual, shape = SensorNoise(), prompt.joint_pos.shape
    pose = NOMINAL_JOINT_POS + rng.uniform(-0.1, 0.1, 12)
    sway = 0.01 * _smooth(rng, len(prompt), 12, 1.0)
    return replace(
        _held_up(prompt, rng),
        joint_pos=pose + sway + rng.uniform(-usual.joint_pos_rad, usual.joint_pos_rad, shape),
        joint_vel=rng.uniform(-usual.joint_vel_rad_s, usual.joint_vel_rad_s, shape),
    )


def _slower(prompt: Trajectory, factor: float) -> Trajectory:
    """Play a recording more slowly and sample it at the same rate."""
    at = np.arange(len(prompt)) / factor
    low = at.astype(int)
    part = (at - low)[:, None]
    high = np.minimum(low + 1, len(prompt) - 1)
    names = ('quat_wxyz', 'base_ang_vel', 'joint_pos', 'joint_vel', 'joint_torque')
    mixed = {
        n: (1.0 - part) * getattr(prompt, n)[low] + part * getattr(prompt, n)[high] for n in names
    }
    mixed['quat_wxyz'] /= np.linalg.norm(mixed['quat_wxyz'], axis=1, keepdims=True)
    for name in ('base_ang_vel', 'joint_vel'):
        mixed[name] = mixed[name] / factor
    return replace(prompt, **mixed)


def _larger_robot(prompt: Trajectory, rng: np.random.Generator) -> Trajectory:
    """A B2 (0.35 m links) that moves alike: the same angles, slower by the root of the scale."""
    return _slower(prompt, float(np.sqrt(0.35 / 0.213)))


def _mini_cheetah(prompt: Trajectory, rng: np.random.Generator) -> Trajectory:
    """Thigh and calf count the other way round, as on MIT's Mini Cheetah."""
    return _sign([j for j in range(12) if j % 3])(prompt, rng)


def _rear_knees_forward(prompt: Trajectory, rng: np.random.Generator) -> Trajectory:
    """Rear knees that bend the other way, as on ANYmal: feet where they were."""
    pos, vel = prompt.joint_pos.copy(), prompt.joint_vel.copy()
    for leg in (2, 3):
        thigh, calf = 3 * leg + 1, 3 * leg + 2
        # equal links: the mirrored knee has the thigh at thigh + calf and the calf at -calf
        for values in (pos, vel):
            values[:, thigh] += values[:, calf]
            values[:, calf] *= -1.0
    return replace(prompt, joint_pos=pos, joint_vel=vel)


def _splayed(prompt: Trajectory, rng: np.random.Generator) -> Trajectory:
    """A wide robot of the same size: feet 12 cm further out, the legs turned outwards."""
    feet = foot_positions(prompt.joint_pos)
    feet[..., 1] += 0.12 * np.array([1.0, -1.0, 1.0, -1.0])
    feet[..., 2] *= 0.8
    pos = joint_positions(feet)
    return replace(prompt, joint_pos=pos, joint_vel=np.gradient(pos, 1.0 / RATE_HZ, axis=0))


CHANGES: dict[str, Change] = {
    **{name: _leg_order(order) for name, order in LEG_ORDERS.items()},
    'sign_hips': _sign((0, 3, 6, 9)),
    'sign_right_hips': _sign((3, 9)),
    'sign_one_thigh': _sign((4,)),
    'gyro_sign': lambda p, rng: replace(p, base_ang_vel=-p.base_ang_vel),
    'attitude_inverse': lambda p, rng: replace(p, quat_wxyz=p.quat_wxyz * [1, -1, -1, -1]),
    'attitude_xyzw': lambda p, rng: replace(p, quat_wxyz=p.quat_wxyz[:, [1, 2, 3, 0]]),
    'imu_turned': _imu_turned,
    'joint_frozen': _frozen(1),
    'leg_frozen': _frozen(3),
    'held_up_legs_walk': _held_up,
    'hand_guided': _hand_guided,
    'white_noise': _white,
    'standing': _standing,
    'robot_mini_cheetah': _mini_cheetah,
    'robot_rear_knees_forward': _rear_knees_forward,
    'robot_splayed': _splayed,
    'robot_b2': _larger_robot,
}
"""Kinds that are made from a recording which is fine itself."""


def _ground_models(kind: str, rng: np.random.Generator) -> mujoco.MjModel:
    """The feet-only Go2 on a slope or before stairs."""
    spec = robot_spec(feet_only=True)
    if kind.startswith('slope'):
        half, heading = np.deg2rad(12.0) / 2.0, rng.uniform(-np.pi, np.pi)
        axis = np.sin(half) * np.array([np.cos(heading), np.sin(heading), 0.0])
        spec.geom('floor').quat = [np.cos(half), *axis]
    else:
        for i in range(40):
            rise, run, first = 0.06, 0.28, 0.5
            spec.worldbody.add_geom(
                type=mujoco.mjtGeom.mjGEOM_BOX,
                size=[run / 2.0, 3.0, rise * (i + 1) / 2.0],
                pos=[first + run * (i + 0.5), 0.0, rise * (i + 1) / 2.0],
                contype=1, conaffinity=0, condim=3,
            )  # fmt: skip
    return spec.compile()


def on_ground(sources: OddSources, kind: str) -> list[Trajectory]:
    """Walk held-out policies on a slope of 12 degrees or up stairs of 6 cm; falls stay in."""
    rng = np.random.default_rng([sources.seed, 61])
    parts = []
    for i, bundle in enumerate(sources.bundles):
        worlds = randomised_worlds(1, sources.seed + i, base=_ground_models(kind, rng))
        command = sources.behaviours.default_command[i : i + 1]
        log = rollout([bundle], worlds, command, SETTLE_S + sources.seconds, seed=i)
        parts.append(Walks.from_log(log).after(SETTLE_S))
    return Walks.join(parts).recordings(seed=sources.seed)


def falling(sources: OddSources) -> list[Trajectory]:
    """Push held-out policies over: 1 s of walking, the fall, lying."""
    command = sources.behaviours.default_command
    worlds = randomised_worlds(1, sources.seed + 5)
    log = rollout(
        sources.bundles, worlds, command, 12.0, push_m_s=4.0, push_period_s=1.0,
        seed=sources.seed,
    )  # fmt: skip
    walks = Walks.from_log(log)
    found = []
    for i in np.flatnonzero((walks.tilt_rad > MAX_TILT_RAD).any(axis=1)):
        fall = int(np.argmax(walks.tilt_rad[i] > MAX_TILT_RAD))
        first = max(0, fall - round(1.0 * RATE_HZ))
        part = walks[np.array([i])].after(first / RATE_HZ)
        steps = min(round(sources.seconds * RATE_HZ), part.joint_pos.shape[1])
        found.append(part.recordings(seed=sources.seed + int(i))[0].rows(slice(0, steps)))
    return found


OUTSIDE = ('frequency_high', 'frequency_low', 'gait_walk', 'body_low')
"""Kinds that are a Go2's walk, but unlike every style of training."""
NEAR_CYCLES = 0.12
"""Phases this close to a style of training are that style's."""


def outside_gaits(sources: OddSources) -> dict[str, list[Trajectory]]:
    """Scripted gaits that no style of training has; those that stay up for the recording.

    A wider training set moves them outwards, and leaves the walk out where it has it itself.
    """
    styles, known = sources.behaviours.styles, sources.known.styles
    n = len(styles)
    rng = np.random.default_rng([sources.seed, 71])
    command = np.stack((rng.uniform(0.2, 0.5, n), np.zeros(n), rng.uniform(-0.3, 0.3, n)), axis=-1)
    slow = np.full_like(styles.duty, 0.75)
    walk = np.tile([0.0, 0.5, 0.75, 0.25], (n, 1))
    high, low = 1.3 * known.frequency_hz.max(), 0.7 * known.frequency_hz.min()
    made = {
        'frequency_high': replace(styles, frequency_hz=high * rng.uniform(1.0, 1.2, n)),
        'frequency_low': replace(styles, frequency_hz=low * rng.uniform(0.9, 1.0, n), duty=slow),
        'gait_walk': replace(
            styles, offsets=walk, duty=slow, frequency_hz=rng.uniform(1.5, 2.5, n)
        ),
        'body_low': replace(styles, body_height_m=np.full(n, known.body_height_m.min() - 0.05)),
    }
    away = np.abs((known.offsets - walk[:1] + 0.5) % 1.0 - 0.5).max(axis=1)
    if (away < NEAR_CYCLES).any():
        del made['gait_walk']
    found = {}
    for k, (name, style) in enumerate(made.items()):
        walks = scripted_walks(style, command, 1.0 + sources.seconds, sources.seed + 3 * k)
        found[name] = walks.steady(1.0).recordings(seed=sources.seed + k)
    return found


def odd_recordings(
    sources: OddSources, progress: Callable[[str], None] | None = None
) -> dict[str, list[Trajectory]]:
    """Make every kind of recording that must be refused."""
    say = progress or (lambda what: None)
    rng = np.random.default_rng([sources.seed, 81])
    found: dict[str, list[Trajectory]] = {}
    for name, change in CHANGES.items():
        found[name] = [change(walk, rng) for walk in sources.walks]
    say('mix-ups')
    found['falling'] = falling(sources)
    say('falls')
    for kind in ('slope', 'stairs'):
        found[kind] = on_ground(sources, kind)
        say(kind)
    found.update(outside_gaits(sources))
    say('other gaits')
    return found

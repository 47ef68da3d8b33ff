"""Robots at rest, by simulation, and how often the joint-order self-test sees through mix-ups.

`python test/control/resting.py [COUNT]` prints the table of `docs/field.md`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import mujoco
import numpy as np

from make_agent_ros.control.posture import KNOWN_POSES, MIX_UPS, MixUp, judge
from make_agent_ros.go2.constants import (
    JOINT_NAMES,
    LYING_JOINT_POS,
    NOMINAL_JOINT_POS,
    TORQUE_LIMIT_NM,
)
from make_agent_ros.go2.kinematics import foot_positions, joint_positions
from make_agent_ros.go2.state import roll_pitch
from make_agent_ros.simulation.robot import motor_model

GRAVITY = 9.81
ENCODER_RAD, ATTITUDE_RAD = 0.02, 0.01
"""Standard deviations of the errors added to every joint and to gravity's direction."""
SLOPE_RAD = 0.1
LAID_DOWN = next(pose.joint_pos for pose in KNOWN_POSES if pose.name == 'laid down')
KINDS = ('lying', 'lying on a slope', 'standing, tilted')


@dataclass(frozen=True)
class Rest:
    """A robot that lies or stands still."""

    joint_pos: np.ndarray
    gravity_b: np.ndarray

    @property
    def legs_under_it(self) -> bool:
        """Whether every thigh points forwards as on a robot that was laid down."""
        return bool((self.joint_pos[1::3] < 2.0).all())


class Ground:
    """Puts simulated robots down and waits until they rest."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.model = motor_model()
        self.data = mujoco.MjData(self.model)
        joints = [self.model.joint(name) for name in JOINT_NAMES]
        self.q = np.array([joint.qposadr[0] for joint in joints])
        self.v = np.array([joint.dofadr[0] for joint in joints])
        self.motors = np.array([self.model.actuator(name).id for name in JOINT_NAMES])

    def rest(self, kind: str) -> Rest | None:
        """One robot; None when it tipped over or has not come to rest."""
        rng = self.rng
        slope = rng.uniform(-SLOPE_RAD, SLOPE_RAD, 2) if kind == 'lying on a slope' else (0.0, 0.0)
        down = np.array([np.sin(slope[1]), -np.sin(slope[0]), 0.0])
        down[2] = -np.sqrt(1.0 - down @ down)
        self.model.opt.gravity[:] = GRAVITY * down
        mujoco.mj_resetData(self.model, self.data)
        if kind == 'standing, tilted':
            pose, stiffness, damping, seconds = self._standing(), 100.0, 5.0, 1.5
        else:
            start, height = (
                (LYING_JOINT_POS, 0.15), (LAID_DOWN, 0.15), (NOMINAL_JOINT_POS, 0.33)
            )[rng.integers(3)]  # fmt: skip
            pose = start + 0.15 * rng.standard_normal(12)
            stiffness, damping, seconds = 0.0, float(rng.choice([0.0, 3.0])), 2.5
            self.data.qpos[2] = height
        self.data.qpos[self.q] = pose
        for _ in range(round(seconds / self.model.opt.timestep)):
            torque = stiffness * (pose - self.data.qpos[self.q])
            torque -= damping * self.data.qvel[self.v]
            self.data.ctrl[self.motors] = np.clip(torque, -TORQUE_LIMIT_NM, TORQUE_LIMIT_NM)
            mujoco.mj_step(self.model, self.data)
        rotation = np.empty(9)
        mujoco.mju_quat2Mat(rotation, self.data.qpos[3:7])
        gravity_b = rotation.reshape(3, 3).T @ down
        tilt = max(abs(float(angle)) for angle in roll_pitch(gravity_b))
        if tilt > 0.5 or np.abs(self.data.qvel).max() > 0.2:
            return None
        gravity_b = gravity_b + ATTITUDE_RAD * rng.standard_normal(3)
        return Rest(
            self.data.qpos[self.q] + ENCODER_RAD * rng.standard_normal(12),
            gravity_b / np.linalg.norm(gravity_b),
        )

    def _standing(self) -> np.ndarray:
        """Level feet under a trunk that is higher or lower, rolled and pitched."""
        roll, pitch = 0.1 * self.rng.standard_normal(2)
        tilt = np.array([[1.0, 0.0, pitch], [0.0, 1.0, -roll], [-pitch, roll, 1.0]])
        feet = foot_positions(NOMINAL_JOINT_POS)
        feet[:, 2] += self.rng.uniform(-0.08, 0.04)
        feet += 0.02 * self.rng.standard_normal((4, 3)) * (1.0, 1.0, 0.0)
        quat = np.empty(4)
        mujoco.mju_euler2Quat(quat, np.array([roll, pitch, 0.0]), 'xyz')
        self.data.qpos[2] = 0.36
        self.data.qpos[3:7] = quat
        return joint_positions(feet @ tilt)


def rests(kind: str, count: int, seed: int = 0) -> list[Rest]:
    """Return `count` robots at rest, with the errors of encoders and attitude in them."""
    ground = Ground(seed)
    found: list[Rest] = []
    while len(found) < count:
        rest = ground.rest(kind)
        if rest is not None:
            found.append(rest)
    return found


def mixed(joint_pos: np.ndarray, mix_up: MixUp) -> np.ndarray:
    """What a robot with this mix-up measures: the pose from which undoing it gives `joint_pos`."""
    measured = np.empty(12)
    measured[mix_up.index] = joint_pos * mix_up.sign
    return measured


def seen(found: list[Rest], mix_up: MixUp) -> float:
    """Return the share of robots whose mix-up the self-test refuses."""
    return float(np.mean([judge(mixed(r.joint_pos, mix_up), r.gravity_b).doubtful for r in found]))


GROUPS = {
    'left and right legs exchanged (the SDK order taken for ours)': (
        lambda n: n == 'left and right legs exchanged'
    ),
    'front and rear legs exchanged': lambda n: n == 'front and rear legs exchanged',
    'FL and FR exchanged': lambda n: n == 'FL and FR legs exchanged',
    'RL and RR exchanged': lambda n: n == 'RL and RR legs exchanged',
    'any other leg order (19)': lambda n: n.startswith(('legs ', 'FL and R', 'FR and R')),
    'two joints exchanged, in one leg or all (15)': lambda n: 'exchanged in' in n,
    'sign of thigh or calf reversed (18)': lambda n: 'sign of thigh' in n or 'sign of calf' in n,
    'sign of hip reversed, all or a pair of legs (5)': (
        lambda n: n.startswith('the sign of hip') and n.endswith(('leg', 'legs'))
    ),
    'sign of hip reversed in one front leg': lambda n: 'sign of hip' in n and n[-2:] in 'FL FR',
    'sign of hip reversed in one rear leg': lambda n: 'sign of hip' in n and n[-2:] in 'RL RR',
}
"""Row of the table -> which mix-ups it sums up."""


def table(count: int) -> str:
    """Return the rates as Markdown, over `count` robots of each kind."""
    found = {kind: rests(kind, count) for kind in KINDS}
    lines = [f'| refused, of {count} robots each | {" | ".join(KINDS)} |', '|---|---|---|---|']

    def row(name: str, shares: list[float]) -> None:
        lines.append(f'| {name} | {" | ".join(f"{100.0 * share:.0f} %" for share in shares)} |')

    for name, belongs in GROUPS.items():
        group = [mix_up for mix_up in MIX_UPS if belongs(mix_up.name)]
        row(name, [float(np.mean([seen(found[k], m) for m in group])) for k in KINDS])
    right = MixUp('', np.arange(12), np.ones(12))
    tidy = {kind: [r for r in found[kind] if r.legs_under_it] for kind in KINDS}
    row('nothing wrong (false alarm)', [seen(found[kind], right) for kind in KINDS])
    row('nothing wrong, no leg folded forwards', [seen(tidy[kind], right) for kind in KINDS])
    return '\n'.join(lines)


if __name__ == '__main__':
    sys.stdout.write(table(int(sys.argv[1]) if len(sys.argv) > 1 else 200) + '\n')

"""The Go2 in MuJoCo: load, change for a purpose, randomise.

`sim/go2/go2.xml` is the single source. Two uses: batched training and ranking worlds (5 ms steps,
feet-only contact, position servos integrated implicitly), and the simulated robot (2 ms steps,
all bodies collide with the ground, explicit motor torque).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import mujoco
import numpy as np

from make_agent_ros.go2.constants import (
    DRIVE_FRICTION_NM,
    JOINT_NAMES,
    POLICY_DAMPING,
    POLICY_STIFFNESS,
)
from make_agent_ros.resources import resource_path

MODEL_FILE = 'sim/go2/go2.xml'


@dataclass(frozen=True)
class WorldRanges:
    """Uniform ranges from which `randomised_models` draws; each is (low, high)."""

    friction: tuple[float, float] = (0.4, 1.25)
    """Sliding friction of the feet on the ground."""
    payload_kg: tuple[float, float] = (-1.0, 3.0)
    """Mass added to the trunk."""
    payload_shift_m: tuple[float, float] = (-0.03, 0.03)
    """Shift of the trunk's centre of mass along x and y."""
    gain_factor: tuple[float, float] = (0.9, 1.1)
    """Factor on stiffness and damping: motor strength."""
    joint_damping: tuple[float, float] = (0.05, 0.4)
    """Passive joint damping, N m s/rad."""
    latency_s: tuple[float, float] = (0.0, 0.016)
    """Delay from a policy's output to the motors."""
    drive_friction: tuple[float, float] = (0.0, 0.0)
    """Dry friction of the drives, as a share of `DRIVE_FRICTION_NM`."""
    rotor_factor: tuple[float, float] = (1.0, 1.0)
    """Factor on the rotors' inertia."""

    @classmethod
    def nominal(cls) -> WorldRanges:
        """Return ranges of zero width: the model as it is."""
        return cls((0.8, 0.8), (0.0, 0.0), (0.0, 0.0), (1.0, 1.0), (0.1, 0.1), (0.0, 0.0))


TRAINING_WORLDS = WorldRanges(drive_friction=(0.0, 1.3), rotor_factor=(0.8, 3.5))
"""What teacher and students walk in: drives of every kind, too. Menagerie's thighs and calves have
3.5-4.4 times the rotor inertia of our model."""


def robot_spec(*, feet_only: bool = False) -> mujoco.MjSpec:
    """Return the editable model.

    Args:
        feet_only: let only the feet touch the ground, which makes batches fast.
    """
    spec = mujoco.MjSpec.from_file(str(resource_path(MODEL_FILE)))
    if feet_only:
        for geom in spec.geoms:
            if geom.name not in ('FL', 'FR', 'RL', 'RR', 'floor'):
                geom.conaffinity = 0
    return spec


def set_gains(model: mujoco.MjModel, stiffness: np.ndarray, damping: np.ndarray) -> None:
    """Set the position servos' gains, package order: N m/rad and N m s/rad, shape (12,) or ()."""
    ids = [model.actuator(name).id for name in JOINT_NAMES]
    model.actuator_gainprm[ids, 0] = stiffness
    model.actuator_biasprm[ids, 1] = -np.asarray(stiffness)
    model.actuator_biasprm[ids, 2] = -np.asarray(damping)


def load_model(*, feet_only: bool = False, timestep_s: float | None = None) -> mujoco.MjModel:
    """Compile the model with the policies' usual gains."""
    spec = robot_spec(feet_only=feet_only)
    if timestep_s is not None:
        spec.option.timestep = timestep_s
    model = spec.compile()
    set_gains(model, np.float64(POLICY_STIFFNESS), np.float64(POLICY_DAMPING))
    return model


@dataclass(frozen=True)
class Worlds:
    """Randomised copies of the model, with what each one is. Arrays have shape (worlds, ...)."""

    models: list[mujoco.MjModel]
    latency_s: np.ndarray
    friction: np.ndarray
    payload_kg: np.ndarray
    gain_factor: np.ndarray

    def __len__(self) -> int:
        """Number of worlds."""
        return len(self.models)


def randomised_worlds(
    count: int, seed: int, ranges: WorldRanges | None = None, base: mujoco.MjModel | None = None
) -> Worlds:
    """Draw `count` worlds from `ranges`, reproducibly.

    Args:
        count: number of worlds.
        seed: of the draw.
        ranges: what varies; the defaults of `WorldRanges` when omitted.
        base: model to vary; the feet-only Go2 when omitted.
    """
    ranges = ranges or WorldRanges()
    base = base if base is not None else load_model(feet_only=True)
    rng = np.random.default_rng(seed)
    drives = np.random.default_rng([seed, 1])  # apart, so that ranges of one do not move the other
    joints = [int(base.joint(name).dofadr[0]) for name in JOINT_NAMES]
    trunk = base.body('base').id
    feet = [base.geom(name).id for name in ('FL', 'FR', 'RL', 'RR')]
    models, drawn = [], []
    for _ in range(count):
        model = copy.deepcopy(base)
        friction = rng.uniform(*ranges.friction)
        payload = rng.uniform(*ranges.payload_kg)
        gain = rng.uniform(*ranges.gain_factor)
        model.geom_friction[feet, 0] = friction
        model.body_ipos[trunk, :2] += rng.uniform(*ranges.payload_shift_m, 2)
        model.body_inertia[trunk] *= 1.0 + payload / model.body_mass[trunk]
        model.body_mass[trunk] += payload
        model.dof_damping[6:] = rng.uniform(*ranges.joint_damping)
        model.dof_frictionloss[joints] = drives.uniform(*ranges.drive_friction) * DRIVE_FRICTION_NM
        model.dof_armature[joints] *= drives.uniform(*ranges.rotor_factor)
        set_gains(model, np.float64(POLICY_STIFFNESS * gain), np.float64(POLICY_DAMPING * gain))
        mujoco.mj_setConst(model, mujoco.MjData(model))
        models.append(model)
        drawn.append((rng.uniform(*ranges.latency_s), friction, payload, gain))
    columns = np.array(drawn).T
    return Worlds(models, *columns)

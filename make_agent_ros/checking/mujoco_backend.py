"""MuJoCo as a check engine: our model, or the independent Menagerie one. All cores."""

from __future__ import annotations

import copy
import itertools
import os

import mujoco
import numpy as np

from make_agent_ros.checking.episode import Truth
from make_agent_ros.checking.independent import independent_spec
from make_agent_ros.checking.terrain import Terrain
from make_agent_ros.checking.trials import Trials
from make_agent_ros.go2.constants import DRIVE_FRICTION_NM, JOINT_NAMES, LEGS, TORQUE_LIMIT_NM
from make_agent_ros.go2.state import RobotState
from make_agent_ros.simulation.batch import BatchSimulation
from make_agent_ros.simulation.model import Worlds, robot_spec, set_gains

MODELS = {'mujoco': robot_spec, 'menagerie': independent_spec}
TIMESTEP_S = {'mujoco': 0.005, 'menagerie': 0.002}
SOLVER_ITERATIONS = (100, 50)
"""Newton iterations and line searches at most: MuJoCo's own defaults."""

POSTS, POST_SPACING_M, POST_HEIGHT_M = 4, 1.2, 0.4
"""What shows a slope in a picture: so many posts to each side."""


class MujocoEngine(BatchSimulation):
    """B robots on `mujoco.rollout`; every part of the robot collides with the ground."""

    def __init__(
        self, trials: Trials, control_dt_s: float, *, model: str = 'mujoco', threads: int = 0
    ) -> None:
        """Build one model per trial.

        Args:
            trials: what each robot is.
            control_dt_s: policy period; the physics step is the largest divisor of it up to the
                model's own.
            model: `mujoco` (ours) or `menagerie`.
            threads: of the rollout pool; all cores when 0.

        Raises:
            FileNotFoundError: the independent model is not installed.
        """
        decimation = max(1, int(np.ceil(control_dt_s / TIMESTEP_S[model] - 1e-9)))
        models = _trial_models(trials, model, control_dt_s / decimation)
        ones = np.ones(len(trials))
        # whole control periods of latency are the episode's business
        latency = np.mod(trials.latency_s + 1e-9, control_dt_s)
        worlds = Worlds(models, latency, trials.friction, trials.payload_kg, ones)
        super().__init__(
            worlds,
            np.arange(len(trials)),
            decimation=decimation,
            threads=threads or os.cpu_count() or 1,
        )
        self.mass_kg = np.array([m.body_mass.sum() for m in models])
        self._strength = trials.strength
        self._torque_limit = TORQUE_LIMIT_NM * trials.strength
        for one, limit in zip(models, self._torque_limit, strict=True):
            one.actuator_forcerange[:] = np.stack((-limit, limit), axis=-1)
            one.jnt_actfrcrange[1:] = one.actuator_forcerange

    def reset(self, joint_pos: np.ndarray, position_w: np.ndarray, quat_wxyz: np.ndarray) -> None:
        """Place the robots at rest."""
        everyone = np.arange(self.size)
        super().reset(everyone, joint_pos, position_w[:, 2], np.zeros(self.size))
        self.qpos[:, :2] = position_w[:, :2]
        self.qpos[:, 3:7] = quat_wxyz

    def set_gains(self, stiffness: np.ndarray, damping: np.ndarray) -> None:
        """Set the servos' gains; the trial's motor strength scales the torque they make."""
        self._kp, self._kd = stiffness * self._strength, damping * self._strength
        for model, kp, kd in zip(self.worlds.models, self._kp, self._kd, strict=True):
            set_gains(model, kp, kd)

    def push(self, velocity_w: np.ndarray) -> None:
        """Add to the trunks' velocities, m/s, (B, 2)."""
        self.qvel[:, :2] += velocity_w

    def observe(self) -> RobotState:
        """Return perfect proprioception."""
        return RobotState(
            quat_wxyz=self.qpos[:, 3:7].copy(),
            base_ang_vel=self.qvel[:, 3:6].copy(),
            joint_pos=self.qpos[:, 7:].copy(),
            joint_vel=self.qvel[:, 6:].copy(),
        )

    def truth(self) -> Truth:
        """Return what only the simulator knows."""
        return Truth(
            self.qpos[:, :3].copy(),
            self.qvel[:, :3].copy(),
            self.foot_contact.copy(),
            self.last_torque.copy(),
        )


def terrain_spec(model: str, terrain: Terrain) -> mujoco.MjSpec:
    """Return the robot's model on the given ground."""
    spec = MODELS[model]()
    floor = spec.geom('floor')
    floor.quat = terrain.plane_quat()
    for x, y, half_x, half_y, top in terrain.boxes:
        spec.worldbody.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=[half_x, half_y, top / 2.0],
            pos=[x, y, top / 2.0],
            contype=1,
            conaffinity=0,
            condim=3,
            material=floor.material,
        )
    return spec


def scene_model(terrain: Terrain) -> mujoco.MjModel:
    """Return our model on the given ground to be looked at: obstacles stand out from it."""
    spec = terrain_spec('mujoco', terrain)
    for geom in spec.worldbody.geoms:
        if geom.type == mujoco.mjtGeom.mjGEOM_BOX:
            # higher is darker: a blind robot's obstacles are low, and seen from above they vanish
            shade = 0.85 - 6.0 * min(float(geom.size[2]) * 2.0, 0.08)
            geom.material, geom.rgba = '', [shade, 0.75 * shade, 0.5 * shade, 1.0]
    if terrain.normal[2] < 1.0:
        _add_posts(spec, terrain)
    return spec.compile()


def _add_posts(spec: mujoco.MjSpec, terrain: Terrain) -> None:
    """Stand upright posts on a slope: beside them one sees how far it is tilted."""
    axis = (np.arange(2 * POSTS) - POSTS + 0.5) * POST_SPACING_M
    for x, y in itertools.product(axis, axis):
        foot = float(terrain.height(np.array([x, y])))
        spec.worldbody.add_geom(
            type=mujoco.mjtGeom.mjGEOM_CYLINDER,
            size=[0.012, POST_HEIGHT_M / 2.0, 0.0],
            pos=[x, y, foot + POST_HEIGHT_M / 2.0],
            contype=0,
            conaffinity=0,
            rgba=[0.75, 0.35, 0.2, 1.0],
        )


def _compile(model: str, terrain: Terrain, timestep_s: float) -> mujoco.MjModel:
    spec = terrain_spec(model, terrain)
    spec.option.timestep = timestep_s
    # training stops the contact solver after 3 iterations; a judge lets it converge
    spec.option.iterations, spec.option.ls_iterations = SOLVER_ITERATIONS
    return spec.compile()


def _trial_models(trials: Trials, model: str, timestep_s: float) -> list[mujoco.MjModel]:
    level = not any(len(t.boxes) or t.normal[2] < 1.0 for t in trials.terrains)
    plain = _compile(model, Terrain(), timestep_s) if level else None
    models = []
    for i, terrain in enumerate(trials.terrains):
        one = copy.deepcopy(plain) if level else _compile(model, terrain, timestep_s)
        _vary(one, trials, i)
        models.append(one)
    return models


def _vary(model: mujoco.MjModel, trials: Trials, i: int) -> None:
    """Give one model the numbers of trial i."""
    trunk = model.body('base').id
    payload = trials.payload_kg[i]
    for leg in LEGS:
        model.geom(leg).friction[0] = trials.friction[i]
    model.body_inertia[trunk] *= 1.0 + payload / model.body_mass[trunk]
    model.body_mass[trunk] += payload
    model.body_ipos[trunk, :2] += trials.payload_shift_m[i]
    joints = [int(model.joint(name).dofadr[0]) for name in JOINT_NAMES]
    model.dof_frictionloss[joints] += trials.drive_friction[i] * DRIVE_FRICTION_NM
    model.dof_armature[joints] *= trials.rotor_factor[i]
    mujoco.mj_setConst(model, mujoco.MjData(model))

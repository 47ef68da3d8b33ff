"""PhysX as a check engine: SAPIEN's CPU build, the engine family of Isaac Gym, without a GPU.

The robot comes from `sim/go2/go2.urdf`; motors are explicit PD torques at every physics step, as
Isaac Gym's tasks compute them. SAPIEN is an optional dependency: `pip install sapien`.
"""

from __future__ import annotations

import importlib.util
import tempfile
import warnings
import xml.etree.ElementTree as ElementTree
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from make_agent_ros.checking.episode import Truth
from make_agent_ros.checking.result import BackendError
from make_agent_ros.checking.terrain import Terrain
from make_agent_ros.checking.trials import Trials
from make_agent_ros.go2.constants import (
    DRIVE_FRICTION_NM,
    JOINT_NAMES,
    LEGS,
    TORQUE_LIMIT_NM,
    joint_index_map,
)
from make_agent_ros.go2.state import RobotState
from make_agent_ros.resources import resource_path
from make_agent_ros.simulation.batch import CONTACT_FORCE_N, rotate_inverse

URDF_FILE = 'sim/go2/go2.urdf'
TIMESTEP_S = 0.005
SPACING_M = 40.0
"""Between robots, which share one scene: stepping many scenes costs more than many robots."""
SLAB_M = (18.0, 1.0)
"""Half the side and half the thickness of the ground below each robot."""
ARMATURE = np.tile([0.00448, 0.00448, 0.01008], 4)
"""Rotor inertia seen at the joints, kg m^2: the same figures as in `sim/go2/go2.xml`."""
JOINT_DAMPING = 0.1
"""Passive damping, N m s/rad, as in `sim/go2/go2.xml`."""
BRAKE_DAMPING = 50.0
"""N m s/rad: dry friction has its full torque from 0.02 rad/s."""


@lru_cache(maxsize=1)
def _sapien() -> Any:
    """Import SAPIEN.

    Raises:
        BackendError: it is not installed, or one of its libraries is missing.
    """
    if importlib.util.find_spec('sapien') is None:
        raise BackendError('SAPIEN is not installed; pip install sapien')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # it looks for a GPU, which physics does not need
            import sapien
    except ImportError as error:
        raise BackendError(f'SAPIEN does not load: {error}; pip install {error.name}') from error
    sapien.set_log_level('error')
    return sapien


def physx_version() -> str:
    """Return engine and version for the report.

    Raises:
        BackendError: SAPIEN is not there.
    """
    return f'PhysX 5 on the CPU (SAPIEN {_sapien().__version__})'


class PhysxEngine:
    """B robots in one PhysX scene, each on ground of its own."""

    def __init__(self, trials: Trials, control_dt_s: float) -> None:
        """Build the scene.

        Args:
            trials: what each robot is.
            control_dt_s: policy period.

        Raises:
            BackendError: SAPIEN is not there.
        """
        sapien = _sapien()
        self.control_dt_s = control_dt_s
        self.decimation = max(1, int(np.ceil(control_dt_s / TIMESTEP_S - 1e-9)))
        timestep = control_dt_s / self.decimation
        self._physics = sapien.physx.PhysxCpuSystem()
        self._scene = sapien.Scene([self._physics])
        self._scene.set_timestep(timestep)
        self._timestep_s = timestep
        row = int(np.ceil(np.sqrt(len(trials))))
        self._robots = [
            _Robot(self._scene, trials, i, SPACING_M * np.array([i % row, i // row, 0.0]))
            for i in range(len(trials))
        ]
        self._feet = {
            link: (i, leg) for i, robot in enumerate(self._robots) for link, leg in robot.feet
        }
        self.mass_kg = np.array([robot.mass_kg for robot in self._robots])
        self._limit = TORQUE_LIMIT_NM * trials.strength
        self._strength = trials.strength
        latency = np.mod(trials.latency_s + 1e-9, control_dt_s)
        self._late = np.round(latency / timestep).astype(int)
        self._kp = self._kd = np.zeros((len(trials), 12))

    def reset(self, joint_pos: np.ndarray, position_w: np.ndarray, quat_wxyz: np.ndarray) -> None:
        """Place the robots at rest."""
        for i, robot in enumerate(self._robots):
            robot.reset(joint_pos[i], position_w[i], quat_wxyz[i])
        self._target = np.array(joint_pos)
        self._torque = np.zeros_like(self._target)
        self._velocity = np.zeros((len(self._robots), 3))

    def set_gains(self, stiffness: np.ndarray, damping: np.ndarray) -> None:
        """Set the motors' gains, (B, 12); the trial's motor strength scales the torque."""
        self._kp, self._kd = stiffness * self._strength, damping * self._strength

    def step(self, target: np.ndarray) -> None:
        """Advance one control step."""
        before = self._positions()
        for k in range(self.decimation):
            wanted = np.where((k < self._late)[:, None], self._target, target)
            q, dq = self._joints()
            torque = np.clip(self._kp * (wanted - q) - self._kd * dq, -self._limit, self._limit)
            for robot, one in zip(self._robots, torque - JOINT_DAMPING * dq, strict=True):
                robot.drive(one)
            self._scene.step()
        self._torque = torque
        self._velocity = (self._positions() - before) / self.control_dt_s
        self._target = np.array(target)

    def push(self, velocity_w: np.ndarray) -> None:
        """Add to the trunks' velocities, m/s, (B, 2)."""
        for robot, velocity in zip(self._robots, velocity_w, strict=True):
            robot.push(velocity)

    def observe(self) -> RobotState:
        """Return perfect proprioception."""
        quat = np.array([r.body.pose.q for r in self._robots], dtype=np.float64)
        spin_w = np.array([r.body.root_angular_velocity for r in self._robots], dtype=np.float64)
        q, dq = self._joints()
        return RobotState(quat, rotate_inverse(quat, spin_w), q, dq)

    def truth(self) -> Truth:
        """Return what only the simulator knows; velocities are means over the control step."""
        force = np.zeros((len(self._robots), 4))
        for contact in self._physics.get_contacts():
            for link in contact.bodies:
                if link in self._feet:
                    impulse = sum(np.asarray(point.impulse) for point in contact.points)
                    force[self._feet[link]] += np.linalg.norm(impulse) / self._timestep_s
        contact = force > CONTACT_FORCE_N
        return Truth(self._positions(), self._velocity.copy(), contact, self._torque.copy())

    def _positions(self) -> np.ndarray:
        return np.array([robot.position() for robot in self._robots])

    def _joints(self) -> tuple[np.ndarray, np.ndarray]:
        both = np.array([robot.joints() for robot in self._robots])
        return both[:, 0], both[:, 1]


class _Robot:
    """One Go2 with the ground below it; positions are relative to its own origin."""

    def __init__(self, scene: Any, trials: Trials, index: int, origin: np.ndarray) -> None:
        sapien = _sapien()
        self.origin = origin
        friction = float(trials.friction[index])
        material = sapien.physx.PhysxMaterial(friction, friction, 0.0)
        _add_ground(sapien, scene, trials.terrains[index], material, origin)
        loader = scene.create_urdf_loader()
        loader.fix_root_link = False
        loader.set_material(friction, friction, 0.0)
        self.body = loader.load(_bare_urdf())
        names = [joint.name for joint in self.body.active_joints]
        self._to_package = joint_index_map(names, JOINT_NAMES)
        self._from_package = joint_index_map(JOINT_NAMES, names)
        rotors = float(trials.rotor_factor[index]) * ARMATURE[self._from_package]
        dry = float(trials.drive_friction[index]) * DRIVE_FRICTION_NM[self._from_package]
        for joint, rotor, limit in zip(self.body.active_joints, rotors, dry, strict=True):
            joint.set_armature([rotor])
            # PhysX's own joint friction is a share of the load; this brake is dry friction
            joint.set_drive_properties(0.0, BRAKE_DAMPING if limit else 0.0, force_limit=limit)
            joint.set_drive_velocity_target(0.0)
            joint.set_friction(0.0)
        for link in self.body.links:
            link.set_linear_damping(0.0)
            link.set_angular_damping(0.0)
            for shape in link.collision_shapes:
                shape.set_collision_groups([1, 2, 0, 0])  # with the ground, not with itself
        self.feet = [(self.body.find_link_by_name(f'{leg}_foot'), i) for i, leg in enumerate(LEGS)]
        _load(sapien, self.body.root, trials, index)
        self.mass_kg = float(sum(link.mass for link in self.body.links))

    def reset(self, joint_pos: np.ndarray, position_w: np.ndarray, quat_wxyz: np.ndarray) -> None:
        body = self.body
        body.set_root_pose(_sapien().Pose(position_w + self.origin, quat_wxyz))
        body.set_root_linear_velocity(np.zeros(3))
        body.set_root_angular_velocity(np.zeros(3))
        body.set_qpos(joint_pos[self._from_package].astype(np.float32))
        body.set_qvel(np.zeros(12, np.float32))

    def joints(self) -> tuple[np.ndarray, np.ndarray]:
        """Joint angles and velocities, package order."""
        index = self._to_package
        return self.body.get_qpos()[index], self.body.get_qvel()[index]

    def position(self) -> np.ndarray:
        return np.asarray(self.body.pose.p, dtype=np.float64) - self.origin

    def drive(self, torque: np.ndarray) -> None:
        self.body.set_qf(torque[self._from_package].astype(np.float32))

    def push(self, velocity_w: np.ndarray) -> None:
        velocity = np.array(self.body.root_linear_velocity)
        velocity[:2] += velocity_w
        self.body.set_root_linear_velocity(velocity)


@lru_cache(maxsize=1)
def _bare_urdf() -> str:
    """Return a copy of our URDF without what is only seen: there is no renderer here."""
    root = ElementTree.parse(resource_path(URDF_FILE)).getroot()
    for link in root.findall('link'):
        for visual in link.findall('visual'):
            link.remove(visual)
    file = Path(tempfile.mkdtemp(prefix='make_agent_ros-')) / 'go2.urdf'
    file.write_bytes(ElementTree.tostring(root))
    return str(file)


def _add_ground(
    sapien: Any, scene: Any, terrain: Terrain, material: Any, origin: np.ndarray
) -> None:
    """Put a slab under one robot: a plane would reach under all of them."""
    builder = scene.create_actor_builder()
    half, thick = SLAB_M
    slab = sapien.Pose(origin - thick * terrain.normal, terrain.plane_quat())
    builder.add_box_collision(slab, [half, half, thick], material)
    for x, y, half_x, half_y, top in terrain.boxes:
        pose = sapien.Pose(origin + np.array([x, y, top / 2.0]))
        builder.add_box_collision(pose, [half_x, half_y, top / 2.0], material)
    builder.set_physx_body_type('static')
    builder.build(name='ground')


def _load(sapien: Any, trunk: Any, trials: Trials, index: int) -> None:
    """Give the trunk the trial's payload."""
    payload, shift = float(trials.payload_kg[index]), trials.payload_shift_m[index]
    trunk.set_inertia(np.asarray(trunk.inertia) * (1.0 + payload / trunk.mass))
    trunk.set_mass(trunk.mass + payload)
    pose = trunk.cmass_local_pose
    trunk.set_cmass_local_pose(sapien.Pose(pose.p + np.array([*shift, 0.0]), pose.q))

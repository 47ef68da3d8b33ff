"""The Go2 on legged_gym's `LeggedRobot`: configurations (flat, rough) and the task of the check.

Runs in Isaac Gym's interpreter (Python 3.8): `isaacgym` must be imported before torch. The names
used of legged_gym are listed, with the commit they were read at, in `legged_gym_api.txt`.
"""

# Overrides keep legged_gym's names and signatures:
# ruff: noqa: ANN001, ANN201, ANN202, B905, D102, D106, N801, RUF012

from __future__ import annotations

from pathlib import Path

import numpy as np

from isaacgym import gymapi, gymtorch  # isort: skip  (before torch)
import torch
from legged_gym.envs.base.legged_robot import LeggedRobot
from legged_gym.envs.base.legged_robot_config import LeggedRobotCfg, LeggedRobotCfgPPO

from make_agent_ros.checking.trials import Trials
from make_agent_ros.go2.constants import (
    ACTION_SCALE,
    DRIVE_FRICTION_NM,
    JOINT_NAMES,
    NOMINAL_JOINT_POS,
    POLICY_DAMPING,
    POLICY_STIFFNESS,
    TORQUE_LIMIT_NM,
    joint_index_map,
)

ROOT = Path(__file__).resolve().parents[2]
ARMATURE = (0.00448, 0.00448, 0.01008)
"""Rotor inertia at hip, thigh and calf, kg m^2, as in `sim/go2/go2.xml`."""
JOINT_DAMPING = 0.1
"""Passive joint damping, N m s/rad, as in `sim/go2/go2.xml`."""
SPACING_M = 14.0
"""Between robots that stand on ground of their own."""


class Go2FlatCfg(LeggedRobotCfg):
    """The Go2 on a plane, blind, with the gains and pose of the policies made here."""

    class env(LeggedRobotCfg.env):
        num_observations = 48

    class terrain(LeggedRobotCfg.terrain):
        mesh_type = 'plane'
        measure_heights = False
        curriculum = False

    class init_state(LeggedRobotCfg.init_state):
        pos = [0.0, 0.0, 0.34]
        default_joint_angles = {
            name: float(angle) for name, angle in zip(JOINT_NAMES, NOMINAL_JOINT_POS)
        }

    class control(LeggedRobotCfg.control):
        control_type = 'P'
        stiffness = {'joint': POLICY_STIFFNESS}
        damping = {'joint': POLICY_DAMPING}
        action_scale = ACTION_SCALE
        decimation = 4

    class asset(LeggedRobotCfg.asset):
        file = str(ROOT / 'sim' / 'go2' / 'go2.urdf')
        name = 'go2'
        foot_name = 'foot'
        penalize_contacts_on = ['thigh', 'calf']
        terminate_after_contacts_on = ['base']
        self_collisions = 1  # 1 switches them off
        flip_visual_attachments = False
        replace_cylinder_with_capsule = True

    class rewards(LeggedRobotCfg.rewards):
        soft_dof_pos_limit = 0.9
        base_height_target = 0.29


class Go2RoughCfg(Go2FlatCfg):
    """The same robot on legged_gym's rough terrain, still blind."""

    class terrain(LeggedRobotCfg.terrain):
        mesh_type = 'trimesh'
        measure_heights = False


class Go2CfgPPO(LeggedRobotCfgPPO):
    """Training with legged_gym's PPO."""

    class runner(LeggedRobotCfgPPO.runner):
        experiment_name = 'go2'


class CheckTask(LeggedRobot):
    """Robots that only do what the check tells them: no rewards, no resets, no own commands.

    `step` takes joint targets in the simulator's joint order. Everything random was drawn in
    `make_agent_ros.checking.scenario`; here it is applied, robot by robot.
    """

    gym: gymapi.Gym
    sim: gymapi.Sim

    def __init__(self, trials: Trials, cfg, sim_params, device: str, headless: bool) -> None:
        self.trials = trials
        self.ground_friction = float(trials.friction.min())
        self.substep = 0
        super().__init__(cfg, sim_params, gymapi.SIM_PHYSX, device, headless)
        self.to_package = joint_index_map(self.dof_names, JOINT_NAMES)
        self.from_package = joint_index_map(JOINT_NAMES, self.dof_names)
        zeros = torch.zeros(self.num_envs, 12, device=self.device)
        self.kp, self.kd, self.previous_target = zeros, zeros.clone(), zeros.clone()
        limit = (TORQUE_LIMIT_NM * trials.strength)[:, self.from_package]
        self.limit = torch.as_tensor(limit, dtype=torch.float, device=self.device)
        rotor = trials.rotor_factor[:, None] * np.tile(ARMATURE, 4)[self.from_package]
        dry = trials.drive_friction[:, None] * DRIVE_FRICTION_NM[self.from_package]
        self.rotor = torch.as_tensor(rotor, dtype=torch.float, device=self.device)
        self.dry = torch.as_tensor(dry, dtype=torch.float, device=self.device)
        self.late = torch.zeros(self.num_envs, 1, dtype=torch.long, device=self.device)

    def step(self, actions):
        self.substep = 0
        result = super().step(actions)
        self.previous_target = self.actions.clone()
        return result

    def _compute_torques(self, actions):
        wanted = torch.where(self.late > self.substep, self.previous_target, actions)
        self.substep += 1
        torque = self.kp * (wanted - self.dof_pos) - self.kd * self.dof_vel
        torque = torch.max(torch.min(torque, self.limit), -self.limit)
        self.motor_torque = torque
        # Dry friction, but no more than stops the rotor within this step: it must not drive.
        stop = self.rotor / self.sim_params.dt * self.dof_vel
        dry = torch.max(torch.min(stop, self.dry), -self.dry)
        return torque - JOINT_DAMPING * self.dof_vel - dry

    def create_sim(self):
        self.up_axis_idx = 2
        self.sim = self.gym.create_sim(
            self.sim_device_id, self.graphics_device_id, self.physics_engine, self.sim_params
        )
        self._get_env_origins()
        if all(len(t.boxes) == 0 and t.normal[2] == 1.0 for t in self.trials.terrains):
            self._create_ground_plane()
        else:
            self._create_trial_grounds()
        self._create_envs()

    def _create_ground_plane(self):
        plane = gymapi.PlaneParams()
        plane.normal = gymapi.Vec3(0.0, 0.0, 1.0)
        plane.static_friction = plane.dynamic_friction = self.ground_friction
        self.gym.add_ground(self.sim, plane)

    def _create_trial_grounds(self):
        for i, terrain in enumerate(self.trials.terrains):
            vertices, triangles = terrain.mesh(extent_m=SPACING_M)
            mesh = gymapi.TriangleMeshParams()
            mesh.nb_vertices, mesh.nb_triangles = len(vertices), len(triangles)
            mesh.transform.p = gymapi.Vec3(*(float(x) for x in self.env_origins[i]))
            mesh.static_friction = mesh.dynamic_friction = self.ground_friction
            self.gym.add_triangle_mesh(self.sim, vertices.ravel(), triangles.ravel(), mesh)

    def _get_env_origins(self):
        self.custom_origins = False
        row = int(np.ceil(np.sqrt(self.num_envs)))
        index = np.arange(self.num_envs)
        origins = SPACING_M * np.stack((index % row, index // row, 0 * index), axis=-1)
        self.env_origins = torch.as_tensor(origins, dtype=torch.float, device=self.device)

    def _process_rigid_shape_props(self, props, env_id):
        for shape in props:
            # PhysX averages the two materials
            shape.friction = 2.0 * float(self.trials.friction[env_id]) - self.ground_friction
        return props

    def _process_rigid_body_props(self, props, env_id):
        shift = self.trials.payload_shift_m[env_id]
        props[0].mass += float(self.trials.payload_kg[env_id])
        props[0].com += gymapi.Vec3(float(shift[0]), float(shift[1]), 0.0)
        if env_id == 0:
            self.mass_kg = np.zeros(self.num_envs)
        self.mass_kg[env_id] = sum(body.mass for body in props)
        return props

    def _process_dof_props(self, props, env_id):
        props = super()._process_dof_props(props, env_id)
        rotors = [ARMATURE[JOINT_NAMES.index(name) % 3] for name in self.dof_names]
        props['armature'][:] = float(self.trials.rotor_factor[env_id]) * np.array(rotors)
        props['stiffness'][:] = 0.0
        props['damping'][:] = 0.0
        props['friction'][:] = 0.0
        return props

    def check_termination(self):
        self.reset_buf[:] = 0
        self.time_out_buf = self.reset_buf.bool()

    def reset_idx(self, env_ids):
        pass

    def compute_reward(self):
        pass

    def compute_observations(self):
        pass

    def _post_physics_step_callback(self):
        pass

    def _prepare_reward_function(self):
        self.reward_functions = []

    def _get_noise_scale_vec(self, cfg):
        self.add_noise = False
        return torch.zeros_like(self.obs_buf[0])

    def write_state(self):
        """Send `root_states` and `dof_state` to the simulator."""
        self.gym.set_actor_root_state_tensor(self.sim, gymtorch.unwrap_tensor(self.root_states))
        self.gym.set_dof_state_tensor(self.sim, gymtorch.unwrap_tensor(self.dof_state))


def register() -> None:
    """Make `go2_flat` and `go2_rough` known to legged_gym's train and play scripts."""
    from legged_gym.utils.task_registry import task_registry

    task_registry.register('go2_flat', LeggedRobot, Go2FlatCfg(), Go2CfgPPO())
    task_registry.register('go2_rough', LeggedRobot, Go2RoughCfg(), Go2CfgPPO())

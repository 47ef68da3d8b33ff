"""`LeggedRobot`: what is called when, as in legged_gym's class of that name."""

from pathlib import Path

import torch
from isaacgym import gymapi, gymtorch, gymutil
from isaacgym.torch_utils import torch_rand_float


class LeggedRobot:
    def __init__(self, cfg, sim_params, physics_engine, sim_device, headless):
        self.cfg, self.sim_params, self.physics_engine = cfg, sim_params, physics_engine
        self.gym = gymapi.acquire_gym()
        kind, self.sim_device_id = gymutil.parse_device_str(sim_device)
        self.device = sim_device if kind == 'cuda' else 'cpu'
        self.graphics_device_id = -1 if headless else self.sim_device_id
        self.num_envs = cfg.env.num_envs
        self.obs_buf = torch.zeros(self.num_envs, cfg.env.num_observations)
        self.reset_buf = torch.ones(self.num_envs, dtype=torch.long)
        self.time_out_buf = torch.zeros(self.num_envs, dtype=torch.bool)
        self.create_sim()
        self.gym.prepare_sim(self.sim)
        self._init_buffers()
        self._prepare_reward_function()

    def _init_buffers(self):
        self.root_states = gymtorch.wrap_tensor(self.gym.acquire_actor_root_state_tensor(self.sim))
        self.dof_state = gymtorch.wrap_tensor(self.gym.acquire_dof_state_tensor(self.sim))
        forces = self.gym.acquire_net_contact_force_tensor(self.sim)
        self.gym.refresh_dof_state_tensor(self.sim)
        self.gym.refresh_actor_root_state_tensor(self.sim)
        by_joint = self.dof_state.view(self.num_envs, len(self.dof_names), 2)
        self.dof_pos, self.dof_vel = by_joint[..., 0], by_joint[..., 1]
        self.contact_forces = gymtorch.wrap_tensor(forces).view(self.num_envs, -1, 3)
        self.noise_scale_vec = self._get_noise_scale_vec(self.cfg)
        self.torques = torch.zeros(self.num_envs, self.cfg.env.num_actions)

    def _create_envs(self):
        file = Path(self.cfg.asset.file)
        asset = self.gym.load_asset(self.sim, str(file.parent), file.name, gymapi.AssetOptions())
        dofs = self.gym.get_asset_dof_properties(asset)
        shapes = self.gym.get_asset_rigid_shape_properties(asset)
        self.dof_names = self.gym.get_asset_dof_names(asset)
        self._get_env_origins()
        self.envs, self.actor_handles = [], []
        for i in range(self.num_envs):
            env = self.gym.create_env(self.sim, gymapi.Vec3(), gymapi.Vec3(), 1)
            position = self.env_origins[i].clone()
            position[:2] += torch_rand_float(-1.0, 1.0, (2, 1), device=self.device).squeeze(1)
            pose = gymapi.Transform(gymapi.Vec3(*position))
            self.gym.set_asset_rigid_shape_properties(
                asset, self._process_rigid_shape_props(shapes, i)
            )
            actor = self.gym.create_actor(
                env, asset, pose, self.cfg.asset.name, i, self.cfg.asset.self_collisions, 0
            )
            self.gym.set_actor_dof_properties(env, actor, self._process_dof_props(dofs, i))
            bodies = self.gym.get_actor_rigid_body_properties(env, actor)
            bodies = self._process_rigid_body_props(bodies, i)
            self.gym.set_actor_rigid_body_properties(env, actor, bodies, recomputeInertia=True)
            self.envs.append(env)
            self.actor_handles.append(actor)

    def _process_dof_props(self, props, env_id):
        return props

    def step(self, actions):
        self.actions = torch.clip(actions, -100.0, 100.0).to(self.device)
        for _ in range(self.cfg.control.decimation):
            self.torques = self._compute_torques(self.actions).view(self.torques.shape)
            self.gym.set_dof_actuation_force_tensor(self.sim, gymtorch.unwrap_tensor(self.torques))
            self.gym.simulate(self.sim)
            if self.device == 'cpu':
                self.gym.fetch_results(self.sim, True)
            self.gym.refresh_dof_state_tensor(self.sim)
        self.gym.refresh_actor_root_state_tensor(self.sim)
        self.gym.refresh_net_contact_force_tensor(self.sim)
        self._post_physics_step_callback()
        self.check_termination()
        self.compute_reward()
        self.reset_idx(self.reset_buf.nonzero().flatten())
        self.compute_observations()
        return self.obs_buf, None, None, self.reset_buf, {}

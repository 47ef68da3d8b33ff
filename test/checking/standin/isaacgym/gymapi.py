"""Isaac Gym's `gymapi` on SAPIEN: one scene, all robots in it."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import numpy as np
import torch

with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    import sapien

from make_agent_ros.checking.physx_backend import _bare_urdf

SIM_PHYSX = 'physx'
HALF_PLANE_M, THICK_M = 500.0, 1.0
DOF_FIELDS = [(name, np.float32) for name in (
    'lower', 'upper', 'velocity', 'effort', 'stiffness', 'damping', 'friction', 'armature'
)]  # fmt: skip


class Vec3:
    def __init__(self, x=0.0, y=0.0, z=0.0):
        self.x, self.y, self.z = float(x), float(y), float(z)

    def __add__(self, other):
        return Vec3(self.x + other.x, self.y + other.y, self.z + other.z)

    def array(self):
        return np.array([self.x, self.y, self.z])


class Transform:
    def __init__(self, p=None):
        self.p = p or Vec3()


class PlaneParams(SimpleNamespace):
    """normal, static_friction, dynamic_friction."""


class TriangleMeshParams(SimpleNamespace):
    def __init__(self):
        super().__init__(transform=Transform())


class AssetOptions(SimpleNamespace):
    """Filled by legged_gym."""


class SimParams:
    def __init__(self):
        self.dt, self.substeps, self.up_axis, self.gravity = 0.0, 1, 1, [0.0, 0.0, -9.81]
        self.use_gpu_pipeline = False
        self.physx = SimpleNamespace(
            use_gpu=False, num_threads=0, solver_type=1, num_position_iterations=4,
            num_velocity_iterations=0, contact_offset=0.01, rest_offset=0.0,
            bounce_threshold_velocity=0.5, max_depenetration_velocity=1.0,
            max_gpu_contact_pairs=0, default_buffer_size_multiplier=1, contact_collection=2,
        )  # fmt: skip


class Sim:
    def __init__(self, params):
        self.physics = sapien.physx.PhysxCpuSystem()
        self.scene = sapien.Scene([self.physics])
        self.scene.set_timestep(params.dt)
        self.dt, self.robots = params.dt, []


class _Asset:
    """Reads the URDF once for its names; joints in reverse order, so not ours."""

    def __init__(self, sim):
        probe = sapien.Scene([sapien.physx.PhysxCpuSystem()])
        body = probe.create_urdf_loader().load(_bare_urdf())
        self.joints = [joint.name for joint in body.active_joints][::-1]
        limits = {joint.name: joint.limits[0] for joint in body.active_joints}
        self.links = [link.name for link in body.links]
        self.links = [self.links[0], *self.links[:0:-1]]
        self.dof = np.zeros(len(self.joints), DOF_FIELDS)
        self.dof['lower'] = [limits[name][0] for name in self.joints]
        self.dof['upper'] = [limits[name][1] for name in self.joints]
        self.dof['velocity'], self.dof['effort'] = 30.1, 23.7
        self.shapes = [SimpleNamespace(friction=1.0) for _ in self.links]


class _Robot:
    def __init__(self, sim, asset, pose):
        friction = asset.shapes[0].friction
        loader = sim.scene.create_urdf_loader()
        loader.fix_root_link = False
        loader.set_material(friction, friction, 0.0)
        self.body = loader.load(_bare_urdf())
        names = [joint.name for joint in self.body.active_joints]
        self.order = [names.index(name) for name in asset.joints]  # theirs -> ours
        self.links = [self.body.find_link_by_name(name) for name in asset.links]
        for link in self.body.links:
            link.set_linear_damping(0.0)
            link.set_angular_damping(0.0)
            for shape in link.collision_shapes:
                shape.set_collision_groups([1, 2, 0, 0])
        self.body.set_root_pose(sapien.Pose(pose.p.array()))

    def read(self):
        pose, body = self.body.pose, self.body
        root = np.concatenate(
            (pose.p, np.roll(pose.q, -1), body.root_linear_velocity, body.root_angular_velocity)
        )
        dof = np.stack((body.get_qpos()[self.order], body.get_qvel()[self.order]), axis=-1)
        return root, dof

    def write_root(self, root):
        self.body.set_root_pose(sapien.Pose(root[:3], np.roll(root[3:7], 1)))
        self.body.set_root_linear_velocity(root[7:10])
        self.body.set_root_angular_velocity(root[10:])

    def write_dof(self, dof):
        values = np.zeros_like(dof)
        values[self.order] = dof
        self.body.set_qpos(values[:, 0])
        self.body.set_qvel(values[:, 1])

    def push(self, force):
        values = np.zeros_like(force)
        values[self.order] = force
        self.body.set_qf(values)


class Gym:
    """One of them, from `acquire_gym`."""

    def create_sim(self, device_id, graphics_device_id, engine, params):
        assert engine == SIM_PHYSX
        return Sim(params)

    def add_ground(self, sim, plane):
        assert plane.static_friction == plane.dynamic_friction
        material = sapien.physx.PhysxMaterial(plane.static_friction, plane.dynamic_friction, 0.0)
        builder = sim.scene.create_actor_builder()
        builder.add_box_collision(
            sapien.Pose([0.0, 0.0, -THICK_M]), [HALF_PLANE_M, HALF_PLANE_M, THICK_M], material
        )
        builder.set_physx_body_type('static')
        builder.build()

    def add_triangle_mesh(self, sim, vertices, triangles, mesh):
        assert (len(vertices), len(triangles)) == (3 * mesh.nb_vertices, 3 * mesh.nb_triangles)
        material = sapien.physx.PhysxMaterial(mesh.static_friction, mesh.dynamic_friction, 0.0)
        shape = sapien.physx.PhysxCollisionShapeTriangleMesh(
            vertices.reshape(-1, 3), triangles.reshape(-1, 3), np.ones(3, np.float32), material
        )
        body = sapien.physx.PhysxRigidStaticComponent()
        body.attach(shape)
        entity = sapien.Entity()
        entity.add_component(body)
        entity.set_pose(sapien.Pose(mesh.transform.p.array()))
        sim.scene.add_entity(entity)

    def load_asset(self, sim, root, file, options):
        assert (root.rstrip('/').rpartition('/')[2], file) == ('go2', 'go2.urdf')
        return _Asset(sim)

    def get_asset_dof_count(self, asset):
        return len(asset.joints)

    def get_asset_rigid_body_count(self, asset):
        return len(asset.links)

    def get_asset_dof_properties(self, asset):
        return asset.dof

    def get_asset_rigid_shape_properties(self, asset):
        return asset.shapes

    def set_asset_rigid_shape_properties(self, asset, shapes):
        asset.shapes = shapes

    def get_asset_rigid_body_names(self, asset):
        return asset.links

    def get_asset_dof_names(self, asset):
        return asset.joints

    def create_env(self, sim, lower, upper, per_row):
        return sim

    def create_actor(self, env, asset, pose, name, group, collision_filter, segmentation=0):
        env.asset = asset
        env.robots.append(_Robot(env, asset, pose))
        return len(env.robots) - 1

    def set_actor_dof_properties(self, env, actor, props):
        robot = env.robots[actor]
        for i, row in zip(robot.order, props, strict=True):
            joint = robot.body.active_joints[i]
            joint.set_armature([row['armature']])
            joint.set_drive_properties(row['stiffness'], row['damping'])
            joint.set_friction(row['friction'])

    def get_actor_rigid_body_properties(self, env, actor):
        return [
            SimpleNamespace(mass=link.mass, com=Vec3(*link.cmass_local_pose.p))
            for link in env.robots[actor].links
        ]

    def set_actor_rigid_body_properties(self, env, actor, props, recomputeInertia=False):  # noqa: N803
        assert recomputeInertia
        for link, values in zip(env.robots[actor].links, props, strict=True):
            link.set_inertia(np.asarray(link.inertia) * (values.mass / link.mass))
            link.set_mass(values.mass)
            link.set_cmass_local_pose(sapien.Pose(values.com.array(), link.cmass_local_pose.q))

    def get_actor_rigid_body_names(self, env, actor):
        return env.asset.links

    def find_actor_rigid_body_handle(self, env, actor, name):
        return env.asset.links.index(name)

    def prepare_sim(self, sim):
        count, bodies = len(sim.robots), len(sim.asset.links)
        sim.root = torch.zeros(count, 13)
        sim.dof = torch.zeros(count * len(sim.asset.joints), 2)
        sim.force = torch.zeros(count * bodies, 3)
        sim.owner = {link: i * bodies + k for i, robot in enumerate(sim.robots)
                     for k, link in enumerate(robot.links)}  # fmt: skip

    def acquire_actor_root_state_tensor(self, sim):
        return sim.root

    def acquire_dof_state_tensor(self, sim):
        return sim.dof

    def acquire_net_contact_force_tensor(self, sim):
        return sim.force

    def refresh_actor_root_state_tensor(self, sim):
        sim.root[:] = torch.as_tensor(np.stack([robot.read()[0] for robot in sim.robots]))

    def refresh_dof_state_tensor(self, sim):
        sim.dof[:] = torch.as_tensor(np.concatenate([robot.read()[1] for robot in sim.robots]))

    def refresh_net_contact_force_tensor(self, sim):
        sim.force.zero_()
        for contact in sim.physics.get_contacts():
            impulse = sum(np.asarray(point.impulse) for point in contact.points)
            for link in contact.bodies:
                if link in sim.owner:
                    sim.force[sim.owner[link]] += torch.as_tensor(impulse / sim.dt)

    def set_dof_actuation_force_tensor(self, sim, forces):
        for robot, force in zip(sim.robots, forces.numpy(), strict=True):
            robot.push(force)

    def set_actor_root_state_tensor(self, sim, states):
        for robot, state in zip(sim.robots, states.numpy(), strict=True):
            robot.write_root(state)

    def set_dof_state_tensor(self, sim, states):
        for robot, state in zip(sim.robots, states.numpy().reshape(-1, 12, 2), strict=True):
            robot.write_dof(state)

    def simulate(self, sim):
        sim.scene.step()

    def fetch_results(self, sim, wait):
        assert wait


def acquire_gym():
    return Gym()

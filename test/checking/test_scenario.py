from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import yaml

from make_agent_ros.checking.scenario import CheckConfig, ScenarioError, load_config
from make_agent_ros.checking.terrain import Grounds, Terrain, build_terrain
from make_agent_ros.checking.trials import draw_trials, trial_seeds


@pytest.fixture(scope='module')
def config():
    return load_config()


def test_the_shipped_scenarios_cover_what_the_check_promises(config):
    names = {s.name for s in config.scenarios}
    assert names >= {
        'nominal', 'friction', 'payload', 'motors', 'gains', 'latency', 'sensors', 'pushes',
        'slope', 'steps', 'sills', 'weak_joint', 'commands', 'wrong_pose', 'lying',
    }  # fmt: skip
    assert config['friction'].friction == (0.3, 1.25)
    assert config['payload'].payload_kg == (-1.0, 4.0)
    assert config['latency'].latency_s == (0.0, 0.03)


def test_a_trial_is_the_same_alone_and_among_others(config):
    for scenario in config.scenarios:
        many = draw_trials(scenario, trial_seeds(3, 6), config.terrains)
        alone = draw_trials(scenario, [3004], config.terrains)
        for name in ('friction', 'payload_kg', 'strength', 'latency_s', 'bias', 'push_w', 'tilt'):
            np.testing.assert_array_equal(getattr(many, name)[4], getattr(alone, name)[0])
        np.testing.assert_array_equal(many.terrains[4].boxes, alone.terrains[0].boxes)


def test_drawn_numbers_stay_in_their_ranges_and_fill_them(config):
    trials = draw_trials(config['friction'], trial_seeds(1, 400), config.terrains)
    assert trials.friction.min() > 0.3
    assert trials.friction.max() < 1.25
    assert np.ptp(trials.friction) > 0.9
    assert np.all(trials.payload_kg == 0.0)


def test_drives_that_vary_leave_the_rest_of_a_trial_as_it_was(config):
    usual = config['payload']
    stiff = replace(usual, drive_friction=(0.5, 1.5), rotor_factor=(1.0, 4.0))
    one, other = (draw_trials(s, trial_seeds(1, 4), config.terrains) for s in (usual, stiff))
    np.testing.assert_array_equal(one.payload_shift_m, other.payload_shift_m)
    np.testing.assert_array_equal(one.strength, other.strength)
    assert (one.drive_friction == 0.0).all()
    assert len(np.unique(other.drive_friction)) == len(np.unique(other.rotor_factor)) == 4


def test_one_joint_is_weak_and_only_one(config):
    trials = draw_trials(config['weak_joint'], trial_seeds(1, 50), config.terrains)
    assert np.all((trials.strength < 1.0).sum(axis=1) == 1)
    assert trials.strength.min() >= 0.4


def test_pushes_come_from_eight_directions(config):
    trials = draw_trials(config['pushes'], trial_seeds(1, 16), config.terrains)
    angle = np.round(np.rad2deg(np.arctan2(trials.push_w[:, 1], trials.push_w[:, 0])) / 45) % 8
    assert sorted(angle) == sorted([*range(8)] * 2)


def test_the_configuration_survives_the_way_to_another_process(config):
    assert CheckConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ('scenario', 'message'),
    [
        ({'frictoin': [0.3, 1.0]}, 'unknown entries frictoin'),
        ({'friction': [1.0, 0.3]}, r'friction = \[1.0, 0.3\]; expected \[low, high\]'),
        ({'friction': 'high'}, 'friction'),
        ({'start': 'sitting'}, "start 'sitting'; known"),
        ({'terrain': 'moon'}, "terrain 'moon'; known"),
        ({'trials': 0}, '0 trials'),
        ({'push_m_s': [0, 1], 'seconds': 3}, 'push_at_s = 3.0 in a walk of 3 s'),
        ({'commands': [[0, 1]]}, 'expected .second, vx, vy, wz.'),
        ({'limits': {'falls': [0.5, 0.1]}}, 'expected .warn, fail.'),
        ({'limits': {'fall': [0.0, 0.1]}}, 'limits of fall; figures are falls'),
        ({'limits': 3}, 'limits = 3'),
        ({'trials': 'many'}, "trials = 'many'; expected a whole number"),
        ({'advisory': 1}, 'advisory = 1; expected true or false'),
        ({'seconds': float('nan')}, 'trials of nan s'),
        ({'friction': [-1.0, 0.5]}, 'within 0.01 to 10'),
        ({'payload_kg': [-50, 0]}, 'within -5 to 50'),
        ({'latency_s': [-0.01, 0.0]}, 'within 0 to 0.5'),
        ({'commands': 5}, 'commands 5; expected rows'),
        ([1, 2], 'expected a mapping of fields'),
    ],
)
def test_a_mistake_in_the_configuration_is_named(tmp_path, scenario, message):
    path = tmp_path / 'check.yaml'
    path.write_text(yaml.safe_dump({'scenarios': {'mine': scenario}}))
    with pytest.raises(ScenarioError, match=message):
        load_config(path)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (b'scenarios: {}', 'nothing to check'),
        (b'seed: x\nscenarios: {a: {}}', "seed 'x'"),
        (b'defaults: 3\nscenarios: {a: {}}', 'defaults 3'),
        (b'limits: [1]\nscenarios: {a: {}}', r'limits = \[1\]'),
        (b'\xbc\xff\x00', 'decode'),
        (b': : :\n -', 'expected'),
    ],
)
def test_a_broken_file_is_one_sentence(tmp_path, text, message):
    path = tmp_path / 'check.yaml'
    path.write_bytes(text)
    with pytest.raises(ScenarioError, match=message):
        load_config(path)


def test_a_file_that_is_no_configuration_is_refused(tmp_path):
    path = tmp_path / 'check.yaml'
    path.write_text('- just\n- a list')
    with pytest.raises(ScenarioError, match='expected a mapping'):
        load_config(path)


def test_a_slope_of_ten_degrees_rises_by_its_tangent():
    terrain = build_terrain(
        {'kind': 'slope'}, np.random.default_rng(0), obstacle_m=0.0, slope_deg=10.0
    )
    points = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    assert np.abs(terrain.height(points)).max() == pytest.approx(np.tan(np.deg2rad(10.0)))


def test_height_over_a_box_is_its_top_and_beside_it_the_ground():
    terrain = Terrain(boxes=np.array([[1.0, 0.0, 0.1, 0.5, 0.05]]))
    np.testing.assert_allclose(terrain.height(np.array([[1.0, 0.4], [1.2, 0.0]])), [0.05, 0.0])


def test_sills_surround_the_start():
    spec = {'kind': 'rings', 'first_m': 0.6, 'spacing_m': 0.7, 'width_m': 0.1, 'count': 2}
    terrain = build_terrain(spec, np.random.default_rng(0), obstacle_m=0.05, slope_deg=0.0)
    for angle in np.linspace(0.0, 2 * np.pi, 40):
        ray = np.linspace(0.0, 1.2, 200)[:, None] * [np.cos(angle), np.sin(angle)]
        assert terrain.height(ray).max() == 0.05


def normals(vertices, triangles):
    corners = vertices[triangles].astype(float)
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def test_the_mesh_of_a_slope_has_its_height_and_looks_up():
    terrain = Terrain(np.array([np.sin(0.1), 0.0, np.cos(0.1)]))
    vertices, triangles = terrain.mesh(4.0)
    np.testing.assert_allclose(vertices[:, 2], terrain.height(vertices[:, :2]), atol=1e-6)
    assert (normals(vertices, triangles)[:, 2] > 0.0).all()


def test_the_mesh_of_a_box_has_its_top_and_looks_outwards():
    terrain = Terrain(boxes=np.array([[1.0, 2.0, 0.1, 0.5, 0.05]]))
    vertices, triangles = terrain.mesh(8.0)
    box = triangles[2:]  # after the ground
    facing = normals(vertices, box)
    top = facing[:, 2] > 1e-9
    assert 0.5 * facing[top, 2].sum() == pytest.approx(0.2 * 1.0)
    np.testing.assert_allclose(vertices[box[top]][..., 2], 0.05, atol=1e-7)
    outwards = vertices[box].mean(axis=1) - [1.0, 2.0, 0.025]
    assert ((facing * outwards).sum(axis=1) > 0.0).all()


@pytest.mark.parametrize('name', ['nominal', 'slope', 'steps', 'sills'])
def test_robots_asked_together_stand_on_the_ground_they_would_stand_on_alone(config, name):
    terrains = draw_trials(config[name], [1000, 1001, 1002], config.terrains).terrains
    places = np.random.default_rng(0).uniform(-3.0, 3.0, (50, 3, 2))
    grounds = Grounds(terrains)
    for xy in places:
        alone = [terrain.height(xy[i]) for i, terrain in enumerate(terrains)]
        np.testing.assert_allclose(grounds.height(xy), alone, atol=1e-12)

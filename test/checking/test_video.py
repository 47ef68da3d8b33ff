from __future__ import annotations

import mujoco
import numpy as np
import pytest

from make_agent_ros.checking import video
from make_agent_ros.checking.mujoco_backend import scene_model
from make_agent_ros.checking.scenario import load_config
from make_agent_ros.checking.trials import draw_trials
from make_agent_ros.checking.video import VideoError, render_video
from make_agent_ros.go2.constants import NOMINAL_JOINT_POS

CONFIG = load_config()


def poses(count=25, height=0.3, forward=0.0):
    rows = np.zeros((count, 19))
    rows[:, 0] = np.linspace(0.0, forward, count)
    rows[:, 2], rows[:, 3] = height, 1.0
    rows[:, 7:] = NOMINAL_JOINT_POS
    return rows


def ground(name, **changes):
    from dataclasses import replace

    return draw_trials(replace(CONFIG[name], **changes), [1001], CONFIG.terrains).terrains[0]


def frames(path):
    import imageio.v2 as imageio

    with imageio.get_reader(path) as reader:
        return np.stack([*reader.iter_data()]).astype(float)


def film(tmp_path, **arguments):
    try:
        return frames(render_video(poses(), tmp_path / 'film.mp4', **arguments))
    except VideoError as error:
        if 'egl' in str(error).lower() or 'gl' in str(error).split('.')[0].lower():
            pytest.skip(str(error))
        raise


def test_a_film_has_the_size_and_the_frames_asked_for(tmp_path):
    seen = film(tmp_path, rate_hz=50.0, fps=25, size=(320, 240))
    assert seen.shape == (13, 240, 320, 3)


def test_the_robot_is_in_the_middle_of_the_picture(tmp_path):
    seen = film(tmp_path, size=(320, 240))[0]
    empty = np.abs(seen[:, :40].std(axis=(0, 1))).max()
    middle = np.abs(seen[60:180, 110:210].std(axis=(0, 1))).max()
    assert middle > 1.3 * empty
    assert (seen[60:180, 110:210].max(axis=-1) < 60.0).mean() > 0.02  # its black legs


def test_obstacles_are_brown_and_level_ground_is_not(tmp_path):
    def brown(seen):
        return float(((seen[0, ..., 0] - seen[0, ..., 2]) > 40.0).mean())

    assert brown(film(tmp_path, model=scene_model(ground('nominal')))) < 0.005
    assert brown(film(tmp_path, model=scene_model(ground('sills')))) > 0.02
    assert brown(film(tmp_path, model=scene_model(ground('steps')))) > 0.10


def test_a_slope_is_tilted_and_shown_by_posts_that_touch_nothing():
    terrain = ground('slope', slope_deg=(10.0, 10.0))
    model = scene_model(terrain)
    floor = model.geom('floor')
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    normal = data.geom('floor').xmat.reshape(3, 3)[:, 2]
    np.testing.assert_allclose(normal, terrain.normal, atol=1e-6)
    posts = model.geom_type == mujoco.mjtGeom.mjGEOM_CYLINDER
    posts &= model.geom_bodyid == floor.bodyid[0]
    assert posts.sum() == 64
    assert not model.geom_contype[posts].any()
    assert not model.geom_conaffinity[posts].any()


def test_the_camera_climbs_with_the_robot_and_does_not_bob():
    time_s = np.arange(200) / 25
    trunk = 0.3 + 0.1 * time_s + 0.02 * np.sin(2 * np.pi * 4.0 * time_s)
    height = video._camera_heights(trunk, 25)
    assert len(height) == len(trunk)
    middle = slice(20, -20)
    np.testing.assert_allclose(height[middle], 0.3 + 0.1 * time_s[middle] - 0.08, atol=0.004)


def test_one_pose_is_a_film_too():
    np.testing.assert_allclose(video._camera_heights(np.array([0.3]), 25), [0.22])


def test_a_missing_renderer_is_said_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv('MUJOCO_GL', 'nothing')
    with pytest.raises(VideoError, match=r'no video: .*libegl1'):
        render_video(poses(2), tmp_path / 'film.mp4')
    assert not (tmp_path / 'film.mp4').exists()


def test_a_renderer_that_hangs_ends_at_the_deadline(tmp_path, monkeypatch):
    monkeypatch.setattr(video, 'DEADLINE_S', 0.01)
    with pytest.raises(VideoError, match='took over'):
        render_video(poses(2), tmp_path / 'film.mp4')

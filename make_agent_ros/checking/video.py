"""Short videos of a run: MuJoCo's offscreen renderer, H.264 through imageio's ffmpeg.

Rendering runs in a process of its own: MuJoCo chooses its OpenGL platform when it is imported, and
a driver that crashes must not take a check or a demo with it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import mujoco
import numpy as np

WIDTH, HEIGHT = 640, 352
DEADLINE_S = 180.0
SHADOW_M = 1.9
"""Shadows are drawn so far around the robot."""


class VideoError(RuntimeError):
    """No video could be made; the message says why and what helps."""


def render_video(
    states: np.ndarray,
    path: str | Path,
    *,
    rate_hz: float = 50.0,
    model: mujoco.MjModel | None = None,
    fps: int = 25,
    size: tuple[int, int] = (WIDTH, HEIGHT),
) -> Path:
    """Render poses of the robot as an MP4 that browsers play.

    Args:
        states: generalised positions (x, y, z, quaternion wxyz, 12 joints), shape (T, 19).
        path: of the file to write.
        rate_hz: rate of `states`.
        model: what is drawn; the Go2 on a flat floor when omitted.
        fps: frames per second of the video; poses are picked, not interpolated.
        size: width and height in pixels, multiples of 16.

    Returns:
        The path.

    Raises:
        VideoError: no OpenGL, no ffmpeg, or the deadline passed; the caller says so on its page.
    """
    path = Path(path).resolve()
    if model is None:
        from make_agent_ros.simulation.model import load_model

        model = load_model()
    states = np.atleast_2d(np.asarray(states, dtype=np.float64))
    ids = np.unique(np.round(np.arange(0, len(states), rate_hz / fps)).astype(int))
    ids = ids[ids < len(states)]
    environment = dict(os.environ)
    if sys.platform.startswith('linux') and not environment.get('DISPLAY'):
        environment.setdefault('MUJOCO_GL', 'egl')
    with tempfile.TemporaryDirectory() as folder:
        model_file, poses_file = Path(folder) / 'model.mjb', Path(folder) / 'poses.npy'
        mujoco.mj_saveModel(model, str(model_file))
        np.save(poses_file, states[ids])
        command = [sys.executable, '-m', 'make_agent_ros.checking.video', str(model_file),
                   str(poses_file), str(path), str(fps), *map(str, size)]  # fmt: skip
        root = str(Path(__file__).resolve().parents[2])
        environment['PYTHONPATH'] = os.pathsep.join(
            part for part in (root, environment.get('PYTHONPATH', '')) if part
        )
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=DEADLINE_S
            )
        except subprocess.TimeoutExpired as error:
            raise VideoError(f'no video: rendering took over {DEADLINE_S:g} s') from error
    if done.returncode != 0 or not path.exists():
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        why = lines[-1].strip() if lines else f'exit status {done.returncode}'
        raise VideoError(
            f'no video: {why}. Rendering without a display needs libegl1 and MUJOCO_GL=egl, '
            'writing needs imageio-ffmpeg'
        )
    return path


def _write(model_file: str, poses_file: str, path: str, fps: int, size: tuple[int, int]) -> None:
    """Render in this process."""
    import imageio.v2 as imageio

    model = mujoco.MjModel.from_binary_path(model_file)
    # software rendering: without these a frame takes four times as long
    model.vis.quality.offsamples, model.mat_reflectance[:] = 0, 0.0
    model.vis.quality.shadowsize = 1024
    # a small shadow map: obstacles outside it would throw their shadows anywhere
    model.vis.map.shadowclip = SHADOW_M / model.stat.extent
    model.light_dir[:] = (0.0, 0.0, -1.0)  # from straight above the floor does not speckle
    data = mujoco.MjData(model)
    camera = mujoco.MjvCamera()
    camera.type = mujoco.mjtCamera.mjCAMERA_FREE
    camera.distance, camera.azimuth, camera.elevation = 1.6, 125.0, -16.0
    renderer = mujoco.Renderer(model, height=size[1], width=size[0])
    with imageio.get_writer(
        path, format='FFMPEG', fps=fps, codec='libx264', quality=None,
        output_params=['-crf', '30', '-preset', 'veryfast', '-movflags', '+faststart'],
    ) as writer:  # fmt: skip
        poses = np.load(poses_file, allow_pickle=False)
        for pose, height in zip(poses, _camera_heights(poses[:, 2], fps), strict=True):
            data.qpos[:] = pose
            model.light_pos[:, :2] = pose[:2]  # the shadow map covers what is below the light
            mujoco.mj_forward(model, data)
            camera.lookat[:] = (*data.body('base').xpos[:2], height)
            renderer.update_scene(data, camera=camera)
            writer.append_data(renderer.render())
    renderer.close()


def _camera_heights(trunk_m: np.ndarray, fps: int) -> np.ndarray:
    """Return where the camera looks, m, (T,): the trunk's height without its bobbing.

    Means over a second, so that it climbs a slope with the robot; a little below the trunk.
    """
    half = min(fps // 2, len(trunk_m) - 1)
    padded = np.pad(trunk_m, half, mode='edge')
    return np.convolve(padded, np.full(2 * half + 1, 1.0 / (2 * half + 1)), 'valid') - 0.08


if __name__ == '__main__':
    arguments = sys.argv[1:]
    _write(*arguments[:3], int(arguments[3]), (int(arguments[4]), int(arguments[5])))

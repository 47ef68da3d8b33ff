"""The ground of a trial: one plane and upright boxes, the same in every physics engine.

The Isaac Gym runner imports this file in Python 3.8: nothing newer is used here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

KINDS = ('flat', 'slope', 'patches', 'rings')


@dataclass(frozen=True)
class Terrain:
    """Ground around the origin. Boxes stand on z = 0 and exist only on level planes."""

    normal: np.ndarray = field(default_factory=lambda: np.array([0.0, 0.0, 1.0]))
    """Unit normal of the plane through the origin, shape (3,)."""
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 5)))
    """Centre x, y, half sizes x, y and height, m, shape (N, 5)."""

    def height(self, xy: np.ndarray) -> np.ndarray:
        """Return the ground's height at points (..., 2), m, shape (...)."""
        xy = np.asarray(xy)
        ground = -(xy * self.normal[:2]).sum(axis=-1) / self.normal[2]
        if len(self.boxes):
            away = np.abs(xy[..., None, :] - self.boxes[:, :2])
            inside = (away <= self.boxes[:, 2:4]).all(axis=-1)
            ground = ground + np.where(inside, self.boxes[:, 4], 0.0).max(axis=-1)
        return ground

    def plane_quat(self) -> np.ndarray:
        """Return the rotation that turns z onto the normal, wxyz, shape (4,)."""
        nx, ny, nz = self.normal
        quat = np.array([1.0 + nz, -ny, nx, 0.0])
        return quat / np.linalg.norm(quat)

    def mesh(self, extent_m: float = 12.0) -> tuple[np.ndarray, np.ndarray]:
        """Return the ground as triangles for engines without planes per robot.

        Args:
            extent_m: side of the square that the plane covers.

        Returns:
            Vertices (V, 3) float32 and counter-clockwise triangles (F, 3) uint32.
        """
        half = extent_m / 2.0
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], dtype=float)
        flat = Terrain(self.normal)
        square = corners * half
        vertices = [np.c_[square, flat.height(square)]]
        triangles = [np.array([[0, 1, 2], [0, 2, 3]])]
        sides = np.array(
            [[4, 5, 6], [4, 6, 7], [0, 1, 5], [0, 5, 4], [1, 2, 6], [1, 6, 5],
             [2, 3, 7], [2, 7, 6], [3, 0, 4], [3, 4, 7]]
        )  # fmt: skip
        for x, y, half_x, half_y, top in self.boxes:
            start = sum(len(part) for part in vertices)
            around = corners * (half_x, half_y) + (x, y)
            vertices += [np.c_[around, np.zeros(4)], np.c_[around, np.full(4, top)]]
            triangles.append(sides + start)
        return (
            np.concatenate(vertices).astype(np.float32),
            np.concatenate(triangles).astype(np.uint32),
        )


class Grounds:
    """The terrains of B robots, asked for their heights together."""

    def __init__(self, terrains: Sequence[Terrain]) -> None:
        """Take one terrain per robot."""
        self._terrains = terrains
        normals = np.array([t.normal for t in terrains])
        self._slope = -normals[:, :2] / normals[:, 2:]
        self._flat = not any(len(t.boxes) for t in terrains)

    def height(self, xy: np.ndarray) -> np.ndarray:
        """Return the ground's height below one point (B, 2) per robot, m, shape (B,)."""
        if self._flat:
            return (xy * self._slope).sum(axis=-1)
        return np.array([t.height(xy[i]) for i, t in enumerate(self._terrains)])


def build_terrain(
    spec: Mapping[str, Any], rng: np.random.Generator, *, obstacle_m: float, slope_deg: float
) -> Terrain:
    """Build the ground of one trial.

    Args:
        spec: an entry of `sim/terrains/terrains.yaml`.
        rng: draws what is random.
        obstacle_m: height of steps and sills.
        slope_deg: tilt of the plane; its direction is drawn.

    Raises:
        ValueError: an unknown kind.
    """
    kind = spec.get('kind')
    if kind == 'flat':
        return Terrain()
    if kind == 'slope':
        angle, towards = np.deg2rad(slope_deg), rng.integers(4) * np.pi / 2.0
        tilt = np.sin(angle)
        return Terrain(np.array([tilt * np.cos(towards), tilt * np.sin(towards), np.cos(angle)]))
    if kind == 'patches':
        return Terrain(boxes=_patches(spec, rng, obstacle_m))
    if kind == 'rings':
        return Terrain(boxes=_rings(spec, obstacle_m))
    raise ValueError(f'terrain kind {kind!r}; known: {", ".join(KINDS)}')


def _patches(spec: Mapping[str, Any], rng: np.random.Generator, obstacle_m: float) -> np.ndarray:
    size, extent = float(spec['patch_m']), float(spec['extent_m'])
    count = int(extent / size)
    axis = (np.arange(count) - (count - 1) / 2.0) * size
    x, y = (values.ravel() for values in np.meshgrid(axis, axis))
    height = rng.uniform(0.2, 1.0, len(x)) * obstacle_m * (rng.random(len(x)) < 0.7)
    far = np.hypot(x, y) > float(spec['flat_radius_m']) + size / 2.0
    # the number of boxes is the same in every trial: a batch shares one model layout
    half = np.full(len(x), size / 2.0)
    boxes = np.stack((x, y, half, half, np.maximum(height, 1e-3)), axis=-1)
    return boxes[far]


def _rings(spec: Mapping[str, Any], obstacle_m: float) -> np.ndarray:
    boxes = []
    half = float(spec['width_m']) / 2.0
    for i in range(int(spec['count'])):
        radius = float(spec['first_m']) + i * float(spec['spacing_m'])
        boxes += [
            (radius, 0.0, half, radius + half, obstacle_m),
            (-radius, 0.0, half, radius + half, obstacle_m),
            (0.0, radius, radius - half, half, obstacle_m),
            (0.0, -radius, radius - half, half, obstacle_m),
        ]
    return np.array(boxes)

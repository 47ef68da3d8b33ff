"""Trials: one robot with one set of numbers drawn from a scenario's ranges.

Trials are drawn here, once, with numpy: every physics engine gets the same numbers, and a trial
can be played again from its seed alone. The Isaac Gym runner imports this file in Python 3.8.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from make_agent_ros.checking.scenario import Scenario
from make_agent_ros.checking.terrain import Terrain, build_terrain

PUSH_DIRECTIONS = 8


@dataclass(frozen=True)
class Trials:
    """B robots, each with its own numbers; arrays have shape (B, ...)."""

    scenario: Scenario
    seeds: np.ndarray
    """Draws the trial again: `draw_trials(scenario, [seed], terrains)`."""
    friction: np.ndarray
    payload_kg: np.ndarray
    payload_shift_m: np.ndarray
    """(B, 2)."""
    strength: np.ndarray
    """Factor on each joint's torque and torque limit, (B, 12)."""
    stiffness_factor: np.ndarray
    damping_factor: np.ndarray
    drive_friction: np.ndarray
    rotor_factor: np.ndarray
    latency_s: np.ndarray
    noise: np.ndarray
    bias: np.ndarray
    """Sensor offsets in units of the usual noise: gyro 3, tilt 2, joint_pos 12; (B, 17)."""
    push_w: np.ndarray
    """Velocity kick, m/s, (B, 2)."""
    pose_offset: np.ndarray
    """Added to the default pose at the start, rad, (B, 12)."""
    tilt: np.ndarray
    """Roll and pitch at the start, rad, (B, 2)."""
    drop_m: np.ndarray
    """Height of the feet above the ground at the start."""
    terrains: list[Terrain]

    def __len__(self) -> int:
        """Number of robots."""
        return len(self.seeds)


def draw_trials(
    scenario: Scenario, seeds: Sequence[int], terrains: Mapping[str, Mapping[str, Any]]
) -> Trials:
    """Draw one trial per seed; the same seed gives the same trial, alone or among others."""
    draws = [_draw(scenario, int(seed), terrains[scenario.terrain]) for seed in seeds]
    names = [f.name for f in fields(Trials)[2:-1]]
    columns = {name: np.array([draw[name] for draw in draws]) for name in names}
    return Trials(
        scenario=scenario,
        seeds=np.array(seeds, dtype=np.int64),
        terrains=[draw['terrain'] for draw in draws],
        **columns,
    )


def _draw(scenario: Scenario, seed: int, ground: Mapping[str, Any]) -> dict[str, Any]:
    rng = np.random.default_rng([seed, zlib.crc32(scenario.name.encode())])
    drawn = {
        name: rng.uniform(*getattr(scenario, name))
        for name in ('friction', 'payload_kg', 'stiffness_factor', 'damping_factor', 'latency_s',
                     'noise')
    }  # fmt: skip
    # a stream of its own: trials of a seed stay what they were before drives varied
    drives = np.random.default_rng([seed, zlib.crc32(scenario.name.encode()), 1])
    for name in ('drive_friction', 'rotor_factor'):
        drawn[name] = drives.uniform(*getattr(scenario, name))
    shift = rng.uniform(*scenario.payload_shift_m, 2)
    strength = np.full(12, rng.uniform(*scenario.motor_strength))
    strength[rng.integers(12)] *= rng.uniform(*scenario.weak_joint)
    bias = rng.uniform(*scenario.bias) * rng.choice([-1.0, 1.0], 17) * rng.random(17)
    direction = 2.0 * np.pi * (seed % PUSH_DIRECTIONS) / PUSH_DIRECTIONS
    push = rng.uniform(*scenario.push_m_s) * np.array([np.cos(direction), np.sin(direction)])
    wrong = float(scenario.start == 'wrong_pose')
    return dict(
        drawn,
        payload_shift_m=shift,
        strength=strength,
        bias=bias,
        push_w=push,
        pose_offset=wrong * rng.uniform(-0.3, 0.3, 12) * np.tile([0.5, 1.0, 1.0], 4),
        tilt=wrong * rng.uniform(-0.2, 0.2, 2),
        drop_m=0.01 + wrong * rng.uniform(0.0, 0.05),
        terrain=build_terrain(
            ground,
            rng,
            obstacle_m=rng.uniform(*scenario.obstacle_m),
            slope_deg=rng.uniform(*scenario.slope_deg),
        ),
    )


def trial_seeds(seed: int, count: int) -> list[int]:
    """Return the seeds of a scenario's trials; they also name them in reports."""
    return [1000 * seed + i for i in range(count)]

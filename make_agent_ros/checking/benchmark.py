"""How close the batched simulation comes to the physics engine's own limit, on this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import mujoco
import numpy as np
from mujoco.rollout import Rollout

from make_agent_ros.go2.constants import NOMINAL_JOINT_POS
from make_agent_ros.simulation.batch import BatchSimulation
from make_agent_ros.simulation.model import randomised_worlds

ROUNDS = 5


def bench_simulation(
    *, robots: int = 512, worlds: int = 32, steps: int = 50, threads: int | None = None
) -> dict[str, float]:
    """Time `BatchSimulation` against bare `mujoco.rollout` on the same models, alternating.

    Args:
        robots: in the batch.
        worlds: randomised models that they share.
        steps: control steps per round.
        threads: of both; all cores when omitted.

    Returns:
        `control_steps_per_s` and `rollout_steps_per_s` (medians over the rounds),
        `ratio_to_rollout` (median of the rounds' ratios), `robots`, `threads`.
    """
    threads = threads or os.cpu_count() or 1
    drawn = randomised_worlds(worlds, 0)
    sim = BatchSimulation(drawn, np.arange(robots) % worlds, threads=threads)
    pose = np.tile(NOMINAL_JOINT_POS, (robots, 1))
    height, yaw = np.full(robots, 0.3), np.zeros(robots)

    def ours() -> None:
        sim.step(pose)
        sim.observe()

    bare = _bare_rollout(sim, drawn.models, pose, threads)
    ratios, rates = [], []
    for _ in range(ROUNDS):
        seconds = []
        for step in (ours, bare):
            sim.reset(np.arange(robots), pose, height, yaw)
            seconds.append(_time(step, steps))
        ratios.append(seconds[1] / seconds[0])
        rates.append([robots * steps / s for s in seconds])
    own, limit = np.median(rates, axis=0)
    return {
        'control_steps_per_s': float(own),
        'rollout_steps_per_s': float(limit),
        'ratio_to_rollout': float(np.median(ratios)),
        'robots': float(robots),
        'threads': float(threads),
    }


def _bare_rollout(
    sim: BatchSimulation, models: list[mujoco.MjModel], pose: np.ndarray, threads: int
) -> Callable[[], None]:
    """Return one control step of plain `mujoco.rollout` on the batch's own states."""
    pool = Rollout(nthread=threads)
    data = [mujoco.MjData(models[0]) for _ in range(threads)]
    mine = [models[i % len(models)] for i in range(sim.size)]
    control = np.repeat(pose[:, None], sim.decimation, axis=1)
    states = np.zeros((sim.size, sim.decimation, sim.state.shape[1]))
    sensors = np.zeros((sim.size, sim.decimation, models[0].nsensordata))

    def step() -> None:
        pool.rollout(
            mine, data, sim.state, control, state=states, sensordata=sensors,
            nstep=sim.decimation, skip_checks=True,
        )  # fmt: skip
        sim.state[:] = states[:, -1]

    return step


def _time(step: Callable[[], None], steps: int) -> float:
    step()
    start = time.perf_counter()
    for _ in range(steps):
        step()
    return time.perf_counter() - start

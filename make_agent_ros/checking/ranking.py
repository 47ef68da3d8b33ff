"""Best of N: which of the generated policies does what the prompt showed, in worlds it never saw.

Every candidate walks in the same few randomised worlds at its own default command. The cost adds,
each in units of what still counts as good: falls, velocity error, and the distance of its gait
from the prompt's on every axis of `recording.gait`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from make_agent_ros.checking.metrics import STYLE_TOLERANCE, velocity_rmse
from make_agent_ros.policy.bundle import Bundle
from make_agent_ros.recording.gait import Gait, gait_distance
from make_agent_ros.recording.loads import gait_by_load, gait_of_trajectory
from make_agent_ros.recording.trajectory import Trajectory
from make_agent_ros.simulation.model import WorldRanges, randomised_worlds
from make_agent_ros.simulation.rollout import RolloutLog, rollout

SETTLE_S = 1.0
"""Time from standing to the gait; not judged."""
FALL_COST = 20.0
"""Cost of falling in every world: more than any style error can add."""
VELOCITY_TOLERANCE_M_S = 0.15
YAW_TOLERANCE_RAD_S = 0.3
MAX_CALIBRATION = 0.2
"""Largest correction of a command, m/s and rad/s; a larger bias is a fault to show."""
WORST = 4.0
"""Cost at which one axis stops counting, in tolerances."""


@dataclass(frozen=True)
class Ranking:
    """How the candidates did. Arrays have shape (P,), one entry per candidate."""

    best: int
    """Index of the candidate with the lowest cost."""
    cost: np.ndarray
    """Falls x `FALL_COST` + mean of the errors in units of their tolerances."""
    figures: dict[str, np.ndarray]
    """`falls` (share of worlds), `velocity_rmse_m_s`, `yaw_rmse_rad_s`, the axes of
    `gait_distance`, and `frequency_hz`, `body_height_m`, `swing_height_m`."""
    command: np.ndarray
    """Command at which each candidate moves at the velocity asked for, (P, 3): policies have a
    tracking bias, which shows in the same rollouts and is taken off once."""
    seconds: float
    """Wall time of the ranking."""

    @property
    def order(self) -> np.ndarray:
        """Candidates from best to worst, shape (P,)."""
        return np.argsort(self.cost, kind='stable')

    def table(self) -> list[dict[str, float]]:
        """Return one row per candidate, best first."""
        return [
            {
                'candidate': int(i),
                'cost': float(self.cost[i]),
                **{name: float(values[i]) for name, values in self.figures.items()},
            }
            for i in self.order
        ]


def prompt_gait(prompts: Trajectory | Sequence[Trajectory]) -> Gait:
    """Describe the gait that a prompt shows, or several of one style on average."""
    prompts = [prompts] if isinstance(prompts, Trajectory) else prompts
    each = [gait_of_trajectory(p) for p in prompts]
    mean = {f.name: np.mean([getattr(g, f.name) for g in each], axis=0) for f in fields(Gait)}
    turns = np.exp(2j * np.pi * np.stack([g.phase_offset for g in each])).mean(axis=0)
    return Gait(**{**mean, 'phase_offset': np.angle(turns) / (2.0 * np.pi) % 1.0})


def rank(
    bundles: Sequence[Bundle],
    prompt: Trajectory | Sequence[Trajectory],
    seed: int,
    *,
    worlds: int = 4,
    seconds: float = 5.0,
    command: np.ndarray | None = None,
    push_m_s: float = 0.3,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Ranking:
    """Walk all candidates and order them.

    Args:
        bundles: P candidates.
        prompt: what they were generated from, at a uniform rate; several of one style count
            on average.
        seed: of worlds, sensor noise and pushes; all candidates see the same.
        worlds: randomised worlds per candidate.
        seconds: duration of each walk, at least 3.
        command: velocity to follow, (3,) or (P, 3); each bundle's default command if omitted.
        push_m_s: velocity kicks during the walk.
        threads: of the simulation; all cores when omitted.
        progress: called with (candidates done, all).

    Raises:
        ValueError: no candidates, or a walk too short to judge.
    """
    if not bundles:
        raise ValueError('no candidates to rank; sample at least one')
    if seconds < SETTLE_S + 2.0:
        raise ValueError(f'{seconds:g} s are too short to judge a gait; use at least 3')
    start = time.perf_counter()
    commands = np.array([b.default_command for b in bundles])
    if command is not None:
        commands = np.broadcast_to(np.asarray(command, dtype=np.float64), commands.shape)
    drawn = randomised_worlds(worlds, seed, WorldRanges())
    log = rollout(bundles, drawn, commands, seconds, push_m_s=push_m_s, seed=seed, threads=threads)
    figures = candidate_figures(log, prompt_gait(prompt))
    cost = candidate_cost(figures)
    if progress is not None:
        progress(len(bundles), len(bundles))
    calibrated = calibrated_command(log)
    return Ranking(int(np.argmin(cost)), cost, figures, calibrated, time.perf_counter() - start)


def calibrated_command(log: RolloutLog) -> np.ndarray:
    """Return each policy's command less its velocity bias, (P, 3): vx, vy m/s, wz rad/s.

    The bias is the median over the worlds in which it stayed up, at most `MAX_CALIBRATION`. A
    policy that fell everywhere keeps its command, and so does one that was told to stand.
    """
    skip = round(SETTLE_S / log.control_dt_s)
    command = log.command[:, 0, 0].astype(np.float64)
    bias = (log.planar_velocity - log.command)[:, :, skip:].mean(axis=2)
    bias = np.stack([_median_where(bias[..., i], ~log.fell, 0.0) for i in range(3)], axis=-1)
    moving = np.abs(command).max(axis=1, keepdims=True) > 0.0
    return command - moving * np.clip(bias, -MAX_CALIBRATION, MAX_CALIBRATION)


def candidate_figures(log: RolloutLog, wanted: Gait) -> dict[str, np.ndarray]:
    """Judge a rollout of P policies in W worlds: figures of shape (P,), medians over the worlds.

    A robot that fell counts in `falls` and in the velocity error until then; its gait does not
    count, unless it fell in every world: then its style errors are infinite.
    """
    dt = log.control_dt_s
    skip = round(SETTLE_S / dt)
    planar, yaw = velocity_rmse(
        log.planar_velocity, log.command, dt, steps_alive=log.steps_alive, skip_s=SETTLE_S
    )
    gait = gait_by_load(
        log.joint_pos[:, :, skip:],
        log.joint_torque[:, :, skip:],
        log.quat_wxyz[:, :, skip:],
        1.0 / dt,
    )
    stood = ~log.fell
    distance = gait_distance(gait, wanted)
    everywhere = np.ones_like(stood)
    figures = {
        'falls': 1.0 - stood.mean(axis=1),
        'velocity_rmse_m_s': _median_where(planar, everywhere, np.inf),
        'yaw_rmse_rad_s': _median_where(yaw, everywhere, np.inf),
    }
    for name, values in distance.items():
        figures[name] = _median_where(values, stood, np.inf)
    for name in ('frequency_hz', 'body_height_m', 'swing_height_m'):
        figures[name] = _median_where(getattr(gait, name), stood, np.nan)
    return figures


def candidate_cost(figures: dict[str, np.ndarray]) -> np.ndarray:
    """Return the cost of each candidate, shape (P,); lower is better."""
    tolerance = {
        'velocity_rmse_m_s': VELOCITY_TOLERANCE_M_S,
        'yaw_rmse_rad_s': YAW_TOLERANCE_RAD_S,
        **STYLE_TOLERANCE,
    }
    errors = [np.minimum(figures[name] / unit, WORST) for name, unit in tolerance.items()]
    return FALL_COST * figures['falls'] + np.mean(errors, axis=0)


def _median_where(values: np.ndarray, mask: np.ndarray, otherwise: float) -> np.ndarray:
    """Median over worlds (axis 1) where `mask`; `otherwise` where no world is left.

    The median, because one push can make a window look as if it stepped at half its frequency.
    """
    masked = np.where(mask, values, np.nan)
    result = np.full(len(values), otherwise)
    some = np.isfinite(masked).any(axis=1)
    result[some] = np.nanmedian(masked[some], axis=1)
    return result

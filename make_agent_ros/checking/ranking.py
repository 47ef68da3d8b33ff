"""Best of N: which of the generated policies does what the prompt showed, in worlds it never saw.

Every candidate walks twice, each time in worlds of its own: first at the velocity that was read
off the prompt, which tells its velocity bias, then at the command without that bias, which is how
it will be used; only so where that command is known already. What counts is the chance that a walk
is good in every respect at once (velocity, turning, step frequency, phases, height); falls cost
more, and what is left is decided by the distance of the gait from the prompt's on every axis of
`recording.gait`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from make_agent_ros.checking.metrics import STYLE_TOLERANCE, velocity_rmse
from make_agent_ros.policy.bundle import Bundle
from make_agent_ros.recording.gait import Gait, gait_distance
from make_agent_ros.recording.gait_change import GaitChange, mean_gait
from make_agent_ros.recording.loads import gait_by_load, gait_of_prompts
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
GOOD = {
    'velocity_rmse_m_s': 0.15,
    'yaw_rmse_rad_s': 0.2,
    'frequency_rel': 0.1,
    'phase_cycles': 0.1,
    'height_m': 0.02,
}
"""Up to where a walk is good, on each axis of those that must be at once: the limits of the
benchmark's *qualified*, which takes them from here."""
PASS_SEED = 104_729
"""Between the seeds of the two passes."""
SOFTNESS = 0.15
"""Share of a limit over which a walk turns from good to not: one walk tells its own margin, and
another walk of the same policy differs by about as much."""
STYLE_WEIGHT = 0.1
"""Of the mean error over all axes, in tolerances, beside the chance of a good walk."""


@dataclass(frozen=True)
class Ranking:
    """How the candidates did. Arrays have shape (P,), one entry per candidate."""

    best: int
    """Index of the candidate with the lowest cost."""
    cost: np.ndarray
    """1 - chance of a good walk + share of falls + `STYLE_WEIGHT` x mean error in tolerances."""
    figures: dict[str, np.ndarray]
    """`good` (chance of a walk that is good on all axes of `GOOD`), `falls` (share of worlds),
    `velocity_rmse_m_s`, `yaw_rmse_rad_s`, the axes of `gait_distance`, and `frequency_hz`,
    `body_height_m`, `swing_height_m`."""
    command: np.ndarray
    """Command at which each candidate moves at the velocity asked for, (P, 3): policies have a
    tracking bias, which shows in the same rollouts and is taken off."""
    seconds: float
    """Wall time of the ranking."""
    change: GaitChange
    """What the candidates' gaits lack of the prompt's, (P,): mean over the worlds of both passes
    in which they stayed up; NaN for one that always fell."""
    walks: int
    """Of each candidate, that this comes from."""

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


def rank(
    bundles: Sequence[Bundle],
    prompt: Trajectory | Sequence[Trajectory],
    seed: int,
    *,
    worlds: int = 8,
    seconds: float = 8.0,
    command: np.ndarray | None = None,
    told: np.ndarray | None = None,
    push_m_s: float = 0.4,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Ranking:
    """Walk all candidates and order them.

    Args:
        bundles: P candidates.
        prompt: what they were generated from, at a uniform rate; several of one style count
            on average.
        seed: of worlds, sensor noise and pushes; all candidates see the same.
        worlds: randomised worlds per candidate in each pass.
        seconds: duration of each walk, at least 3.
        command: velocity to follow, (3,) or (P, 3); each bundle's default command if omitted.
        told: commands at which the candidates are known to move about so, (P, 3). The pass that
            tells their bias is left out, and the commands are corrected by the other.
        push_m_s: velocity kicks during the walk.
        threads: of the simulation; all cores when omitted.
        progress: called with (passes done, all).

    Raises:
        ValueError: no candidates, or a walk too short to judge.
    """
    if not bundles:
        raise ValueError('no candidates to rank; sample at least one')
    if seconds < SETTLE_S + 2.0:
        raise ValueError(f'{seconds:g} s are too short to judge a gait; use at least 3')
    start = time.perf_counter()
    asked = np.array([b.default_command for b in bundles])
    if command is not None:
        asked = np.broadcast_to(np.asarray(command, dtype=np.float64), asked.shape)
    wanted = gait_of_prompts(prompt)

    def walk(at: np.ndarray, number: int) -> RolloutLog:
        drawn = randomised_worlds(worlds, seed + PASS_SEED * number, WorldRanges())
        log = rollout(
            bundles, drawn, at, seconds,
            push_m_s=push_m_s, seed=seed + PASS_SEED * number, threads=threads,
        )  # fmt: skip
        if progress is not None:
            progress(len(logs) + 1, passes_due)
        return log

    logs: list[RolloutLog] = []
    asked_of: list[np.ndarray] = []
    passes_due = 2 if told is None else 1
    if told is not None:
        bias = asked - told
    else:
        logs.append(walk(asked, 0))
        bias = velocity_bias(logs[0], asked)
        asked_of.append(asked + bias)
    logs.append(walk(asked - bias, 1))
    asked_of.append(asked)
    gaits = [_gait(log) for log in logs]
    passes = [
        candidate_figures(log, wanted, velocity, gait)
        for log, velocity, gait in zip(logs, asked_of, gaits, strict=True)
    ]
    stood = np.concatenate([~log.fell for log in logs], axis=1)
    walked = mean_gait(Gait.concatenate(gaits, axis=1), stood)
    # Both passes tell the bias, the second what the first has left of it.
    bias = bias + velocity_bias(logs[-1], asked) / 2.0
    bias = np.clip(bias, -MAX_CALIBRATION, MAX_CALIBRATION)
    figures = {name: _mean([one[name] for one in passes]) for name in passes[0]}
    cost = 1.0 - figures['good'] + figures['falls'] + STYLE_WEIGHT * style_cost(figures)
    seconds_spent = time.perf_counter() - start
    return Ranking(
        int(np.argmin(cost)), cost, figures, asked - bias, seconds_spent,
        GaitChange.between(walked, wanted), worlds * len(logs),
    )  # fmt: skip


def velocity_bias(log: RolloutLog, asked: np.ndarray) -> np.ndarray:
    """Return how much faster each policy moves than asked for, (P, 3): vx, vy m/s, wz rad/s.

    It is the median over the worlds in which the policy stayed up, at most `MAX_CALIBRATION`. A
    policy that fell everywhere has none, and so has one that is asked to stand.

    Args:
        log: of P policies in W worlds.
        asked: (P, 3), whatever they were told.
    """
    skip = round(SETTLE_S / log.control_dt_s)
    bias = (log.planar_velocity - asked[:, None, None])[:, :, skip:].mean(axis=2)
    bias = np.stack([_median_where(bias[..., i], ~log.fell, 0.0) for i in range(3)], axis=-1)
    moving = np.abs(asked).max(axis=1, keepdims=True) > 0.0
    return np.asarray(moving * np.clip(bias, -MAX_CALIBRATION, MAX_CALIBRATION))


def candidate_figures(
    log: RolloutLog, wanted: Gait, asked: np.ndarray | None = None, gait: Gait | None = None
) -> dict[str, np.ndarray]:
    """Judge a rollout of P policies in W worlds: figures of shape (P,), medians over the worlds.

    A robot that fell counts in `falls` and in the velocity error until then; its gait does not
    count, unless it fell in every world: then its style errors are infinite.

    Args:
        log: of the rollout.
        wanted: gaits to compare with, of a shape that broadcasts with (P, W).
        asked: velocity to compare with, (P, 3); the commands of the log when omitted.
        gait: of the walks, (P, W); measured when omitted.
    """
    dt = log.control_dt_s
    command = log.command
    if asked is not None:
        command = np.broadcast_to(asked[:, None, None], log.command.shape)
    planar, yaw = velocity_rmse(
        log.planar_velocity, command, dt, steps_alive=log.steps_alive, skip_s=SETTLE_S
    )
    gait = _gait(log) if gait is None else gait
    stood = ~log.fell
    distance = gait_distance(gait, wanted)
    everywhere = np.ones_like(stood)
    errors = {'velocity_rmse_m_s': planar, 'yaw_rmse_rad_s': yaw, **distance}
    figures = {
        'good': (stood * good_share(errors)).mean(axis=1),
        'falls': 1.0 - stood.mean(axis=1),
        'velocity_rmse_m_s': _median_where(planar, everywhere, np.inf),
        'yaw_rmse_rad_s': _median_where(yaw, everywhere, np.inf),
    }
    for name, values in distance.items():
        figures[name] = _median_where(values, stood, np.inf)
    for name in ('frequency_hz', 'body_height_m', 'swing_height_m'):
        figures[name] = _median_where(getattr(gait, name), stood, np.nan)
    return figures


def _gait(log: RolloutLog) -> Gait:
    """Describe the gaits of P policies in W worlds after settling, (P, W)."""
    after = np.s_[:, :, round(SETTLE_S / log.control_dt_s) :]
    return gait_by_load(
        log.joint_pos[after],
        log.joint_vel[after],
        log.joint_torque[after],
        log.quat_wxyz[after],
        1.0 / log.control_dt_s,
    )


def good_share(errors: dict[str, np.ndarray]) -> np.ndarray:
    """Return how surely walks are within all limits of `GOOD` at once, 0..1, as errors' shape."""
    share = np.ones_like(errors['velocity_rmse_m_s'])
    for name, limit in GOOD.items():
        excess = np.nan_to_num(errors[name] / limit, nan=WORST).clip(max=WORST) - 1.0
        share *= 1.0 / (1.0 + np.exp(excess / SOFTNESS))
    return share


def candidate_cost(figures: dict[str, np.ndarray]) -> np.ndarray:
    """Return how far policies are off, falls first, shape (P,): 1 is the edge of what is good."""
    return FALL_COST * figures['falls'] + style_cost(figures)


def style_cost(figures: dict[str, np.ndarray]) -> np.ndarray:
    """Return the mean error over velocity, turning and all axes of the gait, in tolerances."""
    tolerance = {
        'velocity_rmse_m_s': VELOCITY_TOLERANCE_M_S,
        'yaw_rmse_rad_s': YAW_TOLERANCE_RAD_S,
        **STYLE_TOLERANCE,
    }
    errors = [np.minimum(figures[name] / unit, WORST) for name, unit in tolerance.items()]
    return np.asarray(np.mean(errors, axis=0))


def _mean(passes: Sequence[np.ndarray]) -> np.ndarray:
    """Mean of one or two passes; of one where the other has none."""
    each = np.stack(passes)
    return np.where(np.isnan(each).any(axis=0), np.nansum(each, axis=0), each.mean(axis=0))


def _median_where(values: np.ndarray, mask: np.ndarray, otherwise: float) -> np.ndarray:
    """Median over worlds (axis 1) where `mask`; `otherwise` where no world is left.

    The median, because one push can make a window look as if it stepped at half its frequency.
    """
    masked = np.where(mask, values, np.nan)
    result = np.full(len(values), otherwise)
    some = np.isfinite(masked).any(axis=1)
    result[some] = np.nanmedian(masked[some], axis=1)
    return result

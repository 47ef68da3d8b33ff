"""From logs to figures: what every backend reports, in one schema.

The Isaac Gym runner imports this file in Python 3.8: nothing newer is used here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Dict  # noqa: UP035

import numpy as np

from make_agent_ros.checking import metrics
from make_agent_ros.checking.episode import Engine, EpisodeLog, run_episode
from make_agent_ros.checking.scenario import CheckConfig, Scenario
from make_agent_ros.checking.trials import Trials, draw_trials, trial_seeds
from make_agent_ros.go2.constants import JOINT_LOWER_RAD, JOINT_UPPER_RAD, TORQUE_LIMIT_NM
from make_agent_ros.go2.state import projected_gravity
from make_agent_ros.policy.bundle import Bundle
from make_agent_ros.recording.gait import Gait, gait_distance
from make_agent_ros.recording.loads import gait_by_load

SCHEMA = 'make_agent_ros/check-backend/2'
SETTLE_S = 1.0
"""Time after the policy takes over that is not judged."""
GAIT_FIELDS = ('frequency_hz', 'body_height_m', 'swing_height_m', 'pitch_rad')

Report = Dict[str, Any]  # noqa: UP006 - `dict[...]` is evaluated here, and Python 3.8 has none


class BackendError(RuntimeError):
    """An engine that cannot run here; the message says why and what helps."""


def trial_figures(log: EpisodeLog, trials: Trials, wanted: Gait | None) -> dict[str, np.ndarray]:
    """Judge every trial.

    Args:
        log: of B robots.
        trials: the same B.
        wanted: gait of the prompt; without it there are no style figures.

    Returns:
        Figure -> shape (B,); NaN where a figure means nothing, as for the gait of a fallen robot.
    """
    dt = log.control_dt_s
    skip = log.start_step + round(SETTLE_S / dt)
    steps = log.joint_pos.shape[1]
    alive = np.arange(steps) < log.steps_alive[:, None]
    mask = alive & (np.arange(steps) >= skip)
    limit = (TORQUE_LIMIT_NM * trials.strength)[:, None]  # what this trial's motors can give
    planar, turn = metrics.velocity_rmse(
        log.planar_velocity, log.command, dt, steps_alive=log.steps_alive, skip_s=skip * dt
    )
    figures = {
        'velocity_rmse_m_s': planar,
        'yaw_rmse_rad_s': turn,
        'torque_saturation': metrics.torque_saturation(log.joint_torque, limit, mask),
        'joint_limit': metrics.joint_limit_share(
            log.joint_pos, JOINT_LOWER_RAD, JOINT_UPPER_RAD, mask
        ),
        'cost_of_transport': metrics.cost_of_transport(
            log.joint_torque, log.joint_vel, log.position_w, log.mass_kg, dt, mask
        ),
        'action_roughness': metrics.action_roughness(log.target, mask),
    }
    gait = gait_by_load(
        log.joint_pos[:, skip:],
        log.joint_vel[:, skip:],
        log.joint_torque[:, skip:],
        log.quat_wxyz[:, skip:],
        1.0 / dt,
    )
    for name in GAIT_FIELDS:
        figures[name] = np.where(log.fell, np.nan, getattr(gait, name))
    if wanted is not None and trials.scenario.style:
        for name, values in gait_distance(gait, wanted).items():
            figures[name] = np.where(log.fell, np.nan, values)
    if trials.push_w.any():
        figures['recovery_s'] = np.where(log.fell, np.nan, _recovery(log, trials))
    return figures


def _recovery(log: EpisodeLog, trials: Trials) -> np.ndarray:
    """Time to recover from the trials' pushes, s, (B,)."""
    dt = log.control_dt_s
    n = max(1, round(metrics.VELOCITY_WINDOW_S / dt))
    error = log.planar_velocity[..., :2] - log.command[..., :2]
    total = np.cumsum(np.pad(error, ((0, 0), (n, 0), (0, 0))), axis=1)
    smooth = np.linalg.norm(total[:, n:] - total[:, :-n], axis=-1) / n
    tilt = np.arccos(np.clip(-projected_gravity(log.quat_wxyz)[..., 2], -1.0, 1.0))
    push = log.start_step + round(trials.scenario.push_at_s / dt)
    return metrics.recovery_time(smooth, tilt, push, dt)


def scenario_result(log: EpisodeLog, trials: Trials, figures: dict[str, np.ndarray]) -> Report:
    """Summarise one scenario: falls and figures with 95 % intervals, and every trial."""
    count, fell = len(trials), log.fell
    low, high = metrics.wilson_interval(int(fell.sum()), count)
    summary = {name: _summary(name, values) for name, values in figures.items()}
    per_trial = {name: rounded(values) for name, values in figures.items()}
    per_trial.update(seed=trials.seeds.tolist(), fell=fell.tolist())
    per_trial['alive_s'] = rounded(log.steps_alive * log.control_dt_s)
    if trials.push_w.any():
        per_trial['push_x_m_s'] = rounded(trials.push_w[:, 0])
        per_trial['push_y_m_s'] = rounded(trials.push_w[:, 1])
    return {
        'trials': count,
        'falls': {'count': int(fell.sum()), 'value': float(fell.mean()), 'low': low, 'high': high},
        'figures': summary,
        'per_trial': per_trial,
        'worst': worst_trial(log, figures),
    }


def _summary(name: str, values: np.ndarray) -> dict[str, float | None]:
    """Value with its 95 % interval: the mean, for gaits the median over the trials.

    One push can make a window look as if it stepped at half its frequency; a median bears that.
    """
    centre = np.median if name in metrics.STYLE_TOLERANCE or name in GAIT_FIELDS else np.mean
    value, low, high = metrics.bootstrap_interval(values, centre=centre)
    return {'value': number(value), 'low': number(low), 'high': number(high)}


def worst_trial(log: EpisodeLog, figures: dict[str, np.ndarray]) -> int:
    """Return the trial that fell first, or else the one that followed its command worst."""
    error = np.nan_to_num(figures['velocity_rmse_m_s'], nan=0.0)
    return int(np.lexsort((-error, log.steps_alive))[0])


def typical_trial(log: EpisodeLog, figures: dict[str, np.ndarray]) -> int:
    """Return the trial whose velocity error is the median of those that stayed up."""
    error = np.where(log.fell, np.inf, figures['velocity_rmse_m_s'])
    order = np.argsort(error)
    upright = int((~log.fell).sum())
    return int(order[max(0, (upright - 1) // 2)])


def series(log: EpisodeLog, index: int, scenario: Scenario, seed: int) -> Report:
    """Return the motion of one trial, for plots and video."""
    one = log.trial(index)
    qpos = np.concatenate((one.position_w[0], one.quat_wxyz[0], one.joint_pos[0]), axis=1)
    return {
        'scenario': scenario.name,
        'seed': int(seed),
        'rate_hz': 1.0 / log.control_dt_s,
        'start_step': log.start_step,
        'steps_alive': int(one.steps_alive[0]),
        'qpos': rounded(qpos),
        'command': rounded(one.command[0]),
        'planar_velocity': rounded(one.planar_velocity[0]),
        'foot_contact': one.foot_contact[0].astype(int).tolist(),
    }


def run_backend(
    name: str,
    engine_name: str,
    make_engine: Callable[[Trials], Engine],
    bundle: Bundle,
    config: CheckConfig,
    wanted: Gait | None = None,
    progress: Callable[[str], None] = lambda scenario: None,
) -> Report:
    """Run all scenarios in one engine and return its report, plain data ready for JSON.

    Args:
        name: of the backend.
        engine_name: engine and version, for the report.
        make_engine: builds the robots of one scenario.
        bundle: the policy.
        config: scenarios, terrains, seed.
        wanted: gait of the prompt.
        progress: called with each scenario's name before it runs.
    """
    start = time.perf_counter()
    reports = []
    for scenario in config.scenarios:
        progress(scenario.name)
        trials = draw_trials(scenario, trial_seeds(config.seed, scenario.trials), config.terrains)
        log = run_episode(make_engine(trials), bundle, trials)
        reports.append(_report(name, engine_name, log, trials, wanted))
    return {**merge(reports), 'seconds': time.perf_counter() - start}


def _report(
    name: str, engine_name: str, log: EpisodeLog, trials: Trials, wanted: Gait | None
) -> Report:
    """Return the backend's report on a single scenario."""
    scenario = trials.scenario
    figures = trial_figures(log, trials, wanted)
    result = scenario_result(log, trials, figures)
    typical = typical_trial(log, figures)
    motions = {'typical': series(log, typical, scenario, trials.seeds[typical])}
    if scenario.commands:
        motions['commands'] = motions['typical']
    worst = result['worst']
    motions['worst'] = series(log, worst, scenario, trials.seeds[worst])
    # a fall before any error, what must be mastered before what need not be, early before late
    steps = log.joint_pos.shape[1] - log.start_step
    motions['worst']['order'] = [
        float(not log.fell[worst]),
        float(scenario.advisory),
        round(float(log.steps_alive[worst] - log.start_step) / steps, 4),
        -round(float(np.nan_to_num(figures['velocity_rmse_m_s'][worst])), 4),
    ]
    return {
        'schema': SCHEMA,
        'backend': name,
        'engine': engine_name,
        'scenarios': {scenario.name: result},
        'series': motions,
        'seconds': 0.0,
    }


def merge(reports: Sequence[Report]) -> Report:
    """Join a backend's reports on parts of the scenarios, in order, into one."""
    merged: Report = {**reports[0], 'scenarios': {}, 'series': {}}
    for report in reports:
        merged['scenarios'].update(report['scenarios'])
        for key, motion in report['series'].items():
            merged['series'].setdefault(key, motion)
    merged['series']['worst'] = min(
        (report['series']['worst'] for report in reports), key=lambda motion: motion['order']
    )
    merged['seconds'] = sum(report['seconds'] for report in reports)
    return merged


def number(value: float) -> float | None:
    """Return a float that JSON knows: None in place of NaN and infinity."""
    return float(value) if np.isfinite(value) else None


def rounded(values: np.ndarray, digits: int = 4) -> list:
    """Return nested lists of rounded floats, None in place of NaN and infinity."""
    values = np.asarray(values, dtype=float)
    if values.ndim > 1:
        return [rounded(row, digits) for row in values]
    return [round(float(v), digits) if np.isfinite(v) else None for v in values]

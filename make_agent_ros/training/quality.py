"""How well policies walk as their prompts do: what counts, how it is measured, how it is told.

All methods get the same prompts, worlds, kicks and noise. See `training.ladder` for the benchmark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from make_agent_ros.checking.metrics import velocity_rmse, wilson_interval
from make_agent_ros.checking.ranking import GOOD
from make_agent_ros.policy.bundle import Bundle
from make_agent_ros.recording.gait import Gait, gait_distance
from make_agent_ros.simulation.model import randomised_worlds
from make_agent_ros.simulation.rollout import RolloutLog, rollout
from make_agent_ros.training.held_out import QualityConfig
from make_agent_ros.training.prompts import SETTLE_S, walked_gait

GAIT_S = 8.0
"""Time from which a policy's gait is read, after settling; all else counts to the end."""
ROBOTS = 512
"""Walked at once, so that memory stays small."""
MOST = 0.9
"""Share of a policy's worlds in which it must do well to count."""


@dataclass(frozen=True)
class Limits:
    """When a policy counts as walking, and as qualified, in one world."""

    walking_rmse_m_s: float = 0.2
    velocity_rmse_m_s: float = GOOD['velocity_rmse_m_s']
    yaw_rate_rmse_rad_s: float = GOOD['yaw_rmse_rad_s']
    frequency_rel: float = GOOD['frequency_rel']
    phase_cycles: float = GOOD['phase_cycles']
    height_m: float = GOOD['height_m']


@dataclass(frozen=True)
class Figures:
    """What P policies did in W worlds; arrays have shape (P, W)."""

    fell: np.ndarray
    velocity_rmse: np.ndarray
    """Planar, against the command, m/s."""
    yaw_rate_rmse: np.ndarray
    """rad/s."""
    frequency_rel: np.ndarray
    """|f - f_prompt| / f_prompt."""
    phase_cycles: np.ndarray
    height_m: np.ndarray
    swing_m: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> Figures:
        """Return what some of the policies did."""
        return Figures(*(getattr(self, f.name)[rows] for f in fields(self)))

    def walks(self, limits: Limits) -> np.ndarray:
        """No fall, velocity and step frequency within limits, (P, W)."""
        return (
            ~self.fell
            & (self.velocity_rmse < limits.walking_rmse_m_s)
            & (self.frequency_rel < limits.frequency_rel)
        )

    def qualified(self, limits: Limits) -> np.ndarray:
        """Walks as fast and turns as told, with the prompt's phases and height, (P, W)."""
        return (
            self.walks(limits)
            & (self.velocity_rmse < limits.velocity_rmse_m_s)
            & (self.yaw_rate_rmse < limits.yaw_rate_rmse_rad_s)
            & (self.phase_cycles < limits.phase_cycles)
            & (self.height_m < limits.height_m)
        )


def measure(
    bundles: Sequence[Bundle],
    commands: np.ndarray,
    prompts: Gait,
    config: QualityConfig,
    asked: np.ndarray | None = None,
) -> Figures:
    """Walk policies in the measuring worlds, in groups, so that memory stays small.

    Args:
        bundles: P policies.
        commands: told to them, (P, 3).
        prompts: gaits that they are compared with, (P,).
        config: sizes.
        asked: velocities that they are to move at, (P, 3), where that is not what they are told:
            ranking takes a policy's bias off its command.
    """
    asked = commands if asked is None else asked
    if not config.velocity_loop:
        bundles = [replace(bundle, velocity_gain=0.0) for bundle in bundles]
    worlds = randomised_worlds(config.worlds, config.seed)
    rows: list[Figures] = []
    group = max(1, ROBOTS // config.worlds)
    for start in range(0, len(bundles), group):
        ids = slice(start, start + group)
        log = rollout(
            bundles[ids],
            worlds,
            commands[ids],
            config.seconds,
            push_m_s=config.push_m_s,
            seed=config.seed,
        )
        rows.append(judge(log, prompts[ids], asked[ids]))
    return Figures(*(np.concatenate([getattr(r, f.name) for r in rows]) for f in fields(Figures)))


def judge(log: RolloutLog, prompts: Gait, asked: np.ndarray) -> Figures:
    """Compare P policies in W worlds with their prompts' gaits (P,) and velocities (P, 3)."""
    planar, turning = velocity_rmse(
        log.planar_velocity,
        np.broadcast_to(asked[:, None, None], log.command.shape),
        log.control_dt_s,
        steps_alive=log.steps_alive,
        skip_s=SETTLE_S,
    )
    distance = gait_distance(walked_gait(log, SETTLE_S, GAIT_S), prompts[:, None])
    names = ('frequency_rel', 'phase_cycles', 'height_m', 'swing_m')
    return Figures(log.fell, planar, turning, *(distance[name] for name in names))


def mostly(ok: np.ndarray) -> np.ndarray:
    """Return which policies do well in 9 of 10 worlds, (P,), of what they did in each, (P, W)."""
    return np.asarray(ok.mean(axis=1) >= MOST - 1e-9)


def share_of(hits: np.ndarray, name: str) -> dict[str, float]:
    """Return a share of independent trials (n,) with its 95 % interval (Wilson) as figures."""
    low, high = wilson_interval(int(hits.sum()), len(hits))
    share = float(hits.mean()) if len(hits) else float('nan')
    return {name: share, f'{name}.low': low, f'{name}.high': high}


def clustered_share(hits: np.ndarray, name: str) -> dict[str, float]:
    """Return the share of all walks (P, W) with a 95 % interval that knows of the prompts.

    The walks of one policy resemble each other, so P W of them tell less than as many independent
    ones: the interval is Wilson's for the number of independent walks whose share would vary as
    the policies' shares do, at least P and at most P W.
    """
    policies, walks = len(hits), hits.size
    share = float(hits.mean())
    spread = float(hits.mean(axis=1).var(ddof=1)) if policies > 1 else 0.0
    alike = share * (1.0 - share) * policies / spread if spread > 0.0 else float(policies)
    count = round(np.clip(alike, policies, walks))
    low, high = wilson_interval(round(share * count), count)
    return {name: share, f'{name}.low': low, f'{name}.high': high}


def summarise(figures: Figures, name: str, limits: Limits) -> dict[str, float]:
    """Return flat figures `<what>.<name>`; a prompt counts when 9 of 10 worlds do.

    `no_fall`, `walks` and `qualified` are shares of prompts, `walks_rollouts` and the like shares
    of all walks, and errors are medians over the walks without a fall.

    Args:
        figures: of P policies in W worlds.
        name: `<split>.<method>`.
        limits: of what counts.
    """
    result: dict[str, float] = {}
    for what, ok in (
        ('no_fall', ~figures.fell),
        ('walks', figures.walks(limits)),
        ('qualified', figures.qualified(limits)),
    ):
        result |= share_of(mostly(ok), f'{what}.{name}')
        result[f'{what}_rollouts.{name}'] = float(ok.mean())
    alive = ~figures.fell
    for what in ('velocity_rmse', 'yaw_rate_rmse', 'frequency_rel', 'phase_cycles', 'height_m'):
        values = getattr(figures, what)[alive]
        result[f'{what}.{name}'] = float(np.median(values)) if values.size else float('nan')
    return result

"""What a walk was like, in the figures of the demo's table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from make_agent_ros.checking.metrics import STYLE_TOLERANCE
from make_agent_ros.go2.state import projected_gravity
from make_agent_ros.nodes.track import Track
from make_agent_ros.recording import Gait, Trajectory, gait_distance
from make_agent_ros.recording.loads import gait_of_trajectory

WINDOW_S = 0.5
"""Velocities are compared as means over this time, s: within a step they swing by design."""
SETTLE_S = 1.0
"""Time after a change of command that does not count for the tracking error, s."""
FALLEN_HEIGHT_M = 0.12
FALLEN_TILT_RAD = 1.0

TRACKING_LIMIT_M_S = 0.20


@dataclass(frozen=True)
class Measured:
    """One row of the table; NaN where it cannot be known."""

    name: str
    gait: Gait
    speed_m_s: float = float('nan')
    """Mean planar speed of the base while the gait was measured."""
    tracking_m_s: float = float('nan')
    """RMSE of (vx, vy) against /cmd_vel over 0.5 s windows."""
    yaw_rate_rad_s: float = float('nan')
    """The same of the yaw rate."""
    falls: int = 0


def gait_of(trajectory: Trajectory) -> Gait:
    """Describe the gait of a uniform trajectory."""
    return gait_of_trajectory(trajectory)


def fell(track: Track) -> bool:
    """Tell whether the trunk came down or tipped over."""
    up = -projected_gravity(track.quat_wxyz)[:, 2]
    return bool(
        np.any(track.position[:, 2] < FALLEN_HEIGHT_M) or np.any(up < np.cos(FALLEN_TILT_RAD))
    )


def speed(track: Track) -> float:
    """Return the mean planar speed over the ground, m/s."""
    return float(np.linalg.norm(track.velocity[:, :2].mean(axis=0)))


def tracking_error(track: Track) -> tuple[float, float]:
    """Return the RMSE of planar velocity, m/s, and of yaw rate, rad/s, over 0.5 s windows.

    Windows that begin within `SETTLE_S` of a change of command are left out.
    """
    changed = np.flatnonzero(np.any(np.diff(track.command, axis=0) != 0.0, axis=1)) + 1
    changes_s = np.concatenate((track.time_s[:1], track.time_s[changed]))
    errors = []
    for start_s in np.arange(track.time_s[0], track.time_s[-1] - WINDOW_S, WINDOW_S):
        since_s = start_s - changes_s[changes_s <= start_s + 1e-9]
        window = track.between(start_s, start_s + WINDOW_S)
        constant = len(window.time_s) and np.ptp(window.command, axis=0).max() == 0.0
        if constant and since_s.min() >= SETTLE_S:
            errors.append((window.velocity - window.command).mean(axis=0))
    if not errors:
        return float('nan'), float('nan')
    squared = np.square(errors)
    return float(np.sqrt(squared[:, :2].sum(axis=1).mean())), float(np.sqrt(squared[:, 2].mean()))


def verdict(prompt: Measured, generated: Measured) -> tuple[bool, list[str]]:
    """Judge whether the generated policy walks and moves as the prompt does.

    Style counts by the tolerances of the sim-to-real check.

    Returns:
        The verdict, and one sentence per criterion.
    """
    apart = {
        name: float(value) for name, value in gait_distance(generated.gait, prompt.gait).items()
    }
    limit = STYLE_TOLERANCE
    criteria = [
        (generated.falls == 0, f'{generated.falls} falls (limit 0)'),
        (
            apart['frequency_rel'] <= limit['frequency_rel'],
            f'step frequency {apart["frequency_rel"]:.1%} off the prompt '
            f'(limit {limit["frequency_rel"]:.0%})',
        ),
        (
            apart['phase_cycles'] <= limit['phase_cycles'],
            f'leg phases {apart["phase_cycles"]:.3f} cycles off (limit {limit["phase_cycles"]})',
        ),
        (
            apart['height_m'] <= limit['height_m'],
            f'body height {apart["height_m"] * 100:.1f} cm off '
            f'(limit {limit["height_m"] * 100:g})',
        ),
        (
            generated.tracking_m_s <= TRACKING_LIMIT_M_S,
            f'velocity error {generated.tracking_m_s:.3f} m/s (limit {TRACKING_LIMIT_M_S})',
        ),
    ]
    return all(met for met, _ in criteria), [
        f'{"ok" if met else "NOT MET"}: {sentence}' for met, sentence in criteria
    ]

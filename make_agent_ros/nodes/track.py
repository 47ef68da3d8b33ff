"""Where the robot was and what it was told, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Track:
    """Where the robot was, by `/odom` and `/joint_states`; one row per odometry sample."""

    time_s: np.ndarray
    """Local monotonic time of arrival, s, shape (T,)."""
    position: np.ndarray
    """World, m, shape (T, 3)."""
    quat_wxyz: np.ndarray
    """Shape (T, 4)."""
    velocity: np.ndarray
    """vx, vy in the body frame, m/s, and yaw rate, rad/s, shape (T, 3)."""
    command: np.ndarray
    """/cmd_vel in force, shape (T, 3)."""
    joint_pos: np.ndarray
    """Package order, rad, shape (T, 12); NaN before the first /joint_states."""

    def between(self, start_s: float, end_s: float) -> Track:
        """Return the rows with start_s <= time_s < end_s."""
        low, high = np.searchsorted(self.time_s, (start_s, end_s))
        return Track(**{name: rows[low:high] for name, rows in vars(self).items()})

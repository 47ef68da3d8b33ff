"""How fast the robot of a prompt moved: what a net says and what the legs say, together."""

from __future__ import annotations

import numpy as np

from make_agent_ros.recording.odometry import Velocity

NET_VELOCITY_STD = np.array([0.06, 0.04, 0.02])
"""Error of the net's velocity on held-out prompts of 4 s, rms: vx, vy m/s, wz rad/s."""
CONTRADICTED = 2.0
"""On prompts of other controllers in other physics the net is off by 0.14-0.31 m/s, the legs by
0.02-0.07. With this their mean is off by 0.03-0.06 in place of 0.04-0.22, and on held-out prompts
by 0.043 in place of 0.041 (rms of vx)."""


def agreed(net: np.ndarray, legs: Velocity) -> np.ndarray:
    """Return the mean of two velocities (3,) by inverse variance; the net's if legs tell none.

    Where the legs contradict the net by more than `CONTRADICTED` standard errors in the plane, the
    walk is like none that it was trained on, and its errors are larger than usual.
    """
    told = np.isfinite(legs.mean)
    certainty = np.where(told, 1.0 / legs.std**2, 0.0)
    off2 = (net - legs.mean) ** 2 / (NET_VELOCITY_STD**2 + legs.std**2)
    excess = np.max(off2[:2], where=told[:2], initial=0.0) / CONTRADICTED**2
    own = 1.0 / NET_VELOCITY_STD**2
    own[:2] /= max(1.0, excess) ** 4
    return np.asarray((own * net + certainty * np.nan_to_num(legs.mean)) / (own + certainty))

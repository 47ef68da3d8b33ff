"""Another controller's gaits: scripted foot paths with a little balance, no network.

The paths are those of `training.reference`; legs lengthen on the side that the trunk leans to.
What it walks was shaped by no teacher, so it stands for robots that somebody else controls.
"""

from __future__ import annotations

import numpy as np

from make_agent_ros.go2.constants import SIDE_SIGN
from make_agent_ros.go2.state import RobotState, projected_gravity
from make_agent_ros.simulation.batch import BatchSimulation, SensorNoise
from make_agent_ros.simulation.model import WorldRanges, Worlds, randomised_worlds
from make_agent_ros.simulation.rollout import Logbook
from make_agent_ros.training.behaviour import Styles
from make_agent_ros.training.reference import reference_joint_pos
from make_agent_ros.training.walks import Walks

FORE_SIGN = np.array([1.0, 1.0, -1.0, -1.0])
LEAN_GAIN, LEAN_RATE_GAIN, PITCH_GAIN, PITCH_RATE_GAIN = 1.2, 0.08, 2.0, 0.13
"""Thigh angle per unit of projected gravity and per rad/s; found by a random search over styles
of the whole space: most trots and paces, two bounds of three and few pronks stay up for 6 s."""
STEP_GAIN_RAD = 0.55
"""Hip angle towards the side that the trunk leans to."""
TRIM_LIMIT = 0.25
"""Largest sum of a trim, in units of projected gravity."""


class Script:
    """The controller of n robots: it sees their attitude and its rate, and knows the time."""

    def __init__(
        self,
        styles: Styles,
        command: np.ndarray,
        gain: np.ndarray | float = 1.0,
        trim_rate: float = 0.0,
    ) -> None:
        """Take what to walk.

        Args:
            styles: n styles, inside the behaviour space or not.
            command: vx, vy m/s and wz rad/s, (n, 3).
            gain: factor on all gains of the balance, (n,) or one.
            trim_rate: 1/s; above 0, the trunk is held to the style's pitch, in place of level, and
                legs trim what it leans on average, so that none drags.
        """
        self.styles, self.command, self.trim_rate = styles, command, trim_rate
        self.gain = np.broadcast_to(gain, len(styles))[:, None]
        self.trim = np.zeros((len(styles), 3))
        self.cycles = np.zeros(len(styles))

    def target(self, state: RobotState, dt_s: float, share: float = 1.0) -> np.ndarray:
        """Return joint targets, rad, (n, 12), and go on by one control step.

        Args:
            state: of n robots.
            dt_s: control period.
            share: of the command, 0..1: from 0 on it starts a robot at rest.
        """
        target = reference_joint_pos(self.styles, self.cycles, share * self.command)
        lean = projected_gravity(state.quat_wxyz)
        if self.trim_rate > 0.0:
            lean[:, 0] -= np.sin(self.styles.pitch_rad)
            trim = self.trim[:, :2] + self.trim_rate * dt_s * lean[:, :2]
            self.trim[:, :2] = np.clip(trim, -TRIM_LIMIT, TRIM_LIMIT)
            target += _longer_legs(self.trim)
        target += _balance(lean, state.base_ang_vel) * self.gain
        self.cycles += self.styles.frequency_hz * dt_s
        return target


def scripted_walks(
    styles: Styles,
    command: np.ndarray,
    seconds: float,
    seed: int,
    ranges: WorldRanges | None = None,
    worlds: Worlds | None = None,
    gain: np.ndarray | float = 1.0,
) -> Walks:
    """Walk n styles, each in its own world, from their first pose and at their velocity.

    Args:
        styles: n styles, inside the behaviour space or not.
        command: vx, vy m/s and wz rad/s, (n, 3).
        seconds: duration.
        seed: of the worlds and of the sensors' noise.
        ranges: of the worlds; the usual when omitted.
        worlds: n worlds to walk in, in place of drawn ones.
        gain: factor on all gains of the balance, (n,) or one.
    """
    n = len(styles)
    sim = BatchSimulation(
        worlds or randomised_worlds(n, seed, ranges), np.arange(n), noise=SensorNoise(), seed=seed
    )
    script = Script(styles, command, gain)
    pose = reference_joint_pos(styles, script.cycles, command)
    sim.reset(np.arange(n), pose, styles.body_height_m + 0.01, np.zeros(n))
    sim.qvel[:, :2] = command[:, :2]
    steps = round(seconds / sim.control_dt_s)
    logbook = Logbook(sim, steps)
    for _ in range(steps):
        target = script.target(sim.observe(), sim.control_dt_s)
        sim.step(target)
        logbook.write(target, command, sim.fallen())
    return Walks.from_log(logbook.finish((n, 1)))


def _balance(gravity_b: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """Return the correction of joint targets, (n, 12), that pushes against lean and its rate."""
    legs = _longer_legs(gravity_b, rate)
    legs.reshape(-1, 4, 3)[:, :, 0] = STEP_GAIN_RAD * gravity_b[:, 1, None]
    return legs


def _longer_legs(gravity_b: np.ndarray, rate: np.ndarray | float = 0.0) -> np.ndarray:
    """Return the correction, (n, 12), that lengthens the legs where the trunk leans to."""
    rate = np.broadcast_to(rate, gravity_b.shape)
    lean = LEAN_GAIN * gravity_b[:, 1] - LEAN_RATE_GAIN * rate[:, 0]
    nose = PITCH_GAIN * gravity_b[:, 0] + PITCH_RATE_GAIN * rate[:, 1]
    longer = lean[:, None] * SIDE_SIGN + nose[:, None] * FORE_SIGN
    legs = np.zeros((len(gravity_b), 4, 3))
    legs[:, :, 1], legs[:, :, 2] = -longer, 2.0 * longer
    return legs.reshape(-1, 12)

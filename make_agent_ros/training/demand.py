"""What a gait asks of the trunk: how far it must roll, pitch and bounce within a cycle.

Legs push up only while they stand. If each carries its share of the weight evenly over its stance,
the sum of the pushes and their moments about the centre of mass follow from offsets and duty
factors alone; integrated twice they give the motion of a free trunk. A trot asks for nothing, a
slow pace for more roll than any trunk survives. The estimate ignores what a controller does about
it; where the limit lies is read off how often the teacher falls (`make-agent bench teacher`).

The slower the cycle, the longer a trunk topples before the next foot can catch it, and the less
of that motion can be held to a schedule: a robot told such a style walks, but in other phases in
every world. What a style asks for times the duration of its cycle tells where.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from make_agent_ros.go2.constants import HIP_OFFSET_M, SIDE_SIGN

GRAVITY_M_S2 = 9.81
MASS_KG = 15.02
INERTIA_KG_M2 = np.array([0.158, 0.468])
"""About roll and pitch, of sim/go2/go2.xml in the nominal pose about its centre of mass."""
SAMPLES = 32
"""Per gait cycle."""
SMOOTH_CYCLES = 0.06
"""Time over which a leg takes and gives up its load."""

ROLL_LIMIT_RAD, PITCH_LIMIT_RAD, BOUNCE_LIMIT_M = 2.4, 1.1, 0.16
"""Largest demands, peak to peak, that the teacher practises."""
FEASIBLE_SHARE = 0.7
"""Share of these limits up to which a style becomes a behaviour of the zoo. In 20 s with kicks the
teacher falls in 0.7 % of walks below a share of 0.6, in 3 % up to 0.8, in 5 % beyond."""
TOPPLING_LIMIT_S = 0.2
"""Largest product of that share and the duration of a gait cycle. Up to it the teacher has a leg
more than 0.1 cycle from where it is in other worlds in 0.6 % of walks, beyond in 4.0 %, beyond
0.3 s in 5.4 % (same command), and falls in 0.6, 3.0 and 4.6 %. Such a style is none to show: of
100 policies distilled before there was this limit, those beyond it qualified against their own
prompt, in other worlds, in 52 % of cases, the others in 90 % (scratch script)."""
LONGEST_STANCE = 0.7
"""Largest duty factor. A leg that swings for a shorter part of the cycle does not clear the ground
in every world, touches it half-way and has two phases: of 100 prompts with longer stances among
them the teacher kept style and velocity in 98 % of single walks up to here and in 79 % beyond,
held-out policies in 95 and 75 % (scratch script)."""


@dataclass(frozen=True)
class Demand:
    """Peak-to-peak motion of the trunk within one cycle; arrays have shape (n,)."""

    roll_rad: np.ndarray
    pitch_rad: np.ndarray
    bounce_m: np.ndarray
    leaping: np.ndarray
    """0 for gaits that carry the trunk level at any frequency, 1 for those that must pitch or
    leap, like bound and pronk."""

    @property
    def possible(self) -> np.ndarray:
        """Which are within all limits, bool, (n,)."""
        return self.share <= 1.0

    @property
    def share(self) -> np.ndarray:
        """Largest of the three in units of its limit, (n,)."""
        return np.asarray(
            np.max(
                (
                    self.roll_rad / ROLL_LIMIT_RAD,
                    self.pitch_rad / PITCH_LIMIT_RAD,
                    self.bounce_m / BOUNCE_LIMIT_M,
                ),
                axis=0,
            )
        )


def demand_of(
    offsets: np.ndarray, duty: np.ndarray, frequency_hz: np.ndarray, stance_width_m: np.ndarray
) -> Demand:
    """Estimate the motion that n gaits ask of a free trunk.

    Args:
        offsets: phase offsets, cycles, (n, 4).
        duty: share of the cycle on the ground, (n, 4).
        frequency_hz: (n,).
        stance_width_m: distance between left and right feet, (n,).
    """
    load = support_loads(offsets, duty)
    weight = MASS_KG * GRAVITY_M_S2
    side = 0.5 * stance_width_m[:, None, None] * SIDE_SIGN
    roll_moment = weight * (load * side).sum(axis=-1)
    pitch_moment = -weight * (load * HIP_OFFSET_M[:, 0]).sum(axis=-1)
    push = load.sum(axis=-1) - 1.0
    roll = _travel(roll_moment / INERTIA_KG_M2[0], frequency_hz)
    pitch = _travel(pitch_moment / INERTIA_KG_M2[1], frequency_hz)
    bounce = _travel(GRAVITY_M_S2 * push, frequency_hz)
    lever = np.std(pitch_moment, axis=1) / (weight * HIP_OFFSET_M[0, 0])
    leaping = np.maximum(lever, np.std(push, axis=1))
    return Demand(roll, pitch, bounce, np.clip((leaping - 0.35) / 0.35, 0.0, 1.0))


def support_loads(offsets: np.ndarray, duty: np.ndarray) -> np.ndarray:
    """Return the share of the weight on each leg over one cycle, (n, SAMPLES, 4).

    Each leg carries the same impulse per second of its stance; the mean over the cycle sums to 1.
    """
    cycle = np.arange(SAMPLES) / SAMPLES
    phase = (cycle[:, None] + offsets[:, None]) % 1.0
    # Trapezoids: rising after touch-down, falling before lift-off.
    rise = np.minimum(phase, duty[:, None] - phase) / SMOOTH_CYCLES
    load = np.clip(rise, 0.0, 1.0)
    return load / np.maximum(load.mean(axis=1).sum(axis=-1), 1e-6)[:, None, None]


def _travel(acceleration: np.ndarray, frequency_hz: np.ndarray) -> np.ndarray:
    """Integrate periodic acceleration (n, SAMPLES) twice; return the peak-to-peak path, (n,)."""
    spectrum = np.fft.rfft(acceleration, axis=1)
    k = np.arange(spectrum.shape[1])
    with np.errstate(divide='ignore'):
        gain = np.where(k == 0, 0.0, -1.0 / (2.0 * np.pi * np.maximum(k, 1)) ** 2)
    path = np.fft.irfft(spectrum * gain, n=SAMPLES, axis=1)
    return np.asarray(np.ptp(path, axis=1) / frequency_hz**2)

"""Moving at the velocity that was asked for: a leg-odometry estimate and a slow loop around it.

A blind policy keeps a bias of velocity that depends on the ground, the load and the motors, which
no training removes: what it sees in one instant does not tell. Over a second it does. A small
recurrent net, the same for all policies, watches what the robot feels and what each foot would
tell if it stood (`go2.kinematics.level_velocities`), and estimates vx and vy; the gyroscope tells
the turn rate. The integral of the error is added to the command that the policy gets, within
narrow limits. The net is trained on walks of the zoo: `make-agent train velocity`.

Estimators of this kind: Ji et al., "Concurrent Training of a Control Policy and a State Estimator"
(arXiv 2202.05481).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from make_agent_ros.go2.constants import CONTROL_DT_S, NOMINAL_JOINT_POS
from make_agent_ros.go2.kinematics import foot_positions, level_velocities
from make_agent_ros.go2.state import RobotState, projected_gravity
from make_agent_ros.resources import resource_path

VELOCITY_FILE = 'velocity.npz'
"""In a run's folder and in models/."""
VELOCITY_GAIN = 0.5
"""Of generated policies, 1/s. In simulation 0.3 to 1 do alike."""
LARGEST = np.array([0.25, 0.20, 0.30])
"""Most that is added to the command on each axis, m/s and rad/s."""
LARGEST_SHARE = 0.6
"""Most that is added to the planar command as a share of it, so that it never turns around; where
little or nothing is asked for, `LEAST` may be added all the same."""
LEAST = 0.1
LARGEST_ERROR = 0.4
"""Errors count up to here, m/s and rad/s: a kick is no bias."""
STAND_BELOW, WALK_ABOVE = 0.05, 0.15
"""Commands weaker than the first mean standing, and nothing is added; fully from the second, m/s
(a turn rate of 1 rad/s counts as 0.3 m/s)."""
WARM_UP_STEPS = 25
"""Control steps from the start in which the net only watches."""
INPUTS = 3 + 3 + 12 + 12 + 12 + 8 + 4


def velocity_inputs(state: RobotState, target: np.ndarray) -> np.ndarray:
    """Return what the net sees of robots with leading shape (...,), float32, (..., 54).

    Args:
        state: proprioception, package order.
        target: joint targets of the step before, package order, rad, (..., 12).
    """
    return _inputs(state, projected_gravity(state.quat_wxyz), target)


def _inputs(state: RobotState, gravity: np.ndarray, target: np.ndarray) -> np.ndarray:
    pos, vel, spin = state.joint_pos, state.joint_vel, state.base_ang_vel
    level = level_velocities(pos, vel, spin, gravity)
    depth = (foot_positions(pos) * gravity[..., None, :]).sum(axis=-1)
    lead = np.shape(pos)[:-1]
    inputs: np.ndarray = np.empty((*lead, INPUTS), dtype=np.float32)
    inputs[..., 0:3] = 0.25 * spin
    inputs[..., 3:6] = gravity
    inputs[..., 6:18] = pos - NOMINAL_JOINT_POS
    inputs[..., 18:30] = 0.05 * vel
    inputs[..., 30:42] = 2.0 * (target - pos)
    inputs[..., 42:50] = np.minimum(np.maximum(level.reshape(*lead, 8), -3.0), 3.0)
    inputs[..., 50:54] = 20.0 * (depth - depth.max(axis=-1, keepdims=True))
    return inputs


@dataclass(frozen=True)
class VelocityNet:
    """A GRU of H units and a linear read-out; parameters as in `torch.nn.GRU`."""

    weight_ih: np.ndarray
    """(3 H, 54)."""
    weight_hh: np.ndarray
    """(3 H, H)."""
    bias_ih: np.ndarray
    bias_hh: np.ndarray
    weight_out: np.ndarray
    """(2, H)."""
    bias_out: np.ndarray

    @property
    def units(self) -> int:
        """H."""
        return int(self.weight_hh.shape[1])

    def __call__(self, inputs: np.ndarray, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Advance by one control step.

        Args:
            inputs: of `velocity_inputs`, (..., 54).
            hidden: state of the step before, (..., H); zeros at the start.

        Returns:
            The new state (..., H) and vx, vy in the heading frame, m/s, (..., 2).
        """
        h = self.units
        seen = inputs @ self.weight_ih.T + self.bias_ih
        kept = hidden @ self.weight_hh.T + self.bias_hh
        # sigmoid(x) = (1 + tanh(x / 2)) / 2 does not overflow
        gates = 0.5 + 0.5 * np.tanh(0.5 * (seen[..., : 2 * h] + kept[..., : 2 * h]))
        new = np.tanh(seen[..., 2 * h :] + gates[..., :h] * kept[..., 2 * h :])
        hidden = new + gates[..., h:] * (hidden - new)
        return hidden, hidden @ self.weight_out.T + self.bias_out

    def save(self, path: Path) -> None:
        """Write as npz."""
        arrays: dict[str, Any] = {k: np.asarray(v, np.float32) for k, v in vars(self).items()}
        np.savez(path, **arrays)

    @classmethod
    def load(cls, path: Path) -> VelocityNet:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: naming the command that makes the file.
            ValueError: the file holds another net.
        """
        if not path.exists():
            raise FileNotFoundError(
                f'{path} does not exist; run `make-agent train velocity` first'
            )
        with np.load(path) as arrays:
            names = set(cls.__dataclass_fields__)
            if set(arrays.files) != names or arrays['weight_ih'].shape[1] != INPUTS:
                raise ValueError(
                    f'{path} holds {sorted(arrays.files)}, expected {sorted(names)} of a net with '
                    f'{INPUTS} inputs; make it anew with `make-agent train velocity`'
                )
            return cls(**{name: arrays[name] for name in names})


@functools.lru_cache(maxsize=1)
def shipped_velocity_net() -> VelocityNet:
    """Return the net that the package ships."""
    return VelocityNet.load(resource_path(f'models/{VELOCITY_FILE}'))


def moving(command: np.ndarray) -> np.ndarray:
    """Return how far the gait is faded in, 0 (stand) to 1 (walk), for commands (..., 3)."""
    strength = np.sqrt(command[..., 0] ** 2 + command[..., 1] ** 2 + (0.3 * command[..., 2]) ** 2)
    share = (strength - STAND_BELOW) / (WALK_ABOVE - STAND_BELOW)
    return np.asarray(np.minimum(np.maximum(share, 0.0), 1.0))


def velocity_loop(gain: np.ndarray | float, lead: tuple[int, ...] = ()) -> VelocityLoop | None:
    """Return the loop of robots with leading shape `lead`, or None where no gain asks for it."""
    return VelocityLoop(gain, lead) if np.any(gain) else None


class VelocityLoop:
    """Corrects the commands of robots with leading shape (...,), one control step at a time."""

    def __init__(
        self, gain: np.ndarray | float, lead: tuple[int, ...] = (), net: VelocityNet | None = None
    ) -> None:
        """Start at rest.

        Args:
            gain: of each robot, 1/s, broadcast to (...,); 0 leaves its command alone.
            lead: leading shape (...,); one robot when omitted.
            net: the shipped one when omitted.
        """
        self.net = net or shipped_velocity_net()
        self.gain = np.broadcast_to(np.asarray(gain, dtype=np.float64)[..., None], (*lead, 1))
        self.hidden = np.zeros((*lead, self.net.units), dtype=np.float32)
        self.added = np.zeros((*lead, 3))
        """What the integral adds to the command: m/s, m/s, rad/s."""
        self.velocity = np.zeros((*lead, 3))
        """Estimate of the last step: vx, vy m/s, wz rad/s."""
        self._steps = 0

    def start(self) -> None:
        """Forget everything, as a policy does that begins to walk."""
        self.hidden.fill(0.0)
        self.added.fill(0.0)
        self.velocity.fill(0.0)
        self._steps = 0

    def __call__(self, state: RobotState, target: np.ndarray, command: np.ndarray) -> np.ndarray:
        """Return the commands to tell the policies, (..., 3).

        Args:
            state: proprioception, package order.
            target: joint targets of the step before, package order, rad, (..., 12).
            command: vx, vy m/s, wz rad/s asked for, (..., 3).
        """
        self._watch(state, target)
        planar = np.sqrt(command[..., 0:1] ** 2 + command[..., 1:2] ** 2)
        share = moving(command)[..., None]
        if self._steps > WARM_UP_STEPS:
            error = np.minimum(np.maximum(command - self.velocity, -LARGEST_ERROR), LARGEST_ERROR)
            self.added += (CONTROL_DT_S * self.gain) * error
            self.added *= share > 0.0
            most = np.maximum(LARGEST_SHARE * planar, LEAST)
            self.added[..., :2] = np.minimum(np.maximum(self.added[..., :2], -most), most)
            np.minimum(np.maximum(self.added, -LARGEST), LARGEST, out=self.added)
        return np.asarray(command + share * self.added)

    def _watch(self, state: RobotState, target: np.ndarray) -> None:
        gravity = projected_gravity(state.quat_wxyz)
        inputs = _inputs(state, gravity, target)
        hidden, planar = self.net(inputs, self.hidden)
        self.velocity[..., :2] = planar
        self.velocity[..., 2] = -(state.base_ang_vel * gravity).sum(axis=-1)
        # a robot of no finite state has fallen: it must not spoil its own estimate for good
        if not np.isfinite(hidden.sum()):
            hidden = np.where(np.isfinite(hidden), hidden, np.float32(0.0))
            self.velocity = np.nan_to_num(self.velocity)
        self.hidden = hidden
        self._steps += 1

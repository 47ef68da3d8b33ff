"""Which policies may come near the motors; runs outside the loop, on bytes from anyone.

A policy passes when it is signed by a trusted key (if keys are set), is a valid bundle, was
checked (if that is required), and answers recent measurements with finite, plausible actions.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from make_agent_ros.control.runner import PolicyRunner
from make_agent_ros.go2.constants import (
    JOINT_LOWER_RAD,
    JOINT_NAMES,
    JOINT_UPPER_RAD,
    NOMINAL_JOINT_POS,
)
from make_agent_ros.go2.state import RobotState
from make_agent_ros.policy.bundle import MAX_BUNDLE_BYTES, Bundle, from_bytes
from make_agent_ros.policy.checked import why_unchecked
from make_agent_ros.policy.onnx_mlp import BundleError

PROBE_COMMANDS = ((0.0, 0.0, 0.0), (0.5, 0.0, 0.0), (0.0, 0.0, 0.5))
"""Velocity commands that a candidate is tried with, (vx, vy) m/s and wz rad/s."""


@dataclass(frozen=True)
class AdmissionConfig:
    """What a policy must have."""

    require_check: bool = False
    """Whether only policies that the sim-to-real check let through (PASS or WARN) are admitted,
    and only as they were when it looked at them."""
    trusted_keys: tuple[str, ...] = ()
    """ed25519 public keys; when there are any, only their signatures are admitted."""
    action_limit_rad: float = 2.0
    """Largest |action_scale * action| on probe measurements, rad."""
    velocity_loop: bool = True
    """Whether policies that ask for it get their command corrected by the estimated velocity."""
    inference_max_s: float = 0.001
    """Longest evaluation of the network, s: half of what lies between two commands."""


def bundle_digest(data: bytes) -> str:
    """Return the name of a bundle: the SHA-256 of its bytes, as hex."""
    return hashlib.sha256(data).hexdigest()


def admit(data: bytes, config: AdmissionConfig, recent: Sequence[RobotState] = ()) -> PolicyRunner:
    """Return a runner for the policy in `data`, ready to be offered to the loop.

    Args:
        data: the bundle's bytes.
        config: what it must have.
        recent: measurements of the standing or walking robot to try it on; a standing pose is
            used when there are none.

    Raises:
        BundleError: it may not run; the sentence says why and what to do.
        ValueError: a trusted key of the configuration cannot be read.
    """
    if len(data) > MAX_BUNDLE_BYTES:
        raise BundleError(f'{len(data)} bytes; a bundle has at most {MAX_BUNDLE_BYTES}')
    if config.trusted_keys:
        from make_agent_ros.policy.signing import verify

        verify(data, config.trusted_keys)
    bundle = from_bytes(data)
    if config.require_check:
        _demand_check(bundle)
    if not config.velocity_loop:
        bundle = replace(bundle, velocity_gain=0.0)
    runner = PolicyRunner(bundle, bundle_digest(data))
    with np.errstate(all='ignore'):
        _probe(runner, recent or (standing_state(),), config)
    return runner


def standing_state() -> RobotState:
    """Return what a robot standing still measures."""
    return RobotState(
        quat_wxyz=np.array([1.0, 0.0, 0.0, 0.0]),
        base_ang_vel=np.zeros(3),
        joint_pos=NOMINAL_JOINT_POS.copy(),
        joint_vel=np.zeros(12),
    )


def _demand_check(bundle: Bundle) -> None:
    problem = why_unchecked(bundle)
    if problem:
        raise BundleError(
            f'the policy {problem} and require_check is on; run make-agent check on it and deploy '
            'the file that it writes'
        )


def _probe(runner: PolicyRunner, states: Sequence[RobotState], config: AdmissionConfig) -> None:
    """Run the candidate over recorded states, each with its previous answer as last action."""
    took_s = math.inf
    for velocity in PROBE_COMMANDS:
        runner.start(0.0, 0.0, None)
        for i, state in enumerate(states):
            fine = runner.step(i * runner.dt_s, state, np.array(velocity))
            took_s = min(took_s, runner.inference_s)
            _demand_plausible(runner, fine, velocity, config.action_limit_rad)
    # The quickest of all: a busy machine is not the policy's fault.
    if took_s > config.inference_max_s:
        raise BundleError(
            f'one action takes {1e3 * took_s:.1f} ms, at most {1e3 * config.inference_max_s:.1f} '
            'ms fit between two commands; use a smaller network'
        )
    outside = _outside(runner.stand_pose)
    if outside:
        raise BundleError(f'the default pose is out of the joint range at {", ".join(outside)}')
    runner.start(0.0, 0.0, None)


def _demand_plausible(
    runner: PolicyRunner, fine: bool, velocity: tuple[float, float, float], limit_rad: float
) -> None:
    largest = float(np.abs(runner.offset).max())
    if not fine or not math.isfinite(largest):
        raise BundleError(
            f'the policy computes NaN or Inf at command {velocity}; generate another one'
        )
    if largest > limit_rad:
        joint = runner.bundle.joint_names[int(np.abs(runner.offset).argmax())]
        raise BundleError(
            f'the policy asks {joint} for {largest:.2f} rad from its default pose at '
            f'command {velocity}; plausible is {limit_rad} rad. Are joint order, scales '
            'and default pose its own?'
        )


def _outside(pose: np.ndarray) -> list[str]:
    wrong = (pose < JOINT_LOWER_RAD) | (pose > JOINT_UPPER_RAD)
    return [f'{JOINT_NAMES[i]} {pose[i]:.2f} rad' for i in np.flatnonzero(wrong)]

"""One admitted policy on preallocated buffers: state and command in, joint targets out."""

from __future__ import annotations

import time

import numpy as np

from make_agent_ros.go2.constants import JOINT_NAMES, joint_index_map
from make_agent_ros.go2.state import RobotState
from make_agent_ros.policy.bundle import Bundle
from make_agent_ros.policy.velocity import velocity_loop


class PolicyRunner:
    """Runs a bundle; built outside the loop so that a swap allocates nothing inside it."""

    def __init__(self, bundle: Bundle, digest: str) -> None:
        """Prepare buffers and run the network once, which touches every page it needs.

        Args:
            bundle: a valid policy.
            digest: SHA-256 of its bytes; names it in the state and the black box.
        """
        self.bundle = bundle
        self.digest = digest
        self.name = digest[:12]
        """Short form of the digest for sentences."""
        self.dt_s = bundle.control_dt
        self.builder = bundle.observation_builder()
        self._policy = bundle.policy()
        self._to_package = joint_index_map(bundle.joint_names, JOINT_NAMES)
        self._to_policy = joint_index_map(JOINT_NAMES, bundle.joint_names)
        self.stand_pose = np.asarray(bundle.default_joint_pos)[self._to_package]
        """The default pose in package order, rad, shape (12,)."""
        self.stiffness = np.asarray(bundle.joint_stiffness)[self._to_package]
        self.damping = np.asarray(bundle.joint_damping)[self._to_package]
        self._scale = np.asarray(bundle.action_scale)
        self._default = np.asarray(bundle.default_joint_pos)
        self.observation = np.zeros(self.builder.size, dtype=np.float32)
        self.action = np.zeros(12, dtype=np.float32)
        """Last raw action, policy order."""
        self.offset = np.zeros(12)
        """action_scale * action, policy order, rad."""
        self.target = self.stand_pose.copy()
        """Joint targets, package order, rad."""
        self.loop = velocity_loop(bundle.velocity_gain)
        """Corrects the command by the estimated velocity, where the policy asks for it."""
        self._phase0 = 0.0
        self._phase_time_s = 0.0
        self.inference_s = 0.0
        """Duration of the last evaluation of the networks, s."""
        self._policy(self.observation)

    def start(self, now_s: float, phase: float, target: np.ndarray | None) -> None:
        """Begin at gait phase `phase` (cycles), as if the last action had asked for `target`.

        Args:
            now_s: monotonic time, s.
            phase: gait cycles; 0 at the start of WALK, the running policy's phase at a swap.
            target: last commanded joint angles, package order, rad; None for a zero action.
        """
        self._phase0, self._phase_time_s = phase, now_s
        self.action.fill(0.0)
        if self.loop is not None:
            self.loop.start()
        if target is not None:
            self.resume(target)

    def resume(self, target: np.ndarray) -> None:
        """Take up from `target` (package order, rad) with the phase running on."""
        self.action[:] = (target[self._to_policy] - self._default) / self._scale
        self.target[:] = target

    def phase(self, now_s: float) -> float:
        """Gait cycles since WALK began."""
        return self._phase0 + self.bundle.gait_frequency_hz * (now_s - self._phase_time_s)

    def step(self, now_s: float, state: RobotState, velocity: np.ndarray) -> bool:
        """Compute the next targets.

        Args:
            now_s: monotonic time, s.
            state: finite measurements, package order.
            velocity: vx m/s, vy m/s, wz rad/s.

        Returns:
            False when observation or action is not finite; the targets are then unchanged.
        """
        begin = time.perf_counter()
        if self.loop is not None:
            velocity = self.loop(state, self.target, velocity)
        obs = self.builder.build(state, velocity, self.action, self.phase(now_s), self.observation)
        action = self._policy(obs)
        self.inference_s = time.perf_counter() - begin
        if not np.isfinite(action.sum()):
            return False
        self.action[:] = action
        np.multiply(self._scale, action, out=self.offset)
        self.target[:] = (self._default + self.offset)[self._to_package]
        return True

"""The locomotion task: follow a velocity command in a given style, as a vectorised environment.

Teacher, students and their data share it; `rsl_env` hands it to rsl-rl. Rewards follow
walk-these-ways (arXiv 2212.03238) and legged_gym (2109.11978), weights in `REWARDS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from make_agent_ros.go2 import POLICY_SCALES, POLICY_TERMS, ObservationBuilder, RobotState
from make_agent_ros.go2.constants import (
    ACTION_SCALE,
    FOOT_RADIUS_M,
    HIP_OFFSET_M,
    NOMINAL_JOINT_POS,
)
from make_agent_ros.go2.kinematics import foot_jacobian, foot_positions
from make_agent_ros.go2.state import projected_gravity
from make_agent_ros.simulation.batch import BatchSimulation, SensorNoise
from make_agent_ros.simulation.model import TRAINING_WORLDS, WorldRanges, randomised_worlds
from make_agent_ros.simulation.rollout import START_HEIGHT_M
from make_agent_ros.training.behaviour import STYLE_SIZE, Styles, feasible, moving
from make_agent_ros.training.demand import demand_of
from make_agent_ros.training.reference import (
    leg_phases,
    reference_action,
    reference_joint_pos,
    stance,
    swing_height,
)

Tell = Callable[[Styles, np.ndarray], np.ndarray]
"""From n styles and commands (n, 3) to what the teacher is told, (n, 3)."""

REWARDS: dict[str, float] = {
    'velocity': 1.5,
    'yaw_rate': 0.75,
    'mean_velocity': 0.75,
    'mean_yaw_rate': 0.35,
    'drift': -0.5,
    'contact': -2.5,
    'height': -30.0,
    'mean_height': -8.0,
    'tilt': -5.0,
    'mean_pitch': -1.0,
    'bounce': -0.5,
    'wobble': -0.03,
    'action_rate': -0.01,
    'action_jerk': -0.003,
    'torque': -2e-4,
    'slip': -0.1,
    'clearance': -10.0,
    'residual': -0.003,
    'still': -0.02,
}
"""Reward terms and weights; the sum is multiplied by the control period and clipped at 0."""

FALL_REWARD = -2.0
TEACHER_OBS_SIZE = 47 + STYLE_SIZE + 8 + 1 + 12
CRITIC_EXTRA_SIZE = 3 + 2 + 1 + 1 + 4 + 4 + 4


@dataclass(frozen=True)
class EnvConfig:
    """Sizes and disturbances of the environment."""

    envs: int = 512
    worlds: int = 64
    """Randomised copies of the model, spread over the environments."""
    ranges: WorldRanges = TRAINING_WORLDS
    """What they are drawn from."""
    seed: int = 0
    episode_s: float = 10.0
    command_period_s: float = 3.0
    push_period_s: float = 4.0
    push_m_s: float = 0.4
    """Largest velocity kick per axis."""
    nominal_start: float = 0.0
    """Share of episodes that start at rest in the nominal pose, as a robot leaves STAND."""
    assist: float = 1.0
    """Strength of the roll and pitch spring that anneals while gaits that fall are learned."""


def teacher_observation(
    obs: np.ndarray, told: np.ndarray, styles: Styles, cycles: np.ndarray, reference: np.ndarray
) -> np.ndarray:
    """Return the teacher's input for n robots, (n, 86).

    Args:
        obs: the policy's, (n, 47).
        told: what the teacher is told in place of the command there, (n, 3).
        styles: n of them.
        cycles: gait clocks, (n,).
        reference: raw actions of the scripted gait, (n, 12).
    """
    angle = 2 * np.pi * leg_phases(styles, cycles)
    obs = obs.copy()
    obs[:, 6:9] = told  # the command, at scale 1
    return np.concatenate(
        (
            obs,
            styles.vector(),
            np.sin(angle),
            np.cos(angle),
            moving(told)[:, None],
            reference * ACTION_SCALE,
        ),
        axis=1,
        dtype=np.float32,
    )


class StyleEnv:
    """B robots, each with a style, a command and a gait clock; episodes restart on a fall."""

    def __init__(
        self,
        config: EnvConfig,
        styles: Callable[[np.ndarray], Styles],
        commands: Callable[[np.ndarray], np.ndarray],
        tell: Tell | None = None,
    ) -> None:
        """Build the batch.

        Args:
            config: sizes and disturbances.
            styles: called with the ids of robots that restart; returns their styles.
            commands: called with the ids of robots that get a new command, returns (n, 3).
            tell: what the teacher and its reference are told in place of the commands; these
                themselves when omitted. See `training.calibration`.
        """
        self.config = config
        self.rng = np.random.default_rng(config.seed)
        self._draw_styles, self._draw_commands, self._tell = styles, commands, tell
        n = config.envs
        worlds = randomised_worlds(config.worlds, config.seed, config.ranges)
        self.sim = BatchSimulation(
            worlds, np.arange(n) % config.worlds, noise=SensorNoise(), seed=config.seed
        )
        self.builder = ObservationBuilder(POLICY_TERMS, POLICY_SCALES, NOMINAL_JOINT_POS)
        self.dt = self.sim.control_dt_s
        self.max_steps = round(config.episode_s / self.dt)
        self.assist = np.full(n, config.assist)
        self.push_share = 1.0
        """Strength of the pushes, raised while the teacher learns."""
        ids = np.arange(n)
        self.styles = styles(ids)
        self.leaping = np.zeros(n)
        """How far each style must pitch or leap by nature, 0..1."""
        self.command = np.zeros((n, 3))
        self.cycles = np.zeros(n)
        self.steps = np.zeros(n, dtype=int)
        self.action = np.zeros((n, 12))
        self.previous_action = np.zeros((n, 12))
        self.mean_velocity = np.zeros((n, 3))
        self.mean_height = np.zeros(n)
        self.mean_pitch = np.zeros(n)
        """Projected gravity along x, averaged like velocity and height."""
        self.reset(ids)
        self.steps[:] = self.rng.integers(0, self.max_steps, n)
        self.observe()

    def reset(self, ids: np.ndarray) -> None:
        """Restart robots `ids` in their reference pose at a random phase."""
        self.styles.set(ids, self._draw_styles(ids))
        self.command[ids] = feasible(self._draw_commands(ids), self.styles[ids])
        self.cycles[ids] = self.rng.random(len(ids))
        styles, command = self.styles[ids], self.command[ids]
        self.leaping[ids] = demand_of(
            styles.offsets, styles.duty, styles.frequency_hz, styles.stance_width_m
        ).leaping
        pose = reference_joint_pos(styles, self.cycles[ids], command)
        pose += self.rng.uniform(-0.05, 0.05, pose.shape)
        lift = np.abs(np.sin(styles.pitch_rad)) * HIP_OFFSET_M[0, 0]
        height = styles.body_height_m + lift + self.rng.uniform(0.0, 0.02, len(ids))
        standing = self.rng.random(len(ids)) < self.config.nominal_start
        pose[standing] = NOMINAL_JOINT_POS + self.rng.uniform(-0.1, 0.1, (standing.sum(), 12))
        height[standing] = START_HEIGHT_M
        self.sim.reset(ids, pose, height, self.rng.uniform(-np.pi, np.pi, len(ids)))
        # Start near the commanded speed: otherwise every episode begins with a stumble.
        yaw = 2 * np.arctan2(self.sim.qpos[ids, 6], self.sim.qpos[ids, 3])
        share = np.where(standing, 0.0, self.rng.uniform(0.0, 1.0, len(ids)))
        c, s = np.cos(yaw), np.sin(yaw)
        self.sim.qvel[ids, 0] = share * (c * command[:, 0] - s * command[:, 1])
        self.sim.qvel[ids, 1] = share * (s * command[:, 0] + c * command[:, 1])
        self.action[ids] = np.where(standing[:, None], 0.0, reference_action(pose, ACTION_SCALE))
        self.previous_action[ids] = self.action[ids]
        self.mean_velocity[ids] = np.where(standing[:, None], 0.0, command)
        self.mean_height[ids] = styles.body_height_m
        self.mean_pitch[ids] = np.sin(styles.pitch_rad)
        self.steps[ids] = 0

    def observe(self) -> None:
        """Refresh proprioception, the reference action and the policy's observation."""
        self.state: RobotState = self.sim.observe()
        self.told = self._tell(self.styles, self.command) if self._tell else self.command
        self.reference = reference_action(
            reference_joint_pos(self.styles, self.cycles, self.told), ACTION_SCALE
        )
        self.obs = self.builder.build(self.state, self.command, self.action, self.cycles)

    def teacher_obs(self) -> np.ndarray:
        """Return the teacher's input: the policy's plus style, leg clocks and reference."""
        return teacher_observation(self.obs, self.told, self.styles, self.cycles, self.reference)

    def critic_extra(self) -> np.ndarray:
        """Return what only the critic sees: true motion, contacts and the world, (B, 19)."""
        sim, worlds, index = self.sim, self.sim.worlds, self.sim.world_index
        return np.concatenate(
            (
                sim.base_lin_vel_b,
                self.mean_velocity[:, :2] - self.command[:, :2],
                (sim.base_height - self.styles.body_height_m)[:, None] * 10,
                sim.qvel[:, 5:6] - self.command[:, 2:],
                sim.foot_contact,
                stance(self.styles, self.cycles, self.command),
                worlds.friction[index, None],
                worlds.payload_kg[index, None] / 2,
                worlds.gain_factor[index, None],
                self.assist[:, None],
            ),
            axis=1,
            dtype=np.float32,
        )

    def step(self, action: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Apply raw actions, advance one control step, restart what ended.

        Args:
            action: shape (B, 12); joint target = nominal pose + 0.25 * action.

        Returns:
            Reward (B,), fallen (B,) bool, timed out (B,) bool.
        """
        action = np.clip(action, -12.0, 12.0)
        older, self.previous_action = self.previous_action, self.action
        self.action = action
        self.sim.step(NOMINAL_JOINT_POS + ACTION_SCALE * action, self._assist_force())
        self.cycles += self.styles.frequency_hz * self.dt
        self.steps += 1
        velocity = np.concatenate((self.sim.yaw_frame_velocity, self.sim.qvel[:, 5:6]), axis=1)
        # Averaged over about a gait cycle, so that the sway within a cycle is no error.
        window = self.dt * np.minimum(self.styles.frequency_hz, 4.0) * 0.8
        self.mean_velocity += window[:, None] * (velocity - self.mean_velocity)
        self.mean_height += window * (self.sim.base_height - self.mean_height)
        forward = projected_gravity(self.sim.qpos[:, 3:7])[:, 0]
        self.mean_pitch += window * (forward - self.mean_pitch)
        fallen = self.sim.fallen()
        timed_out = (self.steps >= self.max_steps) & ~fallen
        reward = self._reward(velocity, older)
        reward[fallen] += FALL_REWARD
        done = np.flatnonzero(fallen | timed_out)
        if len(done):
            self.reset(done)
        renew = np.flatnonzero(
            (self.steps > 0) & (self.steps % round(self.config.command_period_s / self.dt) == 0)
        )
        if len(renew):
            self.command[renew] = feasible(self._draw_commands(renew), self.styles[renew])
        self._push()
        self.observe()
        return reward, fallen, timed_out

    def _push(self) -> None:
        hit = np.flatnonzero(self.rng.random(self.sim.size) < self.dt / self.config.push_period_s)
        if len(hit) and self.config.push_m_s > 0:
            kick = self.rng.uniform(-1.0, 1.0, (len(hit), 3))
            kick *= self.config.push_m_s * self.push_share
            kick[:, 2] = 0.0
            self.sim.push(hit, kick)

    def _assist_force(self) -> np.ndarray | None:
        if not self.assist.any():
            return None
        gravity = projected_gravity(self.sim.qpos[:, 3:7])
        force = np.zeros((self.sim.size, 18))
        force[:, 3] = self.assist * (120.0 * gravity[:, 1] - 6.0 * self.sim.qvel[:, 3])
        force[:, 4] = self.assist * (-80.0 * gravity[:, 0] - 6.0 * self.sim.qvel[:, 4])
        return force

    def _reward(self, velocity: np.ndarray, older_action: np.ndarray) -> np.ndarray:
        sim, styles = self.sim, self.styles
        gravity = projected_gravity(sim.qpos[:, 3:7])
        foot_b = foot_positions(sim.qpos[:, 7:])
        height = self._foot_heights(foot_b)
        swing = swing_height(styles, self.cycles, self.command)
        desired = stance(styles, self.cycles, self.command)
        leaping = self.leaping
        walking = moving(self.command)
        pitch_error = gravity[:, 0] - np.sin(styles.pitch_rad)
        error = velocity - self.command
        mean_error = self.mean_velocity - self.command
        rate = self.action - self.previous_action
        jerk = rate - (self.previous_action - older_action)
        terms = {
            'velocity': np.exp(-(error[:, :2] ** 2).sum(1) / 0.15),
            'yaw_rate': np.exp(-(error[:, 2] ** 2) / 0.15),
            'mean_velocity': np.exp(-(mean_error[:, :2] ** 2).sum(1) / 0.03),
            'mean_yaw_rate': np.exp(-(mean_error[:, 2] ** 2) / 0.05),
            'drift': np.linalg.norm(mean_error[:, :2], axis=1) + 0.3 * np.abs(mean_error[:, 2]),
            'contact': 1.0 - (sim.foot_contact == desired).mean(axis=1),
            'height': (sim.base_height - styles.body_height_m) ** 2,
            'mean_height': np.abs(self.mean_height - styles.body_height_m),
            'tilt': (1.0 - 0.8 * leaping * walking) * pitch_error**2 + gravity[:, 1] ** 2,
            'bounce': (1.0 - leaping * walking) * sim.qvel[:, 2] ** 2,
            'wobble': sim.qvel[:, 3] ** 2 + (1.0 - 0.8 * leaping) * sim.qvel[:, 4] ** 2,
            'mean_pitch': np.abs(self.mean_pitch - np.sin(styles.pitch_rad)),
            'action_rate': (rate**2).sum(1),
            'action_jerk': (jerk**2).sum(1),
            'torque': (sim.last_torque**2).sum(1),
            'slip': (sim.foot_contact * self._foot_speeds2(foot_b)).sum(1),
            'clearance': ((swing > 0.005) * (height - swing) ** 2).sum(1),
            'residual': ((self.action - self.reference) ** 2).sum(1),
            'still': (1.0 - walking) * (sim.joint_vel**2).sum(1).clip(max=50.0),
        }
        self.terms = terms
        total = sum(REWARDS[name] * value for name, value in terms.items())
        return np.maximum(total, 0.0) * self.dt

    def _foot_heights(self, foot_b: np.ndarray) -> np.ndarray:
        up_b = -projected_gravity(self.sim.qpos[:, 3:7])
        height = self.sim.base_height[:, None] - FOOT_RADIUS_M
        return height + np.einsum('bfk,bk->bf', foot_b, up_b)

    def _foot_speeds2(self, foot_b: np.ndarray) -> np.ndarray:
        jacobian = foot_jacobian(self.sim.qpos[:, 7:])
        relative = np.einsum('bfij,bfj->bfi', jacobian, self.sim.joint_vel.reshape(-1, 4, 3))
        spin = np.cross(self.sim.qvel[:, None, 3:6], foot_b)
        speed = self.sim.base_lin_vel_b[:, None] + spin + relative
        return (speed**2).sum(-1)

"""The teacher as the benchmark's oracle: told the true style, it walks the measuring worlds."""

from __future__ import annotations

import numpy as np

from make_agent_ros.go2.constants import ACTION_SCALE, NOMINAL_JOINT_POS
from make_agent_ros.policy.velocity import VelocityLoop, velocity_loop
from make_agent_ros.simulation.model import WorldRanges
from make_agent_ros.simulation.rollout import Logbook, RolloutLog
from make_agent_ros.training.behaviour import BehaviourSet, Styles
from make_agent_ros.training.env import EnvConfig, StyleEnv, Tell
from make_agent_ros.training.teacher import Teacher


def teacher_rollout(
    teacher: Teacher,
    behaviours: BehaviourSet,
    worlds: int,
    seconds: float,
    seed: int,
    push_m_s: float = 0.0,
    velocity_gain: float = 0.0,
) -> RolloutLog:
    """Walk P behaviours in W worlds at their own velocity, from standing.

    The worlds are those of `randomised_worlds(worlds, seed)`, which policies are measured in.

    Args:
        teacher: sees proprioception with sensor noise, the true style, the leg clocks.
        behaviours: P styles and velocities.
        worlds: W.
        seconds: duration.
        seed: of worlds, noise and kicks.
        push_m_s: largest velocity kick per axis.
        velocity_gain: of the loop that corrects what it is told, 1/s; see `policy.velocity`.
    """
    n = len(behaviours)
    styles = behaviours.styles.repeat(worlds)
    command = np.repeat(behaviours.default_command, worlds, axis=0)
    config = EnvConfig(
        envs=n * worlds,
        worlds=worlds,
        ranges=WorldRanges(),
        seed=seed,
        episode_s=seconds + 1.0,
        command_period_s=seconds + 1.0,
        push_m_s=push_m_s,
        nominal_start=1.0,
        assist=0.0,
    )
    loop = velocity_loop(velocity_gain, (n * worlds,))
    tell = teacher.tell if loop is None else _also_telling(loop, teacher.tell)
    env = StyleEnv(config, lambda ids: styles[ids], lambda ids: command[ids], tell)
    env.steps[:] = 0
    steps = round(seconds / env.dt)
    logbook = Logbook(env.sim, steps)
    for _ in range(steps):
        action = env.reference + teacher.residual(env.teacher_obs())
        target = NOMINAL_JOINT_POS + ACTION_SCALE * action
        # A robot that falls starts again: its log ends at the fall, what follows is not read.
        _, fallen, _ = env.step(action)
        logbook.write(target, env.command, fallen)
        if loop is not None:
            loop(env.state, target, env.command)
    return logbook.finish((n, worlds))


def _also_telling(loop: VelocityLoop, tell: Tell | None) -> Tell:
    """Tell the teacher what the loop adds, too."""

    def told(styles: Styles, command: np.ndarray) -> np.ndarray:
        usual = command if tell is None else tell(styles, command)
        return usual + loop.added

    return told

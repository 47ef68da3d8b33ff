"""The teacher as the benchmark's oracle: told the true style, it walks the measuring worlds."""

from __future__ import annotations

import numpy as np

from make_agent_ros.go2.constants import ACTION_SCALE, NOMINAL_JOINT_POS
from make_agent_ros.simulation.model import WorldRanges
from make_agent_ros.simulation.rollout import Logbook, RolloutLog
from make_agent_ros.training.behaviour import BehaviourSet
from make_agent_ros.training.env import EnvConfig, StyleEnv
from make_agent_ros.training.teacher import Teacher


def teacher_rollout(
    teacher: Teacher,
    behaviours: BehaviourSet,
    worlds: int,
    seconds: float,
    seed: int,
    push_m_s: float = 0.0,
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
    env = StyleEnv(config, lambda ids: styles[ids], lambda ids: command[ids], teacher.tell)
    env.steps[:] = 0
    steps = round(seconds / env.dt)
    logbook = Logbook(env.sim, steps)
    for _ in range(steps):
        action = env.reference + teacher.residual(env.teacher_obs())
        # A robot that falls starts again: its log ends at the fall, what follows is not read.
        _, fallen, _ = env.step(action)
        logbook.write(NOMINAL_JOINT_POS + ACTION_SCALE * action, env.command, fallen)
    return logbook.finish((n, worlds))

"""Sizes at which every stage of training takes seconds."""

from __future__ import annotations

from make_agent_ros.training.distil import ZooConfig
from make_agent_ros.training.generator import GeneratorConfig
from make_agent_ros.training.split import Split
from make_agent_ros.training.teacher import TeacherConfig

TEACHER = TeacherConfig(iterations=2, envs=20, checkpoint_every=1)
ZOO = ZooConfig(
    calibration_rounds=1,
    chunk=4, envs_per_student=2, rounds=2, steps_per_round=30, updates_per_round=30,
    final_updates=30, bank=32,
)  # fmt: skip
SPLIT = Split(training=8, held_out=4, corner=2, gait_out=2, withheld=4)
GENERATOR = GeneratorConfig(
    sides=('training',), codec_updates=60, flow_updates=60, batch=4, states=8, prompt_s=2.0,
    takes=5, windows=(50, 80), log_every=10,
)  # fmt: skip

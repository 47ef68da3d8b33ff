from __future__ import annotations

import io

import numpy as np
from rich.console import Console

from make_agent_ros.recording import describe_gait
from make_agent_ros.recording.bag import Recording
from make_agent_ros.recording.info import describe_recording, gait_diagram, gait_name, print_info

from .bags import write_bag
from .synthetic import OFFSETS, Walk, make_walk


def gait_of(name, duty=0.6):
    walk = make_walk(Walk(OFFSETS[name], duty=duty, vx=0.3), 4.0)[0]
    return describe_gait(walk.joint_pos, np.tile([0.0, 0.0, -1.0], (200, 1)), 50.0)


def text_of(recording):
    console = Console(file=io.StringIO(), width=140)
    console.print(describe_recording(recording))
    return console.file.getvalue()


def test_textbook_gaits_are_named():
    assert [gait_name(gait_of(name)) for name in OFFSETS] == list(OFFSETS)


def test_odd_gait_is_named_after_the_nearest():
    walk = make_walk(Walk((0, 0.5, 0.25, 0.8), vx=0.3), 4.0)[0]
    gait = describe_gait(walk.joint_pos, np.tile([0.0, 0.0, -1.0], (200, 1)), 50.0)
    assert gait_name(gait).startswith('~')


def test_diagram_shows_as_much_stance_as_the_duty_factor():
    gait = gait_of('trot', duty=0.7)
    lines = gait_diagram(gait, columns=100).splitlines()
    assert len(lines) == 5
    for line in lines[:4]:
        assert abs(line.count('█') - 100 * gait.duty_factor.mean()) <= 3
    # diagonal legs move together
    assert lines[0][3:100] == lines[3][3:100]


def test_info_shows_gait_prompt_and_speed_of_a_bag(tmp_path):
    walk = make_walk(Walk(frequency_hz=2.3, vx=0.5), 8.0, rate_hz=500.0)[0]
    write_bag(tmp_path / 'bag', walk, metadata={'robot': 'go2'})
    console = Console(file=io.StringIO(), width=140)
    print_info(tmp_path / 'bag', console=console)
    text = console.file.getvalue()
    for part in ('500.0 Hz', 'trot', '2.30', 'prompt:', 'vx +0.5', 'bag: robot', 'FL █'):
        assert part in text, part


def test_info_of_a_standing_robot_says_why_there_is_no_prompt():
    walk = make_walk(Walk(swing_m=0.0, vx=0.0), 8.0)[0]
    assert 'stands still' in text_of(Recording(walk))

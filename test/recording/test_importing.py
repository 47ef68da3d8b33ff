from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from make_agent_ros.recording import RecordingError
from make_agent_ros.recording.importing import cut_prompts, import_recording, read_prompts

from .bags import write_bag
from .synthetic import OFFSETS, Walk, make_walk


def walked(source='walk', seed=0, **style):
    recording = make_walk(Walk(**style), 6.0, noise_rad=0.005, seed=seed)[0]
    return replace(recording, source=source)


def test_prompts_of_one_style_are_cut_from_every_recording():
    recordings = [walked(f'take {i}', i, vx=0.3 + 0.1 * i) for i in range(3)]
    prompts = cut_prompts(recordings, 4.0)
    assert [prompt.source for prompt in prompts] == ['take 0', 'take 1', 'take 2']
    assert all(len(prompt) == 200 for prompt in prompts)


@pytest.mark.parametrize(
    ('style', 'words'),
    [
        ({'frequency_hz': 3.2}, 'step frequency'),
        ({'offsets': OFFSETS['pace']}, 'cycles of phase'),
        ({'height_m': 0.22}, 'body height'),
    ],
)
def test_recording_of_another_style_is_named(style, words):
    recordings = [walked('one', 0), walked('odd.mcap', 1, **style), walked('three', 2)]
    with pytest.raises(RecordingError, match=rf'odd\.mcap shows another style .*{words}'):
        cut_prompts(recordings)
    assert len(cut_prompts(recordings, any_style=True)) == 3


def test_no_recording_and_a_bad_one_are_refused():
    with pytest.raises(RecordingError, match='one bag'):
        cut_prompts([])
    standing = walked('still', swing_m=0.0, vx=0.0)
    with pytest.raises(RecordingError, match='still: the robot stands'):
        cut_prompts([walked(), standing])


def test_bags_and_tables_are_read_together(tmp_path):
    write_bag(tmp_path / 'bag', make_walk(Walk(vx=0.4), 6.0, rate_hz=500.0)[0])
    import_recording(tmp_path / 'bag').save(tmp_path / 'walk.npz')
    one, two = read_prompts([tmp_path / 'bag', tmp_path / 'walk.npz'], 2.0)
    np.testing.assert_allclose(one.joint_pos, two.joint_pos, atol=1e-6)
    assert one.source == 'bag' and two.source == 'walk.npz'

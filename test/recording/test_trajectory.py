from __future__ import annotations

import zipfile
from dataclasses import replace

import numpy as np
import pytest

from make_agent_ros.recording import RecordingError, Trajectory
from make_agent_ros.recording.trajectory import COLUMNS

from .synthetic import Walk, make_walk


@pytest.fixture
def walk():
    return make_walk(Walk(), 2.0)[0]


def test_saved_trajectory_comes_back_unchanged(walk, tmp_path):
    walk.save(tmp_path / 'walk.npz')
    loaded = Trajectory.load(tmp_path / 'walk.npz')
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(loaded, name), getattr(walk, name))
    assert loaded.source == 'synthetic'
    assert loaded.digest() == walk.digest()


def test_digest_changes_with_any_column_but_not_with_the_start_time(walk):
    assert replace(walk, time_s=walk.time_s + 7.0).digest() == walk.digest()
    for name in COLUMNS:
        changed = np.array(getattr(walk, name))
        changed[5] += 0.001
        assert replace(walk, **{name: changed}).digest() != walk.digest()


def test_slice_holds_the_samples_of_its_half_open_span(walk):
    part = walk.slice(0.5, 1.5)
    assert len(part) == 50
    assert part.time_s[0] == pytest.approx(0.5) and part.time_s[-1] == pytest.approx(1.48)
    assert part.rate_hz == pytest.approx(50.0)


def test_wrong_joint_count_is_named(walk):
    with pytest.raises(RecordingError, match=r'joint_pos has shape \(100, 11\)'):
        replace(walk, joint_pos=walk.joint_pos[:, :11])


def test_pickled_objects_in_a_file_are_refused(walk, tmp_path):
    path = tmp_path / 'bad.npz'
    np.savez(path, time_s=np.array([{'a': 1}], dtype=object))
    with pytest.raises(RecordingError, match='not a readable NPZ'):
        Trajectory.load(path)


def test_archive_that_unpacks_beyond_the_limit_is_refused(tmp_path):
    path = tmp_path / 'bomb.npz'
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('time_s.npy', b'0')
    data = bytearray(path.read_bytes())
    # declare 4 GB for one entry in the central directory and in its local header
    central = data.index(b'PK\x01\x02')
    data[central + 24 : central + 28] = b'\xff\xff\xff\xfe'
    path.write_bytes(bytes(data))
    with pytest.raises(RecordingError):
        Trajectory.load(path)


def test_missing_file_and_missing_column_are_named(walk, tmp_path):
    with pytest.raises(RecordingError, match='No such file'):
        Trajectory.load(tmp_path / 'none.npz')
    np.savez(tmp_path / 'part.npz', time_s=walk.time_s)
    with pytest.raises(RecordingError, match='lacks quat_wxyz'):
        Trajectory.load(tmp_path / 'part.npz')

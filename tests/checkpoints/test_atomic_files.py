"""Files are complete or absent; the partial files of killed writers are removed."""

import os
import signal
import stat

import pytest

from snnssl_mm.checkpoints.atomic_files import (
    open_atomically,
    remove_partial_files,
    write_atomically,
)


def test_an_old_file_is_kept_until_the_new_one_is_complete(tmp_path):
    file = tmp_path / "folder" / "a.pth"
    write_atomically(file, b"old")
    with open_atomically(file) as stream:
        stream.write(b"new")
        stream.flush()
        assert file.read_bytes() == b"old"
    assert file.read_bytes() == b"new"
    assert os.listdir(file.parent) == ["a.pth"]
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE(file.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_a_failed_writer_leaves_the_old_file_only(tmp_path):
    file = tmp_path / "a.pth"
    write_atomically(file, b"old")
    with pytest.raises(OSError, match="full"), open_atomically(file) as stream:  # noqa: PT012
        stream.write(b"new")
        raise OSError("full")
    assert file.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.pth"]


def test_the_partial_file_of_a_killed_writer_is_removed(tmp_path):
    file = tmp_path / "a.pth"
    write_atomically(file, b"old")
    (tmp_path / ".hidden").touch()
    child = os.fork()
    if child == 0:
        with open_atomically(file) as stream:
            stream.write(b"ne")
            stream.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert file.read_bytes() == b"old"
    assert len(os.listdir(tmp_path)) == 3
    remove_partial_files(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".hidden", "a.pth"]

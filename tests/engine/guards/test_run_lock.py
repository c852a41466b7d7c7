"""One training at a time in a folder, and no lock that outlives its process."""

import multiprocessing

import pytest

from snnssl_mm.engine.guards.run_lock import FolderInUse, locked_folder


def hold(folder, pipe):
    """Train in the folder until the other end says otherwise."""
    with locked_folder(folder):
        pipe.send("held")
        pipe.recv()


@pytest.fixture
def other(tmp_path):
    """Start another process that trains in the folder, and a pipe to it."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=hold, args=(tmp_path, theirs))
    process.start()
    assert ours.recv() == "held"
    yield process, ours
    process.kill()
    process.join()


def test_a_second_training_is_refused_and_the_first_named(other, tmp_path):
    process, _ = other
    with pytest.raises(FolderInUse, match=str(process.pid)), locked_folder(tmp_path):
        pass


@pytest.mark.parametrize("killed", [True, False])
def test_the_folder_is_free_once_the_first_has_ended(other, tmp_path, killed):
    process, pipe = other
    if killed:
        process.kill()
    else:
        pipe.send("end")
    process.join()
    with locked_folder(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_other_folders_are_free(other, tmp_path):
    (tmp_path / "sub").mkdir()
    with locked_folder(tmp_path / "sub"):
        pass

"""One training at a time in a folder, and no lock that outlives its process."""

import os
import signal
import subprocess
import sys

import pytest

from snnssl_mm.engine.guards.run_lock import FolderInUse, locked_folder

HOLD = """
import sys
from pathlib import Path
from snnssl_mm.engine.guards.run_lock import locked_folder
with locked_folder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """Start another process that trains in the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_training_is_refused_and_the_first_named(other, tmp_path):
    with pytest.raises(FolderInUse, match=str(other.pid)), locked_folder(tmp_path):
        pass


@pytest.mark.parametrize("how", [signal.SIGKILL, None])
def test_the_folder_is_free_once_the_first_has_ended(other, tmp_path, how):
    if how:
        os.kill(other.pid, how)
    other.communicate()
    with locked_folder(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_other_folders_are_free(other, tmp_path):
    (tmp_path / "sub").mkdir()
    with locked_folder(tmp_path / "sub"):
        pass

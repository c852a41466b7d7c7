"""One training at a time in a folder, and no lock that outlives its process."""

import os
import signal
import subprocess
import sys

import pytest

from snnssl_mm.engine.guards.run_lock import FolderInUse, alone_in

HOLD = """
import sys
from pathlib import Path
from snnssl_mm.engine.guards.run_lock import alone_in
with alone_in(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """Another process that trains in the folder."""
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
    with pytest.raises(FolderInUse, match=str(other.pid)), alone_in(tmp_path):
        pass


@pytest.mark.parametrize("how", [signal.SIGKILL, None])
def test_the_folder_is_free_once_the_first_has_ended(other, tmp_path, how):
    if how:
        os.kill(other.pid, how)
    other.communicate()
    with alone_in(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_other_folders_are_free(other, tmp_path):
    (tmp_path / "sub").mkdir()
    with alone_in(tmp_path / "sub"):
        pass

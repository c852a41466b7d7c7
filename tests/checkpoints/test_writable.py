"""Outputs that cannot be written are refused, and nothing is created."""

import re
from pathlib import Path

import pytest

from snnssl_mm.checkpoints.writable import require_writable


@pytest.mark.parametrize(
    ("place", "folder", "works"),
    [
        ("new.json", False, True),
        ("new/deep/new.json", False, True),
        ("file", False, True),
        ("there", False, False),
        ("there", True, True),
        ("new", True, True),
        ("file", True, False),
        ("file/below", False, False),
        ("file/below/more", True, False),
    ],
)
def test_unwritable_paths_are_refused_and_nothing_is_created(
    tmp_path, place, folder, works
):
    (tmp_path / "file").touch()
    (tmp_path / "there").mkdir()
    if works:
        require_writable(tmp_path / place, folder=folder)
    else:
        with pytest.raises(OSError, match=re.escape(place)):
            require_writable(tmp_path / place, folder=folder)
    assert len(list(tmp_path.rglob("*"))) == 2


def test_a_folder_that_takes_no_files_is_refused():
    with pytest.raises(OSError, match=r"/proc/new/a\.json"):
        require_writable(None, Path("/proc/new/a.json"))

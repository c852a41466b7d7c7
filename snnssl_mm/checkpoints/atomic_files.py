"""Atomic file writes: a file is complete or absent, even if the writer is killed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def open_atomically(file: Path) -> Iterator[BinaryIO]:
    """Open a file for atomic writing: it appears complete or not at all.

    The content is written to a hidden file ``.<name>.<process id>.part`` in the same
    folder, flushed to the disk, and renamed in one step. An existing file of this name
    is kept until then. A killed writer leaves the hidden file behind, which
    :func:`remove_partial_files` removes.

    Raises:
        OSError: If the file cannot be written; an existing file is untouched.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())  # else a power cut could leave the name only
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # some file systems cannot
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_atomically(file: Path, content: bytes) -> None:
    """Write a file atomically, see :func:`open_atomically`."""
    with open_atomically(file) as stream:
        stream.write(content)


def remove_partial_files(folder: Path) -> None:
    """Remove the partial files of killed writers; no writer may be running."""
    for part in folder.glob(".*.*.part"):
        part.unlink(missing_ok=True)

"""Atomic files: complete or absent, whatever stops the writer."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def written_whole(file: Path) -> Iterator[BinaryIO]:
    """Open a file for atomic writing: it appears complete or not at all.

    What is written goes to a hidden file ``.<name>.<process id>.part`` of the same
    folder, to the disk, and then takes the name in one step. An old file of this name
    stays as it is until then. A writer that is killed leaves the hidden file behind:
    :func:`remove_parts`.

    Raises:
        OSError: If it cannot be written; the old file is untouched.
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


def write_whole(file: Path, content: bytes) -> None:
    """Write a file atomically, see :func:`written_whole`."""
    with written_whole(file) as stream:
        stream.write(content)


def remove_parts(folder: Path) -> None:
    """Remove the parts that killed writers left; no writer may be running."""
    for part in folder.glob(".*.*.part"):
        part.unlink(missing_ok=True)

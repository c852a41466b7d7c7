"""Lock of a work directory: one training at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from snnssl_mm.recording.file_lock import LockedError, locked_file

NAME = ".running"


class FolderInUse(RuntimeError):
    """A work directory that another training uses; the message is for the user."""


@contextlib.contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Lock a folder; refuse one that another process is training in.

    The lock is the operating system's and is released when the process ends in any
    way. Data loader workers do not inherit it. File systems without locks are not
    locked.

    Raises:
        FolderInUse: If it is locked; names the folder and the process.
    """
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(locked_file(folder / NAME))
        except LockedError as error:
            raise FolderInUse(
                f"another training ({error.holder}) writes to {folder}, so their "
                "checkpoints would mix; wait for it, or choose another --work-dir"
            ) from None
        yield

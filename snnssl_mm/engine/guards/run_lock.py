"""Lock of a work directory: one training at a time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

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
    if fcntl is None:
        yield
        return
    file = folder / NAME
    with file.open("a+") as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            lock.seek(0)
            raise FolderInUse(
                f"another training (process {lock.read().strip()}) writes to {folder}, "
                "so their checkpoints would mix; wait for it, or choose another "
                "--work-dir"
            ) from None
        except OSError:  # a file system without locks
            yield
            return
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        try:
            yield
        finally:
            file.unlink(missing_ok=True)

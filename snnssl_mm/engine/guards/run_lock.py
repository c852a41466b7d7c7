"""One training at a time in a work directory."""

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
    """Another training writes to the folder; the message is for the user."""


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Refuse a folder that another process is training in.

    The lock is the system's and ends with the process, however that ends. Data loader
    workers do not inherit it. On disks without locks nothing is refused.

    Raises:
        FolderInUse: It names the folder and the process.
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
                "and their checkpoints would mix; choose another --work-dir"
            ) from None
        except OSError:  # a disk without locks
            yield
            return
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        try:
            yield
        finally:
            file.unlink(missing_ok=True)

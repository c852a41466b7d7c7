"""Locks of files that several processes write, also on several machines.

The operating system's lock ends with its process, however that ends. Network file
systems may keep it from other machines, so the lock file also notes who holds it.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class LockedError(RuntimeError):
    """A lock that another process holds.

    Args:
        file: The lock file.
        holder: The note in it.
        certain: Whether the operating system confirms it; otherwise the process, on
            another machine, may have been killed.
    """

    def __init__(self, file: Path, holder: str, certain: bool) -> None:
        super().__init__(f"{file} is held by {holder}")
        self.holder, self.certain = holder, certain


class ResultsInUse(RuntimeError):
    """A results file that another run writes to; the message is for the user."""


@contextlib.contextmanager
def locked_file(
    file: Path, wait: bool = False, other_machines: bool = False
) -> Iterator[None]:
    """Hold a lock file, which exists while it is held.

    On a file system without locks, only the note of another machine refuses.

    Args:
        file: The lock file; its folder must exist.
        wait: Whether to wait until it is free.
        other_machines: Whether a note left by a process of another machine counts,
            although the operating system grants the lock.

    Raises:
        LockedError: If another process holds it.
    """
    with contextlib.ExitStack() as closed:
        stream = closed.enter_context(_acquired(file, wait))
        note = stream.read().strip()
        host = note.partition(" on ")[2]
        if other_machines and host and host != socket.gethostname():
            raise LockedError(file, note, certain=False)
        stream.truncate(0)
        stream.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        stream.flush()
        closed.callback(file.unlink, missing_ok=True)  # before it is closed
        yield


@contextlib.contextmanager
def _acquired(file: Path, wait: bool) -> Iterator[IO[str]]:
    """Open a file and lock it; yield it, positioned at its start."""
    while True:
        with file.open("a+") as stream:
            stream.seek(0)
            try:
                if fcntl is not None:
                    kind = fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB)
                    fcntl.lockf(stream, kind)
            except (BlockingIOError, PermissionError):
                holder = stream.read().strip() or "another process"
                raise LockedError(file, holder, certain=True) from None
            except OSError:  # a file system without locks
                pass
            # The former holder may have removed the file after it was opened here.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(stream.fileno()), file.stat()):
                    yield stream
                    return


@contextlib.contextmanager
def single_writer(results: Path) -> Iterator[None]:
    """Reserve a results file for this run; other runs are refused meanwhile.

    ``FILE.lock`` next to it names the process and its machine.

    Raises:
        ResultsInUse: If another run has reserved it; names that run, and what to
            delete if a machine went down with it.
    """
    file = results.with_name(f"{results.name}.lock")
    file.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(locked_file(file, other_machines=True))
        except LockedError as error:
            text = f"{results} is being written by {error.holder}"
            cure = "wait for it, or choose another --out"
            if not error.certain:
                cure += f"; if that process has ended, delete {file}"
            raise ResultsInUse(f"{text}; {cure}") from None
        yield

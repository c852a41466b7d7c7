"""Child processes that run commands; they end with a message, and on Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

PROGRAM = (sys.executable, "-m", "snnssl_mm.cli.main")
"""``snnssl`` of this Python environment."""
GRACE_SECONDS = 3.0  # for a process to end by itself
_running: set[subprocess.Popen[Any]] = set()


class ChildError(RuntimeError):
    """A child command that failed; the message is for the user."""


def run_child(command: Sequence[str], log: Path | None = None, **options: Any) -> None:
    """Run ``snnssl`` in a child process, and end it if this process is interrupted.

    Args:
        command: A subcommand, such as ``'train'``, and its arguments.
        log: File or folder of its log, which the error message names.
        **options: Options of ``subprocess.Popen``.

    Raises:
        ChildError: If it fails; names the subcommand, its exit code and its log.
    """
    began = time.time()
    child = None
    try:
        with interruptions_delayed():
            child = subprocess.Popen([*PROGRAM, *command], **options)
            _running.add(child)
        code = child.wait()
    except BaseException:
        if child:
            stop(child)
        raise
    finally:
        _running.discard(child)
    if code:
        raise ChildError(
            f"snnssl {command[0]} {ending(code)}; "
            f"{where(log, began) or 'its message is above'}"
        )


@contextlib.contextmanager
def interruptions_delayed() -> Iterator[None]:
    """Delay SIGINT and SIGTERM to the end of the block, until a child is recorded."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [
        signal.signal(kind, lambda number, _: came.append(number)) for kind in kinds
    ]
    try:
        yield
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)
    for number in came:
        signal.raise_signal(number)


def ending(code: int) -> str:
    """Describe how a process ended."""
    if code > 0:
        return f"failed with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"was killed by {signal.Signals(-code).name}"
    return f"was killed by the signal {-code}"


def where(log: Path | None, began: float) -> str:
    """Name the log of a process that began at a time; empty text if there is none."""
    if log is None or not log.is_dir():
        return f"see {log}" if log else ""
    logs = {file.stat().st_mtime: file for file in log.glob("**/*.log")}
    newest = max(logs, default=0.0)
    return f"see above and {logs[newest]}" if newest >= began - 1 else ""


def stop(child: subprocess.Popen[Any]) -> None:
    """End a process; wait first, since Ctrl-C in a terminal reaches it as well."""
    for end in (lambda: None, child.terminate, child.kill):
        end()
        try:
            child.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        return


def stop_children() -> None:
    """End all child processes, also those that other threads wait for."""
    for child in list(_running):
        stop(child)

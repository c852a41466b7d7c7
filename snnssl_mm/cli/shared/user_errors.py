"""Errors that the user's input or machine causes are sentences, without a traceback."""

from __future__ import annotations

import contextlib
import linecache
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from snnssl_mm import compat
from snnssl_mm.recording.command import command_line, command_with_option

PACKAGE = str(Path(__file__).resolve().parents[2])
UNKNOWN_NAME = re.compile(r"(\S+ is not in the [\w:. ]+? registry)")
BUILDER = os.path.join("mmengine", "registry", "build_functions.py")
SETTING_ERRORS = (TypeError, ValueError, KeyError, AssertionError)
IN_WORKER = "in DataLoader worker process"
INTERRUPTED, TERMINATED = 130, 143


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ``kill`` and batch systems send: an interruption as Ctrl-C is."""


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Raise :class:`Terminated` on SIGTERM, so that what is open is ended, too.

    One of several processes dies at once, as the others may wait for it for ever.
    """
    alone = int(os.environ.get("WORLD_SIZE", 1)) == 1
    if not alone or threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second one ends at once
        raise Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run_tool(main: Callable[[], Any], again: str | None = None) -> None:
    """Run a tool's ``main``: its errors as sentences, Ctrl-C with how to continue.

    The workarounds of :mod:`snnssl_mm.compat` are applied first.

    Args:
        main: Returns an exit code, or None.
        again: What to add to the command to continue after Ctrl-C, such as
            ``'--resume'``; empty if the same command does; None if nothing is kept.

    Raises:
        SystemExit: If there is an exit code other than 0: 1 after an error that the
            user can mend (its traceback is shown if SNNSSL_MM_TRACEBACK=1 is in the
            environment), 130 after Ctrl-C, 143 after SIGTERM.
    """
    compat.apply()
    try:
        with terminated_as_interrupted():
            code = main()
    except BrokenPipeError:  # head, less: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except (Exception, KeyboardInterrupt) as error:
        if stop := interruption(error):
            print(f"\ninterrupted{continuation(again)}", file=sys.stderr)
            code = TERMINATED if isinstance(stop, Terminated) else INTERRUPTED
            raise SystemExit(code) from None
        text = sentence(error)
        if text is None or os.environ.get("SNNSSL_MM_TRACEBACK"):
            raise
        notes = getattr(error, "__notes__", ())
        raise SystemExit("\n".join([f"error: {text}", *notes])) from None
    if code:
        raise SystemExit(code)


def interruption(error: BaseException | None) -> KeyboardInterrupt | None:
    """The interruption that an error is, or that a bare ``except`` made it of."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error


@contextlib.contextmanager
def errors_as_sentences() -> Iterator[None]:
    """End the program with the message of a bad input's error, without a traceback.

    Wrap what reads the user's files in it, nothing else: inside, every ValueError and
    OSError counts as the input's fault, a library's too.
    """
    try:
        yield
    except (ValueError, OSError) as error:
        raise SystemExit(f"error: {sentence(error) or error}") from None


def sentence(error: BaseException) -> str | None:
    """Return what to tell the user; None for an error of the program itself.

    The user can mend: what this package raises by a statement of its own or with a type
    of its own, what the operating system refuses, names that no registry has, settings
    that a class does not take, operators that are not built, memory that a GPU does not
    have.
    """
    text = str(error)
    if IN_WORKER in text:  # torch has put the worker's traceback into the message
        from snnssl_mm.engine.guards.worker_errors import last_words

        text = last_words(error)
        return text if isinstance(error, OSError) or is_own_type(error) else None
    if is_own_type(error) or (not isinstance(error, OSError) and raised_here(error)):
        return str(error.args[0]) if isinstance(error, KeyError) else text
    if isinstance(error, OSError):
        return refused_by_system(error)
    if isinstance(error, KeyError) and (found := UNKNOWN_NAME.search(text)):
        return f"{found[1].strip(chr(34))}; check the spelling, or custom_imports"
    if isinstance(error, SETTING_ERRORS) and (name := was_being_built(error)):
        return (
            f"{name} cannot be built from the config's settings: "
            f"{type(error).__name__}: {text}; mend them (SNNSSL_MM_TRACEBACK=1 in the "
            "environment shows where it fails)"
        )
    if isinstance(error, ModuleNotFoundError) and error.name == "mmcv._ext":
        return (
            "mmcv is installed without its compiled operators, which this model needs; "
            "build them by python -m snnssl_mm.setup_mmcv"
        )
    if type(error).__name__ == "OutOfMemoryError":
        return (
            f"{text.partition('.')[0]}; lower train_dataloader.batch_size, or train "
            "with --amp"
        )
    return None


def is_own_type(error: BaseException) -> bool:
    """Whether the package defines the error's type: its message is for the user."""
    return type(error).__module__.partition(".")[0] == "snnssl_mm"


def was_being_built(error: BaseException) -> str | None:
    """Name of the class that mmengine was making from a config when an error came."""
    name = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename.endswith(BUILDER):
            found = frame.f_locals.get("obj_cls")
            name = getattr(found, "__name__", None) or name
    return name


def raised_here(error: BaseException) -> bool:
    """Whether a ``raise`` in this package made it: then it has a message of ours."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return False
    file = trace.tb_frame.f_code.co_filename
    line = linecache.getline(file, trace.tb_lineno).lstrip()
    return file.startswith(PACKAGE + os.sep) and line.startswith("raise ")


def refused_by_system(error: OSError) -> str:
    """Say which file or address could not be used, and why."""
    if error.filename is None:
        return error.strerror or str(error)
    if isinstance(error, FileNotFoundError):
        return f"{error.filename} does not exist; check the path"
    if isinstance(error, PermissionError):
        return (
            f"no permission to use {error.filename}; change its permissions, or name "
            "another file or folder"
        )
    return f"{error.filename}: {error.strerror or error}"


def continuation(again: str | None) -> str:
    """Say by which command an interrupted tool continues."""
    if again is None:
        return ""
    if not again:
        return f"; the same command continues: {command_line()}"
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        return f"; continue by the same command and {again}"
    return f"; continue by: {command_with_option(again)}"

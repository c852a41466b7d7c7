"""Errors caused by the user's input or machine: a message without a traceback."""

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
    """SIGTERM, which ``kill`` and batch systems send; an interruption like Ctrl-C."""


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Raise :class:`Terminated` on SIGTERM, so that open files and children are closed.

    In distributed training the process ends at once, since the others may wait for it
    forever.
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
    """Run a tool's ``main``; print errors as messages, and how to continue on Ctrl-C.

    The workarounds of :mod:`snnssl_mm.compat` are applied first.

    Args:
        main: Function that returns an exit code or None.
        again: Option to add to the command to continue after Ctrl-C, such as
            ``'--resume'``; empty if the same command continues; None if nothing is
            kept.

    Raises:
        SystemExit: If the exit code is not 0: 1 after an error that the user can fix
            (with SNNSSL_MM_TRACEBACK=1 in the environment, it is raised with its
            traceback), 130 after Ctrl-C, 143 after SIGTERM.
    """
    compat.apply()
    try:
        with terminated_as_interrupted():
            code = main()
    except BrokenPipeError:  # head or less closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except (Exception, KeyboardInterrupt) as error:
        if stop := interruption(error):
            print(f"\ninterrupted{continuation(again)}", file=sys.stderr)
            code = TERMINATED if isinstance(stop, Terminated) else INTERRUPTED
            raise SystemExit(code) from None
        text = user_message(error)
        if text is None or os.environ.get("SNNSSL_MM_TRACEBACK"):
            raise
        notes = getattr(error, "__notes__", ())
        raise SystemExit("\n".join([f"error: {text}", *notes])) from None
    if code:
        raise SystemExit(code)


def interruption(error: BaseException | None) -> KeyboardInterrupt | None:
    """Return the interruption that an error is, or that caused it; None without."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error


@contextlib.contextmanager
def errors_as_messages() -> Iterator[None]:
    """Exit with the message of a ValueError or OSError, without a traceback.

    Wrap only code that reads the user's files: every ValueError and OSError inside,
    also those of libraries, count as errors of the input.
    """
    try:
        yield
    except (ValueError, OSError) as error:
        raise SystemExit(f"error: {user_message(error) or error}") from None


def user_message(error: BaseException) -> str | None:
    """Return the message for the user; None for an error of the program itself.

    Errors that the user can fix are: those raised in this package or with a type of
    this package, errors of the operating system, names that no registry has, settings
    that a class does not accept, missing compiled operators, exhausted GPU memory.
    """
    text = str(error)
    if IN_WORKER in text:  # torch has put the worker's traceback into the message
        from snnssl_mm.engine.guards.worker_errors import last_words

        text = last_words(error)
        return text if isinstance(error, OSError) or is_own_type(error) else None
    if is_own_type(error) or (
        not isinstance(error, OSError) and raised_by_package(error)
    ):
        return str(error.args[0]) if isinstance(error, KeyError) else text
    if isinstance(error, OSError):
        return system_error_message(error)
    if isinstance(error, KeyError) and (found := UNKNOWN_NAME.search(text)):
        return f"{found[1].strip(chr(34))}; check the spelling, or custom_imports"
    if isinstance(error, SETTING_ERRORS) and (name := class_being_built(error)):
        return (
            f"{name} cannot be built from the config's settings: "
            f"{type(error).__name__}: {text}; correct them (SNNSSL_MM_TRACEBACK=1 in "
            "the environment shows where it fails)"
        )
    if isinstance(error, ModuleNotFoundError) and error.name == "mmcv._ext":
        return (
            "mmcv is installed without its compiled operators, which this model needs; "
            "build them with python -m snnssl_mm.setup_mmcv"
        )
    if type(error).__name__ == "OutOfMemoryError":
        return (
            f"{text.partition('.')[0]}; lower train_dataloader.batch_size, or train "
            "with --amp"
        )
    return None


def is_own_type(error: BaseException) -> bool:
    """Whether this package defines the error's type, so its message is for the user."""
    return type(error).__module__.partition(".")[0] == "snnssl_mm"


def class_being_built(error: BaseException) -> str | None:
    """Name the class that mmengine was building from a config when it failed."""
    name = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename.endswith(BUILDER):
            found = frame.f_locals.get("obj_cls")
            name = getattr(found, "__name__", None) or name
    return name


def raised_by_package(error: BaseException) -> bool:
    """Whether a ``raise`` statement in this package raised the error."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return False
    file = trace.tb_frame.f_code.co_filename
    line = linecache.getline(file, trace.tb_lineno).lstrip()
    return file.startswith(PACKAGE + os.sep) and line.startswith("raise ")


def system_error_message(error: OSError) -> str:
    """Describe which file or address could not be used, and why."""
    if error.filename is None:
        return error.strerror or str(error)
    if isinstance(error, FileNotFoundError):
        return f"{error.filename} does not exist; check the path"
    if isinstance(error, PermissionError):
        return (
            f"no permission to use {error.filename}; change its permissions, or use "
            "another file or folder"
        )
    return f"{error.filename}: {error.strerror or error}"


def continuation(again: str | None) -> str:
    """Return the command that continues an interrupted tool, as part of a message."""
    if again is None:
        return ""
    if not again:
        return f"; the same command continues: {command_line()}"
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        return f"; continue by the same command and {again}"
    return f"; continue by: {command_with_option(again)}"

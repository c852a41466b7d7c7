"""Command line of this process, as results files record it."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

PROGRAM: list[str] = []
"""``snnssl``, if the installed command runs, which sets it; else a file does."""


def subcommand() -> str:
    """The subcommand that runs now: of ``snnssl NAME``, or ``tools/NAME.py``."""
    return sys.argv[1] if PROGRAM and sys.argv[1:] else Path(sys.argv[0]).stem


def command_line() -> str:
    """The command that runs now, to be pasted; results files record it."""
    return shlex.join([*program(), *sys.argv[1:]])


def program() -> list[str]:
    """What runs now: ``snnssl``, or a file of Python."""
    return PROGRAM or ["python", os.path.relpath(sys.argv[0])]


def repeated(option: str, *value: str) -> str:
    """The command that runs now, with an option that it may have had otherwise."""
    arguments = list(sys.argv[1:])
    if option in arguments:  # a checkpoint after it is older than what is there now
        place = arguments.index(option)
        after = arguments[place + 1 : place + 2]
        del arguments[place : place + 1 + bool(after and not after[0].startswith("-"))]
    arguments = [a for a in arguments if not a.startswith(f"{option}=")]
    return shlex.join([*program(), *arguments, option, *value])

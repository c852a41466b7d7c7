"""Command line of this process, as results files record it."""

from __future__ import annotations

import os
import shlex
import sys

PROGRAM: list[str] = []
"""Words that started the tool, if the installed command did; it sets them."""


def command_line() -> str:
    """The command that runs now, to be pasted; results files record it."""
    return shlex.join([*program(), *sys.argv[1:]])


def program() -> list[str]:
    """How the tool that runs now was started: ``snnssl NAME`` or a file of Python."""
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

"""Command line of this process, as results files record it."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

PROGRAM: list[str] = []
"""``["snnssl"]``, set by the installed command; empty if a Python file is run."""


def subcommand() -> str:
    """Return NAME of the running ``snnssl NAME`` or ``tools/NAME.py``."""
    return sys.argv[1] if PROGRAM and sys.argv[1:] else Path(sys.argv[0]).stem


def command_line() -> str:
    """Return the running command, quoted for a shell; results files record it."""
    return shlex.join([*program(), *sys.argv[1:]])


def program() -> list[str]:
    """Return the running program: ``snnssl``, or ``python FILE``."""
    return PROGRAM or ["python", os.path.relpath(sys.argv[0])]


def command_with_option(option: str, *value: str) -> str:
    """Return the running command with ``option`` set, replacing a former value."""
    arguments = list(sys.argv[1:])
    if option in arguments:
        position = arguments.index(option)
        del arguments[position]
        if arguments[position:] and not arguments[position].startswith("-"):
            del arguments[position]  # the former value
    arguments = [a for a in arguments if not a.startswith(f"{option}=")]
    return shlex.join([*program(), *arguments, option, *value])

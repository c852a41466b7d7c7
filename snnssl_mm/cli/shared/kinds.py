"""Nested subcommands, such as ``snnssl draw spike-maps``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Kind(NamedTuple):
    """A nested subcommand.

    Attributes:
        help: One line, and more lines for its own ``--help``.
        add_arguments: Function that adds its arguments to a parser.
        run: Function that runs it.
    """

    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], Any]


def kind_of_module(module: Any) -> Kind:
    """Make a nested subcommand of a module with ``add_arguments`` and ``run``."""
    return Kind(module.__doc__ or "", module.add_arguments, module.run)


def add_kinds(parser: argparse.ArgumentParser, kinds: Mapping[str, Kind]) -> None:
    """Add nested subcommands to the parser of a subcommand."""
    words = parser.add_subparsers(title="kinds", metavar="KIND", required=True)
    for word, kind in kinds.items():
        first_line = kind.help.splitlines()[0].rstrip(".")
        text = first_line[0].lower() + first_line[1:]
        added = words.add_parser(
            word, help=text.replace("%", "%%"), description=kind.help
        )
        kind.add_arguments(added)
        added.set_defaults(run=kind.run)

"""Subcommands of subcommands, such as ``snnssl draw spike-maps``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Kind(NamedTuple):
    """What a word behind a subcommand does.

    Attributes:
        help: One line, and more lines for its own ``--help``.
        add_arguments: Adds its arguments to a parser.
        run: Does it.
    """

    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], Any]


def kind_of_module(module: Any) -> Kind:
    """Return the kind that a module with ``add_arguments`` and ``run`` is."""
    return Kind(module.__doc__ or "", module.add_arguments, module.run)


def add_kinds(parser: argparse.ArgumentParser, kinds: Mapping[str, Kind]) -> None:
    """Let the next word of a subcommand's arguments choose one of the kinds."""
    words = parser.add_subparsers(title="kinds", metavar="KIND", required=True)
    for word, kind in kinds.items():
        first_line = kind.help.splitlines()[0].rstrip(".")
        text = first_line[0].lower() + first_line[1:]
        added = words.add_parser(
            word, help=text.replace("%", "%%"), description=kind.help
        )
        kind.add_arguments(added)
        added.set_defaults(run=kind.run)

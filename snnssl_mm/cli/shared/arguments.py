"""Kinds of command-line arguments: what they cannot be is refused while parsing."""

from __future__ import annotations

import argparse
import pkgutil
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

PICTURES = (
    *(".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"),
    *(".pdf", ".svg", ".eps", ".ps"),
)
"""Suffixes, in lower case, that matplotlib writes."""
NUMBERS = {int: "a whole number", float: "a number"}


def positive(kind: type) -> Callable[[str], Any]:
    """Return a reader of numbers above 0 for argparse."""

    def read(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = 0
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(
                f"expected {NUMBERS[kind]} above 0, got {text}"
            )
        return value

    return read


def seed_number(text: str) -> int:
    """Read a seed, which NumPy takes from 0 to 2^32 - 1."""
    if text.isdecimal() and int(text) < 2**32:
        return int(text)
    raise argparse.ArgumentTypeError(
        f"expected a whole number from 0 to {2**32 - 1}, got {text}"
    )


def picture(text: str) -> Path:
    """Read the name of a picture to draw."""
    if Path(text).suffix.lower() in PICTURES:
        return Path(text)
    raise argparse.ArgumentTypeError(
        f"expected the name of a picture ({' '.join(PICTURES)}), got {text}"
    )


def results_file(text: str) -> Path:
    """Read the name of a JSON file; a picture may be drawn beside it."""
    if Path(text).suffix.lower() not in PICTURES:
        return Path(text)
    raise argparse.ArgumentTypeError(
        f"expected the name of a JSON file, got {text}; give it the suffix .json"
    )


def pattern(text: str) -> str:
    """Read a regular expression."""
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(
            f"expected a regular expression, got {text!r}: {error}"
        ) from None
    return text


def kind_of(default: str) -> Callable[[str], Path]:
    """Return the reader of an output whose default has this name."""
    return {".png": picture, ".json": results_file}.get(Path(default).suffix, Path)


def one_of(table: str, *more: str) -> Callable[[str], str]:
    """Return a reader of names that imports their table when it is used.

    Args:
        table: ``'module:TABLE'``.
        *more: Names besides those in the table.
    """

    def name(text: str) -> str:
        names = [*more, *pkgutil.resolve_name(table)]
        if text not in names:
            raise argparse.ArgumentTypeError(
                f"expected one of {', '.join(names)}, got {text!r}"
            )
        return text

    return name

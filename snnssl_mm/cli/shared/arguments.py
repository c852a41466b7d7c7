"""Types of command-line arguments; invalid values are refused while parsing."""

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
ANIMATIONS = (".gif", ".png")
"""Suffixes, in lower case, of animations that Pillow writes and browsers show."""
NUMBERS = {int: "a whole number", float: "a number"}


def positive(kind: type) -> Callable[[str], Any]:
    """Return an argparse type for numbers above 0."""

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
    """Read a seed; NumPy accepts 0 to 2^32 - 1."""
    if text.isdecimal() and int(text) < 2**32:
        return int(text)
    raise argparse.ArgumentTypeError(
        f"expected a whole number from 0 to {2**32 - 1}, got {text}"
    )


def picture(text: str) -> Path:
    """Read the file name of a picture to draw."""
    if Path(text).suffix.lower() in PICTURES:
        return Path(text)
    raise argparse.ArgumentTypeError(
        f"expected a picture file ({' '.join(PICTURES)}), got {text}"
    )


def animation(text: str) -> Path:
    """Read the file name of an animation to draw."""
    if Path(text).suffix.lower() in ANIMATIONS:
        return Path(text)
    raise argparse.ArgumentTypeError(
        f"expected an animation ({' '.join(ANIMATIONS)}), got {text}"
    )


def results_file(text: str) -> Path:
    """Read the name of a JSON file; a picture may be drawn next to it."""
    if Path(text).suffix.lower() not in PICTURES:
        return Path(text)
    raise argparse.ArgumentTypeError(
        f"expected a JSON file, got {text}; use the suffix .json"
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


def output_type(default: str) -> Callable[[str], Path]:
    """Return the argparse type of an output, given its default name."""
    types = {".png": picture, ".json": results_file, ".gif": animation}
    return types.get(Path(default).suffix, Path)


def one_of(table: str, *more: str) -> Callable[[str], str]:
    """Return an argparse type for the names in a table, which is imported when used.

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

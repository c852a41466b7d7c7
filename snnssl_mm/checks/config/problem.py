"""Problems that the checks of a config return."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import NamedTuple


class ConfigError(ValueError):
    """A config that cannot be trained with; the message is for the user."""


class Problem(NamedTuple):
    """A mistake in a config.

    Attributes:
        level: ``'error'``: a run would fail, or silently do something else;
            ``'warning'``: it may be intended.
        key: Config key, such as ``'model.neck.in_channels'``.
        text: What was found, what was expected, what to do.
    """

    level: str
    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.level}: {self.key}: {self.text}"


def error(key: str, text: str) -> Problem:
    """Make a problem of level ``'error'``."""
    return Problem("error", key, text)


def warning(key: str, text: str) -> Problem:
    """Make a problem of level ``'warning'``."""
    return Problem("warning", key, text)


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun, such as ``'1 error'`` or ``'2 errors'``."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def closest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the most similar name in ``known``, or None if none is similar."""
    found = difflib.get_close_matches(name, sorted(known), 1, cutoff)
    return found[0] if found else None

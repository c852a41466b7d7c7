"""Parsing of ``--cfg-options KEY=VALUE ...`` without mmengine, for fast ``--help``."""

from __future__ import annotations

import argparse
from typing import Any

CONSTANTS = {"true": True, "false": False}
CLOSING = {"(": ")", "[": "]", "{": "}"}
DICTS = (("{", ":"), ("dict(", "="))
"""Beginning of a dict, and the separator between its keys and values."""


class KeyValues(argparse.Action):
    """Collect ``KEY=VALUE`` arguments in a dict, with values as in mmengine.

    Numbers, booleans and None are converted; ``a,b`` and ``[a,b]`` are lists, ``(a,b)``
    is a tuple, with any nesting. Unlike mmengine's ``DictAction`` it reads
    ``dict(a=b)`` and ``{a: b}``, and keeps spaces inside a value, which may be a path.
    """

    def __call__(
        self, parser: Any, namespace: Any, values: Any, option_string: str | None = None
    ) -> None:
        """Add the options to those of earlier arguments.

        Raises:
            ArgumentError: If one is not ``KEY=VALUE``, or its brackets do not match.
        """
        options = dict(getattr(namespace, self.dest, None) or {})
        for text in values:
            key, equals, value = text.partition("=")
            if not equals or "" in key.strip().split("."):
                raise argparse.ArgumentError(
                    self,
                    f"KEY=VALUE expected, got {text!r}; quote a value with spaces, "
                    "such as 'data_root=/data/my images', and give config and "
                    "checkpoint before this option",
                )
            try:
                options[key.strip()] = read_value(value)
            except ValueError as error:
                raise argparse.ArgumentError(self, f"{text!r}: {error}") from None
        setattr(namespace, self.dest, options)


def read_value(text: str) -> Any:
    """Convert a value as in a config.

    Example:
        >>> read_value("0.5"), read_value("/my images/a.json"), read_value("[1,(a,b)]")
        (0.5, '/my images/a.json', [1, ('a', 'b')])
        >>> read_value("[dict(type=SGD, lr=0.1)]")
        [{'type': 'SGD', 'lr': 0.1}]

    Raises:
        ValueError: If brackets do not match, or an entry of a dict has no key.
    """
    text = text.strip().strip("'\"")
    make: type = list
    parts = split_at_commas(text)
    if len(parts) == 1:
        for opening, between in DICTS:
            if text.startswith(opening) and text[-1] == CLOSING[opening[-1]]:
                return read_dict(text[len(opening) : -1], between)
        if (brackets := text[:1] + text[-1:]) not in ("()", "[]"):
            return read_scalar(text)
        make = tuple if brackets == "()" else list
        parts = split_at_commas(text[1:-1])
    if not parts[-1].strip():  # a last comma ends the list, as in Python
        parts.pop()
    return make(read_value(part) for part in parts)


def read_dict(text: str, between: str) -> dict[str, Any]:
    """Read the content of a dict; ``between`` separates keys and values."""
    entries = {}
    for part in split_at_commas(text):
        key, found, value = part.partition(between)
        key = key.strip().strip("'\"")
        if found and key:
            entries[key] = read_value(value)
        elif part.strip():
            raise ValueError(f"expected KEY{between}VALUE in a dict, got {part!r}")
    return entries


def split_at_commas(text: str) -> list[str]:
    """Split at the commas outside of brackets.

    Raises:
        ValueError: If brackets do not match.
    """
    parts, open_brackets = [""], ""
    for character in text:
        if character == "," and not open_brackets:
            parts.append("")
            continue
        parts[-1] += character
        if character in CLOSING:
            open_brackets += character
        elif character in CLOSING.values():
            if not open_brackets or CLOSING[open_brackets[-1]] != character:
                raise ValueError(f"the bracket {character} has no opening bracket")
            open_brackets = open_brackets[:-1]
    if open_brackets:
        raise ValueError(f"the bracket {open_brackets[-1]} is not closed")
    return parts


def read_scalar(text: str) -> Any:
    """Read a number, a boolean or None; anything else is text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None if text == "None" else CONSTANTS.get(text.lower(), text)

"""Sensors of iniVation's cameras by name."""

from __future__ import annotations

CHIPS = {
    "dvs128": (128, 128),
    "davis240": (180, 240),
    "davis346": (260, 346),
    "davis640": (480, 640),
}
"""Name -> height and width."""


def chip_size(text: str) -> tuple[int, int] | None:
    """Return the size of the first sensor whose name is in a text; None if none is."""
    lower = text.lower()
    return next((size for name, size in CHIPS.items() if name in lower), None)

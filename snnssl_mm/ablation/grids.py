"""Grids of an ablation: axes that are crossed, as text and as cells."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from itertools import product
from typing import Any

from snnssl_mm.ablation.cells import CHOICES, Cell
from snnssl_mm.ablation.objectives import OBJECTIVES

NUMBERS = {
    "steps": int,
    "switch": float,
    "width": int,
    "threshold": float,
    "surrogate": float,
}
"""Axes whose choices may be other numbers than those of :data:`CHOICES`."""
RECIPE = "bn=per_view projector=per_view steps=2-4 switch=0.8"
"""What the digits' recipe sets beside its neuron, ``analog-mixed``."""
DEFAULT_GRIDS = (
    "loss=flat,btl,ctl neuron=lif,mixed,analog",
    *list(CHOICES)[2:],
    f"neuron {RECIPE}",
)
"""Loss and neuron are crossed; the other axes are varied one at a time, and the neuron
once more in the digits' recipe."""


def parse_choice(axis: str, text: str) -> Any:
    """Parse one choice of an axis.

    Raises:
        ValueError: If there is no such choice.
    """
    known = {str(choice): choice for choice in CHOICES[axis]}
    if text in known:
        return known[text]
    if axis == "steps" and re.fullmatch(r"[1-9]\d*-[1-9]\d*", text):
        return text
    try:
        value = NUMBERS[axis](text)
    except (KeyError, ValueError):
        value = 0
    if not 0 < value < (1 if axis == "switch" else float("inf")):
        expected = "numbers above 0, or " if axis in NUMBERS else ""
        raise ValueError(f"{axis} cannot be {text!r}; expected {expected}{list(known)}")
    return value


def parse_grid(text: str) -> dict[str, tuple[Any, ...]]:
    """Parse a grid such as ``'loss=ctl,btl neuron'``: axes with or without choices.

    Choices with a space are quoted: ``'views=2,"2+2 small"'``.

    Raises:
        ValueError: If an axis or a choice is unknown.
    """
    grid: dict[str, tuple[Any, ...]] = {}
    for part in shlex.split(text):
        axis, _, values = part.partition("=")
        if axis not in CHOICES:
            raise ValueError(f"unknown axis {axis!r}; expected one of {list(CHOICES)}")
        chosen = (parse_choice(axis, value) for value in values.split(","))
        grid[axis] = tuple(chosen) if values else CHOICES[axis]
    return grid


def cells_of(grids: Iterable[str]) -> list[Cell]:
    """Return the cells of all grids, each a cross product around the default cell.

    Raises:
        ValueError: If no cell of a grid is possible, or an axis or choice is unknown.
    """
    cells: dict[Cell, None] = {}
    for text in grids:
        grid = parse_grid(text)
        found = [
            Cell()._replace(**dict(zip(grid, values, strict=True))).canonical
            for values in product(*grid.values())
        ]
        possible = [cell for cell in found if cell.possible]
        if not possible:
            raise ValueError(
                f"the grid {text!r} has no possible cell; the time structures of the "
                f"losses are {OBJECTIVES}"
            )
        cells.update(dict.fromkeys(possible))
    return list(cells)

"""Placement of box labels without overlap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels of the image."""


def overlap(one: Box, other: Box) -> float:
    """Return the area of the intersection of two boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)


def candidates(box: Box, size: tuple[float, float]) -> list[Box]:
    """List positions for a label of ``size`` (width, height) at a box, best first."""
    left, top, right, bottom = box
    width, height = size
    corners = [
        *((left, top - height), (right - width, top - height)),
        *((left, bottom), (right - width, bottom)),
        *((right, top), (left - width, top)),
        *((right, bottom - height), (left - width, bottom - height)),
        *((left, top), (left, bottom - height)),
    ]
    return [(x, y, x + width, y + height) for x, y in corners]


def place_labels(
    boxes: Sequence[Box],
    sizes: Sequence[tuple[float, float]],
    image: tuple[float, float],
) -> list[Box | None]:
    """Choose a position for the label of each box, in the order of the boxes.

    Args:
        boxes: The boxes, the most important first.
        sizes: Width and height of each box's label.
        image: Width and height of the image; labels stay inside.

    Returns:
        The box of each label; None if every position would overlap another label.
    """
    placed: list[Box | None] = []
    for box, size in zip(boxes, sizes, strict=True):
        best, least = None, np.inf
        for place in candidates(box, size):
            x = float(np.clip(place[0], 0, max(0.0, image[0] - size[0])))
            y = float(np.clip(place[1], 0, max(0.0, image[1] - size[1])))
            moved = (x, y, x + size[0], y + size[1])
            if any(other and overlap(moved, other) > 0 for other in placed):
                continue
            cost = sum(overlap(moved, other) for other in boxes)
            if cost < least:
                best, least = moved, cost
        placed.append(best)
    return placed

"""Checks of a COCO file's boxes against the areas and polygons of the same objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snnssl_mm.checks.coco_structure import is_segmentation
from snnssl_mm.datasets.data_error import DataError


def require_sides(content: Mapping[str, Any], file: str) -> None:
    """Require boxes [x, y, width, height]; areas and polygons reveal corners.

    Raises:
        DataError: If more than half of the boxes are stored as corners.
    """
    as_corners = as_sides = 0
    for annotation in content["annotations"]:
        x, y, a, b = annotation["bbox"]
        area = annotation["area"]
        sides, corners = alike(area, a * b), alike(area, (a - x) * (b - y))
        if bounds := outline(annotation):
            sides |= near(bounds, (x, y, x + a, y + b))
            corners |= near(bounds, (x, y, a, b))
        as_sides += sides
        as_corners += corners and not sides
    count = len(content["annotations"])
    if as_corners > max(as_sides, count / 2):
        raise DataError(
            f"{file}: {as_corners} of {count} boxes seem to be corners [x1, y1, x2, "
            "y2], judging by area or polygons; expected COCO's [x, y, width, height]"
        )


def check_outlines(content: Mapping[str, Any], file: str, masks: bool) -> list[str]:
    """Compare boxes with the polygons of the same objects.

    Args:
        content: Content of the file.
        file: Its path, for messages.
        masks: Whether the model learns the polygons.

    Returns:
        Lines for the log.

    Raises:
        DataError: If more than half of the polygons lie outside of their boxes, and
            the model learns them.
    """
    outlined = elsewhere = 0
    for annotation in content["annotations"]:
        x, y, w, h = annotation["bbox"]
        if bounds := outline(annotation):
            outlined += 1
            elsewhere += inside(bounds, (x, y, x + w, y + h)) < 0.5
    if elsewhere <= outlined / 2:
        return []
    text = (
        f"{file}: {elsewhere} of {outlined} boxes do not contain the polygons of their "
        "objects; expected [x of the left side, y of the upper side, width, height], "
        "in pixels of the same image"
    )
    if masks:
        raise DataError(text)
    return [f"warning: {text}"]


def alike(area: float, product: float) -> bool:
    """Whether an area equals the product of two sides, up to rounding."""
    return abs(area - product) <= max(0.01 * abs(product), 0.5)


def outline(annotation: Mapping[str, Any]) -> tuple[float, ...] | None:
    """Return the corners of the box around an annotation's polygons; None without."""
    segmentation = annotation.get("segmentation")
    if not isinstance(segmentation, list) or not is_segmentation(segmentation):
        return None
    points = [value for polygon in segmentation for value in polygon]
    if len(points) < 6:
        return None
    xs, ys = points[::2], points[1::2]
    return min(xs), min(ys), max(xs), max(ys)


def near(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether two boxes have the same right and lower sides, to 2 pixels."""
    return abs(one[2] - other[2]) < 2 and abs(one[3] - other[3]) < 2


def inside(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Compute the fraction of a box inside another one; both are given as corners.

    A pixel is added to each side, so that thin boxes have an area.
    """

    def area(x1: float, y1: float, x2: float, y2: float) -> float:
        return max(x2 - x1 + 1, 0) * max(y2 - y1 + 1, 0)

    least = [max(a, b) for a, b in zip(one[:2], other[:2], strict=True)]
    most = [min(a, b) for a, b in zip(one[2:], other[2:], strict=True)]
    return area(*least, *most) / area(*one)

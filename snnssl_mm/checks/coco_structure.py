"""Whether the entries of a COCO annotation file are what readers of it rely on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from snnssl_mm.checks.data_error import DataError

LARGEST = 2**63
Test = Callable[[Any], bool]
EXPECTED: dict[str, dict[str, tuple[str, Test]]] = {}
"""List -> entry -> what it must be, in words and as a test."""


def is_id(value: Any) -> bool:
    """Whether a value can number something."""
    return isinstance(value, str) or is_number(value)


def is_number(value: Any) -> bool:
    """Whether a value is a finite number, small enough for a float64 or an int64."""
    numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
    return numeric and -LARGEST < value < LARGEST


def is_side(value: Any) -> bool:
    """Whether a value is a number of pixels."""
    return is_number(value) and value >= 1


def is_text(value: Any) -> bool:
    """Whether a value is text."""
    return isinstance(value, str) and bool(value)


def is_box(value: Any) -> bool:
    """Whether a value is ``[x, y, width, height]``."""
    return isinstance(value, list) and len(value) == 4 and all(map(is_number, value))


def is_segmentation(value: Any) -> bool:
    """Whether a value is polygons, a mask's run lengths, or nothing."""
    if isinstance(value, Mapping):
        size = value.get("size")
        sized = isinstance(size, list) and len(size) == 2 and all(map(is_side, size))
        return sized and isinstance(value.get("counts"), (list, str))
    return value is None or (
        isinstance(value, list)
        and all(isinstance(p, list) and all(map(is_number, p)) for p in value)
    )


EXPECTED["images"] = {
    "id": ("a number or text", is_id),
    "file_name": ("text", is_text),
    "height": ("a number of pixels", is_side),
    "width": ("a number of pixels", is_side),
}
EXPECTED["categories"] = {
    "id": ("a number or text", is_id),
    "name": ("text", is_text),
}
EXPECTED["annotations"] = {
    "id": ("a number or text", is_id),
    "image_id": ("the id of an image", is_id),
    "category_id": ("the id of a category", is_id),
    "bbox": ("four finite numbers [x, y, width, height]", is_box),
    "area": ("a finite number", is_number),
}
OPTIONAL = {"segmentation": ("polygons or run lengths", is_segmentation)}
UNIQUE = (("images", "id"), ("annotations", "id"), ("categories", "id"))


def check_structure(content: Mapping[str, Any], file: str) -> None:
    """Refuse entries of wrong types, without a key, doubled or pointing nowhere.

    Args:
        content: Of the file, with COCO's three lists.
        file: Its path, for messages.

    Raises:
        DataError: It names the file and the first such entry.
    """
    for name, keys in EXPECTED.items():
        entries = content[name]
        if not isinstance(entries, list):
            kind = type(entries).__name__
            raise DataError(f"{file} has a {kind} as {name}; expected a list")
        for index, entry in enumerate(entries):
            if fault := entry_fault(entry, keys):
                raise DataError(f"{file}: {name}[{index}] {fault}")
    for name, key in (*UNIQUE, ("categories", "name")):
        if doubled := first_doubled([entry[key] for entry in content[name]]):
            raise DataError(
                f"{file} has two {name} with the {key} {doubled[0]!r}; expected each "
                "once: number them anew or remove one"
            )
    images = {image["id"] for image in content["images"]}
    for index, annotation in enumerate(content["annotations"]):
        if annotation["image_id"] not in images:
            raise DataError(
                f"{file}: annotations[{index}] belongs to the image "
                f"{annotation['image_id']!r}, which the list of images lacks"
            )


def entry_fault(entry: Any, keys: Mapping[str, tuple[str, Test]]) -> str | None:
    """Say what is wrong with one entry of a list, or return None."""
    if not isinstance(entry, Mapping):
        return f"is a {type(entry).__name__}; expected a dict with {', '.join(keys)}"
    for key, (expected, test) in keys.items():
        if key not in entry:
            return f"has no {key}; expected {expected}"
        if not test(entry[key]):
            return f"has {key}={entry[key]!r:.60}; expected {expected}"
    for key, (expected, test) in OPTIONAL.items():
        if key in entry and not test(entry[key]):
            return f"has {key}={entry[key]!r:.60}; expected {expected}"
    return None


def first_doubled(values: Sequence[Any]) -> tuple[Any] | None:
    """The first value that is there a second time, in a tuple."""
    seen: set[Any] = set()
    for value in values:
        if value in seen:
            return (value,)
        seen.add(value)
    return None

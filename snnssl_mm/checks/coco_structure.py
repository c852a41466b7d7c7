"""Types and references in the entries of a COCO annotation file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from snnssl_mm.datasets.data_error import DataError

LARGEST = 2**63  # limit of an int64


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
    return numeric and -LARGEST < value < LARGEST


def are_numbers(value: Any, length: int | None = None) -> bool:
    """Whether a value is a list of finite numbers."""
    fits = isinstance(value, list) and length in (None, len(value))
    return fits and all(map(is_number, value))


def is_segmentation(value: Any) -> bool:
    """Whether a value is polygons, a mask's run lengths, or nothing."""
    if isinstance(value, Mapping):
        counts = value.get("counts")
        return are_numbers(value.get("size"), 2) and (
            isinstance(counts, str) or are_numbers(counts)
        )
    return value is None or (isinstance(value, list) and all(map(are_numbers, value)))


Field = tuple[str, Callable[[Any], bool]]
ID: Field = ("a number or text", lambda v: isinstance(v, str) or is_number(v))
TEXT: Field = ("text", lambda v: isinstance(v, str) and bool(v))
SIDE: Field = ("a number of pixels", lambda v: is_number(v) and v >= 1)
BOX: Field = (
    "four finite numbers [x, y, width, height]",
    lambda v: are_numbers(v, 4),
)
AREA: Field = ("a finite number", is_number)
CROWD: Field = ("0 or 1", lambda v: isinstance(v, int) and v in (0, 1))
EXPECTED: dict[str, dict[str, Field]] = {
    "images": dict(id=ID, file_name=TEXT, height=SIDE, width=SIDE),
    "categories": dict(id=ID, name=TEXT),
    "annotations": dict(id=ID, image_id=ID, category_id=ID, bbox=BOX, area=AREA),
}
"""List -> key -> expected value, as text and as a test."""
OPTIONAL = dict(iscrowd=CROWD)
UNIQUE = (
    ("images", "id"),
    ("annotations", "id"),
    ("categories", "id"),
    ("categories", "name"),
)


def require_valid_entries(content: Mapping[str, Any], file: str) -> None:
    """Require entries with all keys, correct types, unique ids and known images.

    Args:
        content: Content of the file, with COCO's three lists.
        file: Its path, for messages.

    Raises:
        DataError: Names the file and the first invalid entry.
    """
    for name, fields in EXPECTED.items():
        entries = content[name]
        if not isinstance(entries, list):
            kind = type(entries).__name__
            raise DataError(f"{file} has a {kind} as {name}; expected a list")
        for index, entry in enumerate(entries):
            if fault := entry_fault(entry, fields):
                raise DataError(f"{file}: {name}[{index}] {fault}")
    for name, key in UNIQUE:
        counts = Counter(entry[key] for entry in content[name])
        value, times = max(counts.items(), key=lambda pair: pair[1], default=("", 0))
        if times > 1:
            raise DataError(
                f"{file} has {times} {name} with the {key} {value!r}; expected unique "
                "values: renumber or rename them, or remove duplicates"
            )
    images = {image["id"] for image in content["images"]}
    for index, annotation in enumerate(content["annotations"]):
        if annotation["image_id"] not in images:
            raise DataError(
                f"{file}: annotations[{index}] has image_id "
                f"{annotation['image_id']!r}, which is not in the list of images"
                + (
                    other_kind(annotation["image_id"], images)
                    or "; add the image, or remove the annotation"
                )
            )


def other_kind(value: Any, known: Iterable[Any]) -> str:
    """Point out that a list has the value as text, or as a number, instead."""
    same = [one for one in known if str(one) == str(value)]
    return f"; it has {same[0]!r}: use numbers or text in both" if same else ""


def entry_fault(entry: Any, fields: Mapping[str, Field]) -> str | None:
    """Return what is wrong with an entry of a list, or None."""
    if not isinstance(entry, Mapping):
        return f"is a {type(entry).__name__}; expected a dict with {', '.join(fields)}"
    for key, (expected, fits) in {**fields, **OPTIONAL}.items():
        if key not in entry:
            if key in fields:
                return f"has no {key}; expected {expected}"
        elif not fits(entry[key]):
            return f"has {key}={entry[key]!r:.60}; expected {expected}"
    return None

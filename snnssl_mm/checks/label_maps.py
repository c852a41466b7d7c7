"""Checks of segmentation label maps against the classes of the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from snnssl_mm.datasets.data_error import DataError, shortened

IGNORED = 255  # the label that mmseg's LoadAnnotations uses for ignored pixels
LOSSY = (".jpg", ".jpeg", ".jfif")


class Expected(NamedTuple):
    """Expectations that loaded samples are compared with.

    Attributes:
        where: The dataset's key in the config.
        num_classes: Number of classes of a segmentor; None for other models.
        ignored: Label that the loss ignores.
        skip: Whether the dataset itself skips unreadable images.
    """

    where: str
    num_classes: int | None = None
    ignored: int | None = IGNORED
    skip: bool = False


def labels_of(
    loaded: Any, info: Mapping[str, Any], expected: Expected
) -> tuple[tuple[int, ...], str | None]:
    """Return the labels in a sample's map, and a fault if there is one."""
    labels = loaded.get("gt_seg_map")
    if not isinstance(labels, np.ndarray) or expected.num_classes is None:
        return (), None
    path = info.get("seg_map_path")
    if labels.ndim != 2:
        return (), (
            f"{path}: the mask is a colour image of shape {labels.shape}; expected one "
            "channel with the number of a class in each pixel"
        )
    if labels.dtype == np.uint8 and is_cut_off(str(path)):
        return (), (
            f"{path}: the mask has numbers that are no 8-bit integers, which loading "
            "truncates; save the class numbers with 8 bits"
        )
    found = tuple(np.unique(labels).tolist())
    largest = max((x for x in found if x != expected.ignored), default=-1)
    if largest < expected.num_classes:
        return found, None
    reduced = bool(info.get("reduce_zero_label"))
    return found, beyond(largest, expected.num_classes, path, reduced)


def is_cut_off(file: str) -> bool:
    """Whether a file has numbers that are not representable with 8 bits."""
    try:
        with Image.open(file) as image:
            if not image.mode.startswith(("I", "F")):
                return False
            values = np.asarray(image)
    except (OSError, ValueError):  # a format of another library
        return False
    with np.errstate(invalid="ignore"):
        return bool((values != values.astype(np.uint8)).any())


def beyond(label: int, num_classes: int, path: Any, reduced: bool) -> str:
    """Return the message for a label out of range."""
    cure = "if the masks count from 1 (0: unlabelled), set reduce_zero_label=True"
    if reduced:
        cure = "reduce_zero_label=True has lowered the labels by one (stored as "
        cure += f"{label + 1})"
    elif is_lossy(path):
        cure = "JPEG changes numbers: save masks as PNG"
    return (
        f"the mask {path} has the label {label}, but there are {num_classes} "
        f"classes, numbered 0 to {num_classes - 1} ({IGNORED}: ignored); {cure}; "
        "otherwise correct the mask, or set the dataset's classes and num_classes of "
        "the heads"
    )


def absent_classes(
    labels: Counter[int], expected: Expected, reduced: bool, complete: bool
) -> list[str]:
    """Report the classes of the model that do not occur in label maps.

    Args:
        labels: Number of maps in which each label occurs.
        expected: Expectations of the dataset.
        reduced: Whether ``reduce_zero_label`` has made 0 the ignored label.
        complete: Whether these are all maps of the dataset.

    Returns:
        Lines for the log.

    Raises:
        DataError: If training data have one class only, so that nothing is learnt.
    """
    count = expected.num_classes or 0
    ignored = labels.pop(expected.ignored or IGNORED, 0)
    absent = [c for c in range(count) if c not in labels]
    if not absent or not (labels or ignored):
        return []
    text = f"{expected.where}: no checked mask has the class {shortened(absent)}"
    cure = f"all pixels are {shortened(list(labels))}; check that these are the masks"
    if ignored:
        text += f", while {ignored} have pixels of {IGNORED}, which the loss ignores"
        cure = (
            f"if {IGNORED} is meant to be a class, replace it by the class's number "
            "(1, 2, ...) in the masks"
        )
        if reduced:
            cure = (
                "reduce_zero_label=True makes 0 the ignored label; remove it if 0 is a "
                "class"
            )
    learns = expected.where.startswith("train")
    if learns and len(labels) < 2 and count > 1 and (ignored or complete):
        raise DataError(f"{text}, so nothing would be learnt; {cure}")
    return [f"warning: {text}" if ignored or complete else text]


def is_lossy(path: Any) -> bool:
    """Whether a mask's format changes its numbers."""
    return str(path).lower().endswith(LOSSY)

"""Checks of loaded samples: sizes, boxes, label maps."""

from __future__ import annotations

import copy
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmengine.dataset import Compose

from snnssl_mm.checks.image_headers import Stored, nearby, stored
from snnssl_mm.checks.label_maps import (
    Expected,
    absent_classes,
    is_lossy,
    labels_of,
)
from snnssl_mm.datasets.data_error import DataError, described, sampled
from snnssl_mm.datasets.image_files import TURNED
from snnssl_mm.datasets.loading import LoadIntactImage

MAX_FILES = 200  # samples to check in each dataset, evenly spread
MAX_SECONDS = 4.0  # time limit for checking them
TOLERANCE = 2  # pixels, since sides and boxes are rounded


class Inspection(NamedTuple):
    """Result of checking one sample.

    Attributes:
        path: Its image file.
        missing: File that does not exist.
        unreadable: Why it cannot be loaded.
        fault: What does not fit in the loaded sample.
        labels: Labels in its label map.
        turned: Whether loading applies an EXIF rotation: ``'seen'`` if the image size
            shows it, ``'unseen'`` if not, empty without rotation.
        unusual: Properties that its loading does not preserve.
    """

    path: str
    missing: str = ""
    unreadable: str = ""
    fault: str = ""
    labels: tuple[int, ...] = ()
    turned: str = ""
    unusual: str = ""


def check_samples(
    infos: Sequence[Mapping[str, Any]],
    load: Compose,
    expected: Expected,
    max_files: int | None = MAX_FILES,
) -> list[str]:
    """Load a sample of the files as training does, and check the results.

    Args:
        infos: Samples of a dataset, as its pipeline gets them.
        load: The loading transforms of its pipeline.
        expected: Expectations of the dataset.
        max_files: Maximum number of samples within the time limit; None for all.

    Returns:
        Lines for the log.

    Raises:
        DataError: If files are missing, unreadable or of another size; gives their
            number and the first.
    """
    if not load.transforms:
        return []
    chosen = sampled(infos, max_files)
    random.Random(0).shuffle(chosen)  # the time limit may end it before the last
    inspected: list[Inspection] = []
    end = time.monotonic() + MAX_SECONDS
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(chosen), 16):
            some = chosen[start : start + 16]
            inspected += pool.map(
                lambda info: inspect_sample(info, load, expected), some
            )
            if max_files is not None and time.monotonic() > end:
                break
    where = expected.where
    of = f"of {len(inspected)} checked samples of {where}"
    for kind in ("missing", "unreadable", "fault"):
        found = sorted(getattr(one, kind) for one in inspected if getattr(one, kind))
        if found and kind == "missing":
            names = "data_root and data_prefix"
            if chosen[0].get("seg_map_path"):
                names = "data_root, data_prefix, img_suffix and seg_map_suffix"
            raise DataError(
                f"{len(found)} {of} do not exist, first {found[0]}{nearby(found[0])}; "
                f"set {names} of {where}, or correct its list of files"
            )
        if found and not (kind == "unreadable" and expected.skip):
            text = f"{len(found)} {of} cannot be used, first {found[0]}"
            if kind == "unreadable" and 1 < len(found) == len(inspected):
                text += (
                    "; if the files are intact, correct the transforms that load them"
                )
            raise DataError(text)
    labels = Counter(label for one in inspected for label in one.labels)
    reduced = any(info.get("reduce_zero_label") for info in chosen)
    lines = absent_classes(labels, expected, reduced, len(inspected) == len(infos))
    if labels and (masks := [x for x in infos if is_lossy(x.get("seg_map_path"))]):
        lines.append(
            f"warning: {where}: {len(masks)} masks are JPEG, which changes numbers, "
            f"first {masks[0]['seg_map_path']}; save them as PNG"
        )
    lines += [*turned(inspected, where), *unusual(inspected, where)]
    return [f"{where}: {len(inspected)} samples loaded", *lines]


def inspect_sample(
    info: Mapping[str, Any], load: Compose, expected: Expected
) -> Inspection:
    """Load one sample and check it."""
    path = str(info.get("img_path", "sample"))
    for file in (info.get("img_path"), info.get("seg_map_path")):
        if isinstance(file, str) and "://" not in file and not exists(file):
            return Inspection(path, missing=file)
    try:
        loaded = load(copy.deepcopy(dict(info)))
        if loaded is None:
            return Inspection(path, unreadable=f"{path}: the transforms return None")
        header = stored(path)
        fault = size_fault(loaded, info, path, header)
        labels, wrong = labels_of(loaded, info, expected)
    except Exception as error:  # decoders raise anything
        mask = info.get("seg_map_path")
        files = f"{path} (mask {mask})" if mask else path
        empty = [f for f in (path, mask) if f and exists(f) and not size_of(f)]
        why = f"{empty[0]} is empty" if empty else described(error)
        return Inspection(path, unreadable=f"{files}: {why}; repair or remove it")
    return Inspection(
        path,
        fault=fault or wrong or "",
        labels=labels,
        turned=turning(loaded, info, load, header),
        unusual=header.unseen if header and not loads_intact(load) else "",
    )


def turning(
    loaded: Any, info: Mapping[str, Any], load: Compose, header: Stored | None
) -> str:
    """Tell whether loading rotates an annotated image by EXIF, see Inspection."""
    if "width" not in info and "gt_seg_map" not in loaded:
        return ""
    kinds = [str(getattr(one, "color_type", "")) for one in load.transforms]
    if any(
        kind.endswith("ignore_orientation") or kind == "unchanged" for kind in kinds
    ):
        return ""
    if header is None or header.orientation not in range(2, 9):
        return ""
    differs = abs(header.width - header.height) > TOLERANCE
    return "seen" if header.orientation in TURNED and differs else "unseen"


def turned(inspected: Sequence[Inspection], where: str) -> list[str]:
    """Report that annotations may not be of the rotated images."""
    found = sorted(one.path for one in inspected if one.turned == "unseen")
    if not found or any(one.turned == "seen" for one in inspected):
        return []
    return [
        f"warning: {where}: {len(found)} of {len(inspected)} images are rotated by "
        f"their EXIF orientation, first {found[0]}, and their sizes do not show if the "
        "annotations are of the rotated images; check them with "
        "`snnssl browse`"
    ]


def loads_intact(load: Compose) -> bool:
    """Whether a pipeline uses this package's loading of unusual images."""
    return any(isinstance(one, LoadIntactImage) for one in load.transforms)


def unusual(inspected: Sequence[Inspection], where: str) -> list[str]:
    """Report properties of images that the pipeline's loading does not preserve."""
    lines = []
    for what in sorted({one.unusual for one in inspected if one.unusual}):
        found = sorted(one.path for one in inspected if one.unusual == what)
        lines.append(
            f"warning: {where}: LoadImageFromFile changes {len(found)} of "
            f"{len(inspected)} images, which have {what}, first {found[0]}; use "
            "snnssl_mm.LoadIntactImage"
        )
    return lines


def exists(file: str) -> bool:
    """Whether a file exists; False for an invalid path."""
    try:
        return Path(file).exists()
    except (ValueError, OSError):
        return False


def size_of(file: str) -> int:
    """Return the size of a file in bytes."""
    return Path(file).stat().st_size


def size_fault(
    loaded: Any, info: Mapping[str, Any], path: str, header: Stored | None
) -> str | None:
    """Compare the size of a loaded image with its annotation and its label map."""
    image, labels = loaded.get("img"), loaded.get("gt_seg_map")
    if not isinstance(image, np.ndarray):
        return None
    height, width = image.shape[:2]
    if isinstance(labels, np.ndarray) and labels.shape[:2] != (height, width):
        return (
            f"{path}: the image has {width} x {height} pixels, its label map "
            f"{info.get('seg_map_path')} has {labels.shape[1]} x {labels.shape[0]}; "
            "resize one of them"
        )
    annotated = (info.get("width"), info.get("height"))
    if None in annotated:
        return None
    off = max(abs(annotated[0] - width), abs(annotated[1] - height))
    if off <= TOLERANCE:
        return None
    cure = (
        "it was resized after annotation; scale boxes and masks, or use the original "
        "images"
    )
    if annotated == (height, width):
        cure = "swap width and height in the annotation file"
        if header and header.orientation in TURNED:
            cure = (
                "it is rotated by its EXIF orientation; annotate the rotated image, or "
                "load with LoadImageFromFile(color_type='color_ignore_orientation') in "
                "every pipeline"
            )
    return (
        f"{path}: it has {width} x {height} pixels, but its annotation says "
        f"{annotated[0]} x {annotated[1]}: {cure}"
    )


def check_boxes(infos: Sequence[Mapping[str, Any]], where: str) -> list[str]:
    """Check for boxes that exceed their images.

    Args:
        infos: Samples with ``width``, ``height`` and ``instances``, boxes as corners.
        where: The dataset's key in the config.

    Returns:
        Lines for the log.

    Raises:
        DataError: If more than one box, and more than 5 % of the boxes, exceed theirs.
    """
    rows = [
        (*instance["bbox"], info["width"], info["height"], number)
        for number, info in enumerate(infos)
        if info.get("width") and info.get("height")
        for instance in info.get("instances") or ()
        if len(instance.get("bbox") or ()) == 4
    ]
    if not rows:
        return []
    x1, y1, x2, y2, width, height, numbers = np.asarray(rows, float).T
    least, right, low = np.minimum(x1, y1), x2 - width, y2 - height
    outside = (least < -TOLERANCE) | (np.maximum(right, low) > TOLERANCE)
    count = int(outside.sum())
    if not count:
        return []
    first = int(np.flatnonzero(outside)[0])
    # If stored as corners, they were [x1, y1, x2 - x1, y2 - y1].
    inside = (x2 - x1 <= width + TOLERANCE) & (y2 - y1 <= height + TOLERANCE)
    corners = bool((inside & (x2 >= 2 * x1) & (y2 >= 2 * y1)).all())
    box = [round(float(value), 1) for value in rows[first][:4]]
    text = (
        f"{where}: {count} of {len(rows)} boxes exceed their image, first "
        f"x1, y1, x2, y2 = {box} in {infos[int(numbers[first])].get('img_path')} of "
        f"{width[first]:g} x {height[first]:g} pixels"
    )
    if count <= max(1, len(rows) // 20):
        return [f"warning: {text}"]
    cure = (
        "the file seems to contain corners [x1, y1, x2, y2]; expected COCO's [x, y, "
        "width, height]"
        if corners
        else "check whether the images were resized after annotation"
    )
    raise DataError(f"{text}; {cure}")

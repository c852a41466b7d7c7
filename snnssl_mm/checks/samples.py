"""What a dataset's own loading makes of its files: sizes, boxes, label maps."""

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

MAX_FILES = 200  # samples looked at in each dataset, evenly spread
MAX_SECONDS = 4.0  # spent on them
TOLERANCE = 2  # pixels: sides and boxes are rounded


class Look(NamedTuple):
    """What one sample shows.

    Attributes:
        path: Its image.
        missing: What does not exist.
        unreadable: Why it cannot be loaded.
        fault: What does not fit in what was loaded.
        labels: Those of its label map.
        turned: Whether EXIF turns it: ``'seen'`` if its size shows that, ``'unseen'``.
        unusual: What its loading does not show as it is.
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
    """Load a sample of the files as the training does, and compare what comes out.

    Args:
        infos: Samples of a dataset, as its pipeline gets them.
        load: The loading transforms of its pipeline.
        expected: What to compare with.
        max_files: How many are looked at, as far as there is time; None for all.

    Returns:
        Lines for the log.

    Raises:
        DataError: It counts what is missing, unreadable or of another size, and names
            the first.
    """
    if not load.transforms:
        return []
    chosen = sampled(infos, max_files)
    random.Random(0).shuffle(chosen)  # the clock may stop it before the last
    looks: list[Look] = []
    end = time.monotonic() + MAX_SECONDS
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(chosen), 16):
            some = chosen[start : start + 16]
            looks += pool.map(lambda info: look_at(info, load, expected), some)
            if max_files is not None and time.monotonic() > end:
                break
    of, where = f"of {len(looks)} samples looked at in {expected.where}", expected.where
    for kind in ("missing", "unreadable", "fault"):
        found = sorted(getattr(look, kind) for look in looks if getattr(look, kind))
        if found and kind == "missing":
            names = "data_root and data_prefix"
            if chosen[0].get("seg_map_path"):
                names = "data_root, data_prefix, img_suffix and seg_map_suffix"
            raise DataError(
                f"{len(found)} {of} do not exist, first {found[0]}{nearby(found[0])}; "
                f"set {names} of {where}, or mend its list of files"
            )
        if found and not (kind == "unreadable" and expected.skip):
            text = f"{len(found)} {of} cannot be used, first {found[0]}"
            if kind == "unreadable" and 1 < len(found) == len(looks):
                text += "; if the files are intact, mend the transforms that load them"
            raise DataError(text)
    labels = Counter(label for look in looks for label in look.labels)
    reduced = any(info.get("reduce_zero_label") for info in chosen)
    lines = absent_classes(labels, expected, reduced, len(looks) == len(infos))
    if labels and (masks := [x for x in infos if is_lossy(x.get("seg_map_path"))]):
        lines.append(
            f"warning: {where}: {len(masks)} masks are JPEG, which does not keep "
            f"numbers, first {masks[0]['seg_map_path']}; save them as PNG"
        )
    lines += [*turned(looks, where), *unusual(looks, where)]
    return [f"{where}: {len(looks)} samples loaded", *lines]


def look_at(info: Mapping[str, Any], load: Compose, expected: Expected) -> Look:
    """Load one sample; say what it shows."""
    path = str(info.get("img_path", "sample"))
    for file in (info.get("img_path"), info.get("seg_map_path")):
        if isinstance(file, str) and "://" not in file and not exists(file):
            return Look(path, missing=file)
    try:
        loaded = load(copy.deepcopy(dict(info)))
        if loaded is None:
            return Look(path, unreadable=f"{path}: it cannot be loaded")
        header = stored(path)
        fault = size_fault(loaded, info, path, header)
        labels, wrong = labels_of(loaded, info, expected)
    except Exception as error:  # of any decoder
        mask = info.get("seg_map_path")
        files = f"{path} (mask {mask})" if mask else path
        empty = [f for f in (path, mask) if f and exists(f) and not size_of(f)]
        why = f"{empty[0]} is empty" if empty else described(error)
        return Look(path, unreadable=f"{files}: {why}; mend or remove it")
    return Look(
        path,
        fault=fault or wrong or "",
        labels=labels,
        turned=turning(loaded, info, load, header),
        unusual=header.unseen if header and not loads_intact(load) else "",
    )


def turning(
    loaded: Any, info: Mapping[str, Any], load: Compose, header: Stored | None
) -> str:
    """Whether loading turns an annotated image as its EXIF data say, see Look."""
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


def turned(looks: Sequence[Look], where: str) -> list[str]:
    """Say that nothing tells whether annotations are of the turned images."""
    found = sorted(look.path for look in looks if look.turned == "unseen")
    if not found or any(look.turned == "seen" for look in looks):
        return []
    return [
        f"warning: {where}: {len(found)} of {len(looks)} images are turned by their "
        f"EXIF orientation, first {found[0]}, and their sizes do not tell whether the "
        "annotations are of the turned images; compare them in tools/browse_dataset.py"
    ]


def loads_intact(load: Compose) -> bool:
    """Whether a pipeline loads by the package's rules for unusual images."""
    return any(isinstance(one, LoadIntactImage) for one in load.transforms)


def unusual(looks: Sequence[Look], where: str) -> list[str]:
    """Say what of the images the pipeline's own loading does not show."""
    lines = []
    for what in sorted({look.unusual for look in looks if look.unusual}):
        found = sorted(look.path for look in looks if look.unusual == what)
        lines.append(
            f"warning: {where}: LoadImageFromFile reads {len(found)} of {len(looks)} "
            f"images that have {what}, first {found[0]}; snnssl_mm.LoadIntactImage "
            "shows them as they are"
        )
    return lines


def exists(file: str) -> bool:
    """Whether a file is there; a path that no file can have is not."""
    try:
        return Path(file).exists()
    except (ValueError, OSError):
        return False


def size_of(file: str) -> int:
    """Bytes of a file."""
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
            f"{path}: the image loads as {width} x {height} pixels, its label map "
            f"{info.get('seg_map_path')} as {labels.shape[1]} x {labels.shape[0]}; "
            "resize one of them"
        )
    annotated = (info.get("width"), info.get("height"))
    if None in annotated:
        return None
    off = max(abs(annotated[0] - width), abs(annotated[1] - height))
    if off <= TOLERANCE:
        return None
    cure = (
        "it was resized after the annotation; scale boxes and masks, or take the "
        "original images"
    )
    if annotated == (height, width):
        cure = "exchange width and height in the annotation file"
        if header and header.orientation in TURNED:
            cure = (
                "it is turned by its EXIF orientation; annotate the turned image, or "
                "load with LoadImageFromFile(color_type='color_ignore_orientation') in "
                "every pipeline"
            )
    return (
        f"{path}: it loads as {width} x {height} pixels, but its annotation says "
        f"{annotated[0]} x {annotated[1]}: {cure}"
    )


def check_boxes(infos: Sequence[Mapping[str, Any]], where: str) -> list[str]:
    """Look for boxes that reach beyond their images.

    Args:
        infos: Samples with ``width``, ``height`` and ``instances``, boxes as corners.
        where: The dataset's place in the config.

    Returns:
        Lines for the log.

    Raises:
        DataError: If it is more than one box and more than a twentieth of them.
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
    # As corners they would be [x1, y1, x2 - x1, y2 - y1].
    inside = (x2 - x1 <= width + TOLERANCE) & (y2 - y1 <= height + TOLERANCE)
    corners = bool((inside & (x2 >= 2 * x1) & (y2 >= 2 * y1)).all())
    box = [round(float(value), 1) for value in rows[first][:4]]
    text = (
        f"{where}: {count} of {len(rows)} boxes reach beyond their image, first "
        f"x1, y1, x2, y2 = {box} in {infos[int(numbers[first])].get('img_path')} of "
        f"{width[first]:g} x {height[first]:g} pixels"
    )
    if count <= max(1, len(rows) // 20):
        return [f"warning: {text}"]
    cure = (
        "the file seems to hold corners [x1, y1, x2, y2]; COCO's are [x, y, width, "
        "height]"
        if corners
        else "are they of larger images?"
    )
    raise DataError(f"{text}; {cure}")

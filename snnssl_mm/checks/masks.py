"""Whether mask images fit a segmentor."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from snnssl_mm.checks.data_error import DataError, check_class_counts, sampled

IGNORED = 255  # what mmseg's LoadAnnotations makes of labels to be ignored


def loaded_label(
    value: int, reduce_zero_label: bool, label_map: Mapping[int, int] | None
) -> int:
    """Label that mmseg's LoadAnnotations makes of a pixel's value.

    Args:
        value: As stored in the mask image.
        reduce_zero_label: Whether 0 is ignored and all others are lowered by one.
        label_map: Old to new labels, if the dataset's classes are a selection.
    """
    if reduce_zero_label:
        value = IGNORED if value in (0, IGNORED) else value - 1
    return (label_map or {}).get(value, value)


def largest_label(info: Mapping[str, Any], ignored: int | None) -> tuple[int, int]:
    """Largest label of a mask that counts, as loaded and as stored; -1 for none.

    Args:
        info: A sample of an mmseg dataset.
        ignored: Label without a loss.

    Raises:
        DataError: If the file is missing, unreadable or not a map of labels.
    """
    path = info["seg_map_path"]
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image)
    except Exception as error:  # Pillow's decoders raise many kinds on any bytes
        reason = str(error).replace(repr(path), "this file") or type(error).__name__
        raise DataError(
            f"cannot read the mask {path} of the image {info['img_path']}: {reason}"
        ) from error
    if pixels.ndim != 2:
        raise DataError(
            f"the mask {path} is a colour image, {pixels.shape}; expected one channel "
            "with the number of a class in each pixel"
        )
    stored = np.unique(pixels).tolist()
    options = (info["reduce_zero_label"], info["label_map"])
    labels = [(loaded_label(int(value), *options), int(value)) for value in stored]
    return max((pair for pair in labels if pair[0] != ignored), default=(-1, -1))


def beyond(label: int, num_classes: int, path: str, reduced: bool, stored: str) -> str:
    """The sentence about a label beyond the classes."""
    cure = (
        "reduce_zero_label=True has already lowered the labels by one"
        if reduced
        else "if the masks count from 1 (0: unlabelled), set reduce_zero_label=True"
    )
    return (
        f"the mask {path} has the label {label}{stored}, but there are {num_classes} "
        f"classes, numbered 0 to {num_classes - 1} ({IGNORED}: ignored); {cure}; "
        "otherwise mend the mask, or set the dataset's classes and num_classes of the "
        "heads"
    )


def check_masks(
    dataset: Any,
    heads: dict[str, int],
    ignored: int | None,
    where: str,
    max_files: int,
) -> None:
    """Compare a sample of mask images with the number of classes.

    Args:
        dataset: An mmseg dataset built with ``lazy_init=True``.
        heads: ``num_classes`` of the model's heads by their names in the config.
        ignored: Label without a loss.
        where: The dataset's place in the config, for messages.
        max_files: How many masks are read.

    Raises:
        DataError: If there are no images, a mask is missing or no map of labels, or a
            label is beyond the classes.
    """
    classes = dataset.metainfo.get("classes") or ()
    if classes:
        check_class_counts(heads, classes, where)
    samples = dataset.load_data_list()
    if not samples:
        raise DataError(
            f"{where} finds no {dataset.img_suffix} images in "
            f"{Path(dataset.data_prefix['img_path']).absolute()}; set data_prefix, "
            "img_suffix and seg_map_suffix"
        )
    num_classes = len(classes) or min(heads.values(), default=0)
    chosen = [s for s in sampled(samples, max_files) if "seg_map_path" in s]
    if not num_classes:
        return
    with ThreadPoolExecutor() as pool:
        largest = list(pool.map(lambda info: largest_label(info, ignored), chosen))
    for info, (label, stored) in zip(chosen, largest, strict=True):
        if label >= num_classes:
            reduced = info["reduce_zero_label"]
            as_stored = f" (stored as {stored})" if stored != label else ""
            path = info["seg_map_path"]
            raise DataError(beyond(label, num_classes, path, reduced, as_stored))

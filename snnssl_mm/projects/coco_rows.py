"""Entries of a COCO file: filling what exporters omit, and checks of the rest."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from snnssl_mm.checks.coco import decode_run_lengths, mask_fault
from snnssl_mm.checks.coco_structure import are_numbers


def fill_annotations(content: Mapping[str, Any]) -> None:
    """Fill omitted keys of annotations that follow from the others, in place.

    Readers require ``id``, ``bbox``, ``area`` and ``iscrowd``. A box is that of the
    segmentation; entries without both, or of an unexpected kind, stay as they are.

    Args:
        content: COCO's three lists, the images with their sizes.
    """
    sizes = {row["id"]: [row["height"], row["width"]] for row in content["images"]}
    used = {row.get("id") for row in content["annotations"]}
    free = (number for number in itertools.count(1) if number not in used)
    for row in content["annotations"]:
        if row.get("id") is None:
            row["id"] = next(free)
        size = sizes.get(row.get("image_id"))
        if not row.get("bbox") and size and mask_fault(row, size) is None:
            row["bbox"] = box_of(row["segmentation"])
        if row.get("area") is None and are_numbers(row.get("bbox"), 4):
            row["area"] = row["bbox"][2] * row["bbox"][3]
        if row.get("iscrowd") is None:
            row["iscrowd"] = 0


def box_of(segmentation: Any) -> list[float]:
    """Return the box ``[x, y, width, height]`` of polygons or of a mask's run lengths.

    Args:
        segmentation: Polygons ``[x, y, x, y, ...]``, or ``size`` and ``counts``, whose
            runs go down the columns.
    """
    if isinstance(segmentation, Mapping):
        counts, (height, width) = segmentation["counts"], segmentation["size"]
        runs = decode_run_lengths(counts) if isinstance(counts, str) else counts
        inside = np.arange(len(runs)) % 2 == 1  # the first run is outside
        mask = np.repeat(inside, runs).reshape(width, height)
        x, y = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
        if not len(x):
            return [0, 0, 0, 0]
        ends = [x[0], y[0], x[-1] + 1 - x[0], y[-1] + 1 - y[0]]
        return [float(end) for end in ends]
    points = np.concatenate([np.reshape(p, (-1, 2)) for p in segmentation])
    low, high = points.min(0), points.max(0)
    return [*low.tolist(), *(high - low).tolist()]

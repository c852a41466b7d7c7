"""Whether a COCO annotation file fits a detector."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from snnssl_mm.checks.coco_structure import check_structure
from snnssl_mm.checks.data_error import (
    DataError,
    check_class_counts,
    sampled,
    shortened,
)


def read_annotations(file: str, labelled: bool = True) -> dict[str, Any]:
    """Read a COCO annotation file.

    Args:
        file: Its path.
        labelled: Whether it must have annotations; that of COCO's test-dev has none.

    Raises:
        DataError: If it is no JSON, lacks one of COCO's three lists, or has an entry
            in them that mmdet or pycocotools would trip over.
    """
    try:
        content = json.loads(Path(file).read_text())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is not a JSON file: {error}") from error
    if isinstance(content, dict) and not labelled:
        content.setdefault("annotations", [])
    wanted = ("images", "annotations", "categories")
    missing = [k for k in wanted if not isinstance(content, dict) or k not in content]
    if missing:
        raise DataError(
            f"{file} has no list of {' and '.join(missing)}; expected COCO's layout: "
            "dict(images=[...], annotations=[...], categories=[...])"
        )
    check_structure(content, file)
    return content


def check_coco(
    dataset: Any, heads: dict[str, int], explicit: bool, where: str, max_files: int
) -> tuple[list[str], list[str]]:
    """Compare an annotation file with a dataset's classes and a model's heads.

    Args:
        dataset: A CocoDataset built with ``lazy_init=True``.
        heads: ``num_classes`` of the model's heads by their names in the config.
        explicit: Whether the config itself names the classes; then categories that are
            not among them are left out deliberately.
        where: The dataset's place in the config, for messages.
        max_files: How many images are looked for.

    Returns:
        The classes as mmdet numbers them, and lines for the log: what is left out,
        what is absent.

    Raises:
        DataError: If annotations would be lost or mean another class, or files are
            missing.
    """
    file, classes = dataset.ann_file, list(dataset.metainfo["classes"])
    content = read_annotations(file, labelled=not where.startswith("test"))
    names = {category["id"]: category["name"] for category in content["categories"]}
    unknown = [name for name in names.values() if name not in classes]
    known = [name for name in names.values() if name in classes]
    if unknown and not (explicit and known):
        raise DataError(
            f"{file} has {len(names)} categories, of which {len(unknown)} are not "
            f"among the {len(classes)} classes of {where}: {shortened(unknown)}; "
            f"expected {shortened(classes)}. Set metainfo=dict(classes="
            f"{tuple(names.values())}) in {where} and num_classes={len(names)} in the "
            "model's heads, or name the categories to keep in metainfo"
        )
    check_class_counts(heads, classes, where)
    in_order = [name for name in classes if name in known]
    if known != in_order:
        raise DataError(
            f"{where} names its classes in the order {shortened(in_order)}, {file} in "
            f"the order {shortened(known)}, which is the one that mmdet numbers them "
            f"by; set metainfo=dict(classes={tuple(known)})"
        )
    counts = Counter(a.get("category_id") for a in content["annotations"])
    foreign = sorted(set(counts) - set(names), key=str)
    if foreign:
        raise DataError(
            f"{file} has {sum(counts[i] for i in foreign)} annotations of category_id "
            f"{shortened(foreign)}, which its list of categories lacks; add them to it"
        )
    needs_masks = any("mask_head" in head for head in heads)
    if needs_masks and where.startswith("train"):
        check_segmentations(content["annotations"], file)
    check_images(dataset, content["images"], where, max_files)
    notes = []
    if unknown:
        left_out = sum(n for i, n in counts.items() if names[i] in unknown)
        notes.append(
            f"{file}: {left_out} of {sum(counts.values())} annotations are left out, "
            f"of categories that metainfo does not name: {shortened(unknown)}"
        )
    absent = [name for name in classes if name not in known]
    if absent:
        notes.append(
            f"{file} lacks {len(absent)} of the {len(classes)} classes of {where}: "
            f"{shortened(absent)}; mmdet numbers the others without a gap"
        )
    return known, notes


def check_segmentations(annotations: Sequence[dict[str, Any]], file: str) -> None:
    """Refuse boxes without masks for a model that learns masks.

    Raises:
        DataError: It counts them.
    """
    bare = sum(not annotation.get("segmentation") for annotation in annotations)
    if bare:
        raise DataError(
            f"{bare} of {len(annotations)} annotations of {file} have no segmentation, "
            "which the model's mask_head learns from; add them, or take a model "
            "without one, such as RetinaNet or Faster R-CNN"
        )


def check_images(
    dataset: Any, images: Sequence[dict[str, Any]], where: str, max_files: int
) -> None:
    """Refuse an annotation file without images, or whose images are not there.

    Raises:
        DataError: It names the first missing file.
    """
    if not images:
        raise DataError(f"{dataset.ann_file} lists no images")
    folder = Path(dataset.data_prefix.get("img") or "")
    files = [folder / image["file_name"] for image in sampled(images, max_files)]
    missing = [path for path in files if not os.path.exists(path)]  # no name raises
    if missing:
        raise DataError(
            f"{len(missing)} of {len(files)} images of {dataset.ann_file} that were "
            f"looked for do not exist, first {missing[0]}; set data_prefix of {where}"
        )

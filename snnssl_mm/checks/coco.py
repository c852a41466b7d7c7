"""Checks of a COCO annotation file against a dataset, a detector and an evaluator."""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from snnssl_mm.checks.coco_structure import (
    is_number,
    is_segmentation,
    other_kind,
    require_valid_entries,
)
from snnssl_mm.datasets.data_error import DataError, shortened

Content = dict[str, Any]
SHORT = "a polygon of"  # start of the message for fewer than 3 points


def read_annotations(file: str, labelled: bool = True) -> Content:
    """Read a COCO annotation file.

    Args:
        file: Its path.
        labelled: Whether it must have annotations; COCO's test-dev has none.

    Raises:
        DataError: If it is no JSON, lacks one of COCO's three lists or any image, or
            has an entry that mmdet or pycocotools cannot process.
    """
    try:
        content = json.loads(Path(file).read_text("utf-8"))  # as COCO's readers do
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{file} cannot be read: {error}; expected a JSON file in UTF-8 without a "
            "byte order mark"
        ) from error
    if isinstance(content, dict) and not labelled:
        content.setdefault("annotations", [])
    wanted = ("images", "annotations", "categories")
    missing = [k for k in wanted if not isinstance(content, dict) or k not in content]
    if missing:
        raise DataError(
            f"{file} has no list of {' and '.join(missing)}; expected COCO's layout: "
            "dict(images=[...], annotations=[...], categories=[...])"
        )
    require_valid_entries(content, file)
    if not content["images"]:
        raise DataError(f"{file} lists no images")
    return content


def check_categories(
    content: Content, file: str, classes: list[str], explicit: bool, where: str
) -> tuple[list[str], list[str]]:
    """Compare the categories of a file with a dataset's classes.

    Args:
        content: Content of the file.
        file: Its path, for messages.
        classes: Classes of the dataset.
        explicit: Whether the config itself names the classes; then other categories
            are left out deliberately.
        where: The dataset's key in the config, for messages.

    Returns:
        The classes as mmdet numbers them, and lines for the log.

    Raises:
        DataError: If annotations would be dropped or assigned to another class.
    """
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
    in_order = [name for name in classes if name in known]
    if known != in_order:
        raise DataError(
            f"{where} names its classes in the order {shortened(in_order)}, {file} in "
            f"the order {shortened(known)}, by which mmdet numbers them; set "
            f"metainfo=dict(classes={tuple(known)})"
        )
    counts = Counter(a.get("category_id") for a in content["annotations"])
    foreign = sorted(set(counts) - set(names), key=str)
    if foreign:
        raise DataError(
            f"{file} has {sum(counts[i] for i in foreign)} annotations of category_id "
            f"{shortened(list(map(repr, foreign)))}, which are not in its list of "
            "categories" + (other_kind(foreign[0], names) or "; add them")
        )
    absent = [name for name in classes if name not in known]
    for name in unknown:
        if same := [one for one in absent if plain(one) == plain(name)]:
            raise DataError(
                f"{file} has the category {name!r}, {where} the class {same[0]!r}, so "
                "its objects would be dropped; use the same spelling"
            )
    if not absent:
        return known, []
    return known, [
        f"{file} lacks {len(absent)} of the {len(classes)} classes of {where}: "
        f"{shortened(absent)}; mmdet numbers the others without a gap"
    ]


def plain(name: str) -> str:
    """Normalise a name: lower case, without separators between words."""
    return "".join(re.split(r"[\s_-]+", name.casefold()))


def check_masks_of_objects(
    content: Content,
    file: str,
    loaded: bool,
    classes: Sequence[str] | None = None,
) -> list[str]:
    """Check the segmentations of a file that mmdet loads or an evaluator compares.

    Args:
        content: Content of the file.
        file: Its path, for messages.
        loaded: Whether mmdet loads them, which ignores polygons of two points;
            pycocotools, which evaluates, does not.
        classes: Names of the used categories; None for all.

    Returns:
        Lines for the log.

    Raises:
        DataError: If some cannot be used; gives their number and the first.
    """
    sizes = {i["id"]: [i["height"], i["width"]] for i in content["images"]}
    annotations = used_annotations(content, classes)
    faults = [(a, mask_fault(a, sizes[a["image_id"]])) for a in annotations]
    found = [(a, f) for a, f in faults if f]
    fatal = [(a, f) for a, f in found if not (loaded and f.startswith(SHORT))]
    if found and len(found) == len(annotations):
        fatal = found  # nothing is left to learn
    if fatal:
        annotation, fault = fatal[0]
        bare = sum(fault == "no segmentation" for _, fault in fatal)
        raise DataError(
            f"{bare or len(fatal)} of {len(annotations)} annotations of {file} have "
            f"{'no segmentation' if bare else 'a segmentation that cannot be used'}, "
            f"from which masks are {'loaded' if loaded else 'evaluated'} (first: "
            f"id {annotation['id']!r} of image {annotation['image_id']!r}, {fault}); "
            "correct them, or use a model and a metric without masks"
        )
    if not found:
        return []
    return [f"{file}: {len(found)} polygons of fewer than 3 points: ignored"]


def used_annotations(
    content: Content, classes: Sequence[str] | None
) -> list[dict[str, Any]]:
    """Select the annotations of some categories; None for all."""
    used = {
        category["id"]
        for category in content["categories"]
        if classes is None or category["name"] in classes
    }
    return [a for a in content["annotations"] if a["category_id"] in used]


def mask_fault(annotation: Mapping[str, Any], size: list[int]) -> str | None:
    """Return why an annotation gives no mask of ``size = [height, width]``, or None."""
    segmentation = annotation.get("segmentation")
    if not segmentation:
        return "no segmentation"
    if not is_segmentation(segmentation):
        return f"segmentation={segmentation!r:.60}; expected polygons or run lengths"
    if isinstance(segmentation, Mapping):
        found, counts = segmentation["size"], segmentation["counts"]
        if list(found) != size:
            return f"run lengths of size {found}, but its image has size {size}"
        packed = isinstance(counts, str)
        pixels = decode_run_lengths(counts).sum() if packed else sum(counts)
        if pixels != size[0] * size[1]:
            return f"run lengths of {pixels} pixels, expected {size}"
        return None
    if wrong := [len(p) for p in segmentation if len(p) < 6 or len(p) % 2]:
        return f"{SHORT} {wrong[0]} numbers, expected x and y of at least 3 points"
    return None


def decode_run_lengths(text: str) -> np.ndarray:
    """Decode run lengths that pycocotools has packed into text.

    Each character holds five bits, the lowest first, and one bit that says whether more
    follow. From the fourth run on, the difference to the last run but one is stored.
    pycocotools itself may loop endlessly over runs of too few pixels.
    """
    bits = np.frombuffer(text.encode(errors="replace"), np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero((bits & 32) == 0)
    if not len(ends):
        return ends
    starts = np.r_[0, ends[:-1] + 1]
    bits = bits[: ends[-1] + 1]
    places = 5 * (np.arange(len(bits)) - np.repeat(starts, ends - starts + 1))
    runs = np.add.reduceat((bits & 31) << places, starts)
    runs -= (bits[ends] & 16) << (places[ends] + 1)  # the sign
    runs[1::2] = runs[1::2].cumsum()
    runs[2::2] = runs[2::2].cumsum()
    return runs


def check_evaluated(
    content: Content, file: str, masks: bool, classes: Sequence[str] | None = None
) -> list[str]:
    """Check what pycocotools needs in every annotation for evaluation.

    Args:
        content: Content of the file.
        file: Its path, for messages.
        masks: Whether masks are evaluated.
        classes: Names of the evaluated categories; None for all.

    Returns:
        Lines for the log.

    Raises:
        DataError: If ``iscrowd`` is missing or, with ``masks``, a segmentation; or if
            an id is no number.
    """
    annotations = used_annotations(content, classes)
    bare = [a["id"] for a in annotations if "iscrowd" not in a]
    if bare:
        raise DataError(
            f"{len(bare)} of {len(annotations)} annotations of {file} have "
            f"no iscrowd (first: id {bare[0]!r}), which the evaluation needs; add "
            "iscrowd=0 to them"
        )
    if masks:
        check_masks_of_objects(content, file, loaded=False, classes=classes)
    if texts := [a["id"] for a in annotations if not is_number(a["id"])]:
        raise DataError(
            f"{file} has annotations whose ids are text (first: {texts[0]!r}); "
            "pycocotools needs numbers: number them from 1"
        )
    if any(a["id"] == 0 for a in annotations):
        return [
            f"warning: {file} has an annotation with id 0, which pycocotools counts as "
            "an object that was not found; number annotations from 1"
        ]
    return []


def duplicate_images(content: Content, file: str) -> list[str]:
    """Report image files with several entries, as lines for the log."""
    counts = Counter(image["file_name"] for image in content["images"])
    doubled = [name for name, count in counts.items() if count > 1]
    if not doubled:
        return []
    return [
        f"warning: {file} lists {len(doubled)} image files more than once, first "
        f"{doubled[0]}: each entry has only a part of the objects, or objects are used "
        "twice; merge the entries"
    ]


def indexed(kind: Any, content: Content) -> Any:
    """Make a COCO object from the content of a file."""
    coco = kind()
    coco.dataset = content
    with contextlib.redirect_stdout(None):  # it prints its progress
        coco.createIndex()
    coco.img_ann_map, coco.cat_img_map = coco.imgToAnns, coco.catToImgs
    return coco


def drop_reasons(
    content: Content, samples: Iterable[Mapping[str, Any]], classes: list[str]
) -> Counter[str]:
    """Count the annotations that a dataset drops, by reason.

    Args:
        content: Content of the annotation file.
        samples: Samples of the dataset, with boxes as corners.
        classes: Classes of the dataset.
    """
    kept: Counter[Any] = Counter(
        (sample["img_id"], *instance["bbox"])
        for sample in samples
        for instance in sample["instances"]
    )
    names = {category["id"]: category["name"] for category in content["categories"]}
    images = {image["id"]: image for image in content["images"]}
    reasons: Counter[str] = Counter()
    for annotation in content["annotations"]:
        x, y, w, h = annotation["bbox"]
        place = (annotation["image_id"], x, y, x + w, y + h)
        if kept[place]:
            kept[place] -= 1
            continue
        image = images[annotation["image_id"]]
        oddities = {
            "marked to be ignored": annotation.get("ignore"),
            "of an unknown category": names[annotation["category_id"]] not in classes,
            "of area <= 0": annotation["area"] <= 0,
            "less than 1 pixel wide or high": w < 1 or h < 1,
            "outside their image": not (
                x < image["width"] and y < image["height"] and x + w > 0 and y + h > 0
            ),
        }
        reasons[next((text for text, odd in oddities.items() if odd), "other")] += 1
    return reasons

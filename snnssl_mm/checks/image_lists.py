"""Checks of image lists, and of images in folders that a dataset does not use."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from snnssl_mm.datasets.data_error import DataError, shortened
from snnssl_mm.datasets.image_files import list_images
from snnssl_mm.datasets.label_file import BYTE_ORDER_MARKS, read_annotation_file

TAB = re.compile(r"\t\S+$")
MANY = 100_000  # listing a folder of more images once more takes seconds


def require_valid_list(dataset: Any) -> None:
    """Require a valid text file that lists images for mmpretrain or mmseg.

    Raises:
        DataError: Names the file, the line and what is expected.
    """
    file = Path(dataset.ann_file)
    content = file.read_bytes()
    if any(content.startswith(mark) for mark in BYTE_ORDER_MARKS):
        raise DataError(
            f"{file} begins with a byte order mark, which would become part of the "
            "first path; save it as UTF-8 without one (or use snnssl_mm.ImageFolder "
            "for a classifier, which accepts it)"
        )
    try:
        found = read_annotation_file(file, getattr(dataset, "with_label", False))
    except ValueError as error:
        raise DataError(str(error)) from error
    lines = content.decode().splitlines()
    blank = next((n for n, line in enumerate(lines, 1) if not line.strip()), None)
    if blank or not found:
        raise DataError(f"Line {blank or 1} of {file} is empty; remove it")
    tabs = [n for n, line in enumerate(lines, 1) if TAB.search(line.rstrip())]
    if tabs and getattr(dataset, "with_label", False):
        raise DataError(
            f"Line {tabs[0]} of {file} has a tab before the label; replace it by a "
            "blank, as mmpretrain expects (snnssl_mm.ImageFolder accepts both)"
        )


def left_in_folders(
    dataset: Any, listed: Sequence[Mapping[str, Any]], where: str
) -> list[str]:
    """Count the images and masks in a dataset's folders that it does not use.

    Returns:
        Lines for the log; none for datasets with a list of files.
    """
    if dataset.ann_file or len(listed) > MANY:
        return []
    taken = {
        str(Path(info[key]))
        for info in listed
        for key in ("img_path", "seg_map_path")
        if info.get(key)
    }
    lines = []
    for key, folder in dataset.data_prefix.items():
        if not folder:
            continue
        images = list_images(folder).images
        if key == "seg_map_path":  # the folder may have previews and other masks
            images = [name for name in images if name.endswith(dataset.seg_map_suffix)]
        left = [name for name in images if str(Path(folder, name)) not in taken]
        if left:
            kinds = Counter(Path(name).suffix for name in left)
            counts = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common(6))
            lines.append(
                f"warning: {where}: {len(left)} of {len(images)} images of {folder} "
                f"are not used: {counts}, first {left[0]}"
            )
    return lines


def check_class_labels(
    infos: Sequence[Mapping[str, Any]], heads: Mapping[str, int], where: str
) -> list[str]:
    """Check that the labels of all images are classes of a classifier.

    Returns:
        Lines for the log.

    Raises:
        DataError: If some are not; gives their number and the first image.
    """
    found = [(i["gt_label"], i) for i in infos if isinstance(i.get("gt_label"), int)]
    if not found or not heads:
        return []
    head, count = next(iter(heads.items()))
    wrong = [(label, info) for label, info in found if not 0 <= label < count]
    if wrong:
        label, info = wrong[0]
        shifted = min(label for label, _ in found) == 1
        raise DataError(
            f"{len(wrong)} of {len(found)} images of {where} have a label outside of 0 "
            f"to {count - 1}, first {info.get('img_path')} with {label}; "
            + ("number the classes from 0, or " if shifted else "")
            + f"correct the labels or {head}={count}"
        )
    absent = sorted(set(range(count)) - {label for label, _ in found})
    if not absent or not where.startswith("train"):
        return []
    return [f"warning: {where}: no image has the label {shortened(absent)}"]

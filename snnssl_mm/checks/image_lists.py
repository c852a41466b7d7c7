"""Lists of images, and the folders that they lie in: what of them is not taken."""

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


def check_list(dataset: Any) -> None:
    """Check the text file by which mmpretrain or mmseg lists images.

    Raises:
        DataError: It names the file, the line and what is expected.
    """
    file = Path(dataset.ann_file)
    content = file.read_bytes()
    if any(content.startswith(mark) for mark in BYTE_ORDER_MARKS):
        raise DataError(
            f"{file} begins with a byte order mark, which would become a part of the "
            "first path; save it as UTF-8 without one (a classifier may also take "
            "snnssl_mm.ImageFolder, which reads it)"
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
            f"Line {tabs[0]} of {file} has a tab before the label; mmpretrain expects "
            "a blank (snnssl_mm.ImageFolder takes both)"
        )


def left_in_folders(
    dataset: Any, listed: Sequence[Mapping[str, Any]], where: str
) -> list[str]:
    """Count the images and masks of a dataset's folders that it does not take.

    Returns:
        Lines for the log; none for datasets with a list of their files.
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
        if key == "seg_map_path":  # among previews and masks of other kinds
            images = [name for name in images if name.endswith(dataset.seg_map_suffix)]
        left = [name for name in images if str(Path(folder, name)) not in taken]
        if left:
            kinds = Counter(Path(name).suffix for name in left)
            counts = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common(6))
            lines.append(
                f"warning: {where}: {len(left)} of {len(images)} images of {folder} "
                f"are passed over: {counts}, first {left[0]}"
            )
    return lines


def check_class_labels(
    infos: Sequence[Mapping[str, Any]], heads: Mapping[str, int], where: str
) -> list[str]:
    """Compare the labels of all images with the number of a classifier's classes.

    Returns:
        Lines for the log.

    Raises:
        DataError: It counts the labels that are none and names the first image.
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
            f"{len(wrong)} of {len(found)} images of {where} have a label that is none "
            f"of 0 to {count - 1}, first {info.get('img_path')} with {label}; "
            + ("number the classes from 0, or " if shifted else "")
            + f"correct the labels or {head}={count}"
        )
    absent = sorted(set(range(count)) - {label for label, _ in found})
    if not absent or not where.startswith("train"):
        return []
    return [f"warning: {where}: no image has the label {shortened(absent)}"]

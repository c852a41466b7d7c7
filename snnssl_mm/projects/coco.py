"""Annotated objects in COCO format: reading, splitting, writing, cropping."""

from __future__ import annotations

import json
import os
import re
import statistics
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from snnssl_mm.checks.coco_structure import require_valid_entries
from snnssl_mm.datasets.loading import decode_file
from snnssl_mm.projects.coco_rows import fill_annotations
from snnssl_mm.projects.sizes import shown_size

OBJECT_MARGIN = 1.2  # side of the cropped square, in longer sides of the box
OBJECTS_PER_CLASS = 300  # largest number of cropped objects, to balance the classes


@dataclass
class Coco:
    """Content of a COCO file, and the paths of its images.

    Attributes:
        content: ``images``, ``annotations`` and ``categories``.
        files: Path of each image by its id.
    """

    content: dict[str, Any]
    files: dict[int, Path]

    def part(self, files: set[Path]) -> Coco:
        """Return the annotations of some of the images."""
        kept = {number: file for number, file in self.files.items() if file in files}
        images = [row for row in self.content["images"] if row["id"] in kept]
        rows = [row for row in self.content["annotations"] if row["image_id"] in kept]
        return Coco({**self.content, "images": images, "annotations": rows}, kept)

    def classes(self) -> dict[int, str]:
        """Return the names of the categories by id, in the order of the file."""
        return {row["id"]: str(row["name"]) for row in self.content["categories"]}

    def objects(self) -> Iterator[dict[str, Any]]:
        """Yield the annotations of single objects (no crowds) with non-empty boxes."""
        for row in self.content["annotations"]:
            if not row["iscrowd"] and min(row["bbox"][2:]) >= 1:
                yield row

    def images_with_objects(self) -> set[Path]:
        """Return the images with at least one of :meth:`objects`."""
        return {self.files[row["image_id"]] for row in self.objects()}

    def annotated(self) -> int:
        """Count the images that mmdet keeps with ``filter_empty_gt``."""
        return len({row["image_id"] for row in self.content["annotations"]})

    def without_outlines(self) -> Coco:
        """Return the annotations without ``segmentation``."""
        rows = [
            {key: value for key, value in row.items() if key != "segmentation"}
            for row in self.content["annotations"]
        ]
        return Coco({**self.content, "annotations": rows}, self.files)

    def has_masks(self) -> bool:
        """Tell whether all objects have outlines or masks."""
        found = [bool(row.get("segmentation")) for row in self.objects()]
        return bool(found) and all(found)

    def smallest_object_side(self) -> float:
        """Return the median side in pixels of the class with the smallest objects."""
        sides: dict[int, list[float]] = {}
        for row in self.objects():
            width, height = row["bbox"][2:]
            sides.setdefault(row["category_id"], []).append((width * height) ** 0.5)
        return min(statistics.median(values) for values in sides.values())

    def summary(self) -> str:
        """Summarise the number of objects of each class."""
        names = self.classes()
        counts = Counter(names[row["category_id"]] for row in self.objects())
        most = [f"{name} ({count})" for name, count in counts.most_common(8)]
        more = f" and {len(counts) - 8} more classes" if len(counts) > 8 else ""
        kind = "boxes and masks" if self.has_masks() else "boxes"
        return f"{kind}: {', '.join(most)}{more}"

    def write(self, file: Path, root: Path) -> None:
        """Write the annotations with paths relative to ``root``."""
        images = [
            {**row, "file_name": self.files[row["id"]].relative_to(root).as_posix()}
            for row in self.content["images"]
        ]
        content = {**self.content, "images": images}
        file.write_text(json.dumps(content) + "\n")

    def write_crops(self, folder: Path, side: int) -> int:
        """Write objects as square images of ``side`` pixels, one folder per class.

        Returns:
            int: Number of crops, at most 300 per class, evenly spread over the file.

        Raises:
            ValueError: If an image cannot be read.
        """
        names, by_class = self.classes(), dict[int, list[dict[str, Any]]]()
        for row in self.objects():
            by_class.setdefault(row["category_id"], []).append(row)
        chosen: dict[int, list[dict[str, Any]]] = {}
        for rows in by_class.values():
            count = min(len(rows), OBJECTS_PER_CLASS)
            for index in np.linspace(0, len(rows) - 1, count).astype(int):
                row = rows[index]
                chosen.setdefault(row["image_id"], []).append(row)
        written = 0
        for number, rows in sorted(chosen.items()):
            image = read_pixels(self.files[number])
            for row in rows:
                class_folder = folder / safe_name(names[row["category_id"]])
                class_folder.mkdir(parents=True, exist_ok=True)
                crop = crop_square(image, row["bbox"], side)
                written += cv2.imwrite(str(class_folder / f"{row['id']}.png"), crop)
        return written


def read_pixels(file: Path) -> np.ndarray:
    """Read an image as the training does, BGR.

    Raises:
        ValueError: If it cannot be read.
    """
    try:
        return decode_file(file.read_bytes())
    except Exception as error:  # damaged bytes make Pillow raise any kind of error
        raise ValueError(
            f"{file} cannot be read ({error}); replace or remove it"
        ) from None


def safe_name(name: str) -> str:
    """Return a folder name for the name of a class."""
    return re.sub(r"[^\w .+-]", "_", name).strip(" .") or "_"


def crop_square(image: np.ndarray, box: list[float], side: int) -> np.ndarray:
    """Crop a square around a box, shifted to lie inside the image, and resize it."""
    height, width = image.shape[:2]
    x, y, w, h = box
    length = int(min(max(OBJECT_MARGIN * max(w, h), 4), width, height))
    left = int(np.clip(x + w / 2 - length / 2, 0, width - length))
    top = int(np.clip(y + h / 2 - length / 2, 0, height - length))
    cut = image[top : top + length, left : left + length]
    how = cv2.INTER_AREA if length > side else cv2.INTER_LINEAR
    resized: np.ndarray = cv2.resize(cut, (side, side), interpolation=how)
    return resized


def read_coco_file(file: Path, images: list[Path], root: Path) -> Coco:
    """Read a COCO file, find its images, and fill what exporters omit.

    Args:
        file: The annotation file.
        images: Images in which those of the file are searched.
        root: Their folder.

    Raises:
        ValueError: If it is not a COCO file, has no annotations or an invalid entry, or
            images are missing or ambiguous.
    """
    try:
        content = json.loads(file.read_bytes())
        rows = content["images"]
        names = {row["id"]: str(row["file_name"]) for row in rows}
        known = {row["id"] for row in content["categories"]}
        used = {row["category_id"] for row in content["annotations"]}
        for row in content["annotations"]:
            hash((row.get("id"), row.get("image_id")))  # lists cannot be ids
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{file} is not a COCO annotation file ({type(error).__name__}: {error}); "
            "expected images, annotations and categories"
        ) from None
    if not used or not used <= known:
        unknown = min(used - known, key=str, default=None)
        what = "no annotations"
        if used:
            what = f"the category {unknown!r}, which is not among its categories"
        raise ValueError(f"{file} has {what}; export it again")
    endings: dict[str, list[Path]] = {}
    for image in images:
        endings.setdefault(image.name, []).append(image)
    files = {n: find_image(name, endings, root, file) for n, name in names.items()}
    missing = [names[number] for number, path in files.items() if path is None]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(files)} images of {file} are not below {root}, "
            f"such as {missing[0]}; give their folder, or correct file_name"
        )
    present = {number: path for number, path in files.items() if path}
    for row in rows:
        if not (row.get("width") and row.get("height")):
            row["width"], row["height"] = shown_size(present[row["id"]])
    fill_annotations(content)
    require_valid_entries(content, str(file))
    return Coco(content, present)


def find_image(
    name: str, endings: dict[str, list[Path]], root: Path, source: Path
) -> Path | None:
    """Find the image of a ``file_name`` anywhere below ``root``.

    Among several candidates, prefers the exact path, then a folder whose name is part
    of the annotation file's name (``train2017``), then the nearest to that file.

    Raises:
        ValueError: If two different files are equally good.
    """
    name = name.replace("\\", "/")
    candidates = endings.get(name.rpartition("/")[2], [])
    words = set(re.split(r"[\W_]+", source.stem))

    def nearness(path: Path) -> tuple[bool, bool, bool, int, int]:
        exact = path == root / name
        ending = path.as_posix().endswith(f"/{name}")
        named = bool(words & set(path.relative_to(root).parts[:-1]))
        shared = len(Path(os.path.commonpath([path, source])).parts)
        return exact, ending, named, shared, -len(path.parts)

    if not candidates:
        return None
    best = max(map(nearness, candidates))
    first, *others = (path for path in candidates if nearness(path) == best)
    if other := next((path for path in others if not path.samefile(first)), None):
        raise ValueError(
            f"the image {name} of {source} may be {first} or {other}; expected one "
            "image: write its folder into file_name, or give the folder of one of them"
        )
    return first

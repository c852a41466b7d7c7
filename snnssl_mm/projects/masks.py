"""Masks of images: pairing, numbering of classes from 0, writing for mmseg."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from snnssl_mm.projects.coco import Coco
from snnssl_mm.projects.sizes import shown_size

IGNORED = 255  # mmseg's ignore_index
MAX_CLASSES = 250
Value = int | tuple[int, ...]
Mask = Path | tuple[Coco, int]
"""A mask: a file, or the COCO content and image id from which it is drawn."""


def pair_masks(
    images: list[Path], root: Path, folder: Path
) -> tuple[dict[Path, Mask], list[Path]]:
    """Find the mask of each image by path or name, ignoring the suffix.

    Endings such as ``_mask`` or ``-label`` are ignored, too. A mask that several images
    could have is that of the image with its path, then of the one whose path ends with
    its path, then of the nearest.

    Returns:
        The mask of each image that has one, and the images that have none because their
        mask is another image's, or could be.

    Raises:
        ValueError: If no image has a mask.
    """
    found: dict[Path, Mask] = {}
    claimed: list[Path] = []
    for mask, claims in claims_of_masks(images, root, folder).items():
        claimed += claims
        best = max(claims.values())
        winners = [image for image, closeness in claims.items() if closeness == best]
        if len(winners) == 1:
            found[winners[0]] = mask
    if found:
        return found, [image for image in claimed if image not in found]
    expected = "files of the same names in a lossless format such as .png (not .jpg)"
    if claimed:
        expected = (
            f"one image for each mask, but the name of {claimed[0]} is that of several "
            "images: name the folders of the masks as those of the images"
        )
    raise ValueError(
        f"none of the {len(images)} images in {root} has a mask in {folder}; expected "
        f"{expected}"
    )


def claims_of_masks(
    images: list[Path], root: Path, folder: Path
) -> dict[Path, dict[Path, tuple[bool, bool, int]]]:
    """Find the images that each mask could belong to, and how close they are.

    Returns:
        For each mask: whether the paths of image and mask are equal, whether the
        image's ends with the mask's, and the number of folders that both are in.
    """
    by_path: dict[str, Path] = {}
    by_name: dict[str, set[Path]] = {}
    masks = sorted(path for path in folder.rglob("*") if is_mask(path, folder))
    for shorten in (str, image_stem):  # a mask of exactly the image's name goes first
        for mask in masks:
            name = shorten(mask.stem)
            path = (mask.relative_to(folder).parent / name).as_posix()
            by_path.setdefault(path, mask)
            by_name.setdefault(name, set()).add(mask)
    claims: dict[Path, dict[Path, tuple[bool, bool, int]]] = {}
    for image in images:
        parts = image.relative_to(root).with_suffix("").parts
        paths = ["/".join(parts[start:]) for start in range(len(parts))]
        same = next((by_path[path] for path in paths if path in by_path), None)
        candidates = {same} if same else by_name.get(image.stem, set())
        if len(candidates) == 1:
            (mask,) = candidates
            shared = len(Path(os.path.commonpath([image, mask])).parts)
            closeness = paths[0] in by_path, same is not None, shared
            claims.setdefault(mask, {})[image] = closeness
    return claims


def is_mask(path: Path, folder: Path) -> bool:
    """Tell whether a file can be a mask: a visible image in a lossless format."""
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    suffixes = (".png", ".tif", ".tiff", ".bmp", ".gif")
    return path.is_file() and path.suffix.lower() in suffixes and not hidden


def image_stem(stem: str) -> str:
    """Return the image's stem for a mask's stem, without endings such as ``_mask``."""
    for ending in ("mask", "masks", "label", "labels", "labelIds", "gt", "seg"):
        for separator in "_-.":
            stem = stem.removesuffix(separator + ending)
    return stem


def read_mask(mask: Mask) -> np.ndarray:
    """Read a mask: integers ``[H, W]``, or colours ``[H, W, 3]``.

    Raises:
        ValueError: If it cannot be read.
    """
    if isinstance(mask, tuple):
        return draw_mask(*mask)
    try:
        with Image.open(mask) as image:
            grey = image.mode in ("1", "L", "P") or image.mode.startswith("I")
            pixels = np.asarray(image if grey else image.convert("RGB"))
    except Exception as error:  # damaged bytes make Pillow raise any kind of error
        raise ValueError(f"{mask} cannot be read ({error}); replace it") from None
    return pixels.astype(np.int64)


def draw_mask(coco: Coco, number: int) -> np.ndarray:
    """Draw an image's objects, large ones first: 0 is background, then the classes.

    Raises:
        ValueError: If a segmentation is malformed.
    """
    from pycocotools import mask as coco_mask

    (row,) = (row for row in coco.content["images"] if row["id"] == number)
    size = row["height"], row["width"]
    classes = {key: 1 + index for index, key in enumerate(coco.classes())}
    canvas = np.zeros(size, np.int64)
    rows = [row for row in coco.objects() if row["image_id"] == number]
    for row in sorted(rows, key=lambda row: -row["bbox"][2] * row["bbox"][3]):
        shape = row["segmentation"]
        try:
            encoded = isinstance(shape, dict) and not isinstance(shape["counts"], list)
            codes = shape if encoded else coco_mask.frPyObjects(shape, *size)
            codes = codes if isinstance(codes, list) else [codes]
            canvas[coco_mask.decode(coco_mask.merge(codes)).astype(bool)] = classes[
                row["category_id"]
            ]
        except Exception as error:  # pycocotools raises many kinds of errors
            raise ValueError(
                f"the segmentation of the annotation {row.get('id')} of "
                f"{coco.files[number]} cannot be drawn ({error}); expected polygons of "
                "three points or more, or RLE of the image's size: export it again"
            ) from None
    return canvas


def values_of(masks: Iterable[Mask]) -> Counter[Value]:
    """Count the pixels of each value in masks (integers, or colours as triples).

    Raises:
        ValueError: If there are more than 250 values, as in photographs.
    """
    counts: Counter[Value] = Counter()
    for mask in masks:
        pixels = read_mask(mask)
        keys = pixels
        if pixels.ndim == 3:
            keys = (pixels[..., 0] * 256 + pixels[..., 1]) * 256 + pixels[..., 2]
        found, numbers = np.unique(keys, return_counts=True)
        for key, number in zip(found.tolist(), numbers.tolist(), strict=True):
            value = (key >> 16, key >> 8 & 255, key & 255) if pixels.ndim == 3 else key
            counts[value] += number
        if len(counts) > MAX_CLASSES + 1:
            raise ValueError(
                f"the masks up to {mask} have more than {MAX_CLASSES} values; expected "
                "one value or colour per class: check that these files are masks"
            )
    return counts


def number_classes(values: Iterable[Value]) -> dict[Value, int]:
    """Number the values of masks from 0; 255 means unlabelled.

    If 0 and 255 are the only values, they are two classes.
    """
    ordered = sorted(values, key=lambda value: (isinstance(value, tuple), value))
    numbers = [value for value in ordered if value != IGNORED]
    if len(numbers) < 2:
        numbers = ordered
    table = {value: index for index, value in enumerate(numbers)}
    colours = any(isinstance(value, tuple) for value in table)
    return table if IGNORED in table or colours else {**table, IGNORED: IGNORED}


def write_masks(
    masks: Mapping[Path, Mask], table: dict[Value, int], root: Path, folder: Path
) -> None:
    """Write masks of class numbers, named by the image's path plus ``.png``.

    Raises:
        ValueError: If a mask and its image have different sizes.
    """
    for image, mask in masks.items():
        pixels = read_mask(mask)
        size = shown_size(image)
        if pixels.shape[1::-1] != size:
            raise ValueError(
                f"{mask} has {pixels.shape[1]}x{pixels.shape[0]} pixels, but {image} "
                f"{size[0]}x{size[1]}; expected the same size: export the masks again"
            )
        classes = np.full(pixels.shape[:2], IGNORED, np.uint8)
        for value, number in table.items():
            same: Any = pixels == np.asarray(value)
            if pixels.ndim == 3:
                same = same.all(-1)
            classes[same] = number
        file = folder / f"{image.relative_to(root).as_posix()}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), classes)

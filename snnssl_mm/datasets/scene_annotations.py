"""Annotations of scenes with several digits, and the stock datasets that read them.

One folder has both kinds, COCO's (boxes and masks) and ADE20K's (label images), so that
mmdet's ``CocoDataset`` and mmseg's ``BaseSegDataset`` can read it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from snnssl_mm.datasets.generated_folder import SPLITS

DIGITS = tuple("0123456789")
FOLDERS = {"train": "training", "test": "validation"}
"""ADE20K's names of the splits."""

UNLABELLED, BACKGROUND, FIRST_DIGIT = 0, 1, 2
"""Values of the label images, numbered as in ADE20K: 0 is ignored."""

PALETTE = [
    [0, 0, 0], [31, 119, 180], [255, 127, 14], [44, 160, 44], [214, 39, 40],
    [148, 103, 189], [140, 86, 75], [227, 119, 194], [127, 127, 127], [188, 189, 34],
    [23, 190, 207],
]  # fmt: skip

Scene = TypeVar("Scene")
Generate = Callable[..., Path]


class Instance(NamedTuple):
    """One digit of a scene: its label and its boolean mask ``[H, W]``."""

    label: int
    mask: np.ndarray

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Tight box (x, y, width, height) in pixels."""
        return tuple(cv2.boundingRect(self.mask.astype(np.uint8)))


class Room:
    """Space on a canvas that no box of a digit takes, nor the pixels around it.

    Args:
        size: Side of the canvas in pixels.
    """

    def __init__(self, size: int) -> None:
        self.taken = np.zeros((size, size), bool)

    def take(self, box: tuple[int, int, int, int]) -> bool:
        """Take the space of a box, if it is free; tell whether it was."""
        x, y, width, height = box
        if self.taken[
            max(y - 1, 0) : y + height + 1, max(x - 1, 0) : x + width + 1
        ].any():
            return False
        self.taken[y : y + height, x : x + width] = True
        return True


def write_annotated(
    root: Path,
    split: str,
    scenes: Iterable[tuple[Scene, list[Instance]]],
    media: str,
    suffix: str,
    save: Callable[[Path, Scene], object],
) -> int:
    """Write the scenes of one split with both kinds of annotation.

    Scenes go to ``root/MEDIA/{training,validation}``, label images to
    ``root/annotations/{training,validation}``, and COCO's annotations to
    ``root/annotations/instances_{training,validation}.json``.

    Args:
        root: Folder to write into.
        split: ``'train'`` or ``'test'``.
        scenes: Scenes and their digits, at least one each.
        media: Name of the folder of the scenes, such as ``'images'``.
        suffix: Ending of their files.
        save: Writes one scene to a file.

    Returns:
        The number of digits.

    Raises:
        OSError: If a label image cannot be written.
    """
    media_folder = root / media / FOLDERS[split]
    labels_folder = root / "annotations" / FOLDERS[split]
    media_folder.mkdir(parents=True)
    labels_folder.mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index, (scene, instances) in enumerate(scenes):
        name = f"{index:05d}{suffix}"
        height, width = instances[0].mask.shape
        images.append(dict(id=index, file_name=name, height=height, width=width))
        label_image = np.full((height, width), BACKGROUND, np.uint8)
        for instance in instances:
            label_image[instance.mask] = FIRST_DIGIT + instance.label
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=index,
                    category_id=instance.label + 1,
                    bbox=instance.box,
                    area=int(instance.mask.sum()),
                    iscrowd=0,
                    segmentation=run_lengths(instance.mask),
                )
            )
        save(media_folder / name, scene)
        save_image(labels_folder / f"{index:05d}.png", label_image)
    categories = [dict(id=i + 1, name=name) for i, name in enumerate(DIGITS)]
    coco = dict(images=images, annotations=annotations, categories=categories)
    file = root / "annotations" / f"instances_{FOLDERS[split]}.json"
    file.write_text(json.dumps(coco))
    return len(annotations)


def run_lengths(mask: np.ndarray) -> dict[str, Any]:
    """Encode a boolean mask ``[H, W]`` as COCO's compressed run lengths."""
    encoded: dict[str, Any] = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {**encoded, "counts": encoded["counts"].decode()}


def save_image(file: Path, image: np.ndarray) -> None:
    """Write an image.

    Raises:
        OSError: If it cannot be written.
    """
    if not cv2.imwrite(str(file), image):
        raise OSError(f"Cannot write to {file.parent}: is the disk full?")


def generate_by_options(
    generate: Generate, data_root: str, split: str, options: dict[str, Any]
) -> Path:
    """Generate scenes; remove the arguments for it from ``options``.

    Raises:
        ValueError: If the split is unknown.
    """
    if split not in SPLITS:
        raise ValueError(f"multi-digit scenes have the splits {SPLITS}, got {split!r}")
    known = ("size", "num_train", "num_test", "seed")
    return generate(data_root, **{k: options.pop(k) for k in known if k in options})


def coco_dataset(root: Path, split: str, media: str, **kwargs: Any) -> Any:
    """Build mmdet's ``CocoDataset`` of one split, see :func:`write_annotated`."""
    from mmdet.datasets import CocoDataset  # pretraining does not need mmdet

    return CocoDataset(
        data_root=str(root),
        ann_file=f"annotations/instances_{FOLDERS[split]}.json",
        data_prefix=dict(img=f"{media}/{FOLDERS[split]}"),
        metainfo=dict(classes=DIGITS, palette=[tuple(c) for c in PALETTE[1:]]),
        **kwargs,
    )


def ade_dataset(root: Path, split: str, media: str, suffix: str, **kwargs: Any) -> Any:
    """Build mmseg's ``BaseSegDataset`` of one split, see :func:`write_annotated`.

    The classes are the background and 10 digits.
    """
    from mmseg.datasets import BaseSegDataset

    return BaseSegDataset(
        img_suffix=suffix,
        seg_map_suffix=".png",
        reduce_zero_label=True,
        data_root=str(root),
        data_prefix=dict(
            img_path=f"{media}/{FOLDERS[split]}",
            seg_map_path=f"annotations/{FOLDERS[split]}",
        ),
        metainfo=dict(classes=("background", *DIGITS), palette=PALETTE),
        **kwargs,
    )

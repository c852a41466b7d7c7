"""Multi-digit scenes: several handwritten digits per scene, for detection and masks.

They extend the digit scenes of the pretraining to a larger canvas, with the same split
and sizes of digits, clutter and noise. One folder has both kinds of annotation, COCO's
(boxes and masks) and ADE20K's (label images), so that mmdet's ``CocoDataset`` and
mmseg's ``BaseSegDataset`` can read it.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from snnssl_mm.datasets.digit_scenes import SPLITS, split_digits
from snnssl_mm.datasets.generated_folder import generate_once
from snnssl_mm.datasets.scene_drawing import (
    COVERAGE,
    draw_clutter,
    finish,
    place_digit,
    random_placement,
)
from snnssl_mm.recording.progress import progress
from snnssl_mm.registry import DATASETS

GENERATOR_VERSION = 1
"""Version of the generator; incremented if the same parameters give other scenes."""

UNIT = 16
"""Side of a pretraining scene in pixels, the unit of digit and clutter sizes."""

MAX_DIGITS = 6
ATTEMPTS = 20
"""Number of random placements tried before an overlapping digit is left out."""

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


class Instance(NamedTuple):
    """One digit of a scene: its label and its boolean mask ``[size, size]``."""

    label: int
    mask: np.ndarray

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Tight box (x, y, width, height) in pixels."""
        return tuple(cv2.boundingRect(self.mask.astype(np.uint8)))


def iter_multi_digit_scenes(
    split: str, count: int, size: int = 48, seed: int = 0
) -> Iterator[tuple[np.ndarray, list[Instance]]]:
    """Yield scenes; scene ``i`` depends on the split, the seed and ``i`` only.

    Args:
        split: ``'train'`` or ``'test'``.
        count: Number of scenes.
        size: Side of the canvas in pixels.
        seed: Seed of the digits' split and of the drawing.

    Yields:
        tuple: uint8 scene of shape ``[size, size]`` and its 1 to 6 digits, whose
        boxes do not touch.
    """
    digits, labels = split_digits(split, seed)
    low, high = (share * UNIT / size for share in COVERAGE)
    for index in range(count):
        rng = np.random.default_rng((seed, 2 + SPLITS.index(split), index))
        canvas = np.zeros((size, size), np.float32)
        taken = np.zeros((size, size), bool)
        instances = []
        for chosen in rng.integers(len(digits), size=rng.integers(2, MAX_DIGITS + 1)):
            for _ in range(ATTEMPTS):
                placement = random_placement(digits[chosen], rng, (low, high))
                drawn, mask = place_digit(digits[chosen], placement, size)
                instance = Instance(int(labels[chosen]), mask)
                x, y, width, height = instance.box
                room = taken[
                    max(y - 1, 0) : y + height + 1, max(x - 1, 0) : x + width + 1
                ]
                if not room.any():
                    taken[y : y + height, x : x + width] = True
                    canvas = np.maximum(canvas, drawn)
                    instances.append(instance)
                    break
        strokes = 3 * (size // UNIT) ** 2
        canvas = np.maximum(canvas, draw_clutter(size, rng, strokes, unit=UNIT))
        yield finish(canvas, rng), instances


def generate_multi_digit_scenes(
    root: str | Path,
    size: int = 48,
    num_train: int = 400,
    num_test: int = 200,
    seed: int = 0,
) -> Path:
    """Write multi-digit scenes with both annotations, unless they exist already.

    The layout is that of ADE20K, ``root/{images,annotations}/{training,validation}``
    with label images (0 unlabelled, 1 background, 2 to 11 the digits), and COCO's
    ``root/annotations/instances_{training,validation}.json`` for the same images. See
    :func:`generate_once`.

    Args:
        root: Folder to write.
        size: Side of the canvas in pixels, at least 32.
        num_train: Number of training scenes.
        num_test: Number of test scenes.
        seed: Seed of the digits' split and of the drawing.

    Returns:
        pathlib.Path: ``root``.

    Raises:
        ValueError: If the size or a count is too small.
        FileExistsError: If ``root`` contains other scenes or other files.
    """
    if size < 2 * UNIT or min(num_train, num_test) < 1:
        raise ValueError(
            f"Multi-digit scenes need size >= {2 * UNIT} and at least one scene per "
            f"split, got size={size}, num_train={num_train}, num_test={num_test}"
        )
    counts = {"train": num_train, "test": num_test}
    asked: dict[str, Any] = {"generator_version": GENERATOR_VERSION, "size": size}
    asked |= {"num_train": num_train, "num_test": num_test, "seed": seed}

    def write(folder: Path) -> dict[str, Any]:
        digits = [
            _write_split(
                folder, split, iter_multi_digit_scenes(split, count, size, seed), count
            )
            for split, count in counts.items()
        ]
        return {"digits": dict(zip(counts, digits, strict=True))}

    return generate_once(root, "multi-digit scenes", asked, write)


def _write_split(
    root: Path,
    split: str,
    scenes: Iterator[tuple[np.ndarray, list[Instance]]],
    count: int,
) -> int:
    """Write images and annotations of one split; return the number of digits."""
    images_folder = root / "images" / FOLDERS[split]
    labels_folder = root / "annotations" / FOLDERS[split]
    images_folder.mkdir(parents=True)
    labels_folder.mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    shown = progress(scenes, f"multi-digit scenes, {split}", count)
    for index, (scene, instances) in enumerate(shown):
        name = f"{index:05d}.png"
        height, width = scene.shape
        images.append(dict(id=index, file_name=name, height=height, width=width))
        label_image = np.full_like(scene, BACKGROUND)
        for instance in instances:
            label_image[instance.mask] = FIRST_DIGIT + instance.label
            run_lengths = coco_mask.encode(np.asfortranarray(instance.mask, np.uint8))
            run_lengths["counts"] = run_lengths["counts"].decode()
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=index,
                    category_id=instance.label + 1,
                    bbox=instance.box,
                    area=int(instance.mask.sum()),
                    iscrowd=0,
                    segmentation=run_lengths,
                )
            )
        image = cv2.cvtColor(scene, cv2.COLOR_GRAY2BGR)
        if not cv2.imwrite(str(images_folder / name), image) or not cv2.imwrite(
            str(labels_folder / name), label_image
        ):
            raise OSError(f"Cannot write to {images_folder}: is the disk full?")
    categories = [dict(id=i + 1, name=name) for i, name in enumerate(DIGITS)]
    coco = dict(images=images, annotations=annotations, categories=categories)
    file = root / "annotations" / f"instances_{FOLDERS[split]}.json"
    file.write_text(json.dumps(coco))
    return len(annotations)


def generate_by_options(data_root: str, split: str, options: dict[str, Any]) -> Path:
    """Generate the scenes; remove the arguments for it from ``options``."""
    if split not in SPLITS:
        raise ValueError(f"multi-digit scenes have the splits {SPLITS}, got {split!r}")
    known = ("size", "num_train", "num_test", "seed")
    return generate_multi_digit_scenes(
        data_root, **{k: options.pop(k) for k in known if k in options}
    )


@DATASETS.register_module(name="MultiDigitDetection")
def multi_digit_detection(
    data_root: str = "data/multi_digit_scenes", split: str = "train", **kwargs: Any
) -> Any:
    """Build multi-digit scenes as mmdet's ``CocoDataset``, generated on first use.

    Args:
        data_root: Folder of the scenes.
        split: ``'train'`` or ``'test'``.
        **kwargs: ``size``, ``num_train``, ``num_test`` and ``seed`` of
            :func:`generate_multi_digit_scenes`; the others go to
            :class:`mmdet.datasets.CocoDataset`.
    """
    from mmdet.datasets import CocoDataset  # pretraining does not need mmdet

    root = generate_by_options(data_root, split, kwargs)
    return CocoDataset(
        data_root=str(root),
        ann_file=f"annotations/instances_{FOLDERS[split]}.json",
        data_prefix=dict(img=f"images/{FOLDERS[split]}"),
        metainfo=dict(classes=DIGITS, palette=[tuple(c) for c in PALETTE[1:]]),
        **kwargs,
    )


@DATASETS.register_module(name="MultiDigitSegmentation")
def multi_digit_segmentation(
    data_root: str = "data/multi_digit_scenes", split: str = "train", **kwargs: Any
) -> Any:
    """Build multi-digit scenes as mmseg's ``BaseSegDataset``, generated on first use.

    The classes are the background and 10 digits.

    Args:
        data_root: Folder of the scenes.
        split: ``'train'`` or ``'test'``.
        **kwargs: ``size``, ``num_train``, ``num_test`` and ``seed`` of
            :func:`generate_multi_digit_scenes`; the others go to
            :class:`mmseg.datasets.BaseSegDataset`.
    """
    from mmseg.datasets import BaseSegDataset

    root = generate_by_options(data_root, split, kwargs)
    return BaseSegDataset(
        img_suffix=".png",
        seg_map_suffix=".png",
        reduce_zero_label=True,
        data_root=str(root),
        data_prefix=dict(
            img_path=f"images/{FOLDERS[split]}",
            seg_map_path=f"annotations/{FOLDERS[split]}",
        ),
        metainfo=dict(classes=("background", *DIGITS), palette=PALETTE),
        **kwargs,
    )

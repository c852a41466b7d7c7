"""Multi-digit scenes: several handwritten digits per scene, for detection and masks.

They extend the digit scenes of the pretraining to a larger canvas, with the same split
and sizes of digits, clutter and noise. One folder has both kinds of annotation, COCO's
(boxes and masks) and ADE20K's (label images), so that mmdet's ``CocoDataset`` and
mmseg's ``BaseSegDataset`` can read it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from snnssl_mm.datasets.digit_scenes import split_digits
from snnssl_mm.datasets.generated_folder import SPLITS, generate_splits
from snnssl_mm.datasets.scene_annotations import (
    Instance,
    Room,
    ade_dataset,
    coco_dataset,
    generate_by_options,
    save_image,
    write_annotated,
)
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
        room = Room(size)
        instances = []
        for chosen in rng.integers(len(digits), size=rng.integers(2, MAX_DIGITS + 1)):
            for _ in range(ATTEMPTS):
                placement = random_placement(digits[chosen], rng, (low, high))
                drawn, mask = place_digit(digits[chosen], placement, size)
                instance = Instance(int(labels[chosen]), mask)
                if room.take(instance.box):
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
    :func:`.generated_folder.generate_once`.

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

    def write(folder: Path, split: str, count: int) -> int:
        samples = iter_multi_digit_scenes(split, count, size, seed)
        shown = progress(samples, f"multi-digit scenes, {split}", count)
        return write_annotated(
            folder, split, shown, media="images", suffix=".png", save=_save
        )

    return generate_splits(
        root,
        "multi-digit scenes",
        GENERATOR_VERSION,
        write,
        size=size,
        num_train=num_train,
        num_test=num_test,
        seed=seed,
        entry="digits",
    )


def _save(file: Path, scene: np.ndarray) -> None:
    save_image(file, cv2.cvtColor(scene, cv2.COLOR_GRAY2BGR))


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
    root = generate_by_options(generate_multi_digit_scenes, data_root, split, kwargs)
    return coco_dataset(root, split, "images", **kwargs)


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
    root = generate_by_options(generate_multi_digit_scenes, data_root, split, kwargs)
    return ade_dataset(root, split, "images", ".png", **kwargs)

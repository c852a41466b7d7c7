"""Multi-digit events: several digits per recording, for detection and masks.

They extend the digit events of the pretraining to a larger sensor, with the same split
and sizes of digits, motion and camera. Boxes and masks are those of the digits at their
mean position; the digits move around it by up to five pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from snnssl_mm.datasets.events.digit_events import (
    MAX_SIZE,
    save,
    split_integer_digits,
)
from snnssl_mm.datasets.events.digit_scene import DigitSceneRecorder
from snnssl_mm.datasets.events.recording import Recording
from snnssl_mm.datasets.generated_folder import SPLITS, generate_splits
from snnssl_mm.datasets.multi_digit_scenes import ATTEMPTS, MAX_DIGITS
from snnssl_mm.datasets.scene_annotations import (
    Instance,
    Room,
    ade_dataset,
    coco_dataset,
    generate_by_options,
    write_annotated,
)
from snnssl_mm.recording.progress import progress
from snnssl_mm.registry import DATASETS

GENERATOR_VERSION = 1
"""Version of the generator; incremented if the same parameters give other events."""

UNIT = 32
"""Side of the sensor of the pretraining, the unit of digits, clutter and motion."""

STREAM = 6
"""First stream of random numbers of these recordings."""


def iter_multi_digit_events(
    split: str, count: int, size: int = 64, seed: int = 0
) -> Iterator[tuple[Recording, list[Instance]]]:
    """Yield recordings; number ``i`` depends on the split, the seed and ``i`` only.

    Args:
        split: ``'train'`` or ``'test'``.
        count: Number of recordings.
        size: Side of the sensor in pixels.
        seed: Seed of the digits' split, the camera and the scenes.

    Yields:
        tuple: A recording of about 315 ms and its 1 to 6 digits, whose boxes, at their
        mean positions, do not touch.
    """
    digits, labels = split_integer_digits(split, seed)
    recorder = DigitSceneRecorder(size, UNIT, seed)
    for index in range(count):
        rng = np.random.default_rng((seed, STREAM + SPLITS.index(split), index))
        room = Room(size)
        canvases, instances = [], []
        for chosen in rng.integers(len(digits), size=rng.integers(2, MAX_DIGITS + 1)):
            for _ in range(ATTEMPTS):
                placement = recorder.place(digits[chosen], rng)
                drawn = recorder.draw(digits[chosen], placement)
                instance = Instance(int(labels[chosen]), recorder.mask(drawn))
                if room.take(instance.box):
                    canvases.append(drawn)
                    instances.append(instance)
                    break
        yield recorder.record(canvases, rng), instances


def generate_multi_digit_events(
    root: str | Path,
    size: int = 64,
    num_train: int = 400,
    num_test: int = 200,
    seed: int = 0,
) -> Path:
    """Write multi-digit events with both annotations, unless they exist already.

    The layout is ``root/{recordings,annotations}/{training,validation}``, see
    :func:`write_annotated`; recordings have N-MNIST's format. See
    :func:`.generated_folder.generate_once`.

    Args:
        root: Folder to write.
        size: Side of the sensor in pixels, 32 to 240.
        num_train: Number of training recordings.
        num_test: Number of test recordings.
        seed: Seed of the digits' split, the camera and the scenes.

    Returns:
        pathlib.Path: ``root``.

    Raises:
        ValueError: If the size or a count is out of range.
        FileExistsError: If ``root`` contains other recordings or other files.
    """
    if not UNIT <= size <= MAX_SIZE or min(num_train, num_test) < 1:
        raise ValueError(
            f"multi-digit events need a size of {UNIT} to {MAX_SIZE} and at least one "
            f"recording per split, got size={size}, num_train={num_train}, "
            f"num_test={num_test}"
        )

    def write(folder: Path, split: str, count: int) -> int:
        samples = iter_multi_digit_events(split, count, size, seed)
        shown = progress(samples, f"multi-digit events, {split}", count)
        return write_annotated(
            folder, split, shown, media="recordings", suffix=".bin", save=save
        )

    return generate_splits(
        root,
        "multi-digit events",
        GENERATOR_VERSION,
        write,
        size=size,
        num_train=num_train,
        num_test=num_test,
        seed=seed,
        entry="digits",
    )


@DATASETS.register_module(name="MultiDigitEventDetection")
def multi_digit_event_detection(
    data_root: str = "data/multi_digit_events", split: str = "train", **kwargs: Any
) -> Any:
    """Build multi-digit events as mmdet's ``CocoDataset``, generated on first use.

    Args:
        data_root: Folder of the recordings.
        split: ``'train'`` or ``'test'``.
        **kwargs: ``size``, ``num_train``, ``num_test`` and ``seed`` of
            :func:`generate_multi_digit_events`; the others go to
            :class:`mmdet.datasets.CocoDataset`.
    """
    root = generate_by_options(generate_multi_digit_events, data_root, split, kwargs)
    return coco_dataset(root, split, "recordings", **kwargs)


@DATASETS.register_module(name="MultiDigitEventSegmentation")
def multi_digit_event_segmentation(
    data_root: str = "data/multi_digit_events", split: str = "train", **kwargs: Any
) -> Any:
    """Build multi-digit events as mmseg's ``BaseSegDataset``, generated on first use.

    The classes are the background and 10 digits.

    Args:
        data_root: Folder of the recordings.
        split: ``'train'`` or ``'test'``.
        **kwargs: ``size``, ``num_train``, ``num_test`` and ``seed`` of
            :func:`generate_multi_digit_events`; the others go to
            :class:`mmseg.datasets.BaseSegDataset`.
    """
    root = generate_by_options(generate_multi_digit_events, data_root, split, kwargs)
    return ade_dataset(root, split, "recordings", ".bin", **kwargs)

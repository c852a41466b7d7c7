"""Digit scenes: real handwritten digits, placed at random on larger canvases.

scikit-learn ships 1,797 images of handwritten digits, 8 x 8 pixels each. A scene shows
one of them at a random position on a canvas with mild clutter. Nothing has to be
downloaded. The random positions make raw pixels weak features, so that a benefit of
pretraining is visible. Digits of training scenes never appear in test scenes.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from snnssl_mm.datasets.generated_digits import GeneratedDigits, write_by_digit
from snnssl_mm.datasets.generated_folder import SPLITS, generate_splits
from snnssl_mm.datasets.scene_drawing import (
    draw_clutter,
    finish,
    place_digit,
    random_placement,
)
from snnssl_mm.recording.progress import progress
from snnssl_mm.registry import DATASETS

GENERATOR_VERSION = 1
"""Version of the generator; incremented if the same parameters give other scenes."""

TEST_SHARE = 0.25


def split_digits(split: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return the digits of one split; both splits have the same class proportions.

    Args:
        split: ``'train'`` (three quarters of all digits) or ``'test'`` (the rest).
        seed: Seed of the split.

    Returns:
        tuple: Intensities in [0, 1] of shape ``[N, 8, 8]`` and labels of shape ``[N]``.
    """
    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(
        np.arange(len(labels)), test_size=TEST_SHARE, stratify=labels, random_state=seed
    )
    chosen = parts[SPLITS.index(split)]
    return images[chosen].reshape(-1, 8, 8) / 16.0, labels[chosen]


def iter_digit_scenes(
    split: str, count: int, size: int = 16, seed: int = 0
) -> Iterator[tuple[np.ndarray, int]]:
    """Yield scenes; scene ``i`` depends on the split, the seed and ``i`` only.

    Args:
        split: ``'train'`` or ``'test'``.
        count: Number of scenes. No digit is repeated before all have been used.
        size: Side of the canvas in pixels.
        seed: Seed of the digits' split and of the drawing.

    Yields:
        tuple: uint8 scene of shape ``[size, size]`` and its label.
    """
    digits, labels = split_digits(split, seed)
    order: list[int] = []
    for index in range(count):
        rng = np.random.default_rng((seed, SPLITS.index(split), index))
        if index % len(digits) == 0:
            order = rng.permutation(len(digits)).tolist()
        chosen = order[index % len(digits)]
        placement = random_placement(digits[chosen], rng)
        canvas, _ = place_digit(digits[chosen], placement, size)
        canvas = np.maximum(canvas, draw_clutter(size, rng))
        yield finish(canvas, rng), int(labels[chosen])


def generate_digit_scenes(
    root: str | Path,
    size: int = 16,
    num_train: int = 4000,
    num_test: int = 1000,
    seed: int = 0,
) -> Path:
    """Write digit scenes as an image folder, unless they exist already.

    The layout is ``root/{train,test}/<digit>/<scene index>.png`` and
    ``root/meta.json`` with the parameters and a SHA-256 of each split's pixels. The
    folder is written atomically, see :func:`.generated_folder.generate_once`.

    Args:
        root: Folder to write.
        size: Side of the canvas in pixels, at least 16.
        num_train: Number of training scenes.
        num_test: Number of test scenes.
        seed: Seed of the digits' split and of the drawing.

    Returns:
        pathlib.Path: ``root``.

    Raises:
        ValueError: If the size or a count is too small.
        FileExistsError: If ``root`` contains other scenes or other files.
    """
    if size < 16 or min(num_train, num_test) < 1:
        raise ValueError(
            "Digit scenes need size >= 16 and at least one scene per split, got "
            f"size={size}, num_train={num_train}, num_test={num_test}"
        )

    def write(folder: Path, split: str, count: int) -> str:
        scenes = iter_digit_scenes(split, count, size, seed)
        shown = progress(scenes, f"digit scenes, {split}", count)
        return write_by_digit(folder / split, shown, ".png", _save)

    return generate_splits(
        root,
        "digit scenes",
        GENERATOR_VERSION,
        write,
        size=size,
        num_train=num_train,
        num_test=num_test,
        seed=seed,
        entry="sha256",
    )


def _save(file: Path, scene: np.ndarray) -> bytes:
    """Write a scene; return its pixels."""
    if not cv2.imwrite(str(file), cv2.cvtColor(scene, cv2.COLOR_GRAY2BGR)):
        raise OSError(f"Cannot write to {file.parent.parent}: is the disk full?")
    return scene.tobytes()


@DATASETS.register_module()
class DigitScenes(GeneratedDigits):
    """Digit scenes with their labels, generated on first use and kept in memory.

    A sample has ``img`` (uint8 of shape ``[size, size, 3]``) and ``gt_label``, so the
    pipeline needs no ``LoadImageFromFile``. Classes are mixed in the order of the
    scenes, so ``indices=500`` is a random subset.

    Args:
        data_root: Folder of the scenes; see :func:`generate_digit_scenes`.
        split: ``'train'`` or ``'test'``.
        size: Side of the canvas in pixels.
        seed: Seed of the generation.
        num_train: Number of training scenes.
        num_test: Number of test scenes.
        **kwargs: Arguments of :class:`mmpretrain.datasets.CustomDataset`.

    Raises:
        ValueError: If the split is unknown.
        FileExistsError: If ``data_root`` contains other scenes or other files.
        RuntimeError: If files in ``data_root`` were changed after the generation.
    """

    def __init__(
        self,
        data_root: str = "data/digit_scenes",
        split: str = "train",
        size: int = 16,
        seed: int = 0,
        num_train: int = 4000,
        num_test: int = 1000,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_root, split, size, seed, num_train, num_test, **kwargs)

    def generate(self) -> Path:
        """Generate the scenes if necessary."""
        return generate_digit_scenes(self.data_root, **self.parameters)

    def load(self, sample: dict[str, Any]) -> bytes:
        """Read a scene into memory."""
        image = sample["img"] = cv2.imread(sample["img_path"], cv2.IMREAD_COLOR)
        return b"" if image is None else image[..., 0].tobytes()

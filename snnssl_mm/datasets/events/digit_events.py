"""Digit events: simulated recordings of real handwritten digits that move.

One of scikit-learn's digits among mild clutter moves along N-MNIST's three saccades in
front of a simulated event camera. Nothing has to be downloaded. Digits of training
recordings never appear in test recordings.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from snnssl_mm.datasets.digit_scenes import split_digits
from snnssl_mm.datasets.event_files.atis import write_atis
from snnssl_mm.datasets.events.digit_drawing import MAX_INK
from snnssl_mm.datasets.events.digit_scene import DigitSceneRecorder
from snnssl_mm.datasets.events.recording import Recording
from snnssl_mm.datasets.generated_digits import GeneratedDigits, write_by_digit
from snnssl_mm.datasets.generated_folder import SPLITS, generate_splits
from snnssl_mm.recording.progress import progress
from snnssl_mm.registry import DATASETS

GENERATOR_VERSION = 1
"""Version of the generator; incremented if the same parameters give other events."""

STREAM = 4
"""First stream of random numbers of these recordings, after those of the scenes."""

MIN_SIZE, MAX_SIZE = 16, 240
"""Sides of the sensor; N-MNIST's format has no more rows."""


def split_integer_digits(split: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the digits of one split, int64 0..16 ``[N, 8, 8]``, and their labels."""
    digits, labels = split_digits(split, seed)
    return np.rint(MAX_INK * digits).astype(np.int64), labels


def iter_digit_events(
    split: str, count: int, size: int = 32, seed: int = 0
) -> Iterator[tuple[Recording, int]]:
    """Yield recordings; number ``i`` depends on the split, the seed and ``i`` only.

    Args:
        split: ``'train'`` or ``'test'``.
        count: Number of recordings. No digit is repeated before all have been used.
        size: Side of the sensor in pixels.
        seed: Seed of the digits' split, the camera and the scenes.

    Yields:
        tuple: A recording of about 315 ms and its label.
    """
    digits, labels = split_integer_digits(split, seed)
    recorder = DigitSceneRecorder(size, size, seed)
    order: list[int] = []
    for index in range(count):
        rng = np.random.default_rng((seed, STREAM + SPLITS.index(split), index))
        if index % len(digits) == 0:
            order = rng.permutation(len(digits)).tolist()
        chosen = order[index % len(digits)]
        drawn = recorder.draw(digits[chosen], recorder.place(digits[chosen], rng))
        yield recorder.record([drawn], rng), int(labels[chosen])


def generate_digit_events(
    root: str | Path,
    size: int = 32,
    num_train: int = 4000,
    num_test: int = 1000,
    seed: int = 0,
) -> Path:
    """Write digit events in N-MNIST's layout and format, unless they exist already.

    The layout is ``root/{train,test}/<digit>/<index>.bin`` and ``root/meta.json`` with
    the parameters and a SHA-256 of each split's files. The folder is written
    atomically, see :func:`.generated_folder.generate_once`.

    Args:
        root: Folder to write.
        size: Side of the sensor in pixels, 16 to 240.
        num_train: Number of training recordings.
        num_test: Number of test recordings.
        seed: Seed of the digits' split, the camera and the scenes.

    Returns:
        pathlib.Path: ``root``.

    Raises:
        ValueError: If the size or a count is out of range.
        FileExistsError: If ``root`` contains other recordings or other files.
    """
    if not MIN_SIZE <= size <= MAX_SIZE or min(num_train, num_test) < 1:
        raise ValueError(
            f"digit events need a size of {MIN_SIZE} to {MAX_SIZE} and at least one "
            f"recording per split, got size={size}, num_train={num_train}, "
            f"num_test={num_test}"
        )

    def write(folder: Path, split: str, count: int) -> str:
        recordings = iter_digit_events(split, count, size, seed)
        shown = progress(recordings, f"digit events, {split}", count)
        return write_by_digit(folder / split, shown, ".bin", save)

    return generate_splits(
        root,
        "digit events",
        GENERATOR_VERSION,
        write,
        size=size,
        num_train=num_train,
        num_test=num_test,
        seed=seed,
        entry="sha256",
    )


def save(file: Path, recording: Recording) -> bytes:
    """Write a recording in N-MNIST's format; return the bytes.

    The caller's folder is atomic.
    """
    with file.open("wb") as stream:
        write_atis(stream, recording)
    return file.read_bytes()


@DATASETS.register_module()
class DigitEvents(GeneratedDigits):
    """Digit events with their labels, generated on first use.

    A sample has ``recording_path``, ``read_args`` and ``gt_label``; a pipeline begins
    with ``LoadEvents``. Classes are mixed in the order of the recordings, so
    ``indices=500`` is a random subset.

    Args:
        data_root: Folder of the recordings; see :func:`generate_digit_events`.
        split: ``'train'`` or ``'test'``.
        size: Side of the sensor in pixels.
        seed: Seed of the generation.
        num_train: Number of training recordings.
        num_test: Number of test recordings.
        **kwargs: Arguments of :class:`mmpretrain.datasets.CustomDataset`.

    Raises:
        ValueError: If the split is unknown.
        FileExistsError: If ``data_root`` contains other recordings or other files.
        RuntimeError: If files in ``data_root`` were changed after the generation.
    """

    def __init__(
        self,
        data_root: str = "data/digit_events",
        split: str = "train",
        size: int = 32,
        seed: int = 0,
        num_train: int = 4000,
        num_test: int = 1000,
        **kwargs: Any,
    ) -> None:
        kwargs["extensions"] = (".bin",)
        super().__init__(data_root, split, size, seed, num_train, num_test, **kwargs)

    def generate(self) -> Path:
        """Generate the recordings if necessary."""
        return generate_digit_events(self.data_root, **self.parameters)

    def load(self, sample: dict[str, Any]) -> bytes:
        """Turn an image's sample into a recording's."""
        file = sample["recording_path"] = sample.pop("img_path")
        size = self.parameters["size"]
        sample["read_args"] = {"height": size, "width": size}
        return Path(file).read_bytes()

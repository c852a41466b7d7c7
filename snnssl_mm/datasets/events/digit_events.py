"""Digit events: simulated recordings of real handwritten digits that move.

One of scikit-learn's digits among mild clutter moves along N-MNIST's three saccades in
front of a simulated event camera. Nothing has to be downloaded. Digits of training
recordings never appear in test recordings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from mmpretrain.datasets import CustomDataset

from snnssl_mm.datasets.digit_scenes import SPLITS, split_digits
from snnssl_mm.datasets.event_files.atis import write_atis
from snnssl_mm.datasets.events.digit_drawing import MAX_INK
from snnssl_mm.datasets.events.digit_scene import DigitSceneRecorder
from snnssl_mm.datasets.events.recording import Recording
from snnssl_mm.datasets.generated_folder import generate_once, read_meta
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
    atomically, see :func:`generate_once`.

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
    counts = {"train": num_train, "test": num_test}
    asked: dict[str, Any] = {"generator_version": GENERATOR_VERSION, "size": size}
    asked |= {"num_train": num_train, "num_test": num_test, "seed": seed}

    def write(folder: Path) -> dict[str, Any]:
        digests = {
            split: _write_split(folder / split, split, count, size, seed)
            for split, count in counts.items()
        }
        return {"sha256": digests}

    return generate_once(root, "digit events", asked, write)


def _write_split(folder: Path, split: str, count: int, size: int, seed: int) -> str:
    """Write one split; return the SHA-256 of its files in the order of recordings."""
    for digit in range(10):
        (folder / str(digit)).mkdir(parents=True)
    digest = hashlib.sha256()
    recordings = progress(
        iter_digit_events(split, count, size, seed), f"digit events, {split}", count
    )
    for index, (recording, label) in enumerate(recordings):
        file = folder / str(label) / f"{index:05d}.bin"
        save(file, recording)
        digest.update(file.read_bytes())
    return digest.hexdigest()


def save(file: Path, recording: Recording) -> None:
    """Write a recording in N-MNIST's format; the caller's folder is atomic."""
    with file.open("wb") as stream:
        write_atis(stream, recording)


@DATASETS.register_module()
class DigitEvents(CustomDataset):
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

    METAINFO = {"classes": tuple("0123456789")}  # noqa: RUF012

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
        if split not in SPLITS:
            raise ValueError(f"DigitEvents has the splits {SPLITS}, got {split!r}")
        self.split = split
        self.parameters = {"size": size, "seed": seed}
        self.parameters |= {"num_train": num_train, "num_test": num_test}
        kwargs.setdefault("test_mode", split == "test")
        root = str(Path(data_root).expanduser())
        super().__init__(
            data_root=root, data_prefix=split, extensions=(".bin",), **kwargs
        )

    def load_data_list(self) -> list[dict[str, Any]]:
        """Generate the recordings if necessary, and list their files."""
        root = generate_digit_events(self.data_root, **self.parameters)
        samples = super().load_data_list()
        samples.sort(key=lambda sample: Path(sample["img_path"]).name)
        digest = hashlib.sha256()
        size = self.parameters["size"]
        for sample in samples:
            sample["recording_path"] = sample.pop("img_path")
            sample["read_args"] = {"height": size, "width": size}
            digest.update(Path(sample["recording_path"]).read_bytes())
        if digest.hexdigest() != read_meta(root)["sha256"][self.split]:
            raise RuntimeError(
                f"The recordings in {root / self.split} differ from the generated ones "
                "(SHA-256); remove the folder, and it is generated again"
            )
        return samples

"""Folders of single digits that are generated on first use, and their dataset."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from mmpretrain.datasets import CustomDataset

from snnssl_mm.datasets.generated_folder import SPLITS, read_meta


def write_by_digit(
    folder: Path,
    samples: Iterable[tuple[Any, int]],
    suffix: str,
    save: Callable[[Path, Any], bytes],
) -> str:
    """Write samples as ``folder/<digit>/<index><suffix>``.

    Args:
        folder: Folder to make.
        samples: Samples with their digits.
        suffix: Suffix of the files.
        save: Writes a sample into a file; returns what the SHA-256 covers.

    Returns:
        str: SHA-256 of all samples in their order.
    """
    for digit in range(10):
        (folder / str(digit)).mkdir(parents=True)
    digest = hashlib.sha256()
    for index, (sample, label) in enumerate(samples):
        digest.update(save(folder / str(label) / f"{index:05d}{suffix}", sample))
    return digest.hexdigest()


class GeneratedDigits(CustomDataset):
    """Base class of the digit scenes and the digit events.

    Subclasses implement :meth:`generate` and :meth:`load`. Classes are mixed in the
    order of the files' names, so ``indices=500`` is a random subset.

    Args:
        data_root: Folder of the files.
        split: ``'train'`` or ``'test'``.
        size: Side in pixels.
        seed: Seed of the generation.
        num_train: Number of training samples.
        num_test: Number of test samples.
        **kwargs: Arguments of :class:`mmpretrain.datasets.CustomDataset`.

    Raises:
        ValueError: If the split is unknown.
        FileExistsError: If ``data_root`` contains other samples or other files.
        RuntimeError: If files in ``data_root`` were changed after the generation.
    """

    METAINFO = {"classes": tuple("0123456789")}  # noqa: RUF012

    def __init__(
        self,
        data_root: str,
        split: str,
        size: int,
        seed: int,
        num_train: int,
        num_test: int,
        **kwargs: Any,
    ) -> None:
        if split not in SPLITS:
            name = type(self).__name__
            raise ValueError(f"{name} has the splits {SPLITS}, got {split!r}")
        self.split = split
        self.parameters = {"size": size, "seed": seed}
        self.parameters |= {"num_train": num_train, "num_test": num_test}
        kwargs.setdefault("test_mode", split == "test")
        root = str(Path(data_root).expanduser())
        super().__init__(data_root=root, data_prefix=split, **kwargs)

    def generate(self) -> Path:
        """Generate the folder unless it exists; return its path."""
        raise NotImplementedError

    def load(self, sample: dict[str, Any]) -> bytes:
        """Complete a sample, whose ``img_path`` is its file.

        Returns:
            bytes: What the SHA-256 of the split covers.
        """
        raise NotImplementedError

    def load_data_list(self) -> list[dict[str, Any]]:
        """Generate the files if necessary and load the samples."""
        root = self.generate()
        samples = super().load_data_list()
        samples.sort(key=lambda sample: Path(sample["img_path"]).name)
        digest = hashlib.sha256()
        for sample in samples:
            digest.update(self.load(sample))
        if digest.hexdigest() != read_meta(root)["sha256"][self.split]:
            raise RuntimeError(
                f"The files in {root / self.split} differ from the generated ones "
                "(SHA-256); remove the folder, and it is generated again"
            )
        return samples

"""Folders of files, with or without labels, some of which may be unreadable."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from mmengine.logging import print_log
from mmpretrain.datasets import CustomDataset

from snnssl_mm.datasets.data_error import DataError
from snnssl_mm.datasets.image_files import list_folders, list_images, log_once
from snnssl_mm.datasets.label_file import (
    read_annotation_file,
    read_label_file,
    sorted_classes,
)
from snnssl_mm.recording.progress import progress

T = TypeVar("T")


class CheckedFolder(CustomDataset):
    """Files of a folder, checked before the training starts: the base of two datasets.

    Sub-classes say what the files are by the class attributes, and find their faults.

    Args:
        data_root: The folder, or its parent if ``data_prefix`` is given.
        on_error: ``'raise'`` or ``'skip'``, see the sub-classes.
        verify: How to check the files: one of ``verifications``.
        label_file: File with one class per line, see the sub-classes.
        **kwargs: Arguments of mmpretrain's ``CustomDataset``.
    """

    noun = "images"
    """What the files are, for messages."""
    one = "image"
    """One of them."""
    path_key = "img_path"
    """Entry of a sample that has its path."""
    verifications: tuple[str | None, ...] = ("decode", "header", None)
    """Values of ``verify``."""

    def __init__(
        self,
        data_root: str = "",
        on_error: str = "raise",
        verify: str | None = "decode",
        label_file: str = "",
        **kwargs: Any,
    ) -> None:
        if on_error not in ("raise", "skip"):
            raise ValueError(f"on_error must be 'raise' or 'skip', got {on_error!r}")
        if verify not in self.verifications:
            raise ValueError(
                f"verify must be one of {self.verifications}, got {verify!r}"
            )
        self.on_error = on_error
        self.verify = verify
        self.label_file = label_file
        self.num_skipped = 0
        super().__init__(data_root=str(Path(data_root).expanduser()), **kwargs)

    def find_faults(self) -> list[str | None]:
        """Check all files; return for each one line with its fault, or None."""
        raise NotImplementedError

    def fault(self, sample: Mapping[str, Any]) -> str | None:
        """Read the file of a sample; return one line with its fault, or None."""
        raise NotImplementedError

    def load_data_list(self) -> list[dict[str, Any]]:
        """List the files and their labels; log what is skipped."""
        folder = Path(self.img_prefix)
        if not folder.is_dir():
            raise FileNotFoundError(
                f"The {self.one} folder {folder.absolute()} does not exist: set "
                f"data_root (and data_prefix) of the dataset to a folder of {self.noun}"
            )
        if self.ann_file:
            found = read_annotation_file(Path(self.ann_file), self.with_label)
            return [
                {self.path_key: str(folder / info.pop("img_path")), **info}
                for info in found
            ]
        listing = list_images(folder, suffixes=self.extensions)
        listing.log_note(self.noun)
        files = listing.images
        sorted_by_class = self.with_label and not self.label_file
        if sorted_by_class:
            files = [file for file in files if "/" in file]
        if not files:
            where = "one sub-folder per class" if sorted_by_class else "it"
            raise FileNotFoundError(
                f"Found no {self.noun} in {folder.absolute()}: put {self.noun} "
                f"({', '.join(sorted(self.extensions))}) into {where}"
                + (", or set with_label=False" if sorted_by_class else "")
            )
        if sorted_by_class:
            if stray := len(listing.images) - len(files):
                log_once(
                    f"{folder}: skipped {stray} {self.noun} outside of the class "
                    "folders",
                    logging.WARNING,
                )
            return self.labelled_by_folder(folder, files)
        if self.label_file:
            return self.labelled_by_file(folder, files)
        return [{self.path_key: str(folder / file)} for file in files]

    def labelled_by_folder(
        self, folder: Path, files: list[str]
    ) -> list[dict[str, Any]]:
        """Label files by their sub-folders of ``folder``."""
        names = list_folders(folder)
        classes = list(self.metainfo.get("classes") or names)
        if set(names) <= set(classes):
            numbers = {name: number for number, name in enumerate(classes)}
        elif len(names) == len(classes) and not set(names) & set(classes):
            # Other names for the sorted folders; some equal ones are a mistake.
            numbers = {name: number for number, name in enumerate(names)}
        else:
            raise ValueError(
                f"{folder} has {len(names)} class folders, but metainfo['classes'] of "
                f"the dataset has {len(classes)} names, without "
                f"{sorted(set(names) - set(classes))[:5]}: correct one of them (names "
                "of which none is a folder's rename as many folders, in sorted order)"
            )
        if empty := set(names) - {file.split("/")[0] for file in files}:
            log_once(
                f"{folder}: {len(empty)} class folders without {self.noun} are kept as "
                f"classes ({', '.join(sorted(empty)[:5])})",
                logging.WARNING,
            )
        self._metainfo["classes"] = tuple(classes)
        self.folder_to_idx = numbers
        found = [(file.split("/")[0], file) for file in files]
        return [
            {self.path_key: str(folder / file), "gt_label": numbers[name]}
            for name, file in sorted(found)
        ]

    def labelled_by_file(self, folder: Path, files: list[str]) -> list[dict[str, Any]]:
        """Label files by the lines of the label file."""
        file = Path(self.data_root, self.label_file).expanduser()
        names = read_label_file(file)
        if len(names) != len(files):
            raise ValueError(
                f"The label file {file} has {len(names)} lines, but there are "
                f"{len(files)} {self.noun} in {folder}: write one class per line, in "
                f"the sorted order of the {self.noun}' paths"
            )
        pairs = zip(names, files, strict=True)
        if all(name.startswith(path) for name, path in pairs):
            raise ValueError(
                f"The label file {file} has paths, first {names[0]!r}: write the class "
                "alone, or give a file of lines PATH NUMBER as ann_file"
            )
        classes = self.metainfo.get("classes") or sorted_classes(names)
        strange = sorted(set(names) - set(classes))
        if strange:
            raise ValueError(
                f"The label file {file} has the class {strange[0]!r}, which is not "
                "among metainfo['classes'] of the dataset: correct one of them"
            )
        self._metainfo["classes"] = tuple(classes)
        numbers = {name: number for number, name in enumerate(classes)}
        return [
            {self.path_key: str(folder / path), "gt_label": numbers[name]}
            for path, name in zip(files, names, strict=True)
        ]

    def examine_all(self, examine: Callable[[Any], T]) -> list[T]:
        """Examine the files of all samples in threads, with a progress bar."""
        with ThreadPoolExecutor() as pool:
            found = pool.map(examine, self.data_list)
            text, total = f"checking {self.img_prefix}", len(self.data_list)
            return list(progress(found, text, total))

    def filter_data(self) -> list[dict[str, Any]]:
        """Leave faulty files out, or raise."""
        if not self.verify:
            return self.data_list
        faults = self.find_faults()
        damaged = [fault for fault in faults if fault]
        if not damaged:
            return self.data_list
        lines = damaged[:5] if len(damaged) <= 5 else [*damaged[:5], "..."]
        text = (
            f"{len(damaged)} of {len(faults)} {self.noun} are unreadable or too small:"
        )
        text = "\n  ".join([text, *lines])
        if self.on_error == "raise" or len(damaged) == len(faults):
            raise ValueError(f"{text}\nRemove or repair them, or set on_error='skip'")
        print_log(f"Skipped {text}", logger="current", level=logging.WARNING)
        pairs = zip(self.data_list, faults, strict=True)
        return [sample for sample, fault in pairs if fault is None]

    def prepare_data(self, idx: int) -> Any:
        """Return sample ``idx``, or None (draw another) if its file is damaged."""
        try:
            return super().prepare_data(idx)
        except Exception as error:
            sample = self.get_data_info(idx)
            fault = self.fault(sample)
            if fault is None:
                path = sample[self.path_key]
                error.add_note(f"The error occurred for the {self.one} {path}")
                raise
            if self.on_error == "raise" or self.test_mode:
                option = "" if self.test_mode else ", or set on_error='skip'"
                raise DataError(
                    f"Cannot read {fault}\nRemove or repair it{option}"
                ) from error
        self.num_skipped += 1
        if self.num_skipped in (1, 10, 100, 1000, 10000):
            print_log(
                f"Samples replaced in this process because their {self.one} cannot be "
                f"read: {self.num_skipped}; the last one is {fault}",
                logger="current",
                level=logging.WARNING,
            )
        return None

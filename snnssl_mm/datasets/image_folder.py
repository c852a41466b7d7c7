"""Folders of images, with or without labels, of which some may be unreadable."""

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.logging import print_log
from mmpretrain.datasets import CustomDataset
from PIL import Image
from rich.progress import track

from snnssl_mm.checks.data_error import DataError
from snnssl_mm.datasets.loading import pixel_fault
from snnssl_mm.registry import DATASETS


def check_image(path: str, min_size: int = 1, decode: bool = False) -> str | None:
    """Say what is wrong with an image file.

    Args:
        path: The file.
        min_size: Smallest side in pixels that is accepted.
        decode: Decode all of it; otherwise only the header is read.

    Returns:
        str | None: A line that names the file and its fault, or None if it is fine.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            fault = pixel_fault(image)
            if decode:
                image.load()
    except Exception as error:  # Pillow's decoders raise many kinds on any bytes
        reason = str(error) or type(error).__name__
        return f"{path}: {reason.replace(repr(path), 'this file')}"
    if fault:
        return f"{path}: {fault}"
    if min(width, height) < min_size:
        return f"{path}: {width} x {height} pixels, needs at least {min_size}"
    return None


def read_label_file(file: Path) -> list[str]:
    """Classes of a label file, one a line.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a line between others is empty.
    """
    if not file.is_file():
        raise FileNotFoundError(
            f"The label file {file.absolute()} does not exist: set label_file of the "
            "dataset to a text file with one class a line"
        )
    names = [line.strip() for line in file.read_text().rstrip().splitlines()]
    if "" in names:
        raise ValueError(
            f"Line {names.index('') + 1} of the label file {file} is empty: write the "
            "image's class there"
        )
    return names


def sorted_classes(names: Iterable[str]) -> list[str]:
    """Return distinct classes in order, integers by their value."""
    distinct = set(names)
    whole = all(name.removeprefix("-").isdecimal() for name in distinct)
    return sorted(distinct, key=int if whole else str)


@DATASETS.register_module()
class ImageFolder(CustomDataset):
    """Images of a folder, checked before the training starts.

    With labels, the sub-folders are the classes, or a label file tells them; without,
    all images below the folder are taken. The check decodes all files, in parallel, or
    reads their headers only. Damage that it did not see shows when the image is loaded,
    which with ``on_error='skip'`` costs that sample only: another one is drawn, and the
    log counts such cases. Load with :class:`LoadIntactImage`: OpenCV alone fills the
    missing part of a truncated JPEG with grey and says nothing.

    Args:
        data_root: The folder, or its parent if ``data_prefix`` is given.
        on_error: ``'raise'`` stops with the names of unreadable files, ``'skip'``
            leaves them out and logs their number. Leaving data out is a decision of
            the user, so the default is ``'raise'``.
        verify: ``'decode'`` checks all of every file first (some 5 ms for a photo),
            ``'header'`` its beginning (for millions of images), None nothing.
        min_size: Images with a shorter side, in pixels, count as unreadable: the
            crop, or the stride of the backbone.
        label_file: Text file, in ``data_root`` unless its path is absolute, with a
            class (a name or an integer) a line for all images below the folder in the
            sorted order of their paths. The classes are numbered in the order of
            ``metainfo['classes']``, by default the sorted one.
        **kwargs: Arguments of :class:`mmpretrain.datasets.CustomDataset`, such as
            ``data_prefix``, ``with_label`` and ``pipeline``.

    Raises:
        FileNotFoundError: If the folder is missing or holds no images.
        ValueError: If files are unreadable and ``on_error='raise'``, or all are; or if
            the label file does not have one line an image.
    """

    def __init__(
        self,
        data_root: str = "",
        on_error: str = "raise",
        verify: str | None = "decode",
        min_size: int = 1,
        label_file: str = "",
        **kwargs: Any,
    ) -> None:
        if on_error not in ("raise", "skip"):
            raise ValueError(f"on_error must be 'raise' or 'skip', got {on_error!r}")
        if verify not in ("decode", "header", None):
            raise ValueError(
                f"verify must be 'decode', 'header' or None, got {verify!r}"
            )
        self.on_error = on_error
        self.verify = verify
        self.min_size = min_size
        self.label_file = label_file
        self.num_skipped = 0
        super().__init__(data_root=str(Path(data_root).expanduser()), **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """List the images; say what to do if there are none."""
        folder = Path(self.img_prefix)
        if not folder.is_dir():
            raise FileNotFoundError(
                f"The image folder {folder.absolute()} does not exist: set data_root "
                "(and data_prefix) of the dataset to a folder of images"
            )
        if not self.ann_file:
            sorted_by_class = self.with_label and not self.label_file
            pattern = "*/**/*" if sorted_by_class else "**/*"
            if not any(self.is_valid_file(file.name) for file in folder.glob(pattern)):
                where = "one sub-folder a class" if sorted_by_class else "it"
                raise FileNotFoundError(
                    f"Found no images in {folder.absolute()}: put images "
                    f"({', '.join(sorted(self.extensions))}) into {where}"
                    + ", or set with_label=False"
                    * sorted_by_class
                )
        if self.label_file:
            return self.labelled_by_file(folder)
        return super().load_data_list()

    def labelled_by_file(self, folder: Path) -> list[dict[str, Any]]:
        """List the images below ``folder`` with the classes of the label file."""
        file = Path(self.data_root, self.label_file).expanduser()
        names = read_label_file(file)
        images = sorted(
            path.relative_to(folder).as_posix()
            for path in folder.glob("**/*")
            if self.is_valid_file(path.name)
        )
        if len(names) != len(images):
            raise ValueError(
                f"The label file {file} has {len(names)} lines, but there are "
                f"{len(images)} images in {folder}: write one class a line, in the "
                "sorted order of the images' paths"
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
            {"img_path": str(folder / image), "gt_label": numbers[name]}
            for image, name in zip(images, names, strict=True)
        ]

    def filter_data(self) -> list[dict[str, Any]]:
        """Leave unreadable images out, or stop and name them."""
        if not self.verify:
            return self.data_list
        with ThreadPoolExecutor() as pool:
            found = pool.map(
                lambda sample: check_image(
                    sample["img_path"], self.min_size, self.verify == "decode"
                ),
                self.data_list,
            )
            faults = list(
                track(
                    found,
                    description=f"checking {self.img_prefix}",
                    total=len(self.data_list),
                    disable=not is_main_process(),
                )
            )
        named = [fault for fault in faults if fault]
        if not named:
            return self.data_list
        text = f"{len(named)} of {len(faults)} images are unreadable or too small:\n  "
        text += "\n  ".join(named[:5]) + "\n  ..." * (len(named) > 5)
        if self.on_error == "raise" or len(named) == len(faults):
            raise ValueError(f"{text}\nRemove or mend them, or set on_error='skip'")
        print_log(f"Skipped {text}", logger="current", level=logging.WARNING)
        pairs = zip(self.data_list, faults, strict=True)
        return [sample for sample, fault in pairs if fault is None]

    def prepare_data(self, idx: int) -> Any:
        """Return sample ``idx``, or None (draw another) if its file is damaged."""
        try:
            return super().prepare_data(idx)
        except Exception as error:
            path = self.get_data_info(idx)["img_path"]
            fault = check_image(path, self.min_size, decode=True)
            if fault is None:
                error.add_note(f"This happened to the image {path}")
                raise
            if self.on_error == "raise" or self.test_mode:
                raise DataError(
                    f"Cannot read {fault}\nRemove or mend it"
                    + ", or set on_error='skip'" * (not self.test_mode)
                ) from error
        self.num_skipped += 1
        if self.num_skipped in (1, 10, 100, 1000, 10000):
            print_log(
                f"Samples replaced in this process because their image cannot be read: "
                f"{self.num_skipped}; the last one is {fault}",
                logger="current",
                level=logging.WARNING,
            )
        return None

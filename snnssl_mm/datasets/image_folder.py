"""Folders of images, with or without labels, some of which may be unreadable."""

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mmengine.logging import print_log
from mmpretrain.datasets import CustomDataset

from snnssl_mm.datasets.data_error import DataError
from snnssl_mm.datasets.image_check import check_image, examine, unusual_note
from snnssl_mm.datasets.image_files import (
    image_suffixes,
    list_folders,
    list_images,
    log_once,
)
from snnssl_mm.datasets.label_file import (
    read_annotation_file,
    read_label_file,
    sorted_classes,
)
from snnssl_mm.recording.progress import progress
from snnssl_mm.registry import DATASETS


@DATASETS.register_module()
class ImageFolder(CustomDataset):
    """Images of a folder, checked before the training starts.

    :func:`snnssl_mm.datasets.image_files.list_images` selects the images: all formats
    that Pillow decodes; links are followed, hidden files and folders ignored, and the
    log counts other skipped files. With labels, classes come from the sub-folders or
    from a label file; without labels, all images below the folder are used. A class
    folder without images is kept, with a warning.

    The check decodes all files in parallel, or reads only their headers; the log counts
    16-bit and transparent images. Damage that the check did not see appears when the
    image is loaded. With ``on_error='skip'`` such a sample is replaced by another one,
    and the log counts these cases. Load images by :class:`LoadIntactImage`, since
    OpenCV alone keeps only the upper 8 of 16 bits and shows the colours of transparent
    pixels.

    Args:
        data_root: The folder, or its parent if ``data_prefix`` is given.
        on_error: ``'raise'`` stops and names unreadable files, ``'skip'`` leaves them
            out and logs their number. The default is ``'raise'``, since leaving data
            out is the user's decision.
        verify: ``'decode'`` decodes every file first (about 5 ms for a photograph),
            ``'header'`` reads only the headers (for millions of images), None skips
            the check.
        min_size: Images with a shorter side, in pixels, count as unreadable. Use the
            crop, or the stride of the backbone.
        label_file: Text file (UTF-8, or UTF-16 with a byte order mark), in
            ``data_root`` unless its path is absolute, with one class (a name or an
            integer) per line, for all images below the folder sorted by path. Classes
            are numbered in the order of ``metainfo['classes']``, by default sorted.
        **kwargs: Arguments of :class:`mmpretrain.datasets.CustomDataset`, such as
            ``data_prefix``, ``with_label`` and ``pipeline``. ``metainfo['classes']``
            may order the class folders, add classes that other data have, or rename all
            folders in their sorted order.

    Raises:
        FileNotFoundError: If the folder is missing or contains no images.
        ValueError: If files are unreadable and ``on_error='raise'``, or all are
            unreadable; if the label file is not text or does not have one line per
            image; or if the class folders do not fit ``metainfo['classes']``.
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
        kwargs.setdefault("extensions", image_suffixes())
        super().__init__(data_root=str(Path(data_root).expanduser()), **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """List the images and their labels; log what is skipped."""
        folder = Path(self.img_prefix)
        if not folder.is_dir():
            raise FileNotFoundError(
                f"The image folder {folder.absolute()} does not exist: set data_root "
                "(and data_prefix) of the dataset to a folder of images"
            )
        if self.ann_file:
            found = read_annotation_file(Path(self.ann_file), self.with_label)
            return [
                {**info, "img_path": str(folder / info["img_path"])} for info in found
            ]
        listing = list_images(folder, suffixes=self.extensions)
        listing.log_note()
        images = listing.images
        sorted_by_class = self.with_label and not self.label_file
        if sorted_by_class:
            images = [image for image in images if "/" in image]
        if not images:
            where = "one sub-folder per class" if sorted_by_class else "it"
            raise FileNotFoundError(
                f"Found no images in {folder.absolute()}: put images "
                f"({', '.join(sorted(self.extensions))}) into {where}"
                + (", or set with_label=False" if sorted_by_class else "")
            )
        if sorted_by_class:
            if stray := len(listing.images) - len(images):
                log_once(
                    f"{folder}: skipped {stray} images outside of the class folders",
                    logging.WARNING,
                )
            return self.labelled_by_folder(folder, images)
        if self.label_file:
            return self.labelled_by_file(folder, images)
        return [{"img_path": str(folder / image)} for image in images]

    def labelled_by_folder(
        self, folder: Path, images: list[str]
    ) -> list[dict[str, Any]]:
        """Label images by their sub-folders of ``folder``."""
        names = list_folders(folder)
        classes = list(self.metainfo.get("classes") or names)
        if set(names) <= set(classes):
            numbers = {name: number for number, name in enumerate(classes)}
        elif len(names) == len(classes):  # other names for the sorted folders
            numbers = {name: number for number, name in enumerate(names)}
        else:
            raise ValueError(
                f"{folder} has {len(names)} class folders, but metainfo['classes'] of "
                f"the dataset has {len(classes)} names, without "
                f"{sorted(set(names) - set(classes))[:5]}: correct one of them"
            )
        if empty := set(names) - {image.split("/")[0] for image in images}:
            log_once(
                f"{folder}: {len(empty)} class folders without images are kept as "
                f"classes ({', '.join(sorted(empty)[:5])})",
                logging.WARNING,
            )
        self._metainfo["classes"] = tuple(classes)
        self.folder_to_idx = numbers
        found = [(image.split("/")[0], image) for image in images]
        return [
            {"img_path": str(folder / image), "gt_label": numbers[name]}
            for name, image in sorted(found)
        ]

    def labelled_by_file(self, folder: Path, images: list[str]) -> list[dict[str, Any]]:
        """Label images by the lines of the label file."""
        file = Path(self.data_root, self.label_file).expanduser()
        names = read_label_file(file)
        if len(names) != len(images):
            raise ValueError(
                f"The label file {file} has {len(names)} lines, but there are "
                f"{len(images)} images in {folder}: write one class per line, in the "
                "sorted order of the images' paths"
            )
        pairs = zip(names, images, strict=True)
        if all(name.startswith(image) for name, image in pairs):
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
            {"img_path": str(folder / image), "gt_label": numbers[name]}
            for image, name in zip(images, names, strict=True)
        ]

    def filter_data(self) -> list[dict[str, Any]]:
        """Leave unreadable images out, or raise; log 16-bit and transparent ones."""
        if not self.verify:
            return self.data_list
        decoded = self.verify == "decode"
        with ThreadPoolExecutor() as pool:
            examined = pool.map(
                lambda sample: examine(sample["img_path"], self.min_size, decoded),
                self.data_list,
            )
            text, total = f"checking {self.img_prefix}", len(self.data_list)
            found = list(progress(examined, text, total))
        if note := unusual_note(found, decoded):
            log_once(f"{self.img_prefix}: {note}")
        faults = [one.fault for one in found]
        damaged = [fault for fault in faults if fault]
        if not damaged:
            return self.data_list
        lines = damaged[:5] if len(damaged) <= 5 else [*damaged[:5], "..."]
        text = f"{len(damaged)} of {len(faults)} images are unreadable or too small:"
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
            path = self.get_data_info(idx)["img_path"]
            fault = check_image(path, self.min_size, decode=True)
            if fault is None:
                error.add_note(f"The error occurred for the image {path}")
                raise
            if self.on_error == "raise" or self.test_mode:
                option = "" if self.test_mode else ", or set on_error='skip'"
                raise DataError(
                    f"Cannot read {fault}\nRemove or repair it{option}"
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

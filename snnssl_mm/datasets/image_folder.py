"""Folders of images, with or without labels, some of which may be unreadable."""

from collections.abc import Mapping
from typing import Any

from snnssl_mm.datasets.checked_folder import CheckedFolder
from snnssl_mm.datasets.image_check import check_image, examine, unusual_note
from snnssl_mm.datasets.image_files import image_suffixes, log_once
from snnssl_mm.registry import DATASETS


@DATASETS.register_module()
class ImageFolder(CheckedFolder):
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
        self.min_size = min_size
        kwargs.setdefault("extensions", image_suffixes())
        super().__init__(data_root, on_error, verify, label_file, **kwargs)

    def find_faults(self) -> list[str | None]:
        """Check all files; log 16-bit and transparent images."""
        decoded = self.verify == "decode"
        found = self.examine_all(
            lambda sample: examine(sample["img_path"], self.min_size, decoded)
        )
        if note := unusual_note(found, decoded):
            log_once(f"{self.img_prefix}: {note}")
        return [one.fault for one in found]

    def fault(self, sample: Mapping[str, Any]) -> str | None:
        """Decode the image of a sample; return its fault, or None."""
        return check_image(sample["img_path"], self.min_size, decode=True)

"""Listing of the images in a folder, by one rule for datasets, probes and tools."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from mmengine.dist import is_main_process
from mmengine.logging import print_log
from PIL import Image

NO_PIXELS = {
    *(".bufr", ".grib", ".h5", ".hdf", ".wmf", ".emf"),
    *(".iim", ".mpg", ".mpeg", ".eps", ".ps", ".pdf"),
}
"""Suffixes that Pillow knows but cannot decode by itself."""

SYSTEM_NAMES = {
    "__macosx",
    "__pycache__",
    "thumbs.db",
    "desktop.ini",
    "$recycle.bin",
    "system volume information",
    "@eadir",
    "lost+found",
}
"""Files and folders that operating systems create, in lower case."""


@cache
def image_suffixes() -> tuple[str, ...]:
    """Return the lower-case suffixes of all image formats that Pillow can decode.

    Formats of plugins such as ``pillow_heif`` are included if registered before.
    """
    Image.init()
    known = Image.registered_extensions()
    readable = {suffix for suffix, kind in known.items() if kind in Image.OPEN}
    return tuple(sorted(readable - NO_PIXELS))


def is_hidden(name: str) -> bool:
    """Tell whether a file or folder is hidden, or created by the operating system."""
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


ORIENTATION = 0x0112
"""EXIF tag of the orientation, whose values are 1 to 8."""
TURNED = (5, 6, 7, 8)
"""Orientations that exchange width and height."""


class Listing(NamedTuple):
    """Images and other contents of a folder.

    Attributes:
        folder: The folder.
        images: Sorted paths of the images, relative to it, with ``/``.
        passed_over: Number of other visible files, by suffix.
        skipped_folders: Number of sub-folders that were not entered: all of them in a
            non-recursive listing, otherwise links to a folder that contains them.
    """

    folder: Path
    images: list[str]
    passed_over: Counter[str]
    skipped_folders: int

    def note(self, noun: str = "images") -> str | None:
        """Describe in one line what was skipped; None if nothing was.

        Args:
            noun: What was listed.
        """
        parts = []
        if total := self.passed_over.total():
            verb = f"file is not among the {noun} and was"
            if total > 1:
                verb = f"files are not {noun} and were"
            kinds = [f"{n} {kind}" for kind, n in self.passed_over.most_common(6)]
            if len(self.passed_over) > 6:
                kinds[5:] = ["others"]
            parts.append(f"{total} {verb} skipped: {', '.join(kinds)}")
        if number := self.skipped_folders:
            noun = "sub-folder was" if number == 1 else "sub-folders were"
            parts.append(f"{number} {noun} not entered")
        return f"{self.folder}: {'; '.join(parts)}" if parts else None

    def log_note(self, noun: str = "images") -> None:
        """Log what was skipped."""
        if note := self.note(noun):
            log_once(note)


@cache
def log_once(text: str, level: int = logging.INFO) -> None:
    """Log a line on the main process, the first time only.

    Several datasets of a run, and the checks before it, may read the same folder.
    """
    if is_main_process():
        print_log(text, logger="current", level=level)


def list_images(
    folder: str | Path, recursive: bool = True, suffixes: Iterable[str] | None = None
) -> Listing:
    """List the images of a folder.

    A file is an image if its suffix, in any case, is one of :func:`image_suffixes`.
    Symbolic links to files and folders are followed, except links to a folder that
    contains them. Hidden files and folders are skipped without a log line.

    Args:
        folder: The folder.
        recursive: Whether to enter sub-folders.
        suffixes: Suffixes to accept instead of :func:`image_suffixes`.

    Raises:
        OSError: If a folder cannot be read.
    """
    accepted = tuple(image_suffixes() if suffixes is None else suffixes)
    images: list[str] = []
    passed_over: Counter[str] = Counter()
    skipped = 0
    # Folders to read: each with its path from the root and the folders that contain it.
    waiting: list[tuple[str, str, frozenset[str]]] = [(str(folder), "", frozenset())]
    while waiting:
        current, prefix, above = waiting.pop()
        inside = above | {os.path.realpath(current)}
        with os.scandir(current) as entries:
            visible = [entry for entry in entries if not is_hidden(entry.name)]
        for entry in visible:
            if is_folder(entry):
                if recursive and os.path.realpath(entry.path) not in inside:
                    waiting.append((entry.path, f"{prefix}{entry.name}/", inside))
                else:
                    skipped += 1
            elif entry.name.lower().endswith(accepted) and is_readable_kind(entry):
                images.append(prefix + entry.name)
            else:
                passed_over[Path(entry.name).suffix.lower() or "without suffix"] += 1
    return Listing(Path(folder), sorted(images), passed_over, skipped)


def list_folders(folder: str | Path) -> list[str]:
    """Return the sorted names of the visible sub-folders (or links to folders)."""
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if not is_hidden(e.name) and is_folder(e))


def find_images(path: str | Path) -> list[Path]:
    """Return the sorted images of a folder (without sub-folders), or the one file.

    Raises:
        ValueError: If there are none.
    """
    if "://" in str(path):
        raise ValueError(f"{path} is a URL; download the image and give the file")
    path = Path(path).expanduser()
    if not path.exists():
        raise ValueError(f"{path} does not exist; give an image or a folder of images")
    if not path.is_dir():
        return [path]
    listing = list_images(path, recursive=False)
    if not listing.images:
        found = listing.note() or f"{path}: it is empty"
        raise ValueError(
            f"{path} contains no images; {found.removeprefix(f'{path}: ')}; expected "
            f"files with one of the suffixes {' '.join(image_suffixes())}"
        )
    listing.log_note()
    return [path / image for image in listing.images]


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Tell whether an entry is a folder or a link to one (circular links are not)."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def is_readable_kind(entry: os.DirEntry[str]) -> bool:
    """Tell whether an entry is a file or a link, not a pipe or device.

    A broken link is accepted, so that reading it fails with its name.
    """
    return entry.is_symlink() or entry.is_file()

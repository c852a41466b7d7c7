"""Which files of a folder are images: one rule for datasets, probes and tools."""

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
"""Suffixes that Pillow knows, and cannot decode by itself."""

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
"""Files and folders that systems create unasked, in lower case."""


@cache
def image_suffixes() -> tuple[str, ...]:
    """Suffixes, in lower case, of all image formats that Pillow decodes here.

    Formats of plugins such as ``pillow_heif`` count once these are registered.
    """
    Image.init()
    known = Image.registered_extensions()
    readable = {suffix for suffix, kind in known.items() if kind in Image.OPEN}
    return tuple(sorted(readable - NO_PIXELS))


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden, or made by a system and not by the user."""
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


ORIENTATION = 0x0112
"""EXIF's tag of the orientation, from 1 to 8."""
TURNED = (5, 6, 7, 8)
"""Orientations that exchange width and height."""


class Listing(NamedTuple):
    """What a folder holds.

    Attributes:
        folder: The folder.
        images: Paths of the images, relative to it, sorted, with ``/``.
        passed_over: How many other visible files there are, by suffix.
        skipped_folders: How many sub-folders were not entered: all in a listing of
            one folder; else links to a folder that they lie in.
    """

    folder: Path
    images: list[str]
    passed_over: Counter[str]
    skipped_folders: int

    def note(self) -> str | None:
        """One line about what was passed over, or None if there is nothing."""
        parts = []
        if total := self.passed_over.total():
            verb = "file is no image and was" if total == 1 else "files are no images "
            verb += "" if total == 1 else "and were"
            kinds = [f"{n} {kind}" for kind, n in self.passed_over.most_common(6)]
            if len(self.passed_over) > 6:
                kinds[5:] = ["others"]
            parts.append(f"{total} {verb} passed over: {', '.join(kinds)}")
        if number := self.skipped_folders:
            noun = "sub-folder was" if number == 1 else "sub-folders were"
            parts.append(f"{number} {noun} not entered")
        return f"{self.folder}: {'; '.join(parts)}" if parts else None

    def log_note(self) -> None:
        """Say in the log what was passed over."""
        if note := self.note():
            log_once(note)


@cache
def log_once(text: str, level: int = logging.INFO) -> None:
    """Write a line to the log of the main process, the first time only.

    Several data sets of a run may read one folder, and checks read it before.
    """
    if is_main_process():
        print_log(text, logger="current", level=level)


def list_images(
    folder: str | Path, recursive: bool = True, suffixes: Iterable[str] | None = None
) -> Listing:
    """List the images of a folder.

    A file is an image if its suffix, in any case, is one of :func:`image_suffixes`.
    Symbolic links to files and folders are followed, except those to a folder that
    they lie in. Hidden files and folders are passed over without a word.

    Args:
        folder: The folder.
        recursive: Whether sub-folders are entered.
        suffixes: Others than those of :func:`image_suffixes`.

    Raises:
        OSError: If a folder cannot be read.
    """
    accepted = tuple(image_suffixes() if suffixes is None else suffixes)
    images: list[str] = []
    passed_over: Counter[str] = Counter()
    skipped = 0
    # A folder still to be read, its path from the root, and the folders it lies in.
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
    """Names of the visible sub-folders of a folder and links to such, sorted."""
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if not is_hidden(e.name) and is_folder(e))


def find_images(path: str | Path) -> list[Path]:
    """Images of a folder (not of its sub-folders), or the one file, in order.

    Raises:
        ValueError: If there are none.
    """
    if "://" in str(path):
        raise ValueError(f"{path} is an address; download the image, and give the file")
    path = Path(path).expanduser()
    if not path.exists():
        raise ValueError(f"{path} does not exist; give an image or a folder of images")
    if not path.is_dir():
        return [path]
    listing = list_images(path, recursive=False)
    if not listing.images:
        found = listing.note() or f"{path}: it is empty"
        raise ValueError(
            f"{path} holds no images; {found.removeprefix(f'{path}: ')}; files with "
            f"these suffixes are images: {' '.join(image_suffixes())}"
        )
    listing.log_note()
    return [path / image for image in listing.images]


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or a link to one (links in a circle are none)."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def is_readable_kind(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a file or a link, which no pipe or device is.

    A broken link counts: reading it fails with its name.
    """
    return entry.is_symlink() or entry.is_file()

"""Classes of images from a text file: tables of paths and classes, or classes only."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

from snnssl_mm.datasets.image_files import image_suffixes
from snnssl_mm.datasets.label_file import read_lines

SEPARATORS = "\t;,"
HEADINGS = ("class", "label", "category", "classname", "class_name", "target")
"""Headings of the column of classes where there are several others than the paths."""


def names_of(images: list[Path], root: Path) -> dict[str, Path]:
    """Map what a file may call an image to it: path or name, with or without suffix.

    A name that two images have is left out.
    """
    exact = {image.relative_to(root).as_posix(): image for image in images}
    looser = [
        (name, image)
        for path, image in exact.items()
        for name in {image.name, image.stem, path.removesuffix(image.suffix)}
    ]
    counts = Counter(name for name, _ in looser)
    return {name: image for name, image in looser if counts[name] == 1} | exact


def label_file(file: Path, images: list[Path], root: Path) -> dict[Path, str]:
    """Return each image's class from a text file.

    Its lines are ``path,class`` (or separated by a tab, a semicolon, or the last
    blank), the path relative to the folder of images; a line of headings may come
    first. Or they are a class alone, in the sorted order of the images' paths.

    Raises:
        ValueError: If lines and images do not belong together.
    """
    lines = [line for line in read_lines(file) if line]
    rows = split_into_cells(lines)
    names = names_of(images, root)

    def image_of(cell: str) -> Path | None:
        path = cell.replace("\\", "/").removeprefix("./")
        return names.get(path) or names.get(path.rpartition("/")[2])

    width = min(map(len, rows), default=0)
    fits = [sum(bool(image_of(row[place])) for row in rows) for place in range(width)]
    if width < 2 or not max(fits):
        if len(lines) == len(images):
            return dict(zip(images, lines, strict=True))
        cells = [row[0] for row in rows] or ["nothing"]
        strange = next((cell for cell in cells if is_named_as_image(cell)), cells[0])
        raise ValueError(misfit(file, images, root, len(lines), strange))
    place = fits.index(max(fits))
    first = rows[0][place]
    headed = image_of(first) is None and not is_named_as_image(first)
    column = column_of_classes(file, rows[0], place, headed)
    found: dict[Path, str] = {}
    for row in rows[headed:]:
        image, name = image_of(row[place]), "".join(row[column : column + 1])
        if image is None:
            raise ValueError(misfit(file, images, root, len(lines), row[place]))
        if not name or found.setdefault(image, name) != name:
            what = f"{found[image]!r} and {name!r}" if name else "no class"
            raise ValueError(f"{file} gives {row[place]} {what}; expected one class")
    return found


def is_named_as_image(cell: str) -> bool:
    """Whether a cell has the suffix of an image, so that it is no heading."""
    return Path(cell).suffix.lower() in image_suffixes()


def split_into_cells(lines: list[str]) -> list[list[str]]:
    """Split lines at the separator that most have, else at their last blank."""
    separator = max(SEPARATORS, key=lambda sign: sum(sign in line for line in lines))
    if any(separator in line for line in lines):
        table = csv.reader(lines, delimiter=separator, skipinitialspace=True)
        return [[cell.strip() for cell in row] for row in table]
    return [line.rsplit(None, 1) for line in lines]


def column_of_classes(file: Path, first: list[str], place: int, headed: bool) -> int:
    """Return the column that holds the classes.

    Args:
        file: For the message.
        first: The first row.
        place: The column of the paths.
        headed: Whether the first row are headings.

    Raises:
        ValueError: If several columns may be it.
    """
    others = [column for column in range(len(first)) if column != place]
    if len(others) > 1 and headed:
        others = [column for column in others if first[column].lower() in HEADINGS]
    if len(others) == 1:
        return others[0]
    raise ValueError(
        f"{file} has {len(first)} columns, and which holds the classes is unclear; "
        f"expected path and class, or the heading {HEADINGS[0]!r} over the classes"
    )


def misfit(file: Path, images: list[Path], root: Path, lines: int, cell: str) -> str:
    """Say that a file's lines and the images do not belong together."""
    return (
        f"{file} does not fit the {len(images)} images in {root}: it has {lines} "
        f"lines, and {cell!r} is not an image there; expected a line 'path,class' for "
        "each, or a class a line in the sorted order of the images"
    )

"""Classes of images from a text file: a table of paths and classes, or classes only."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

from snnssl_mm.datasets.image_files import image_suffixes
from snnssl_mm.datasets.label_file import read_lines

SEPARATORS = "\t;,"
HEADINGS = ("class", "label", "category", "classname", "class_name", "target")
"""Accepted headings of the class column if there are more than two columns."""


def names_of(images: list[Path], root: Path) -> dict[str, Path]:
    """Map names of images to images: path or file name, with or without suffix.

    Ambiguous names are left out.
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
    """Read the class of each image from a text file.

    The lines are ``path,class`` (or separated by a tab, a semicolon, or the last
    blank), with paths relative to the folder of images and an optional heading. Or each
    line is a class only, in the sorted order of the images' paths.

    Raises:
        ValueError: If the lines do not fit the images.
    """
    lines = [line.strip() for line in read_lines(file) if line]
    rows = split_into_cells(lines)
    names = names_of(images, root)

    def image_of(cell: str) -> Path | None:
        path = cell.replace("\\", "/").removeprefix("./")
        return names.get(path) or names.get(path.rpartition("/")[2])

    width = min(map(len, rows), default=0)
    fits = [sum(bool(image_of(row[index])) for row in rows) for index in range(width)]
    if width < 2 or not max(fits):
        if len(lines) == len(images):
            ordered = sorted(images, key=lambda file: file.relative_to(root).as_posix())
            return dict(zip(ordered, lines, strict=True))
        cells = [row[0] for row in rows] or ["nothing"]
        strange = next((cell for cell in cells if is_named_as_image(cell)), cells[0])
        raise ValueError(misfit(file, images, root, len(lines), strange))
    path_column = fits.index(max(fits))
    first = rows[0][path_column]
    has_heading = image_of(first) is None and not is_named_as_image(first)
    column = class_column(file, rows[0], path_column, has_heading)
    found: dict[Path, str] = {}
    for row in rows[1:] if has_heading else rows:
        path = row[path_column]
        image, name = image_of(path), "".join(row[column : column + 1])
        if image is None:
            raise ValueError(misfit(file, images, root, len(lines), path))
        if not name or found.setdefault(image, name) != name:
            what = f"{found[image]!r} and {name!r}" if name else "no class"
            raise ValueError(f"{file} gives {path} {what}; expected one class")
    return found


def is_named_as_image(cell: str) -> bool:
    """Tell whether a cell has the suffix of an image (so it is not a heading)."""
    return Path(cell).suffix.lower() in image_suffixes()


def split_into_cells(lines: list[str]) -> list[list[str]]:
    """Split lines at the most common separator, or else at their last blank."""
    separator = max(SEPARATORS, key=lambda sign: sum(sign in line for line in lines))
    if any(separator in line for line in lines):
        table = csv.reader(lines, delimiter=separator, skipinitialspace=True)
        return [[cell.strip() for cell in row] for row in table]
    return [line.rsplit(None, 1) for line in lines]


def class_column(
    file: Path, first: list[str], path_column: int, has_heading: bool
) -> int:
    """Return the index of the column with the classes.

    Args:
        file: The file, for the message.
        first: The first row.
        path_column: Index of the column with the paths.
        has_heading: Whether the first row is a heading.

    Raises:
        ValueError: If the column is ambiguous.
    """
    others = [column for column in range(len(first)) if column != path_column]
    if len(others) > 1 and has_heading:
        others = [column for column in others if first[column].lower() in HEADINGS]
    if len(others) == 1:
        return others[0]
    raise ValueError(
        f"{file} has {len(first)} columns, and the one with the classes is ambiguous; "
        f"expected path and class, or the heading {HEADINGS[0]!r} over the classes"
    )


def misfit(file: Path, images: list[Path], root: Path, lines: int, cell: str) -> str:
    """Return the message for a file whose lines do not fit the images."""
    return (
        f"{file} does not fit the {len(images)} images in {root}: it has {lines} "
        f"lines, and {cell!r} is not an image there; expected a line 'path,class' per "
        "image, or one class per line in the sorted order of the images"
    )

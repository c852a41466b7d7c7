"""Text files with the classes of images."""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from pathlib import Path
from typing import Any

BYTE_ORDER_MARKS = {  # in this order: UTF-32-LE's mark begins with UTF-16-LE's
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_lines(file: Path) -> list[str]:
    """Read the lines of a text file, without blanks and empty lines at their end.

    The file is UTF-8, or has the byte order mark of UTF-8, UTF-16 or UTF-32, with line
    endings of Unix, Windows or old Macs.

    Raises:
        ValueError: If it is not such a text; the message has the line.
    """
    content = file.read_bytes()
    marked = (n for mark, n in BYTE_ORDER_MARKS.items() if content.startswith(mark))
    encoding = next(marked, "utf-8")
    cure = "save it as UTF-8 text"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{file} is not {encoding.removesuffix('-sig').upper()} text: line {line} "
            f"has the byte 0x{content[error.start]:02x}; {cure}"
        ) from error
    if "\0" in text:  # UTF-16 without a mark, or binary data
        raise ValueError(f"{file} is not UTF-8 text, it has zero bytes; {cure}")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return [line.rstrip() for line in text.rstrip().split("\n")]


def read_label_file(file: Path) -> list[str]:
    """Read the classes of a label file, one per line; see :func:`read_lines`.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not text, or has an empty line.
    """
    if not file.is_file():
        raise FileNotFoundError(
            f"The label file {file.absolute()} does not exist: set label_file of the "
            "dataset to a text file with one class per line"
        )
    names = [line.strip() for line in read_lines(file)]
    if "" in names:
        raise ValueError(
            f"Line {names.index('') + 1} of the label file {file} is empty: write the "
            "image's class there"
        )
    return names


def sorted_classes(names: Iterable[str]) -> list[str]:
    """Return the sorted distinct classes; integers are sorted by value."""
    distinct = set(names)
    integers = all(name.removeprefix("-").isdecimal() for name in distinct)
    return sorted(distinct, key=int if integers else str)


def read_annotation_file(file: Path, with_label: bool) -> list[dict[str, Any]]:
    """Read ``img_path``, and ``gt_label`` with labels, from each line of a file.

    Blanks at the start of a line belong to the path.

    Raises:
        ValueError: If it is not text, or a line is not ``PATH`` or ``PATH NUMBER``.
    """
    samples: list[dict[str, Any]] = []
    for line_number, line in enumerate(read_lines(file), 1):
        parts = line.rsplit(None, 1) if with_label else [line, ""]
        path, label = parts if len(parts) == 2 else ("", "")
        if not path or (with_label and not label.isdecimal()):
            expected = "PATH NUMBER, the image and its class" if with_label else "PATH"
            raise ValueError(
                f"Line {line_number} of the annotation file {file} is {line!r}; "
                f"expected {expected}"
            )
        samples.append({"img_path": path.rstrip()})
        if with_label:
            samples[-1]["gt_label"] = int(label)
    return samples

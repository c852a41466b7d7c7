"""Properties of image files that a pipeline's loading may not show."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from snnssl_mm.datasets.image_check import examine
from snnssl_mm.datasets.image_files import ORIENTATION, image_suffixes


class Stored(NamedTuple):
    """Header of an image file.

    Attributes:
        width: Stored width in pixels, before the EXIF rotation.
        height: Stored height in pixels, before the EXIF rotation.
        orientation: EXIF orientation, from 1 to 8; 1 if it has none.
        unseen: Properties that OpenCV's loading does not preserve, as text.
    """

    width: int
    height: int
    orientation: int
    unseen: str = ""


def stored(path: str) -> Stored | None:
    """Read the header of an image file; None if Pillow cannot."""
    try:
        with Image.open(path) as image:
            size, kind = image.size, image.format
            orientation = image.getexif().get(ORIENTATION, 1)
    except Exception:  # Pillow's decoders raise anything on damaged files
        return None
    if kind == "JPEG":  # 8 bits, opaque
        return Stored(*size, orientation)
    found = examine(path, decoded=True)
    parts = []
    if found.transparent:
        parts.append("transparent pixels, whose colours it shows")
    if found.depth and found.depth < 16:
        parts += [f"{found.depth} bits in 16, of which it keeps the upper 8"]
    return Stored(*size, orientation, " and ".join(parts))


def nearby(path: str) -> str:
    """Suggest a file that differs in case, suffix or a duplicated folder."""
    folder, name = os.path.split(path)
    for place in (folder, os.path.dirname(folder)):
        with contextlib.suppress(OSError, ValueError):
            for one in sorted(os.listdir(place)):
                if bare(one) == bare(name):
                    return f" ({Path(place, one)} does)"
    return ""


def bare(name: str) -> str:
    """Normalise a file name: lower case, no folders, byte order mark or suffixes."""
    plain = name.lstrip("\ufeff").replace("\\", "/").rpartition("/")[2].lower()
    while plain.endswith(image_suffixes()):
        plain = os.path.splitext(plain)[0]
    return plain

"""What image files hold, compared with what a pipeline's loading shows of them."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from snnssl_mm.datasets.image_check import examine
from snnssl_mm.datasets.image_files import ORIENTATION, image_suffixes


class Stored(NamedTuple):
    """What an image file holds.

    Attributes:
        width: In pixels, before it is turned.
        height: The same.
        orientation: EXIF's, from 1 to 8; 1 if it has none.
        unseen: What OpenCV's loading does not show as it is, in words.
    """

    width: int
    height: int
    orientation: int
    unseen: str = ""


def stored(path: str) -> Stored | None:
    """Look into an image file; None if Pillow does not know such files."""
    try:
        with Image.open(path) as image:
            size, kind = image.size, image.format
            orientation = image.getexif().get(ORIENTATION, 1)
    except Exception:  # Pillow's decoders raise many kinds on any bytes
        return None
    if kind == "JPEG":  # 8 bits, opaque
        return Stored(*size, orientation)
    found = examine(path, decoded=True)
    parts = ["transparent pixels, whose colours it shows"] * found.transparent
    if found.depth and found.depth < 16:
        parts += [f"{found.depth} bits in 16, of which it keeps the upper 8"]
    return Stored(*size, orientation, " and ".join(parts))


def nearby(path: str) -> str:
    """Name a file that is there, and differs in case, suffix or a doubled folder."""
    folder, name = os.path.split(path)
    for place in (folder, os.path.dirname(folder)):
        with contextlib.suppress(OSError, ValueError):
            for one in sorted(os.listdir(place)):
                if bare(one) == bare(name):
                    return f" ({Path(place, one)} does)"
    return ""


def bare(name: str) -> str:
    """A file's name in lower case, without folders, byte order mark and suffixes."""
    plain = name.lstrip("\ufeff").replace("\\", "/").rpartition("/")[2].lower()
    while plain.endswith(image_suffixes()):
        plain = os.path.splitext(plain)[0]
    return plain

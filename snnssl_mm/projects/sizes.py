"""Sizes of image files as they are shown."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from snnssl_mm.datasets.image_files import ORIENTATION, TURNED


def shown_size(file: Path) -> tuple[int, int]:
    """Width and height of an image after EXIF orientation, from its header.

    Raises:
        ValueError: If it is not a readable image.
    """
    try:
        with Image.open(file) as image:
            width, height = image.size
            turned = image.getexif().get(ORIENTATION) in TURNED
    except Exception as error:  # Pillow's decoders raise many kinds on any bytes
        raise ValueError(
            f"{file} cannot be read as an image ({error}); replace or remove it"
        ) from None
    return (height, width) if turned else (width, height)

"""Sizes of image files after EXIF orientation."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from snnssl_mm.datasets.image_files import ORIENTATION, TURNED


def shown_size(file: Path) -> tuple[int, int]:
    """Return width and height of an image after EXIF orientation, from its header.

    Raises:
        ValueError: If it is not a readable image.
    """
    try:
        with Image.open(file) as image:
            width, height = image.size
            turned = image.getexif().get(ORIENTATION) in TURNED
    except Exception as error:  # damaged bytes make Pillow raise any kind of error
        raise ValueError(
            f"{file} cannot be read as an image ({error}); replace or remove it"
        ) from None
    return (height, width) if turned else (width, height)

"""Check of image files: faults, 16-bit values, transparency."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from PIL import Image

from snnssl_mm.datasets.loading import BACKGROUND, decode, is_deep, pixel_fault


class Examined(NamedTuple):
    """Result of checking an image file.

    Attributes:
        fault: One line with the file and its fault, or None if it is intact.
        depth: Bits that the values of a 16-bit file use (16 if it was not decoded);
            None for other files.
        transparent: Whether a pixel is not opaque (if the file was not decoded: whether
            it has an alpha channel).
    """

    fault: str | None
    depth: int | None = None
    transparent: bool = False


def examine(path: str, min_size: int = 1, decoded: bool = False) -> Examined:
    """Examine an image file.

    Args:
        path: The file.
        min_size: Smallest accepted side in pixels.
        decoded: Whether to decode the complete file, not only the header.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            fault = pixel_fault(image)
            depth = 16 if is_deep(image) else None
            transparent = image.has_transparency_data
            if decoded and not fault:
                _, depth, transparent = decode(image)
    except Exception as error:  # damaged bytes make Pillow raise any kind of error
        reason = str(error) or type(error).__name__
        reason = reason.replace(f": {path!r}", "").replace(repr(path), "this file")
        return Examined(f"{path}: {reason}")
    if not fault and min(width, height) < min_size:
        fault = f"{width} x {height} pixels, needs at least {min_size}"
    return Examined(f"{path}: {fault}" if fault else None, depth, transparent)


def check_image(path: str, min_size: int = 1, decode: bool = False) -> str | None:
    """Return the fault of an image file, or None; arguments as for :func:`examine`."""
    return examine(path, min_size, decode).fault


def unusual_note(found: Iterable[Examined], decoded: bool) -> str | None:
    """Describe 16-bit and transparent images in one line; None if there are none.

    Args:
        found: Results of :func:`examine`.
        decoded: Whether the files were decoded.
    """
    fine = [one for one in found if one.fault is None]
    depths = Counter(one.depth for one in fine if one.depth is not None)
    parts = []
    if depths:
        text = f"{depths.total()} with 16 bits per channel are scaled to 8"
        if decoded:
            kinds = [f"{number} from {depth}" for depth, number in depths.most_common()]
            text += f" ({', '.join(kinds)} bits, as their largest values need)"
        if decoded and len(depths) > 1:
            text += (
                ", so equal values in different files are not equally bright: convert "
                "them to 8 bits by one scale if that matters"
            )
        parts.append(text)
    if clear := sum(one.transparent for one in fine):
        what = "transparent pixels" if decoded else "an alpha channel"
        parts.append(f"{clear} with {what} are composed onto RGB {BACKGROUND}")
    return f"of {len(fine)} images, {'; '.join(parts)}" if parts else None

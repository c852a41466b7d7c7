"""Check image files, and say what of them is unusual."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from PIL import Image

from snnssl_mm.datasets.loading import BACKGROUND, decode, is_deep, pixel_fault


class Examined(NamedTuple):
    """What was found about an image file.

    Attributes:
        fault: A line that names the file and its fault, or None if it is fine.
        depth: Bits of a value if the file stores 16 (16 unless it was decoded); else
            None.
        transparent: Whether a pixel is not opaque (has an alpha channel, unless it was
            decoded).
    """

    fault: str | None
    depth: int | None = None
    transparent: bool = False


def examine(path: str, min_size: int = 1, decoded: bool = False) -> Examined:
    """Examine an image file.

    Args:
        path: The file.
        min_size: Smallest side in pixels that is accepted.
        decoded: Decode all of it; otherwise only the header is read.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            fault = pixel_fault(image)
            depth = 16 if is_deep(image) else None
            transparent = image.has_transparency_data
            if decoded and not fault:
                _, depth, transparent = decode(image)
    except Exception as error:  # Pillow's decoders raise many kinds on any bytes
        reason = str(error) or type(error).__name__
        reason = reason.replace(f": {path!r}", "").replace(repr(path), "this file")
        return Examined(f"{path}: {reason}")
    if not fault and min(width, height) < min_size:
        fault = f"{width} x {height} pixels, needs at least {min_size}"
    return Examined(f"{path}: {fault}" if fault else None, depth, transparent)


def check_image(path: str, min_size: int = 1, decode: bool = False) -> str | None:
    """Say what is wrong with an image file; arguments as of :func:`examine`."""
    return examine(path, min_size, decode).fault


def unusual_note(found: Iterable[Examined], decoded: bool) -> str | None:
    """One line about 16-bit and transparent images, or None if there are none.

    Args:
        found: What :func:`examine` returned.
        decoded: Whether the files were decoded.
    """
    fine = [one for one in found if one.fault is None]
    depths = Counter(one.depth for one in fine if one.depth is not None)
    parts = []
    if depths:
        text = f"{depths.total()} with 16 bits a channel are scaled to 8"
        if decoded:
            kinds = [f"{number} from {depth}" for depth, number in depths.most_common()]
            text += f" ({', '.join(kinds)} bits, as their largest values need)"
        if decoded and len(depths) > 1:
            text += (
                ", so equal values of these are not equally bright: convert them to 8 "
                "bits by one scale if that matters"
            )
        parts.append(text)
    if clear := sum(one.transparent for one in fine):
        what = "transparent pixels" if decoded else "an alpha channel"
        parts.append(f"{clear} with {what} are composed onto RGB {BACKGROUND}")
    return f"of {len(fine)} images, {'; '.join(parts)}" if parts else None

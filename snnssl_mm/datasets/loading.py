"""Decode images of any kind to 8-bit colours, by one rule for files and arrays.

The same file gives the same pixels wherever it is read:

* Grey, palette, 1-bit and CMYK images become colours; of several frames or pages the
  first counts; EXIF orientation is applied.
* 16 bits a channel: values are divided by the largest value of the smallest depth of
  8, 10, 12, 14 or 16 bits that holds the image's maximum, so that 12-bit data in a
  16-bit file keep their grey levels. The depth is found for each image by itself.
* Transparent pixels are composed onto :data:`BACKGROUND`; the colour that a file
  stores under fully transparent ones never shows.
* Floating-point and 32-bit pixels are refused: nothing tells how bright 1 is.
"""

from __future__ import annotations

from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine import fileio
from PIL import Image, ImageFile, ImageOps

from snnssl_mm.datasets.image_files import ORIENTATION
from snnssl_mm.registry import TRANSFORMS

JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
DECODING = 2
"""Version of the rules above; cached features of an earlier one are computed again."""
BACKGROUND = (124, 117, 104)
"""RGB behind transparent pixels: ImageNet's mean, on which dark and light things show
(mmcv puts grey images with transparency on the same)."""
DEPTHS = (8, 10, 12, 14, 16)


class Decoded(NamedTuple):
    """An image and what was unusual about its file.

    Attributes:
        pixels: RGB, uint8 ``[H, W, 3]``.
        depth: Bits of a value, as found; None for a file of 8 bits.
        transparent: Whether a pixel is not opaque.
    """

    pixels: np.ndarray
    depth: int | None
    transparent: bool


def is_deep(image: Image.Image) -> bool:
    """Whether an image that is not decoded yet stores 16 bits a channel."""
    if image.mode.startswith("I;16"):
        return True
    if image.mode == "I" and image.format in ("PNG", "PPM"):
        return True
    for tile in getattr(image, "tile", []):
        args = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        if any(str(a).endswith((";16B", ";16L", ";16N")) for a in args):
            return True  # of colours, Pillow would keep the upper 8 bits
        if tile.codec_name.startswith("ppm") and isinstance(args[-1], int):
            return args[-1] > 255
    return False


def pixel_fault(image: Image.Image) -> str | None:
    """Say why pixels have no meaning as colours: nothing tells how bright 1 is."""
    if image.mode in ("I", "F") and not is_deep(image):
        kind = "floating-point" if image.mode == "F" else "32-bit"
        return f"{kind} pixels, of which the range is unknown; needs 8 or 16 bits"
    return None


def decode(image: Image.Image) -> Decoded:
    """Decode an image by the rules of this module.

    Args:
        image: Just opened, or in memory.

    Raises:
        Exception: Whatever Pillow raises for a file that is not intact.
        ValueError: If its pixels have no known range, or no known kind.
    """
    if fault := pixel_fault(image):
        raise ValueError(fault)
    transparent = image.has_transparency_data
    if is_deep(image):
        values = deep_values(image)
        key = image.info.get("transparency")  # a colour that counts as transparent
        if key is not None and values.shape[-1] < 4:
            clear = (values == np.array(key)).all(-1)
            values = np.broadcast_to(values, (*clear.shape, 3))
            values = np.dstack([values, np.where(clear, 0, 65535).astype(np.uint16)])
        return to_colors(values if transparent else values[..., :3])
    upright = ImageOps.exif_transpose(image)
    if transparent:
        return to_colors(np.asarray(upright.convert("RGBA")))
    return Decoded(np.asarray(upright.convert("RGB")), None, False)


def deep_values(image: Image.Image) -> np.ndarray:
    """Values of an image with 16 bits a channel: uint16 ``[H, W, 1, 3 or 4]``, RGB.

    Raises:
        Exception: Whatever Pillow raises for a file that is not intact.
        ValueError: If OpenCV does not know such a file.
    """
    if image.mode.startswith("I"):
        return np.asarray(ImageOps.exif_transpose(image), np.uint16)[..., None]
    # Pillow sees whether the file is intact, OpenCV keeps all bits.
    assert isinstance(image, ImageFile.ImageFile)
    assert image.fp is not None
    image.fp.seek(0)
    content = np.frombuffer(image.fp.read(), np.uint8)
    # OpenCV turns a TIFF by itself.
    orientation = 1 if image.format == "TIFF" else image.getexif().get(ORIENTATION)
    image.load()
    values = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16 or values.ndim != 3:
        raise ValueError(
            f"16 bits a channel in a {image.format} file of mode {image.mode}, which "
            "cannot be read; save it as a PNG of RGB or grey"
        )
    order = cv2.COLOR_BGRA2RGBA if values.shape[-1] == 4 else cv2.COLOR_BGR2RGB
    return apply_orientation(cv2.cvtColor(values, order), orientation)


def apply_orientation(values: np.ndarray, orientation: int | None) -> np.ndarray:
    """Turn an array ``[H, W, C]`` as an EXIF orientation (1 to 8) says."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    return np.ascontiguousarray(values)


def to_colors(values: np.ndarray) -> Decoded:
    """Bring an array to opaque 8-bit colours by the rules of this module.

    Args:
        values: uint8 or uint16 ``[H, W]`` or ``[H, W, C]``, C = 1 (grey), 3 (RGB) or
            4 (RGBA).
    """
    if values.ndim == 2:
        values = values[..., None]
    colors, alpha = values[..., :3], values[..., 3:]
    depth = None
    if values.dtype == np.uint16:
        seen = colors[alpha[..., 0] > 0] if alpha.size else colors
        depth = bit_depth(seen)
        colors = to_8_bits(colors, depth)
        alpha = to_8_bits(alpha, bit_depth(alpha))
    if colors.shape[-1] == 1:
        colors = np.repeat(colors, 3, axis=-1)
    transparent = bool(alpha.size and alpha.min() < 255)
    if transparent:  # at most 255 * 255 + 127, which uint16 holds
        weights = alpha.astype(np.uint16)
        behind = np.array(BACKGROUND, np.uint16) * (255 - weights)
        colors = ((colors * weights + behind + 127) // 255).astype(np.uint8)
    return Decoded(np.ascontiguousarray(colors), depth, transparent)


def bit_depth(values: np.ndarray) -> int:
    """Smallest depth of :data:`DEPTHS` that holds all values."""
    largest = int(values.max(initial=0))
    return next(depth for depth in DEPTHS if largest < 2**depth)


def to_8_bits(values: np.ndarray, depth: int) -> np.ndarray:
    """Scale integers of ``depth`` bits so that the largest becomes 255, and round.

    Larger ones, which only transparent pixels have, are cut off.
    """
    return scaled_values(depth)[values]


@cache
def scaled_values(depth: int) -> np.ndarray:
    """What :func:`to_8_bits` makes of each integer of 16 bits, uint8 ``[65536]``."""
    largest = 2**depth - 1
    values = np.minimum(np.arange(2**16), largest) * 255 / largest
    return np.rint(values).astype(np.uint8)


def decode_file(content: bytes) -> np.ndarray:
    """Decode an image file to BGR, uint8 ``[H, W, 3]``.

    Pillow sees when a file is truncated; OpenCV fills the missing part with grey and
    says nothing, but decodes a JPEG faster. So grey and RGB JPEGs that are there to
    their end marker go to OpenCV, all other files to Pillow.

    Raises:
        Exception: Whatever Pillow raises for a file that is not intact.
        ValueError: If its pixels have no known range.
    """
    with Image.open(BytesIO(content)) as image:
        intact = content.startswith(JPEG_START) and content.endswith(JPEG_END)
        if intact and image.mode in ("L", "RGB"):
            pixels = mmcv.imfrombytes(content, backend="cv2")
            if pixels is not None:
                return np.asarray(pixels)
        return cv2.cvtColor(decode(image).pixels, cv2.COLOR_RGB2BGR)


def read_image(file: str | Path) -> np.ndarray:
    """Read an image file as RGB, uint8 ``[H, W, 3]``; see :func:`decode_file`."""
    return cv2.cvtColor(decode_file(fileio.get(str(file))), cv2.COLOR_BGR2RGB)


@TRANSFORMS.register_module()
class LoadIntactImage(LoadImageFromFile):
    """Load an image in colour, and raise if its file is truncated.

    The rules for 16-bit and transparent files are those of
    :mod:`snnssl_mm.datasets.loading`. Requires ``img_path``; adds ``img`` (uint8 BGR
    of shape ``[H, W, 3]``, turned as its EXIF data say), ``img_shape``, ``ori_shape``.

    Args:
        backend_args: Where mmengine reads files from; None for the disk.
    """

    def __init__(self, backend_args: dict[str, Any] | None = None) -> None:
        super().__init__(backend_args=backend_args)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return ``results`` with the image and its size."""
        content = fileio.get(results["img_path"], backend_args=self.backend_args)
        results["img"] = image = decode_file(content)
        results["img_shape"] = results["ori_shape"] = image.shape[:2]
        return results

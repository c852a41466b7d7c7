"""Decoding of any image to 8-bit colours, by the same rules for files and arrays.

A file gives the same pixels wherever it is read:

* Grey, palette, 1-bit and CMYK images are converted to colours. Only the first frame or
  page is used. EXIF orientation is applied.
* 16 bits per channel: values are divided by the largest value of the smallest depth (8,
  10, 12, 14 or 16 bits) that fits the image's maximum, so that 12-bit data in a 16-bit
  file keep their grey levels. The depth is determined for each image separately.
* Transparent pixels are composed onto :data:`BACKGROUND`; the colour that a file stores
  for fully transparent pixels never appears.
* Floating-point and 32-bit pixels are refused, since their range is unknown.
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
"""Version of the rules above; features cached under an earlier one are recomputed."""
BACKGROUND = (124, 117, 104)
"""RGB behind transparent pixels: ImageNet's mean, against which dark and light objects
are visible (mmcv uses the same for grey images with transparency)."""
DEPTHS = (8, 10, 12, 14, 16)


class Decoded(NamedTuple):
    """Decoded image, its bit depth and transparency.

    Attributes:
        pixels: RGB, uint8 ``[H, W, 3]``.
        depth: Bits that the values of a 16-bit file use; None for 8-bit files.
        transparent: Whether a pixel is not opaque.
    """

    pixels: np.ndarray
    depth: int | None
    transparent: bool


def is_deep(image: Image.Image) -> bool:
    """Tell whether an image that is not decoded yet has 16 bits per channel."""
    if image.mode.startswith("I;16"):
        return True
    if image.mode == "I" and image.format in ("PNG", "PPM"):
        return True
    for tile in getattr(image, "tile", []):
        args = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        if any(str(a).endswith((";16B", ";16L", ";16N")) for a in args):
            return True  # for colours, Pillow would keep only the upper 8 bits
        if tile.codec_name.startswith("ppm") and isinstance(args[-1], int):
            return args[-1] > 255
    return False


def pixel_fault(image: Image.Image) -> str | None:
    """Return why pixels have no known range (so no meaning as colours), or None."""
    if image.mode in ("I", "F") and not is_deep(image):
        kind = "floating-point" if image.mode == "F" else "32-bit"
        return f"{kind} pixels, whose range is unknown; expected 8 or 16 bits"
    return None


def decode(image: Image.Image) -> Decoded:
    """Decode an image by the rules of this module.

    Args:
        image: An opened image, not decoded yet, or an image in memory.

    Raises:
        Exception: Any error of Pillow for a damaged file.
        ValueError: If the range or the kind of its pixels is unknown.
    """
    if fault := pixel_fault(image):
        raise ValueError(fault)
    transparent = image.has_transparency_data
    if is_deep(image):
        values = deep_values(image)
        key = image.info.get("transparency")  # a colour that means transparent
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
    """Read an image with 16 bits per channel: uint16 ``[H, W, 1, 3 or 4]``, RGB.

    Raises:
        Exception: Any error of Pillow for a damaged file.
        ValueError: If OpenCV cannot decode such a file.
    """
    if image.mode.startswith("I"):
        return np.asarray(ImageOps.exif_transpose(image), np.uint16)[..., None]
    # Pillow detects damaged files, OpenCV keeps all bits.
    assert isinstance(image, ImageFile.ImageFile)
    assert image.fp is not None
    image.fp.seek(0)
    content = np.frombuffer(image.fp.read(), np.uint8)
    # OpenCV applies the orientation of a TIFF by itself.
    orientation = 1 if image.format == "TIFF" else image.getexif().get(ORIENTATION)
    image.load()
    values = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16 or values.ndim != 3:
        raise ValueError(
            f"16 bits per channel in a {image.format} file of mode {image.mode} cannot "
            "be read; save it as a PNG of RGB or grey"
        )
    order = cv2.COLOR_BGRA2RGBA if values.shape[-1] == 4 else cv2.COLOR_BGR2RGB
    return apply_orientation(cv2.cvtColor(values, order), orientation)


def apply_orientation(values: np.ndarray, orientation: int | None) -> np.ndarray:
    """Apply an EXIF orientation (1 to 8) to an array ``[H, W, C]``."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    return np.ascontiguousarray(values)


def to_colors(values: np.ndarray) -> Decoded:
    """Convert an array to opaque 8-bit colours by the rules of this module.

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
    """Return the smallest depth in :data:`DEPTHS` that fits all values."""
    largest = int(values.max(initial=0))
    return next(depth for depth in DEPTHS if largest < 2**depth)


def to_8_bits(values: np.ndarray, depth: int) -> np.ndarray:
    """Scale integers of ``depth`` bits so that the largest becomes 255, and round.

    Larger values, which only transparent pixels have, are clipped.
    """
    return scaled_values(depth)[values]


@cache
def scaled_values(depth: int) -> np.ndarray:
    """Return the lookup table of :func:`to_8_bits`, uint8 ``[65536]``."""
    largest = 2**depth - 1
    values = np.minimum(np.arange(2**16), largest) * 255 / largest
    return np.rint(values).astype(np.uint8)


def decode_file(content: bytes) -> np.ndarray:
    """Decode an image file to BGR, uint8 ``[H, W, 3]``.

    Pillow detects truncated files. OpenCV silently fills the missing part with grey,
    but decodes JPEGs faster. So OpenCV decodes grey and RGB JPEGs that have their end
    marker, and Pillow all other files.

    Raises:
        Exception: Any error of Pillow for a damaged file.
        ValueError: If the range of its pixels is unknown.
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
    """Transform that loads an image in colour and raises if its file is truncated.

    16-bit and transparent files are decoded by the rules of
    :mod:`snnssl_mm.datasets.loading`. Requires ``img_path``; adds ``img`` (uint8 BGR
    of shape ``[H, W, 3]``, with EXIF orientation applied), ``img_shape`` and
    ``ori_shape``.

    Args:
        backend_args: Settings of mmengine's file backend; None for the local disk.
    """

    def __init__(self, backend_args: dict[str, Any] | None = None) -> None:
        super().__init__(backend_args=backend_args)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return ``results`` with the image and its size."""
        content = fileio.get(results["img_path"], backend_args=self.backend_args)
        results["img"] = image = decode_file(content)
        results["img_shape"] = results["ori_shape"] = image.shape[:2]
        return results

"""Loading of image files: as fast as OpenCV, as strict as Pillow."""

from io import BytesIO
from typing import Any

import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine import fileio
from PIL import Image

from snnssl_mm.registry import TRANSFORMS

JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"


def has_16_bits(image: Image.Image) -> bool:
    """Whether a grey image has 16 bits a pixel, which Pillow would cut off at 255."""
    return image.mode.startswith("I;16") or (image.mode, image.format) == ("I", "PNG")


def pixel_fault(image: Image.Image) -> str | None:
    """Say why pixels have no meaning as colours: nothing tells how bright 1 is."""
    if image.mode in ("I", "F") and not has_16_bits(image):
        kind = "floating-point" if image.mode == "F" else "32-bit"
        return f"{kind} pixels, of which the range is unknown; needs 8 or 16 bits"
    return None


@TRANSFORMS.register_module()
class LoadIntactImage(LoadImageFromFile):
    """Load an image in colour, and raise if its file is truncated.

    Pillow raises; OpenCV fills the missing part with grey and says nothing, but decodes
    a JPEG faster. So JPEGs that are there to their end marker go to
    OpenCV, all other files to Pillow. Requires ``img_path``; adds ``img`` (uint8 BGR of
    shape ``[H, W, 3]``, turned as its EXIF data say), ``img_shape``, ``ori_shape``.

    Args:
        backend_args: Where mmengine reads files from; None for the disk.
    """

    def __init__(self, backend_args: dict[str, Any] | None = None) -> None:
        super().__init__(backend_args=backend_args)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return ``results`` with the image and its size."""
        content = fileio.get(results["img_path"], backend_args=self.backend_args)
        image = None
        if content.startswith(JPEG_START) and content.endswith(JPEG_END):
            image = mmcv.imfrombytes(content, backend="cv2")
        if image is None:
            image = decode_by_pillow(content)
        results["img"] = image
        results["img_shape"] = results["ori_shape"] = image.shape[:2]
        return results


def decode_by_pillow(content: bytes) -> np.ndarray:
    """BGR image of a whole file.

    Raises:
        Exception: Whatever Pillow raises for a file that is not whole.
        ValueError: If its pixels have no known range.
    """
    with Image.open(BytesIO(content)) as opened:
        if fault := pixel_fault(opened):
            raise ValueError(fault)
        if has_16_bits(opened):
            opened.load()  # raises if it is truncated
            return np.asarray(mmcv.imfrombytes(content, backend="cv2"))
    # It is a mirrored view of RGB, of which every copy takes milliseconds.
    return np.ascontiguousarray(mmcv.imfrombytes(content, backend="pillow"))

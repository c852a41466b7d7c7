"""Loading of image files: as fast as OpenCV, as strict as Pillow."""

from typing import Any

import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine import fileio

from snnssl_mm.registry import TRANSFORMS

JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"


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
            image = mmcv.imfrombytes(content, backend="pillow")
            # It is a mirrored view of RGB, of which every copy takes milliseconds.
            image = np.ascontiguousarray(image)
        results["img"] = image
        results["img_shape"] = results["ori_shape"] = image.shape[:2]
        return results

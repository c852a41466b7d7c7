"""Transform that makes a clip an image for stock pipelines of detectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from snnssl_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class FoldFrames(BaseTransform):
    """Fold the frames of a clip into the channels of one image.

    Stock transforms (resize, flip, pad), data preprocessors and sliding windows then
    treat a clip as an image with T C channels, and a backbone of ``time_steps=T`` and
    ``in_channels=C`` takes it apart again, see
    :func:`snnssl_mm.models.clips.unfold_frames`. Channel
    ``t C + c`` is channel c of frame t.

    Requires ``img`` (``[T, C, H, W]``, as of ``EventFrames``) and changes it to
    ``[H, W, T C]``. Adds ``img_shape`` and ``ori_shape``.

    Raises:
        ValueError: If ``img`` is no clip.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return ``results`` with the folded ``img``."""
        frames = results["img"]
        if frames.ndim != 4:
            raise ValueError(
                f"FoldFrames expects a clip [T, C, H, W], got {frames.shape}; put it "
                "behind EventFrames"
            )
        image = frames.reshape(-1, *frames.shape[2:]).transpose(1, 2, 0)
        results["img"] = np.ascontiguousarray(image)
        results["img_shape"] = results["ori_shape"] = image.shape[:2]
        return results

"""Transforms that make the two views of a scene."""

import math
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from snnssl_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomAffineScene(BaseTransform):
    """Shift, rotate and scale a scene, then change its contrast and add noise.

    Unlike flips and strong crops, this keeps digits recognisable. Areas from outside of
    the image are black. Randomness comes from numpy's global generator, which mmengine
    seeds per worker. Requires and changes ``img`` (uint8 of shape ``[H, W, C]``), out
    of place.

    Args:
        rotation: Largest angle to either side, in radians.
        scale: Range of the scaling factor (log-uniform).
        shift: Largest shift along each axis, in sides of the image.
        contrast: Range of the factor by which intensities differ from their mean.
        noise: Standard deviation of Gaussian noise, full scale being 1; the same
            noise goes to all channels.
    """

    def __init__(
        self,
        rotation: float = 0.25,
        scale: tuple[float, float] = (0.75, 1.35),
        shift: float = 0.15,
        contrast: tuple[float, float] = (0.6, 1.4),
        noise: float = 0.04,
    ) -> None:
        if not 0 < scale[0] <= scale[1]:
            raise ValueError(
                f"RandomAffineScene needs 0 < scale[0] <= scale[1], got scale={scale}"
            )
        self.rotation = rotation
        self.shift = shift
        self.low = (float(np.log(scale[0])), contrast[0])
        self.high = (float(np.log(scale[1])), contrast[1])
        self.noise = noise

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return ``results`` with another ``img``."""
        image = results["img"]
        height, width = image.shape[:2]
        # Plain numbers: with arrays of a few, NumPy takes most of the time.
        turn, right, down, *places = np.random.random_sample(5).tolist()  # noqa: NPY002
        scale, contrast = (
            low + (high - low) * place
            for low, high, place in zip(self.low, self.high, places, strict=True)
        )
        center = ((width - 1) / 2, (height - 1) / 2)
        degrees = math.degrees((2 * turn - 1) * self.rotation)
        matrix = cv2.getRotationMatrix2D(center, degrees, math.exp(scale))
        matrix[0, 2] += (2 * right - 1) * self.shift * width
        matrix[1, 2] += (2 * down - 1) * self.shift * height
        moved = cv2.warpAffine(image, matrix, (width, height))
        offset = (1 - contrast) * float(moved.sum()) / moved.size
        view = np.random.normal(  # noqa: NPY002
            offset, 255 * self.noise, (height, width, 1)
        )
        view = view + contrast * moved
        np.minimum(np.maximum(view, 0, out=view), 255, out=view)
        results["img"] = view.astype(np.uint8)
        return results


@TRANSFORMS.register_module()
class PhotometricFrames(BaseTransform):
    """Turn an image into one frame per time step, with random brightness and contrast.

    An option for static images, which are otherwise repeated over time. Requires
    ``img`` (uint8 of shape ``[H, W, C]``) and changes it to uint8 of shape
    ``[T, C, H, W]``. Must be the last transform before ``PackInputs``.

    Args:
        time_steps: Number of frames T.
        brightness: Largest change of all intensities, full scale being 1.
        contrast: Largest relative change of the differences from the mean.
    """

    def __init__(
        self, time_steps: int = 4, brightness: float = 0.1, contrast: float = 0.1
    ) -> None:
        self.shape = (time_steps, 1, 1, 1)
        self.brightness = brightness
        self.contrast = contrast

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return ``results`` with the frames as ``img``."""
        image = results["img"].transpose(2, 0, 1).astype(np.float32)
        light = 255 * self.brightness * np.random.uniform(-1, 1, self.shape)  # noqa: NPY002
        factor = 1 + self.contrast * np.random.uniform(-1, 1, self.shape)  # noqa: NPY002
        mean = image.mean()
        frames = mean + light + factor * (image - mean)
        results["img"] = np.clip(np.rint(frames), 0, 255).astype(np.uint8)
        return results

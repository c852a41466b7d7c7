"""Transforms that make the two views of a scene."""

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
        self.amplitude = np.array([rotation, shift, shift])
        self.ranges = np.array([np.log(scale), contrast]).T
        self.noise = noise

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return ``results`` with another ``img``."""
        image = results["img"]
        height, width = image.shape[:2]
        angle, dx, dy = np.random.uniform(-1, 1, 3) * self.amplitude  # noqa: NPY002
        scale, contrast = np.random.uniform(*self.ranges)  # noqa: NPY002
        center = ((width - 1) / 2, (height - 1) / 2)
        matrix = cv2.getRotationMatrix2D(center, np.degrees(angle), np.exp(scale))
        matrix[:, 2] += dx * width, dy * height
        view = cv2.warpAffine(image, matrix, (width, height)).astype(np.float32)
        offset = (1 - contrast) * view.mean()
        noise = np.random.normal(  # noqa: NPY002
            offset, 255 * self.noise, (height, width, 1)
        )
        view = contrast * view + noise.astype(np.float32)
        results["img"] = np.clip(view, 0, 255, out=view).astype(np.uint8)
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

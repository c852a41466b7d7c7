"""mmpretrain's slowest augmentations, implemented with OpenCV.

Each has the parameters of its base class and draws the same random numbers in the same
order; colours differ from those of the base class only by rounding.
"""

from typing import Any

import cv2
import mmcv
import numpy as np
from mmpretrain.datasets import ColorJitter, GaussianBlur, RandomResizedCrop

from snnssl_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class OpenCVRandomResizedCrop(RandomResizedCrop):
    """Cut out a random part of the image and resize it.

    Unlike Pillow's, OpenCV's ``'bilinear'`` and ``'bicubic'`` skip pixels when they
    reduce an image; its ``'area'`` averages all pixels but enlarges in blocks. So
    ``'area'`` is used to reduce and ``interpolation`` to enlarge. Requires and changes
    ``img`` (uint8 of shape ``[H, W, C]``), out of place.

    Args:
        scale: Side of the result in pixels, or its height and width.
        **kwargs: Arguments of mmpretrain's class, such as ``crop_ratio_range`` and
            ``interpolation``.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return ``results`` with another ``img`` and its ``img_shape``."""
        top, left, height, width = self.rand_crop_params(results["img"])
        image = results["img"][top : top + height, left : left + width]
        shrinks = height >= self.scale[0] and width >= self.scale[1]
        results["img"] = mmcv.imresize(
            image,
            self.scale[::-1],
            interpolation="area" if shrinks else self.interpolation,
            backend="cv2",
        )
        results["img_shape"] = results["img"].shape
        return results


@TRANSFORMS.register_module()
class OpenCVColorJitter(ColorJitter):
    """Change brightness, contrast, saturation and hue, in random order.

    ``saturation=(0, 0)`` alone turns the image grey. Requires and changes ``img``
    (uint8 of shape ``[H, W, 3]``), out of place.

    Args:
        brightness: Largest change of the factor 1 by which all intensities are
            multiplied, or the range of the factor.
        contrast: The same for the differences from the mean grey level.
        saturation: The same for the differences from the grey image.
        hue: Largest shift along the circle of hues, which is 1 long, or its range.
        prob: Probability of changing anything.
        color_format: Order of the channels: ``'bgr'``, as files are loaded, or
            ``'rgb'``, as mmpretrain's CIFAR10 is.

    Raises:
        ValueError: If ``color_format`` is neither.
    """

    def __init__(
        self,
        brightness: float | tuple[float, float] = 0.0,
        contrast: float | tuple[float, float] = 0.0,
        saturation: float | tuple[float, float] = 0.0,
        hue: float | tuple[float, float] = 0.0,
        prob: float = 1.0,
        color_format: str = "bgr",
    ) -> None:
        if color_format not in ("bgr", "rgb"):
            raise ValueError(
                f"color_format must be 'bgr' or 'rgb', got {color_format!r}"
            )
        super().__init__(brightness, contrast, saturation, hue)
        self.prob = prob
        name = color_format.upper()
        self.to_gray = getattr(cv2, f"COLOR_{name}2GRAY")
        self.from_gray = getattr(cv2, f"COLOR_GRAY2{name}")
        self.to_hsv = getattr(cv2, f"COLOR_{name}2HSV_FULL")
        self.from_hsv = getattr(cv2, f"COLOR_HSV2{name}_FULL")

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return ``results`` with another ``img``, or with the same."""
        if self.prob < 1 and np.random.rand() >= self.prob:  # noqa: NPY002
            return results
        image = results["img"]
        order, *factors = self._rand_params()
        steps = (self._brightness, self._contrast, self._saturation, self._hue)
        for index in order:
            if factors[index] is not None:
                image = steps[index](image, factors[index])
        results["img"] = image
        return results

    def _brightness(self, image: np.ndarray, factor: float) -> np.ndarray:
        return cv2.convertScaleAbs(image, alpha=factor)

    def _contrast(self, image: np.ndarray, factor: float) -> np.ndarray:
        mean = round(cv2.mean(cv2.cvtColor(image, self.to_gray))[0])
        # addWeighted clips negative intensities, convertScaleAbs would mirror them.
        return cv2.addWeighted(image, factor, image, 0, (1 - factor) * mean)

    def _saturation(self, image: np.ndarray, factor: float) -> np.ndarray:
        gray = cv2.cvtColor(cv2.cvtColor(image, self.to_gray), self.from_gray)
        return cv2.addWeighted(image, factor, gray, 1 - factor, 0)

    def _hue(self, image: np.ndarray, shift: float) -> np.ndarray:
        hsv = cv2.cvtColor(image, self.to_hsv)
        hsv[..., 0] += np.uint8(int(shift * 255) % 256)  # hues are cyclic
        return cv2.cvtColor(hsv, self.from_hsv)


@TRANSFORMS.register_module()
class OpenCVGaussianBlur(GaussianBlur):
    """Blur with an exact Gaussian (Pillow's blur approximates it by three boxes).

    Requires and changes ``img`` (uint8 of shape ``[H, W, C]``), out of place.

    Args:
        radius: Standard deviation in pixels; drawn from ``magnitude_range`` if None.
        prob: Probability of blurring.
        **kwargs: Arguments of mmpretrain's class, such as ``magnitude_range=(0.1, 2)``
            with ``magnitude_std='inf'`` for a uniform draw.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return ``results`` with another ``img``, or with the same."""
        if self.random_disable():
            return results
        sigma = self.random_magnitude() if self.radius is None else self.radius
        if sigma > 0:
            results["img"] = cv2.GaussianBlur(
                results["img"], (0, 0), sigma, borderType=cv2.BORDER_REPLICATE
            )
        return results

"""Image files as pictures and as inputs of a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import cv2
import mmcv
import numpy as np
import torch
from torch import Tensor

from snnssl_mm.checkpoints.preprocessing import exchanges_channels
from snnssl_mm.datasets.image_check import check_image
from snnssl_mm.datasets.loading import read_image


class NetworkImage(NamedTuple):
    """An image as a picture and as input of a network.

    Attributes:
        picture: RGB, uint8 ``[H, W, 3]``, without padding.
        inputs: Normalised ``[1, 3, H', W']``, padded at the bottom and right.
    """

    picture: np.ndarray
    inputs: Tensor


def read_network_image(
    file: str,
    preprocessor: Mapping[str, Any],
    divisor: int = 1,
    max_size: int = 640,
) -> NetworkImage:
    """Read an image and prepare it as a data preprocessor would.

    Args:
        file: The image.
        preprocessor: A config's ``data_preprocessor``; its ``mean``, ``std`` and
            exchange of channels are applied.
        divisor: Both sides are padded to a multiple of it.
        max_size: Longest side in pixels; larger images are reduced to it.

    Raises:
        ValueError: If the file is not a readable image.
    """
    fault = check_image(file, decode=True)
    if fault:
        raise ValueError(f"cannot read {fault}")
    image = cv2.cvtColor(read_image(file), cv2.COLOR_RGB2BGR)
    if max(image.shape[:2]) > max_size:
        image = mmcv.imrescale(image, (max_size, max_size))
    picture = np.ascontiguousarray(image[..., ::-1])
    rgb = exchanges_channels(preprocessor)
    values = (picture if rgb else image).astype(np.float32)
    if preprocessor.get("mean") is not None:
        mean, std = (np.array(preprocessor[k], np.float32) for k in ("mean", "std"))
        values = (values - mean) / std
    values = mmcv.impad_to_multiple(values, divisor)
    inputs = torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))
    return NetworkImage(picture, inputs[None])


def crop_to_picture(maps: np.ndarray, image: NetworkImage) -> np.ndarray:
    """Crop the padding of an image from its maps ``[..., h, w]``."""
    height, width = image.picture.shape[:2]
    padded_height, padded_width = image.inputs.shape[-2:]
    rows = max(1, round(maps.shape[-2] * height / padded_height))
    columns = max(1, round(maps.shape[-1] * width / padded_width))
    return maps[..., :rows, :columns]

"""Reading of images from files, PIL images, arrays and tensors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from snnssl_mm.datasets.image_files import find_images
from snnssl_mm.datasets.loading import Decoded, decode, decode_file, to_colors


def read_images(images: Any) -> Iterator[np.ndarray]:
    """Yield images one by one in OpenCV's format: BGR, uint8 ``[H, W, 3]``.

    16 bits and transparency are treated as in files, see
    :mod:`snnssl_mm.datasets.loading`.

    Args:
        images: One of these, or an iterable (list, generator, ...) of them:

            * a file, or a folder of images (sorted by name, see
              :func:`snnssl_mm.datasets.image_files.find_images`);
            * a file opened for reading bytes, or a ``BytesIO``;
            * a PIL image, to which its EXIF orientation is applied;
            * an array ``[H, W]``, ``[H, W, 1]`` (grey), ``[H, W, 3]`` (RGB),
              ``[H, W, 4]`` (RGBA), or a stack ``[N, H, W, C]``, uint8 or uint16;
            * a tensor ``[C, H, W]`` or ``[N, C, H, W]``, C = 1, 3 (RGB) or 4 (RGBA),
              uint8 or floats from 0 to 1, not normalised.

    Raises:
        ValueError: If there is no image, or an input is not an image.
    """
    found = False
    for image in each_image(images):
        found = True
        yield image
    if not found:
        raise ValueError("got no image; give files, a folder, arrays or tensors")


def each_image(images: Any) -> Iterator[np.ndarray]:
    """Yield the images of :func:`read_images`, possibly none."""
    if isinstance(images, (str, Path)):
        yield from map(read_file, find_images(images))
    elif isinstance(images, Image.Image):
        yield from_pillow(images)
    elif isinstance(images, np.ndarray):
        yield from from_array(images)
    elif isinstance(images, Tensor):
        yield from from_tensor(images)
    elif callable(getattr(images, "read", None)):
        yield read_bytes(images.read(), getattr(images, "name", "the open file"))
    elif isinstance(images, Iterable) and not isinstance(images, (bytes, Mapping)):
        for image in images:
            yield from each_image(image)
    else:
        raise ValueError(
            "an image must be a file, a PIL image, an array or a tensor, got "
            f"{type(images).__name__}"
        )


def read_file(file: Path) -> np.ndarray:
    """Read a file.

    Raises:
        ValueError: If it cannot be read.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read {file}: {reason(error)}") from error
    return read_bytes(content, file)


def read_bytes(content: Any, name: Any) -> np.ndarray:
    """Decode a file's content.

    Raises:
        ValueError: If the content is not an image.
    """
    try:
        return decode_file(content)
    except Exception as error:  # damaged bytes make Pillow raise any kind of error
        raise ValueError(f"cannot read {name}: {reason(error)}") from error


def from_pillow(image: Image.Image) -> np.ndarray:
    """Decode a PIL image.

    Raises:
        ValueError: If its file is damaged or its mode is not supported.
    """
    try:
        return to_bgr(decode(image))
    except Exception as error:
        name = getattr(image, "filename", "") or f"of mode {image.mode}"
        raise ValueError(
            f"cannot read the PIL image {name}: {reason(error)}"
        ) from error


def from_array(array: np.ndarray) -> Iterator[np.ndarray]:
    """Read an image or a stack of images.

    Raises:
        ValueError: If the array's type or shape is not supported.
    """
    shaped = array.ndim == 2 or (array.ndim in (3, 4) and array.shape[-1] in (1, 3, 4))
    if array.dtype not in (np.uint8, np.uint16) or not shaped or 0 in array.shape[-3:]:
        raise ValueError(
            "an array must be uint8 [H, W] or RGB [H, W, 3] (or [H, W, 1], RGBA "
            "[H, W, 4], a stack [N, H, W, C], uint16), got "
            f"{array.dtype} {list(array.shape)}; floats from 0 to 1: give a tensor "
            "[C, H, W]"
        )
    for image in array if array.ndim == 4 else [array]:
        yield to_bgr(to_colors(image))


def from_tensor(tensor: Tensor) -> Iterator[np.ndarray]:
    """Read an image or a batch of images.

    Raises:
        ValueError: If the tensor's type, shape or values are not supported.
    """
    shape = list(tensor.shape)
    if tensor.ndim not in (3, 4) or shape[-3] not in (1, 3, 4) or 0 in shape[-3:]:
        raise ValueError(
            "a tensor must be [C, H, W] or [N, C, H, W] with C = 1 (grey), 3 (RGB) or "
            f"4 (RGBA), got {shape}"
        )
    values = tensor.detach().cpu()
    if values.is_floating_point():
        values = values.float()
        # Interpolation can exceed the range by rounding. NaN fails this test.
        if not bool(((values > -1e-3) & (values < 1 + 1e-3)).all()):
            raise ValueError(
                "a tensor of floats must have values from 0 to 1, before any "
                f"normalisation, got {values.min():.3g} to {values.max():.3g}; 0 to "
                "255 must be uint8"
            )
        values = values.mul(255).round().clamp(0, 255).to(torch.uint8)
    if values.dtype != torch.uint8:
        raise ValueError(
            "a tensor must be uint8 from 0 to 255 or of floats from 0 to 1, got "
            f"{str(tensor.dtype).removeprefix('torch.')} {shape}"
        )
    stack = values.reshape(-1, *shape[-3:]).permute(0, 2, 3, 1).numpy()
    for image in stack:
        yield to_bgr(to_colors(image))


def to_bgr(decoded: Decoded) -> np.ndarray:
    """Return the pixels in OpenCV's channel order."""
    return cv2.cvtColor(decoded.pixels, cv2.COLOR_RGB2BGR)


def reason(error: Exception) -> str:
    """Return the message of a decoder's error, or its type."""
    return str(error) or type(error).__name__

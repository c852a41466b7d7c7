"""A photo, for what draws a network at work."""

import cv2
import numpy as np
import pytest
from small_networks import backbone  # noqa: F401  (a fixture)

from snnssl_mm.analysis.images import read_network_image


@pytest.fixture
def image(tmp_path):
    """A photo of 40 x 56, which a divisor of 32 pads to 64 x 64."""
    file = str(tmp_path / "photo.png")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
    cv2.imwrite(file, pixels)
    return read_network_image(file, dict(mean=[128] * 3, std=[60] * 3), 32)

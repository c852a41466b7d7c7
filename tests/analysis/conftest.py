"""A small network and a photo, for what draws a network at work."""

import cv2
import numpy as np
import pytest
import torch

from snnssl_mm.analysis.images import read_network_image
from snnssl_mm.models import Spikformer

ARCH = dict(embed_dims=16, depth=1, num_heads=2, mlp_ratio=1)


@pytest.fixture
def backbone():
    """With BatchNorm statistics of a batch: initial ones leave deep layers silent."""
    torch.manual_seed(0)
    net = Spikformer(ARCH, out_indices=(0, 1, 2, 3), time_steps=3)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        net(torch.randn(2, 3, 64, 64))
    return net


@pytest.fixture
def image(tmp_path):
    """A photo of 40 x 56, which a divisor of 32 pads to 64 x 64."""
    file = str(tmp_path / "photo.png")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
    cv2.imwrite(file, pixels)
    return read_network_image(file, dict(mean=[128] * 3, std=[60] * 3), 32)

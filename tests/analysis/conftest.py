"""A photo, for what draws a network at work."""

import cv2
import numpy as np
import pytest
from small_networks import backbone  # noqa: F401  (a fixture)
from transfer_rows import transfer_row

from snnssl_mm.analysis.images import read_network_image


@pytest.fixture
def image(tmp_path):
    """A photo of 40 x 56, which a divisor of 32 pads to 64 x 64."""
    file = str(tmp_path / "photo.png")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
    cv2.imwrite(file, pixels)
    return read_network_image(file, dict(mean=[128] * 3, std=[60] * 3), 32)


@pytest.fixture(scope="module")
def suite_rows():
    """k-NN with raw pixels, and a detector with two metrics at two fractions."""
    rows = []
    for seed in range(3):
        for entry, knn, box in (("ctl", 0.9, 0.7), ("random", 0.5, 0.3)):
            rows.append(transfer_row("knn", entry, seed, top1=knn + seed / 100))
            for share in (1.0, 0.25):
                score = box * share**0.1 + (seed + 1) ** 2 / (100 if box > 0.5 else 200)
                curve = [
                    {"seconds": 60 * at, "step": at, "metrics": {"box AP": score * at}}
                    for at in (0.5, 1)
                ]
                scores = {"box AP": score, "mask AP": score / 2}
                row = transfer_row("mask-rcnn", entry, seed, share, curve, **scores)
                rows.append(row)
    return [*rows, transfer_row("knn", "pixels", 0, top1=0.8)]

"""The three saccades of N-MNIST: how the camera moved in front of the images.

Orchard et al., "Converting Static Image Datasets to Spiking Neuromorphic Datasets Using
Saccades", Frontiers in Neuroscience 2015. The camera turned along an isosceles
triangle, about 100 ms a side; on its sensor an image went by 3.5 and 7 pixels of 34.
"""

import numpy as np

from snnssl_mm.datasets.events.event_camera import PIXEL

MOVE = 105_000
"""Duration of one of the three moves in µs."""

CORNERS = np.array([[0, 0], [1, 2], [2, 0], [0, 0]])
"""Corners of the triangle (x to the right, y down), in halves of its width."""

N_MNIST_SENSOR, N_MNIST_MOTION = 34, 7
"""Side of N-MNIST's sensor, and width and height of the triangle, in pixels."""


def saccades(
    motion: float = N_MNIST_MOTION, steps: int = 42
) -> tuple[np.ndarray, np.ndarray]:
    """Compute where an image is during the three saccades.

    Its mean position over time is 0.

    Args:
        motion: Width and height of the triangle in pixels.
        steps: Steps of each move.

    Returns:
        tuple: Displacements (x, y) ``[3 steps + 1, 2]``, int64 in 1/256 pixel, and
        their times ``[3 steps + 1]``, int64 in µs.
    """
    unit = round(PIXEL * motion / 2)
    step = np.arange(3 * steps + 1)
    move = np.minimum(step // steps, 2)
    along = (step - steps * move)[:, None]
    start, end = CORNERS[move], CORNERS[move + 1]
    triangle = (start * (steps - along) + end * along) * unit // steps
    # A move's mean is its middle; the triangle's is that of its corners.
    return triangle - CORNERS[:3].sum(axis=0) * unit // 3, step * MOVE // steps


def scaled_motion(size: int) -> float:
    """Return N-MNIST's motion in pixels for a sensor of another size."""
    return N_MNIST_MOTION * size / N_MNIST_SENSOR

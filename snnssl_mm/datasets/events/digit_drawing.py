"""Drawing of handwritten digits in integer arithmetic.

The counterpart of :mod:`snnssl_mm.datasets.scene_drawing`, whose float images may
differ in the last bit from machine to machine: an event is a decision, and a bit may
turn it. Lengths are in 1/16 pixel, angles in degrees, intensities 0..255.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnssl_mm.datasets.events.event_camera import FULL_SCALE

LENGTH = 16
"""Units of a length in a pixel."""

UNIT = 1 << 15
"""The number 1 in the tables of sines and cosines."""

MAX_DEGREES = 20
"""Largest rotation of a digit."""

MAX_INK = 16
"""Largest intensity of scikit-learn's digits."""

MASK_THRESHOLD = 64
"""Intensity from which on a pixel belongs to a digit's mask."""

COS, SIN = (
    np.rint(UNIT * f(np.deg2rad(np.arange(360)))).astype(np.int64)
    for f in (np.cos, np.sin)
)


@dataclass(frozen=True, slots=True)
class Placement:
    """Size, rotation and position of a digit.

    Attributes:
        side: Side of the digit's frame, in 1/16 pixel.
        degrees: Rotation, 0 to 359.
        center: Centre of the frame (x, y), in 1/16 pixel.
    """

    side: int
    degrees: int
    center: tuple[int, int]


def random_placement(
    digit: np.ndarray,
    rng: np.random.Generator,
    sides: tuple[int, int],
    area: tuple[np.ndarray, np.ndarray],
) -> Placement:
    """Draw a placement that keeps all ink of a digit in an area.

    Args:
        digit: Integers ``[8, 8]``; every pixel above 0 is ink.
        rng: Source of randomness.
        sides: Smallest and largest side of the frame, in 1/16 pixel.
        area: First and last corner (x, y) of the area, in 1/16 pixel.

    Returns:
        Placement: Uniform in side, rotation and the admissible positions.
    """
    side = int(rng.integers(*sides, endpoint=True))
    degrees = int(rng.integers(-MAX_DEGREES, MAX_DEGREES, endpoint=True)) % 360
    y, x = 2 * np.argwhere(digit > 0).T - (len(digit) - 1)  # in halves of a cell
    turned = np.stack(
        [COS[degrees] * x - SIN[degrees] * y, SIN[degrees] * x + COS[degrees] * y]
    )
    points = turned * side // (2 * len(digit) * UNIT)
    half_cell = side // (2 * len(digit))
    low = area[0] + half_cell - points.min(axis=1)
    high = area[1] - half_cell - points.max(axis=1)
    center = rng.integers(low, np.maximum(low, high), endpoint=True)
    return Placement(side, degrees, (int(center[0]), int(center[1])))


def turned_coordinates(
    shape: tuple[int, int], margin: int, center: tuple[int, int], degrees: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the canvas's pixel centres in a frame's axes, from its centre on.

    Args:
        shape: Height and width of the canvas.
        margin: Pixels of the canvas to the left of and above the origin.
        center: Centre of the frame (x, y), in 1/16 pixel.
        degrees: Rotation of the frame.

    Returns:
        tuple: Coordinates along the two axes, each ``[height, width]``, in 1/16 pixel
        times :data:`UNIT`.
    """
    half = LENGTH // 2
    y = (np.arange(shape[0])[:, None] - margin) * LENGTH + half - center[1]
    x = (np.arange(shape[1]) - margin) * LENGTH + half - center[0]
    return COS[degrees] * x + SIN[degrees] * y, COS[degrees] * y - SIN[degrees] * x


def draw_digit(
    digit: np.ndarray, placement: Placement, shape: tuple[int, int], margin: int = 0
) -> np.ndarray:
    """Draw one digit on an empty canvas, interpolated between its pixels.

    Args:
        digit: Integers 0..16 of shape ``[h, h]``.
        placement: Where it goes.
        shape: Height and width of the canvas.
        margin: Pixels of the canvas to the left of and above the origin.

    Returns:
        numpy.ndarray: int64 ``[height, width]``, 0..255.
    """
    cells = len(digit)
    padded = np.pad(digit.astype(np.int64), 2)
    places, shares = [], []
    for along in turned_coordinates(shape, margin, placement.center, placement.degrees):
        # In 1/256 cell, from the centre of the first cell on
        position = along * (256 * cells) // (UNIT * placement.side) + 128 * (cells - 1)
        position = np.clip(position, -256, 256 * cells)
        places.append((position >> 8) + 2)
        shares.append(position & 255)
    (column, row), (right, low) = places, shares
    upper = (256 - right) * padded[row, column] + right * padded[row, column + 1]
    lower = (256 - right) * padded[row + 1, column] + right * padded[
        row + 1, column + 1
    ]
    return ((256 - low) * upper + low * lower) * FULL_SCALE // (MAX_INK << 16)


def draw_clutter(
    shape: tuple[int, int], rng: np.random.Generator, num_strokes: int, length: int
) -> np.ndarray:
    """Draw a dark background with short, dim strokes, an eighth as wide as long.

    Args:
        shape: Height and width of the canvas.
        rng: Source of randomness.
        num_strokes: Number of strokes.
        length: Their length in 1/16 pixel.

    Returns:
        numpy.ndarray: int64 ``[height, width]``, 0 to 102, two fifths of full scale.
    """
    canvas: np.ndarray = np.zeros(shape, np.int64)
    for _ in range(num_strokes):
        y, x = rng.integers(LENGTH * np.array(shape)).tolist()
        axes = turned_coordinates(shape, 0, (x, y), int(rng.integers(180)))
        covered: np.ndarray = np.full(
            shape, int(rng.integers(51, 102, endpoint=True)), np.int64
        )
        for axis, extent in zip(axes, (length, max(LENGTH, length // 8)), strict=True):
            inside = (extent + LENGTH) // 2 - (np.abs(axis) >> 15)
            covered = covered * np.clip(inside, 0, LENGTH) // LENGTH
        canvas = np.maximum(canvas, covered)
    return canvas

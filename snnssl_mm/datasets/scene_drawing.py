"""Drawing of handwritten digits on larger canvases, by pure functions.

Scenes of one digit (:mod:`snnssl_mm.datasets.digit_scenes`) and of several need the
same three steps: draw a random :class:`Placement`, warp the digit with it, put the
result on a cluttered background. A placement is in units of the canvas side, so the
same scene can be drawn at any size.
"""

from dataclasses import dataclass

import cv2
import numpy as np

COVERAGE = (1 / 2.0, 1 / 1.3)
"""Range of the side of the digit's frame over the side of the canvas."""

MAX_ROTATION = 0.35
"""Largest rotation, in radians."""

MASK_THRESHOLD = 0.25
"""Ink above this share of full intensity belongs to the digit's mask."""


@dataclass(frozen=True)
class Placement:
    """Size, rotation and position of a digit on a canvas.

    Attributes:
        coverage: Side of the digit's frame over the side of the canvas.
        rotation: Angle in radians.
        center: Centre of the frame (x, y), in sides of the canvas.
    """

    coverage: float
    rotation: float
    center: tuple[float, float]


def _linear_map(coverage: float, rotation: float) -> np.ndarray:
    """Return the rotation and scaling of one frame side, of shape ``[2, 2]``."""
    cos, sin = np.cos(rotation), np.sin(rotation)
    return coverage * np.array([[cos, -sin], [sin, cos]])


def random_placement(
    digit: np.ndarray,
    rng: np.random.Generator,
    coverage: tuple[float, float] = COVERAGE,
    max_rotation: float = MAX_ROTATION,
) -> Placement:
    """Draw a placement that keeps all ink of a digit on the canvas.

    Args:
        digit: Intensities of shape ``[h, h]``; every pixel above 0 is ink.
        rng: Source of randomness.
        coverage: Range of the frame's side over the canvas side.
        max_rotation: Largest rotation to either side, in radians.

    Returns:
        Placement: Uniform in coverage, rotation and the admissible positions.
    """
    side = len(digit)
    share = rng.uniform(*coverage)
    rotation = rng.uniform(-max_rotation, max_rotation)
    ink = np.argwhere(digit > 0)[:, ::-1]
    points = ((ink + 0.5) / side - 0.5) @ _linear_map(share, rotation).T
    half_pixel = 0.5 * share / side
    low = half_pixel - points.min(axis=0)
    high = 1 - half_pixel - points.max(axis=0)
    x, y = rng.uniform(low, high)
    return Placement(float(share), float(rotation), (float(x), float(y)))


def place_digit(
    digit: np.ndarray, placement: Placement, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Warp one digit onto an empty canvas.

    Args:
        digit: Intensities in [0, 1] of shape ``[h, h]``.
        placement: Where it goes.
        size: Side of the canvas in pixels.

    Returns:
        tuple: The canvas, float32 in [0, 1], and the digit's boolean mask, both of
        shape ``[size, size]``.
    """
    side = len(digit)
    linear = _linear_map(placement.coverage, placement.rotation) * (size / side)
    # OpenCV's coordinates are pixel centres: map the frame's centre to the placement's.
    center = np.array(placement.center) * size - 0.5
    offset = center - linear @ np.full(2, (side - 1) / 2)
    canvas = cv2.warpAffine(
        digit.astype(np.float32),
        np.column_stack([linear, offset]),
        (size, size),
        flags=cv2.INTER_LINEAR,
    )
    return canvas, canvas > MASK_THRESHOLD


def draw_clutter(
    size: int,
    rng: np.random.Generator,
    num_strokes: int = 3,
    max_intensity: float = 0.4,
    unit: int | None = None,
) -> np.ndarray:
    """Draw a dark background with a few short, dim strokes.

    Args:
        size: Side of the canvas in pixels.
        rng: Source of randomness.
        num_strokes: Number of strokes, each a quarter of ``unit`` long.
        max_intensity: Brightest stroke; the dimmest has half of it.
        unit: Reference length of the strokes in pixels; ``size`` by default.

    Returns:
        numpy.ndarray: float32 in [0, 1] of shape ``[size, size]``.
    """
    unit = unit or size
    canvas = np.zeros((size, size), np.float32)
    for _ in range(num_strokes):
        center = rng.uniform(0, size, 2)
        angle = rng.uniform(0, np.pi)
        half = unit / 8 * np.array([np.cos(angle), np.sin(angle)])
        intensity = rng.uniform(max_intensity / 2, max_intensity)
        ends = np.array([center - half, center + half])
        start, end = np.round(16 * ends).astype(int).tolist()  # 1/16 pixel: shift=4
        stroke = np.zeros((size, size), np.uint8)
        width = max(1, unit // 16)
        cv2.line(stroke, start, end, 255, width, cv2.LINE_AA, shift=4)
        canvas = np.maximum(canvas, intensity / 255 * stroke)
    return canvas


def finish(
    canvas: np.ndarray, rng: np.random.Generator, noise_std: float = 0.05
) -> np.ndarray:
    """Add sensor noise and quantise.

    Args:
        canvas: Intensities in [0, 1] of shape ``[H, W]``.
        rng: Source of randomness.
        noise_std: Standard deviation of the noise, full scale being 1.

    Returns:
        numpy.ndarray: uint8 of shape ``[H, W]``.
    """
    noisy = canvas + rng.normal(0, noise_std, canvas.shape)
    return np.round(255 * np.clip(noisy, 0, 1)).astype(np.uint8)

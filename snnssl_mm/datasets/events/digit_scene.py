"""Scene that an event camera looks at: digits among clutter, larger than the sensor."""

from __future__ import annotations

import numpy as np

from snnssl_mm.datasets.events.digit_drawing import (
    LENGTH,
    MASK_THRESHOLD,
    Placement,
    draw_clutter,
    draw_digit,
    random_placement,
)
from snnssl_mm.datasets.events.event_camera import PIXEL, EventCamera
from snnssl_mm.datasets.events.recording import Recording
from snnssl_mm.datasets.events.saccades import saccades, scaled_motion

CAMERA_STREAM = 8
"""Stream of random numbers of the camera; others are the splits'."""


class DigitSceneRecorder:
    """Draws digits, moves them along the saccades, and records the events.

    All recordings of a seed are made by one camera, as real data sets are. Digits are
    in sight during the whole motion.

    Args:
        size: Side of the sensor in pixels.
        unit: Side of the sensor, in pixels, by which the sizes of digits, clutter and
            motion are measured; that of recordings of one digit.
        seed: Seed of the camera.
    """

    def __init__(self, size: int, unit: int, seed: int) -> None:
        self.size = size
        self.unit = unit
        motion = scaled_motion(unit)
        self.path, self.times = saccades(motion)
        self.margin = int(-(-np.abs(self.path).max() // PIXEL)) + 1
        self.shape = (size + 2 * self.margin,) * 2
        free = LENGTH * (unit - motion)
        self.sides = round(free / 2), round(free / 1.3)  # as in the digit scenes
        self.area = (
            -self.path.min(axis=0) * LENGTH // PIXEL,
            size * LENGTH - self.path.max(axis=0) * LENGTH // PIXEL,
        )
        rng = np.random.default_rng((seed, CAMERA_STREAM))
        self.camera = EventCamera.draw(size, size, rng)

    def place(self, digit: np.ndarray, rng: np.random.Generator) -> Placement:
        """Draw a placement of a digit of integers 0..16."""
        return random_placement(digit, rng, self.sides, self.area)

    def draw(self, digit: np.ndarray, placement: Placement) -> np.ndarray:
        """Draw a digit on an empty canvas, ``[h, w]`` with margins, 0..255."""
        return draw_digit(digit, placement, self.shape, self.margin)

    def mask(self, drawn: np.ndarray) -> np.ndarray:
        """Return the boolean mask ``[size, size]`` of a digit at its mean position."""
        inner = slice(self.margin, self.margin + self.size)
        mask: np.ndarray = drawn[inner, inner] >= MASK_THRESHOLD
        return mask

    def record(self, digits: list[np.ndarray], rng: np.random.Generator) -> Recording:
        """Record drawn digits among clutter.

        Args:
            digits: Canvases with one digit each.
            rng: Source of the clutter and the noise.
        """
        strokes = 3 * (self.size // self.unit) ** 2
        length = LENGTH * self.unit // 4
        scene = draw_clutter(self.shape, rng, strokes, length)
        for drawn in digits:
            scene = np.maximum(scene, drawn)
        return self.camera.record(scene, self.path, self.times, rng)

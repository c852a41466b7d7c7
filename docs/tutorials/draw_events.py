#!/usr/bin/env python3
"""Draw the pictures of the tutorial on events.

usage: python docs/tutorials/draw_events.py

Writes digit_events.webp (recordings of one digit in four frames) and
multi_digit_events.webp (one of several digits, with their boxes) into this folder.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from snnssl_mm.analysis.event_pictures import recording_picture
from snnssl_mm.datasets.events.digit_events import iter_digit_events
from snnssl_mm.datasets.events.multi_digit_events import iter_multi_digit_events

HERE = Path(__file__).parent
TIME_STEPS, ROWS = 4, 3
GREEN = (20, 140, 60)


def enlarged(picture: np.ndarray, factor: int) -> np.ndarray:
    """Enlarge a picture ``[H, W, 3]`` without smoothing."""
    return picture.repeat(factor, 0).repeat(factor, 1)


def one_digit() -> np.ndarray:
    """Draw the first recordings, a row each."""
    rows = []
    for recording, _ in iter_digit_events("train", ROWS):
        picture = enlarged(recording_picture(recording, TIME_STEPS), 6)
        rows += [picture, np.full((8, *picture.shape[1:]), 255, np.uint8)]
    return np.concatenate(rows[:-1])


def several_digits() -> np.ndarray:
    """Draw a recording of several digits, and their boxes over each frame."""
    recording, instances = next(iter_multi_digit_events("train", 1))
    picture = recording_picture(recording, TIME_STEPS)
    pitch = (picture.shape[1] - recording.width) // (TIME_STEPS - 1)
    picture = np.ascontiguousarray(enlarged(picture, 4))
    for step in range(TIME_STEPS):
        for instance in instances:
            x, y, width, height = instance.box
            corner = (4 * (x + step * pitch), 4 * y)
            opposite = (corner[0] + 4 * width - 1, corner[1] + 4 * height - 1)
            cv2.rectangle(picture, corner, opposite, GREEN, 1)
    return picture


def main() -> None:
    """Write both pictures."""
    for name, draw in (
        ("digit_events", one_digit),
        ("multi_digit_events", several_digits),
    ):
        Image.fromarray(draw()).save(HERE / f"{name}.webp", lossless=True)


if __name__ == "__main__":
    main()

"""Pictures of recordings: coloured frames, clips, animations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import to_rgb
from PIL import Image

from snnssl_mm.analysis.plots.plot_style import BLUE, RED
from snnssl_mm.checkpoints.atomic_files import open_atomically
from snnssl_mm.checks.batches import info_of, inner_datasets
from snnssl_mm.datasets.events.frames import EventFrames
from snnssl_mm.datasets.events.recording import Recording

BACKGROUND = (0.93, 0.93, 0.93)
WEAKEST = 0.4  # opacity of a pixel with the fewest events
BRIGHT = 0.95  # quantile of the pixels with events that has full opacity
SIDE = 320  # pixels to which animations of small sensors are enlarged, about
LARGEST = 480  # pixels of the longer side of an animation
BAR = 4  # pixels of the bar that shows the time, before enlarging


def colored(frames: np.ndarray) -> np.ndarray:
    """Colour frames: ON red, OFF blue, over light grey; more events, more colour.

    Args:
        frames: Counts or other values of at least 0, ``[..., 2, H, W]``. All share one
            scale.

    Returns:
        RGB, uint8 ``[..., H, W, 3]``.
    """
    off, on = np.moveaxis(frames.astype(np.float64), -3, 0)
    total = off + on
    seen = total > 0
    full = np.quantile(total[seen], BRIGHT) if seen.any() else 1.0
    strength = WEAKEST + (1 - WEAKEST) * np.minimum(total / full, 1)
    strength = np.where(seen, strength, 0)[..., None]
    share = (on / np.where(seen, total, 1))[..., None]
    hue = share * np.array(to_rgb(RED)) + (1 - share) * np.array(to_rgb(BLUE))
    mixed = strength * hue + (1 - strength) * np.array(BACKGROUND)
    return np.rint(255 * mixed).astype(np.uint8)


def clip_picture(frames: np.ndarray) -> np.ndarray:
    """Put the coloured frames of a clip ``[T, 2, H, W]`` side by side, with gaps.

    Returns:
        RGB, uint8 ``[H, T (W + gap) - gap, 3]``.
    """
    pictures = colored(frames)
    gap = np.full((pictures.shape[1], max(1, pictures.shape[2] // 24), 3), 255, "u1")
    parts = [part for picture in pictures for part in (gap, picture)]
    return np.concatenate(parts[1:], axis=1)


def recording_picture(recording: Recording, time_steps: int) -> np.ndarray:
    """Draw a recording as a clip of T frames at the sensor's resolution."""
    frames = EventFrames(time_steps)({"recording": recording})["img"]
    return clip_picture(frames)


def recording_of(dataset: Any, index: int) -> Recording:
    """Load a sample's recording, as the dataset's pipeline does before any view.

    Raises:
        ValueError: If the dataset has no recordings.
    """
    results = dict(info_of(dataset, index))
    owners = (one for one in inner_datasets(dataset) if hasattr(one, "pipeline"))
    for transform in next(owners).pipeline.transforms:
        if "recording" in results:
            break
        results = transform(results)
    if not isinstance(found := results.get("recording"), Recording):
        raise ValueError(
            f"{type(dataset).__name__} has no recordings of an event camera; give a "
            "config whose pipeline begins with LoadEvents"
        )
    return found


def animate(
    recording: Recording, out: Path, frames: int = 60, seconds: float = 3.0
) -> Path:
    """Write an animation of a recording; a bar below it shows the time.

    Args:
        recording: The events.
        out: File to write: ``.gif``, or ``.png`` for an animated PNG.
        frames: Number of frames, of equal time.
        seconds: Length of the animation.
    """
    sensor = (recording.height, recording.width)
    shrink = -(-max(sensor) // LARGEST)
    height, width = (max(1, side // shrink) for side in sensor)
    integrate = EventFrames(frames, size=(height, width))
    clip = colored(integrate({"recording": recording})["img"])
    times = np.arange(1, frames + 1)[:, None, None] / frames
    passed = np.arange(width) < times * width
    bar = np.where(np.repeat(passed, BAR, axis=1)[..., None], np.uint8(90), 255)
    clip = np.concatenate([clip, np.repeat(bar, 3, axis=-1).astype(np.uint8)], axis=1)
    zoom = max(1, SIDE // max(height, width))
    pictures = [
        Image.fromarray(picture.repeat(zoom, axis=0).repeat(zoom, axis=1))
        for picture in clip
    ]
    kind = out.suffix.lower().lstrip(".")
    with open_atomically(out) as part:
        pictures[0].save(
            part,
            format=kind,
            save_all=True,
            append_images=pictures[1:],
            duration=max(20, round(1000 * seconds / frames)),  # ms; browsers' least
            loop=0,
        )
    return out

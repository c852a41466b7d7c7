"""Feature maps of every level that a backbone passes to a neck."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from snnssl_mm.analysis.images import NetworkImage, crop_to_picture
from snnssl_mm.analysis.plots.picture_grid import (
    label_row,
    over_picture,
    picture_grid,
    write_title,
)


@torch.no_grad()
def feature_maps(backbone: nn.Module, image: NetworkImage) -> list[np.ndarray]:
    """Compute maps ``[C, H, W]`` of every level of a backbone, averaged over time.

    Args:
        backbone: Network that returns a tuple of ``[N, C, H, W]`` or
            ``[T, N, C, H, W]``; it is set to evaluation mode.
        image: The image; its padding is cropped from the maps.
    """
    device = next(backbone.parameters()).device
    outputs = backbone.eval()(image.inputs.to(device))
    levels = [output.mean(0) if output.dim() == 5 else output for output in outputs]
    return [crop_to_picture(level[0].float().cpu().numpy(), image) for level in levels]


def most_varying_channels(level: np.ndarray, number: int) -> np.ndarray:
    """Return the indices of the channels of ``[C, H, W]`` that vary most in space."""
    return np.argsort(-level.std(axis=(1, 2)), kind="stable")[:number]


def plot_feature_maps(
    levels: list[np.ndarray], picture: np.ndarray, out: Path, channels: int = 6
) -> Path:
    """Draw one row per level: overlay, mean of the channels, single channels.

    Args:
        levels: Maps ``[C, H, W]`` of each level.
        picture: The image, RGB ``[H, W, 3]``.
        out: Picture to write.
        channels: Number of drawn channels, those that vary most.
    """
    height, width = picture.shape[:2]
    channels = min(channels, max(len(level) for level in levels))
    heading = (
        "What the backbone hands on: its feature maps, averaged over time\n"
        "over the image, mean of all channels, and the channels that vary most; "
        "black is 0, bright the largest value of the panel"
    )
    size = (len(levels), 2 + channels, (height, width))
    with picture_grid(out, *size, left=1.2, heading=heading) as (_, grid):
        for level, line in zip(levels, grid, strict=True):
            draw_level(line, level, picture)
    return out


def draw_level(line: Any, level: np.ndarray, picture: np.ndarray) -> None:
    """Draw a level's maps into the axes of a row."""
    height, width = picture.shape[:2]
    extent = (0, width, height, 0)
    style: Any = dict(cmap="magma", extent=extent, interpolation="nearest")
    mean = level.mean(0)
    strength = (mean - mean.min()) / (np.ptp(mean) or 1)
    over_picture(line[0], mean, strength, picture, **style)
    line[1].imshow(mean, vmin=0, **style)
    write_title(line[1], f"mean, to {mean.max():.2g}")
    chosen = most_varying_channels(level, len(line) - 2)
    for axis, channel in zip(line[2:], chosen, strict=False):
        axis.imshow(level[channel], vmin=0, **style)
        write_title(axis, f"#{channel}, to {level[channel].max():.2g}")
    for axis in line[2 + len(chosen) :]:
        axis.set_visible(False)
    size = f"{level.shape[2]} x {level.shape[1]}"
    stride = f"stride {round(width / level.shape[2])}"
    label_row(line[0], stride, size, f"{level.shape[0]} channels")

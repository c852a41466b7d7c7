"""Spike maps: positions at which the channels of a layer fire, per time step."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from snnssl_mm.analysis.images import NetworkImage, crop_to_picture
from snnssl_mm.analysis.plots.picture_grid import (
    label_row,
    label_width,
    picture_grid,
    write_title,
)
from snnssl_mm.analysis.plots.plot_style import RED, SMALL
from snnssl_mm.recording.spike_recording import (
    layer_name,
    neurons_of,
    recorded_spikes,
    run_spiking,
)


class SpikeMap(NamedTuple):
    """Spike maps of one layer for one image.

    Attributes:
        name: The layer, such as ``stem.stages.0``.
        channels: Its number of channels.
        maps: Share of the channels that fire, ``[T, H, W]``, 0 to 1.
        rates: Firing rate of each time step, ``[T]``, 0 to 1.
    """

    name: str
    channels: int
    maps: np.ndarray
    rates: np.ndarray


@torch.no_grad()
def spike_maps(
    backbone: nn.Module, image: NetworkImage, pattern: str = ""
) -> list[SpikeMap]:
    """Run an image through the spiking path and record every neuron's spikes.

    Args:
        backbone: Network with MixedLIF neurons; it stays in evaluation mode on the
            spiking path.
        image: The image; its padding is cropped from the maps.
        pattern: Regular expression that is searched in the names of the layers.

    Returns:
        Layers in the order of execution.

    Raises:
        ValueError: If the network has no MixedLIF, or no layer matches the pattern.
    """
    neurons = neurons_of(backbone)
    if not neurons:
        raise ValueError(
            f"{type(backbone).__name__} has no MixedLIF neuron; use a spiking backbone "
            "such as snnssl_mm.Spikformer"
        )
    if not any(re.search(pattern, layer_name(name)) for name in neurons):
        raise ValueError(
            f"no layer's name matches {pattern!r}; expected one of "
            f"{', '.join(map(layer_name, neurons))}"
        )
    with recorded_spikes(backbone) as fired:
        run_spiking(backbone, image.inputs)
    layers, size = [], tuple(image.inputs.shape[-2:])
    for neuron, spikes in fired.items():
        name = layer_name(neuron)
        if spikes.shape[-1] == size[0] * size[1] and tuple(spikes.shape[-2:]) != size:
            spikes = spikes.unflatten(-1, size)  # attention has a token axis
        spikes = spikes.flatten(1, -3).float()
        size = tuple(spikes.shape[-2:])
        if re.search(pattern, name):
            maps = crop_to_picture(spikes.mean(1).numpy(), image)
            rates = spikes.mean(dim=(1, 2, 3)).numpy()
            layers.append(SpikeMap(name, spikes.shape[1], maps, rates))
    return layers


def plot_spike_maps(layers: list[SpikeMap], picture: np.ndarray, out: Path) -> Path:
    """Draw layers in rows and time steps in columns, on one colour scale.

    Args:
        layers: Result of :func:`spike_maps`; the largest T gives the columns.
        picture: The image, RGB ``[H, W, 3]``, shown at every time step.
        out: Picture to write.
    """
    steps = max(len(layer.maps) for layer in layers)
    shape = picture.shape[:2]
    left = max(label_width([layer.name for layer in layers]), 1.6)
    heading = (
        "Where and when the network fires: share of the channels that spike\n"
        "a layer a row, a time step a column; the number is the mean over the image"
    )
    size = (len(layers) + 1, steps, shape)
    with picture_grid(out, *size, left, 0.8, heading) as (figure, grid):
        extent = (0, shape[1], shape[0], 0)
        for step, axis in enumerate(grid[0]):
            axis.imshow(picture, extent=extent, interpolation="nearest")
            write_title(axis, f"t = {step + 1}")
        label_row(grid[0, 0], "image")
        largest = max(100 * float(np.quantile(layer.maps, 0.999)) for layer in layers)
        for layer, line in zip(layers, grid[1:], strict=True):
            drawn = draw_layer(line, layer, extent, largest or 1)
        add_colour_bar(figure, grid, drawn)
    return out


def draw_layer(line: Any, layer: SpikeMap, extent: Any, largest: float) -> Any:
    """Draw a layer's maps into the axes of a row; return the last image."""
    for axis, pixels, rate in zip(line, layer.maps, layer.rates, strict=False):
        scale = dict(vmin=0, vmax=largest, extent=extent, interpolation="nearest")
        drawn = axis.imshow(100 * pixels, "inferno", **scale)
        write_title(axis, f"{100 * rate:.1f} %")
    for axis in line[len(layer.maps) :]:
        axis.set_visible(False)
    channels = f"{layer.channels} channels, {layer.maps.shape[2]} x "
    lines = (layer.name, f"{channels}{layer.maps.shape[1]}")
    rate = 100 * layer.rates.mean()
    if rate == 0:
        label_row(line[0], *lines, "never fires", color=RED)
    else:
        label_row(line[0], *lines, f"fires at {rate:.1f} %")
    return drawn


def add_colour_bar(figure: Any, grid: np.ndarray, drawn: Any) -> None:
    """Add the colour bar of all maps at the right."""
    top, last = grid[1, -1].get_position(), grid[-1, -1].get_position()
    inch_x, inch_y = 1 / figure.get_figwidth(), 1 / figure.get_figheight()
    height = min(top.y1 - last.y0, 4 * inch_y)
    place = (last.x1 + 0.15 * inch_x, top.y1 - height, 0.14 * inch_x, height)
    axis = figure.add_axes(place)
    bar = figure.colorbar(drawn, cax=axis)
    bar.set_label("channels that spike, %", fontsize=SMALL)
    axis.tick_params(right=True, labelright=True)
    bar.outline.set_visible(False)

"""Where and when a network fires: spikes of every layer at every time step."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")
import numpy as np
import torch
from matplotlib import pyplot as plt
from torch import nn

from snnssl_mm.analysis.images import NetworkImage, crop_to_picture
from snnssl_mm.analysis.picture_grid import label_row, picture_grid
from snnssl_mm.analysis.spike_recording import recorded_spikes
from snnssl_mm.neurons import MixedLIF, set_path


class SpikeMap(NamedTuple):
    """The firing of one layer for one image.

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


def layer_name(neuron: str) -> str:
    """Name of the layer that a neuron belongs to."""
    return re.sub(r"\.(attention_)?neuron$", "", neuron)


@torch.no_grad()
def spike_maps(
    backbone: nn.Module, image: NetworkImage, pattern: str = ""
) -> list[SpikeMap]:
    """Run an image through the spiking path and record every neuron's spikes.

    Args:
        backbone: Network with MixedLIF neurons; it is left in evaluation mode on the
            spiking path.
        image: The image; what belongs to its padding is cut off the maps.
        pattern: Regular expression that the layers' names must contain.

    Returns:
        Layers in the order in which they fire.

    Raises:
        ValueError: If the network has no MixedLIF, or no layer fits the pattern.
    """
    neurons = [n for n, m in backbone.named_modules() if isinstance(m, MixedLIF)]
    if not neurons:
        raise ValueError(
            f"{type(backbone).__name__} has no MixedLIF neuron; spikes can be drawn of "
            "a spiking backbone such as snnssl_mm.Spikformer"
        )
    if not any(re.search(pattern, layer_name(name)) for name in neurons):
        raise ValueError(
            f"no layer's name contains {pattern!r}; there are "
            f"{', '.join(map(layer_name, neurons))}"
        )
    set_path(backbone.eval(), "spike")
    with recorded_spikes(backbone) as fired:
        backbone(image.inputs.to(next(backbone.parameters()).device))
    layers, size = [], tuple(image.inputs.shape[-2:])
    for neuron, spikes in fired.items():
        name = layer_name(neuron)
        if spikes.shape[-1] == size[0] * size[1] and tuple(spikes.shape[-2:]) != size:
            spikes = spikes.unflatten(-1, size)  # attention sees tokens in a row
        spikes = spikes.flatten(1, -3).float()
        size = tuple(spikes.shape[-2:])
        if re.search(pattern, name):
            maps = crop_to_picture(spikes.mean(1).numpy(), image)
            rates = spikes.mean(dim=(1, 2, 3)).numpy()
            layers.append(SpikeMap(name, spikes.shape[1], maps, rates))
    return layers


def plot_spike_maps(layers: list[SpikeMap], picture: np.ndarray, out: Path) -> Path:
    """Draw layers below one another and time steps side by side, on one colour scale.

    Args:
        layers: Of :func:`spike_maps`; those of most time steps decide the columns.
        picture: The image, RGB ``[H, W, 3]``, shown at every time step.
        out: Picture to write.
    """
    steps = max(len(layer.maps) for layer in layers)
    shape = picture.shape[:2]
    left = 0.3 + 0.075 * max(len(layer.name) for layer in layers)
    margins = dict(left=max(left, 1.6), right=0.95)
    figure, grid = picture_grid(len(layers) + 1, steps, shape, **margins)
    extent = (0, shape[1], shape[0], 0)
    for step, axis in enumerate(grid[0]):
        axis.imshow(picture, extent=extent, interpolation="nearest")
        axis.set_title(f"t = {step + 1}", fontsize=9, pad=3)
    label_row(grid[0, 0], "image")
    largest = max(100 * float(np.quantile(layer.maps, 0.999)) for layer in layers)
    for layer, line in zip(layers, grid[1:], strict=True):
        for axis, pixels, rate in zip(line, layer.maps, layer.rates, strict=False):
            drawn = axis.imshow(
                100 * pixels,
                "inferno",
                vmin=0,
                vmax=largest or 1,
                extent=extent,
                interpolation="nearest",
            )
            axis.set_title(f"{100 * rate:.1f} %", fontsize=8, pad=2.5, color="0.35")
        size = f"{layer.maps.shape[2]} x {layer.maps.shape[1]}"
        rate = 100 * layer.rates.mean()
        lines = (f"{layer.channels} channels, {size}", f"fires at {rate:.1f} %")
        if rate == 0:
            label_row(line[0], layer.name, lines[0], "never fires", color="tab:red")
        else:
            label_row(line[0], layer.name, *lines)
    top, last = grid[1, -1].get_position(), grid[-1, -1].get_position()
    inch_x, inch_y = 1 / figure.get_figwidth(), 1 / figure.get_figheight()
    height = min(top.y1 - last.y0, 4 * inch_y)
    place = (last.x1 + 0.15 * inch_x, top.y1 - height, 0.14 * inch_x, height)
    bar = figure.colorbar(drawn, cax=figure.add_axes(place))
    bar.set_label("channels that fire, %", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=150)
    plt.close(figure)
    return out

"""Spike rasters: spikes of single neurons over time steps and images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from snnssl_mm.analysis.plots.plot_style import (
    BLUE,
    LARGE,
    NORMAL,
    SMALL,
    styled_figure,
)
from snnssl_mm.recording.spike_recording import (
    layer_name,
    neurons_of,
    outputs_passed_to,
    run_spiking,
)


class Raster(NamedTuple):
    """Spikes of some neurons of a layer.

    Attributes:
        name: Name of the layer.
        spikes: Booleans ``[neurons, images, T]``.
        total: Number of neurons of the layer.
    """

    name: str
    spikes: np.ndarray
    total: int


@torch.no_grad()
def spike_rasters(
    backbone: nn.Module, inputs: Tensor, neurons: int = 64, seed: int = 0
) -> list[Raster]:
    """Record spikes of the same randomly chosen neurons for every image.

    Args:
        backbone: Network with MixedLIF neurons; it stays in evaluation mode on the
            spiking path.
        inputs: Images ``[N, 3, H, W]``.
        neurons: Neurons per layer, drawn without replacement.
        seed: Seed of the draw.

    Returns:
        Layers in the order of execution.
    """
    found: list[Raster] = []
    generator = np.random.default_rng(seed)

    def record(name: str, output: Tensor) -> None:
        spikes = output.flatten(2)
        total = spikes.shape[-1]
        chosen = generator.permutation(total)[:neurons]
        drawn = spikes[:, :, torch.from_numpy(chosen).to(spikes.device)]
        picked = drawn.permute(2, 1, 0).bool().cpu().numpy()
        found.append(Raster(layer_name(name), picked, total))

    with outputs_passed_to(record, neurons_of(backbone)):
        run_spiking(backbone, inputs)
    return found


def plot_spike_rasters(rasters: Sequence[Raster], out: Path, columns: int = 3) -> Path:
    """Draw one panel per layer: a row per neuron, time steps image by image.

    Neurons are sorted by their number of spikes, the most active on top.
    """
    rows = -(-len(rasters) // columns)
    with styled_figure(out, 1.6 * rows + 0.6) as figure:
        grid = figure.subplots(rows, columns, squeeze=False)
        for axis in grid.flat[len(rasters) :]:
            axis.set_visible(False)
        for axis, raster in zip(grid.flat, rasters, strict=False):
            draw_raster(axis, raster)
        for axis in grid.flat[max(0, len(rasters) - columns) : len(rasters)]:
            axis.set_xlabel(f"image ({rasters[0].spikes.shape[2]} time steps each)")
        figure.suptitle(
            "Which neurons spike when: black is a spike, a row a neuron, the liveliest "
            "on top",
            x=0.01,
            ha="left",
            fontsize=LARGE,
        )
    return out


def draw_raster(axis: Any, raster: Raster) -> None:
    """Draw the raster of one layer."""
    images, steps = raster.spikes.shape[1:]
    order = np.argsort(raster.spikes.sum((1, 2)), kind="stable")
    dark = raster.spikes[order].reshape(len(order), -1)
    axis.imshow(dark, "binary", aspect="auto", origin="lower", interpolation="none")
    for edge in range(1, images):
        axis.axvline(edge * steps - 0.5, color=BLUE, lw=0.6)
    rate = 100 * raster.spikes.mean()
    axis.set_title(f"{raster.name}: {rate:.1f} %", fontsize=NORMAL)
    middles = [steps * (index + 0.5) - 0.5 for index in range(images)]
    axis.set_xticks(middles, range(1, images + 1))
    axis.tick_params(length=0)
    axis.set_ylabel(f"{len(order)} of {raster.total:,}", fontsize=SMALL)
    axis.set_yticks([])
    axis.grid(visible=False)

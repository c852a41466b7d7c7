"""Firing rates by layer, dead and saturated neurons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from snnssl_mm.neurons import set_path
from snnssl_mm.recording.firing_recorder import FiringRecorder, LayerFiring
from snnssl_mm.recording.table import Table

COUNTS = ("neurons", "dead", "saturated")
LIMITS = {"dead": 0.1, "saturated": 0.01}
"""Shares of a layer's neurons above which it is ill: dead neurons never fire and carry
nothing, saturated ones always do. A few are normal in any spiking network."""


@torch.no_grad()
def firing_rates(model: nn.Module, batches: Iterable[Tensor]) -> list[LayerFiring]:
    """Run images through the spiking path and count the spikes of every layer.

    Args:
        model: A backbone, or a pretraining, classification, detection or segmentation
            model; it is left in evaluation mode on the spiking path.
        batches: Network inputs, normalised, ``[N, 3, H, W]`` each.

    Raises:
        ValueError: If the model has no MixedLIF, or there is no image.
    """
    set_path(model.eval(), "spike")
    extract: Any = getattr(model, "extract_feat", model)
    with FiringRecorder(model) as recorder:
        for inputs in batches:
            extract(inputs)
    if not recorder.images():
        raise ValueError("firing rates need at least 1 image, got none")
    return recorder.layers()


def mean_rate(layers: Iterable[Mapping[str, Any]]) -> float:
    """Spikes per neuron and time step over all neurons of all layers, 0 to 1.

    Args:
        layers: Entries of a LayerFiring, as in a results file.
    """
    neurons = spikes = 0.0
    for layer in layers:
        neurons += layer["neurons"]
        spikes += layer["neurons"] * fmean(layer["rates"])
    return spikes / neurons


def is_ill(layer: Mapping[str, Any]) -> bool:
    """Whether more of a layer's neurons are dead or saturated than :data:`LIMITS`."""
    return any(layer[k] > limit * layer["neurons"] for k, limit in LIMITS.items())


def firing_rates_table(row: Mapping[str, Any]) -> Table:
    """Show every layer, rates in percent.

    Args:
        row: Of the results file of ``snnssl measure firing-rates``.
    """
    layers = row["layers"]
    steps = max(len(layer["rates"]) for layer in layers)
    lines = [
        [
            layer["name"],
            *(f"{100 * rate:.1f}" for rate in layer["rates"]),
            *[""] * (steps - len(layer["rates"])),
            f"{100 * fmean(layer['rates']):.1f}",
            *(f"{layer[name]:,}" for name in COUNTS),
        ]
        for layer in layers
    ]
    head = ["layer", *(f"t = {step + 1}" for step in range(steps)), "mean", *COUNTS]
    caption = (
        f"Firing rates in percent on {row['images_used']} unseen images, "
        f"{Path(row['config']).stem}; mean of all neurons {100 * mean_rate(layers):.1f}"
    )
    return Table(head, lines, caption)

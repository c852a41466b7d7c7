"""Firing rates, dead and saturated neurons of every layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import nn

from snnssl_mm.neurons import set_path
from snnssl_mm.recording.firing_recorder import FiringRecorder, LayerFiring
from snnssl_mm.recording.table import Table

COUNTS = ("neurons", "dead", "saturated")
LIMITS = {"dead": 0.1, "saturated": 0.01}
"""Shares of a layer's neurons above which the layer is marked as ill.

Dead neurons never fire, saturated ones always do; neither carries information. A few
are normal in any spiking network.
"""


@torch.no_grad()
def firing_rates(
    model: nn.Module,
    batches: Iterable[Any],
    forward: Callable[[Any], Any] | None = None,
) -> list[LayerFiring]:
    """Measure the firing rates of every layer on the spiking path.

    Args:
        model: A backbone, or a pretraining, classification, detection or segmentation
            model. It stays in evaluation mode on the spiking path.
        batches: Normalised network inputs ``[N, 3, H, W]``, or what ``forward`` takes.
        forward: Function of a batch that runs the layers; those of backbone and neck by
            default, as heads need more than inputs.

    Raises:
        ValueError: If the model has no MixedLIF, or ``batches`` is empty.
    """
    set_path(model.eval(), "spike")
    run: Any = forward or getattr(model, "extract_feat", model)
    with FiringRecorder(model) as recorder:
        for inputs in batches:
            run(inputs)
    if not recorder.images():
        raise ValueError("firing rates need at least 1 image, got none")
    return recorder.layers()


def mean_rate(layers: Iterable[Mapping[str, Any]]) -> float:
    """Return the mean spikes per neuron and time step of all layers, 0 to 1.

    Args:
        layers: The fields of a LayerFiring each, as in a results file.
    """
    neurons = spikes = 0.0
    for layer in layers:
        neurons += layer["neurons"]
        spikes += layer["neurons"] * fmean(layer["rates"])
    return spikes / neurons


def is_ill(layer: Mapping[str, Any]) -> bool:
    """Tell whether dead or saturated neurons exceed :data:`LIMITS`."""
    return any(layer[k] > limit * layer["neurons"] for k, limit in LIMITS.items())


def firing_rates_table(row: Mapping[str, Any]) -> Table:
    """Make the table of layers, with rates in percent.

    Args:
        row: A row of the results file of ``snnssl measure firing-rates``.
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

"""Draw layer-wise firing rates: a cluster a layer, a bar a time step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator

from snnssl_mm.analysis.firing_rates import mean_rate

PER_LINE = 25  # layers side by side: five of Spikformer's blocks
LINE_HEIGHT = 2.6  # inches, without the names


def plot_firing_rates(
    layers: Sequence[Mapping[str, Any]], out: Path, title: str = ""
) -> Path:
    """Draw the firing rate of every layer at every time step.

    Args:
        layers: Entries ``name``, ``rates`` (``[T]``, 0 to 1), ``neurons``, ``dead``,
            ``saturated``: those of a LayerFiring, or as read from a results file. Many
            of them take several lines.
        out: Picture to write.
        title: What was measured.

    Raises:
        ValueError: If there is no layer.
    """
    if not layers:
        raise ValueError("there are no layers to draw; measure firing rates first")
    count = -(-len(layers) // PER_LINE)
    columns = PER_LINE if count > 1 else len(layers)
    lines = chain(*(label_of(layer).splitlines() for layer in layers))
    longest = max(len(line) for line in lines)
    width = max(7.5, 1.2 + 0.46 * columns)
    height = LINE_HEIGHT + 0.055 * longest + 0.35
    figure, axes = plt.subplots(
        count,
        1,
        figsize=(width, height * count + 0.5),
        sharey=True,
        squeeze=False,
        constrained_layout=True,
    )
    mean = 100 * mean_rate(layers)
    for index, axis in enumerate(axes[:, 0]):
        part = layers[index * columns : (index + 1) * columns]
        handles = draw_line(axis, part, columns, mean)
    figure.legend(
        handles=handles,
        loc="outside upper right",
        ncols=len(handles),
        frameon=False,
        fontsize=9,
        columnspacing=1.2,
        handlelength=1.2,
    )
    axes[0, 0].set_title(title, loc="left", fontsize=11)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=150)
    plt.close(figure)
    return out


def draw_line(
    axis: Any, layers: Sequence[Mapping[str, Any]], columns: int, mean: float
) -> list[Any]:
    """Draw layers side by side with the mean of all; return what the legend shows."""
    steps = max(len(layer["rates"]) for layer in layers)
    colours = plt.get_cmap("viridis")(np.linspace(0.1, 0.85, steps))
    bar = 0.8 / steps
    handles = []
    for step in range(steps):
        places = [
            (place, 100 * layer["rates"][step])
            for place, layer in enumerate(layers)
            if step < len(layer["rates"])
        ]
        x, rates = np.array(places).T
        x = x + (step - (steps - 1) / 2) * bar
        label = f"t = {step + 1}"
        handles.append(axis.bar(x, rates, bar, color=colours[step], label=label))
    label = f"mean of all neurons: {mean:.1f} %"
    handles.append(axis.axhline(mean, color="tab:red", ls="--", lw=1.2, label=label))
    axis.set_xlim(-0.6, columns - 0.4)
    axis.set_ylabel("firing rate, %")
    axis.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axis.set_axisbelow(True)
    axis.grid(axis="y", alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_xticks(range(len(layers)), [label_of(layer) for layer in layers])
    for text, layer in zip(axis.get_xticklabels(), layers, strict=True):
        ill = layer["dead"] or layer["saturated"]
        text.set(rotation=45, ha="right", rotation_mode="anchor", fontsize=8)
        text.set_color("tab:red" if ill else "black")
    axis.tick_params(axis="x", length=0)
    return handles


def label_of(layer: Mapping[str, Any]) -> str:
    """Name of a layer, and below the shares of its dead and saturated neurons."""
    ill = [
        f"{share(layer[kind], layer['neurons'])} {kind}"
        for kind in ("dead", "saturated")
        if layer[kind]
    ]
    return "\n".join([layer["name"], ", ".join(ill)]).rstrip()


def share(part: int, whole: int) -> str:
    """Write a share in percent; one that rounds to nothing is no nothing."""
    percent = 100 * part / whole
    return f"{percent:.1f} %" if percent >= 0.05 else "< 0.1 %"

"""Figure of firing rates: one cluster of bars per layer, one bar per time step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.ticker import MaxNLocator

from snnssl_mm.analysis.plots.plot_style import RED, SMALL, styled_figure
from snnssl_mm.recording.firing_rates import LIMITS, is_ill, mean_rate

PER_LINE = 16  # layers side by side
LINE_HEIGHT = 2.6  # inches, without the names
EXPLAINED = (
    "dead: never fires; saturated: fires at every step of every image; a layer's name "
    "is red and bold\nwhere that is more than "
    + " or ".join(f"{100 * limit:g} % {name}" for name, limit in LIMITS.items())
)


def plot_firing_rates(
    layers: Sequence[Mapping[str, Any]], out: Path, title: str = ""
) -> Path:
    """Draw the firing rate of every layer at every time step.

    Args:
        layers: Dicts with the fields of a LayerFiring (``name``, ``rates`` ``[T]``,
            ``neurons``, ``dead``, ``saturated``), as in a results file. Many layers are
            split over several rows.
        out: Picture to write.
        title: What was measured.

    Raises:
        ValueError: If ``layers`` is empty.
    """
    if not layers:
        raise ValueError("there are no layers to draw; measure firing rates first")
    count = -(-len(layers) // PER_LINE)
    columns = PER_LINE if count > 1 else len(layers)
    lines = chain(*(label_of(layer).splitlines() for layer in layers))
    height = LINE_HEIGHT + 0.055 * max(len(line) for line in lines) + 0.35
    mean = 100 * mean_rate(layers)
    with styled_figure(out, height * count + 0.7) as figure:
        axes = figure.subplots(count, 1, sharey=True, squeeze=False)
        for index, axis in enumerate(axes[:, 0]):
            part = layers[index * columns : (index + 1) * columns]
            handles = draw_line(axis, part, columns, mean)
        figure.legend(
            handles=handles,
            loc="outside lower left",
            ncols=6,
            columnspacing=1.2,
            handlelength=1.2,
            title=EXPLAINED,
            title_fontsize=SMALL,
            alignment="left",
        )
        axes[0, 0].set_title(
            f"Firing rates by layer and time step: {title}".rstrip(": ")
        )
    return out


def draw_line(
    axis: Any, layers: Sequence[Mapping[str, Any]], columns: int, mean: float
) -> list[Any]:
    """Draw layers side by side with the mean of all; return the legend's handles."""
    steps = max(len(layer["rates"]) for layer in layers)
    colours = colormaps["viridis"](np.linspace(0.1, 0.85, steps))
    bar = 0.8 / steps
    handles = []
    for step in range(steps):
        points = [
            (position, 100 * layer["rates"][step])
            for position, layer in enumerate(layers)
            if step < len(layer["rates"])
        ]
        x, rates = np.array(points).T
        x = x + (step - (steps - 1) / 2) * bar
        label = f"t = {step + 1}"
        handles.append(axis.bar(x, rates, bar, color=colours[step], label=label))
    label = f"mean of all neurons: {mean:.1f} %"
    handles.append(axis.axhline(mean, color=RED, ls="--", lw=1.2, label=label))
    axis.set_xlim(-0.6, columns - 0.4)
    axis.set_ylabel("firing rate, %")
    axis.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axis.grid(visible=False, axis="x")
    axis.set_xticks(range(len(layers)), [label_of(layer) for layer in layers])
    for text, layer in zip(axis.get_xticklabels(), layers, strict=True):
        text.set(rotation=45, ha="right", rotation_mode="anchor")
        if is_ill(layer):
            text.set(color=RED, fontweight="bold")
    axis.tick_params(axis="x", length=0)
    return handles


def label_of(layer: Mapping[str, Any]) -> str:
    """Return a layer's name, followed by its shares of dead and saturated neurons."""
    ill = [
        f"{100 * layer[kind] / layer['neurons']:.0f} % {kind}"
        for kind in LIMITS
        if layer[kind] >= 0.01 * layer["neurons"]
    ]
    return "\n".join([layer["name"], ", ".join(ill)]).rstrip()

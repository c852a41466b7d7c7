"""Figure of the energy of a network (top) and of its layers (bottom)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from snnssl_mm.analysis.plots.plot_style import (
    BLUE,
    ORANGE,
    SMALL,
    WIDTH,
    styled_figure,
)
from snnssl_mm.recording.energy import (
    ACCOUNTINGS,
    BACKBONE,
    CONSTANTS,
    Constants,
    energy,
)
from snnssl_mm.recording.energy_tables import format_number

MAX_BARS = 30
ROW, HEAD, GAP, AXIS = 0.24, 0.65, 0.75, 0.35  # inches
RIGHT = 1.0

STYLES: dict[str, Any] = {
    "MACs": dict(color="0.5"),
    "spikes: accumulations": dict(color=BLUE),
    "integers, as spikes": dict(color=ORANGE),
    "integers, as MACs": dict(
        facecolor="none", edgecolor=ORANGE, linestyle=(0, (2, 1.5))
    ),
    "MACs of neck and head": dict(color="0.8"),
}
PLAIN, SPIKES, AS_SPIKES, AS_MACS, OUTSIDE = STYLES
TICK: dict[str, Any] = dict(marker="|", color="black", linestyle="none", markersize=9)

Layers = Sequence[Mapping[str, Any]]


def group_layers(layers: Layers, most: int = MAX_BARS) -> dict[str, list[Any]]:
    """Group layers by module, at the finest level with at most ``most`` groups.

    Returns:
        Layers by the common prefix of their names, in the order of execution.
    """
    depth = max(layer["name"].count(".") for layer in layers) + 1
    while True:
        groups: dict[str, list[Any]] = {}
        for layer in layers:
            start = ".".join(layer["name"].split(".")[:depth])
            groups.setdefault(start, []).append(layer)
        if len(groups) <= most or depth == 1:
            return groups
        depth -= 1


def style_of(layer: Mapping[str, Any], accounting: str) -> str:
    """Return the style of a layer, a key of STYLES."""
    if layer["kind"] == "spikes":
        return SPIKES
    if layer["kind"] == "integers":
        return AS_MACS if accounting == ACCOUNTINGS[0] else AS_SPIKES
    return PLAIN if layer["part"] == BACKBONE else OUTSIDE


def spiking_parts(
    layers: Layers, accounting: str, constants: Constants
) -> dict[str, float]:
    """Sum the energy of layers by style, pJ per image."""
    parts = dict.fromkeys(STYLES, 0.0)
    for layer in layers:
        parts[style_of(layer, accounting)] += energy(layer, accounting, constants)
    return parts


def non_spiking_parts(layers: Layers, constants: Constants) -> dict[str, float]:
    """Sum the energy of the equal non-spiking layers by style, pJ per image."""
    parts = dict.fromkeys(STYLES, 0.0)
    for layer in layers:
        style = PLAIN if layer["part"] == BACKBONE else OUTSIDE
        parts[style] += constants.mac * layer["non_spiking_macs"]
    return parts


def unit_of(largest: float) -> tuple[float, str]:
    """Choose a unit for energies up to ``largest`` pJ; return its pJ and its name."""
    units = ((1e9, "mJ"), (1e6, "µJ"), (1e3, "nJ"))
    return next((unit for unit in units if largest >= unit[0]), (1.0, "pJ"))


def stacked_bar(axis: Any, y: float, parts: Mapping[str, float], unit: float) -> float:
    """Draw a stacked bar of parts (pJ); return its length in the unit."""
    left = 0.0
    for style, value in parts.items():
        if value:
            axis.barh(y, value / unit, left=left, height=0.7, **STYLES[style])
            left += value / unit
    return left


def share_text(parts: Mapping[str, float], non_spiking: Mapping[str, float]) -> str:
    """Format the spiking network's share of the non-spiking network's energy."""
    total = sum(parts.values()) / sum(non_spiking.values())
    inside = sum(non_spiking.values()) - non_spiking[OUTSIDE]
    if not non_spiking[OUTSIDE] or not inside:
        return f"({total:.1%})"
    backbone = (sum(parts.values()) - parts[OUTSIDE]) / inside
    return f"({total:.1%}; backbone {backbone:.1%})"


def draw_totals(axis: Any, layers: Layers, steps: int) -> int:
    """Draw the totals for all accountings and constants; return the number of rows."""
    reference = non_spiking_parts(layers, CONSTANTS[0])
    unit, name = unit_of(sum(reference.values()))
    ticks: list[str] = []
    for constants in CONSTANTS:
        ticks.append(f"MAC {constants.mac} pJ, AC {constants.ac} pJ")
        non_spiking = non_spiking_parts(layers, constants)
        end = stacked_bar(axis, len(ticks), non_spiking, unit)
        axis.text(
            end, len(ticks), f" {format_number(end)}", va="center", fontsize=SMALL
        )
        ticks.append("non-spiking")
        for accounting in ACCOUNTINGS:
            parts = spiking_parts(layers, accounting, constants)
            end = stacked_bar(axis, len(ticks), parts, unit)
            text = f" {format_number(end)} {share_text(parts, non_spiking)}"
            axis.text(end, len(ticks), text, va="center", fontsize=SMALL)
            ticks.append(accounting)
    axis.set_yticks(range(len(ticks)), ticks)
    for label in axis.get_yticklabels():
        if label.get_text().startswith("MAC "):
            label.set_fontweight("bold")
    title = f"Whole network at T = {steps}, {name} per image"
    axis.set_title(f"{title} (share of the non-spiking one)")
    # Leave room for the longest text after the longest bar.
    axis.margins(x=0.15 if reference[OUTSIDE] else 0.05)
    return len(ticks)


def draw_layers(axis: Any, groups: Mapping[str, Layers]) -> int:
    """Draw groups of layers for the first constants; return the number of rows."""
    constants = CONSTANTS[0]
    as_macs, as_spikes = (
        [spiking_parts(layers, accounting, constants) for layers in groups.values()]
        for accounting in ACCOUNTINGS
    )
    references = [
        sum(non_spiking_parts(layers, constants).values()) for layers in groups.values()
    ]
    unit, name = unit_of(max([sum(p.values()) for p in as_macs] + references))
    for y, (macs, spikes) in enumerate(zip(as_macs, as_spikes, strict=True)):
        end = stacked_bar(axis, y, spikes, unit)
        start = end - spikes[AS_SPIKES] / unit
        width = macs[AS_MACS] / unit
        if width:
            axis.barh(y, width, left=start, height=0.7, **STYLES[AS_MACS])
        if sum(macs.values()) != references[y]:  # otherwise nothing to compare
            axis.plot(references[y] / unit, y, markeredgewidth=1.5, **TICK)
    names = [group.removeprefix(f"{BACKBONE}.") for group in groups]
    axis.set_yticks(range(len(names)), names)
    pair = f"MAC {constants.mac} pJ, AC {constants.ac} pJ"
    axis.set_title(f"Layers, {name} per image ({pair})")
    return len(names)


def add_legend(figure: Any, layers: Layers) -> None:
    """Add a legend of the colours that occur, at the top of the figure."""
    used = {
        style_of(layer, accounting) for layer in layers for accounting in ACCOUNTINGS
    }
    handles: list[Any] = [
        Rectangle((0, 0), 1, 1, label=style, **STYLES[style])
        for style in STYLES
        if style in used
    ]
    handles.append(Line2D([], [], label="non-spiking layer", **TICK))
    width, height = figure.get_size_inches()
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.1 / width, 1 - 0.05 / height),
        ncols=len(handles),
        columnspacing=1.2,
    )


def plot_energy(row: Mapping[str, Any], out: Path) -> Path:
    """Draw the energy of a network and of its layers.

    Args:
        row: A row of the results file of ``snnssl measure energy`` (its ``layers`` and
            ``time_steps`` are used).
        out: Picture to write. More than 30 layers are grouped by module.
    """
    groups = group_layers(row["layers"])
    longest = max(len(group.removeprefix(f"{BACKBONE}.")) for group in groups)
    left = max(2.0, 0.3 + 0.07 * longest)
    above = 4 * len(CONSTANTS) * ROW
    below = len(groups) * ROW
    width, height = WIDTH, HEAD + above + GAP + below + AXIS
    with styled_figure(out, height, layout=None) as figure:
        axes = [
            figure.add_axes(
                (
                    left / width,
                    bottom / height,
                    1 - (left + RIGHT) / width,
                    tall / height,
                )
            )
            for bottom, tall in ((AXIS + below + GAP, above), (AXIS, below))
        ]
        counts = (
            draw_totals(axes[0], row["layers"], row["time_steps"]),
            draw_layers(axes[1], groups),
        )
        for axis, count in zip(axes, counts, strict=True):
            axis.set_ylim(count - 0.4, -0.6)
            axis.set_xlim(left=0)
            axis.spines["left"].set_visible(False)
            axis.tick_params(axis="y", length=0)
            axis.grid(visible=False, axis="y")
        add_legend(figure, row["layers"])
    return out

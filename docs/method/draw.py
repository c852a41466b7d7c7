#!/usr/bin/env python3
"""Draw the pictures of the pages about the method.

usage: python docs/method/draw.py [NAME ...]

Writes NAME.svg into this folder; all pictures without an argument. What neurons and
losses do is computed with the package's own code.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from torch import Tensor

from snnssl_mm.losses import (
    BoundaryTemporalLoss,
    CrossTemporalLoss,
    TemporalLoss,
    TimeFlattenedLoss,
)
from snnssl_mm.losses.pairs import Pairs
from snnssl_mm.neurons import MixedLIF, Surrogate

HERE = Path(__file__).parent
PAPER, INK, GREY = "#fbfaf7", "#22252e", "#8a8f9c"
SPIKE, ANALOG, INPUT, SHARED = "#b3261e", "#1f6fb2", "#5c6675", "#e9edf5"
SPIKE_LIGHT, ANALOG_LIGHT = "#f8dcd9", "#d9e8f6"
STYLE = {
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titleweight": "bold",
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.edgecolor": INK,
    "legend.frameon": False,
    "svg.hashsalt": "snnssl_mm",  # the same file from the same code
}
WIDTH = 4.7  # inches: a point is then about a pixel on a telephone


def membrane_of(x: Tensor, spikes: Tensor) -> Tensor:
    """Return the membrane ``[T]`` before each reset, for tau = 2 and a hard reset."""
    v, trace = torch.zeros(()), []
    for current, spike in zip(x, spikes, strict=True):
        u = v - v / 2 + current
        trace.append(u)
        v = u * (1 - spike)
    return torch.stack(trace)


def traces() -> Figure:
    """Draw one neuron over time: input, membrane, and the outputs of both paths."""
    x = torch.tensor([0.6, 0.9, 0.3, 0.2, 0.7, 1.1, 0.4, 0.1, 0.5, 0.8, 0.6, 0.2])
    neuron = MixedLIF(backend="torch")
    spikes = neuron(x[:, None])[:, 0]
    neuron.path = "analog"
    analog = neuron(x[:, None])[:, 0]
    membrane = membrane_of(x, spikes)
    assert torch.equal(spikes, (membrane >= 1).float())
    g = Surrogate.parse("rectangle").antiderivative
    assert torch.allclose(analog, g(membrane - 1))

    figure, axes = plt.subplots(4, 1, figsize=(WIDTH, 5.6), sharex=True)
    steps = torch.arange(1, len(x) + 1)
    axes[0].bar(steps, x, 0.6, color=INPUT)
    axes[0].set_title("input current x")
    axes[1].axhspan(0.5, 1.5, color=ANALOG_LIGHT, lw=0)
    axes[1].axhline(1, color=INK, lw=1, ls="--")
    draw_membrane(axes[1], membrane, spikes)
    axes[1].set_title("membrane u, threshold 1, reset to 0")
    axes[1].set_ylim(0, 1.65)
    axes[2].bar(steps, spikes, 0.6, color=SPIKE)
    axes[2].set_title("spiking path: 1 where u reaches the threshold")
    axes[3].bar(steps, analog, 0.6, color=ANALOG)
    axes[3].set_title("analog path: g(u - 1), rises through the blue band")
    for ax in axes[2:]:
        ax.set_ylim(0, 1.1)
        ax.set_yticks([0, 0.5, 1])
    axes[3].set_xticks(steps)
    axes[3].set_xlabel("time step t")
    return figure


def draw_membrane(ax: Axes, membrane: Tensor, spikes: Tensor) -> None:
    """Draw charges, leaks and resets: a line that falls to 0 after each spike."""
    times, values = [0.0], [0.0]
    for step, (u, spike) in enumerate(zip(membrane, spikes, strict=True), start=1):
        times += [float(step)] * (2 if spike else 1)
        values += [float(u), 0.0] if spike else [float(u)]
    ax.plot(times, values, color=INK, lw=1.5)
    fired = spikes.bool()
    steps = torch.arange(1, len(spikes) + 1)
    ax.plot(steps[~fired], membrane[~fired], "o", color=INK, ms=4)
    ax.plot(steps[fired], membrane[fired], "o", color=SPIKE, ms=7)


def surrogates() -> Figure:
    """Draw every surrogate family: antiderivative g above, derivative h below."""
    v = torch.linspace(-2, 2, 401, dtype=torch.float64)
    figure, axes = plt.subplots(2, 1, figsize=(WIDTH, 4.6), sharex=True)
    styles = {"rectangle": "-", "triangle": "--", "atan": "-.", "sigmoid": ":"}
    colors = (ANALOG, SPIKE, "#7a4da0", "#2e7d4f")
    for (name, style), color in zip(styles.items(), colors, strict=True):
        family = Surrogate.parse(name)
        axes[0].plot(v, family.antiderivative(v), style, color=color, label=name, lw=2)
        axes[1].plot(v, family.derivative(v), style, color=color, lw=2)
    axes[0].plot([-2, 0, 0, 2], [0, 0, 1, 1], color=GREY, lw=1, zorder=0)
    axes[0].annotate("spike", (1.95, 1.0), (1.95, 1.05), color=INPUT, ha="right")
    axes[0].set_title("g: output of the analog path")
    axes[0].legend(loc="upper left", handlelength=2.4)
    axes[0].set_ylim(-0.05, 1.25)
    axes[1].set_title("h = g': derivative of both paths")
    axes[1].set_xlabel("membrane minus threshold")
    return figure


def counted_cells(loss: TemporalLoss, steps: int) -> tuple[Tensor, int]:
    """Return which cells of the grid of slices a loss compares, and its pairs.

    Args:
        loss: The loss; its own selections are used.
        steps: T.

    Returns:
        ``[2T, 2T]``, 1 where an ordered pair of slices takes part; and the number of
        ordered pairs.
    """
    numbers = torch.arange(steps)[:, None, None]
    taken = loss.select(numbers).flatten(1)  # time steps in each slice that is compared
    pairs = Pairs(len(taken), loss.within_view)
    slices = torch.cat([taken, taken + steps])
    cells = torch.zeros(2 * steps, 2 * steps)
    for p, q in pairs.mask(cells).nonzero():
        cells[slices[p], slices[q]] = 1
    return cells, pairs.number


def pairs() -> Figure:
    """Draw the grid of pairs of slices, and those that each loss takes."""
    steps = 4
    losses = {
        "CTL": CrossTemporalLoss(),
        "CTL, across views only": CrossTemporalLoss(within_view=False),
        "BTL": BoundaryTemporalLoss(),
        "time-flattened": TimeFlattenedLoss(),
    }
    names = [f"{view}{t}" for view in "AB" for t in range(1, steps + 1)]
    figure, axes = plt.subplots(2, 2, figsize=(WIDTH, 5.3))
    for ax, (name, loss) in zip(axes.flat, losses.items(), strict=True):
        cells, number = counted_cells(loss, steps)
        draw_grid(ax, cells, steps)
        joined = ", steps joined" if isinstance(loss, TimeFlattenedLoss) else ""
        ax.set_title(name, pad=4, fontsize=9.5)
        ax.set_xlabel(f"{number} ordered pairs{joined}", fontsize=9)
        labels = (axes[1], ax.set_xticks), (axes[:, 0], ax.set_yticks)
        for labelled, set_ticks in labels:
            set_ticks(range(2 * steps), names if ax in labelled else [""] * 8)
        ax.tick_params(length=0, pad=1, labelsize=8)
    return figure


def draw_grid(ax: Axes, cells: Tensor, steps: int) -> None:
    """Draw the cells: pairs between the views red, pairs inside a view blue."""
    view = torch.arange(2 * steps) // steps
    across = view[:, None] != view
    kinds = {
        SHARED: cells == 0,
        ANALOG: (cells > 0) & ~across,
        SPIKE: (cells > 0) & across,
    }
    for color, mask in kinds.items():
        rows, columns = mask.nonzero().T
        ax.scatter(columns, rows, marker="s", s=200, color=color, lw=0)
    for edge in (ax.axhline, ax.axvline):
        edge(steps - 0.5, color=INK, lw=1)
    ax.set_xlim(-0.6, 2 * steps - 0.4)
    ax.set_ylim(2 * steps - 0.4, -0.6)
    ax.set_aspect("equal")
    for spine in ax.spines.values():
        spine.set_visible(False)


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """Return an empty drawing whose units are tenths of an inch."""
    figure, ax = plt.subplots(figsize=(width / 10, height / 10))
    ax.set_xlim(0, width)
    ax.set_ylim(0, height)
    ax.set_axis_off()
    figure.subplots_adjust(0, 0, 1, 1)
    return figure, ax


def box(
    ax: Axes,
    x: float,
    y: float,
    text: str,
    width: float = 14,
    height: float = 4,
    color: str = SHARED,
) -> None:
    """Draw a box around a text, with its centre at ``x``, ``y``."""
    corner = (x - width / 2, y - height / 2)
    ax.add_patch(
        FancyBboxPatch(
            corner,
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.8",
            facecolor=color,
            edgecolor=INK,
            lw=1,
        )
    )
    ax.text(x, y, text, ha="center", va="center", linespacing=1.25)


def arrow(ax: Axes, *points: tuple[float, float], color: str = INK) -> None:
    """Draw a line through the points, with a head at its end."""
    xs, ys = zip(*points, strict=True)
    ax.plot(xs[:-1], ys[:-1], color=color, lw=1.5, solid_joinstyle="round")
    head = {"arrowstyle": "-|>", "color": color, "lw": 1.5, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", points[-1], points[-2], arrowprops=head)


def plus(ax: Axes, x: float, y: float, text: str = "+") -> None:
    """Draw a circle in which two arrows are joined."""
    ax.plot(x, y, "o", ms=15, mfc=PAPER, mec=INK, zorder=3)
    ax.text(x, y, text, ha="center", va="center_baseline", zorder=4)


def dashed(ax: Axes, x: float, y: float, width: float, height: float) -> None:
    """Draw a dashed frame with its lower left corner at ``x``, ``y``."""
    ax.add_patch(Rectangle((x, y), width, height, fc="none", ec=GREY, lw=1, ls="--"))


def dual_path() -> Figure:
    """Draw pretraining: two views, two paths with shared weights, one loss."""
    figure, ax = canvas(47, 58)
    box(ax, 23.5, 55, "image without a label", 22)
    dashed(ax, 0.8, 18.2, 45.4, 24)
    ax.text(23.5, 40.4, "one network, same weights", ha="center", va="center")
    for x, view, kind, light, dark in (
        (12, "A", "spiking", SPIKE_LIGHT, SPIKE),
        (35, "B", "analog", ANALOG_LIGHT, ANALOG),
    ):
        arrow(ax, (23.5 + (x - 23.5) * 0.5, 53), (x, 49.2), color=dark)
        box(ax, x, 47, f"view {view}, shown T times", 20.5, 4.4, light)
        arrow(ax, (x, 44.8), (x, 38.8), color=dark)
        box(ax, x, 34, f"backbone,\n{kind} path\n[T, B, C, H, W]", 20.5, 9.4, light)
        arrow(ax, (x, 29.3), (x, 26.8), color=dark)
        box(ax, x, 23, "mean over space,\nprojector", 20.5, 7.4, light)
        arrow(ax, (x, 19.3), (x, 14), color=dark)
        ax.text(x + 1, 16.3, f"$z_{view}$ [T, B, D]", va="center")
        draw_slices(ax, x, 12.6, light)
        arrow(ax, (x, 11.2), (23.5 + (x - 23.5) * 0.6, 6.2), color=dark)
    box(ax, 23.5, 4, "temporal loss over pairs of slices", 32, 4.4)
    return figure


def draw_slices(ax: Axes, x: float, y: float, color: str) -> None:
    """Draw four slices of embeddings, one a time step, around ``x``, ``y``."""
    for t in range(4):
        left = x - 10.2 + 5.1 * t
        ax.add_patch(Rectangle((left, y - 1.4), 4.7, 2.8, fc=color, ec=INK, lw=1))
        name = f"t = {t + 1}"
        ax.text(left + 2.35, y - 0.1, name, ha="center", va="center", size=8.5)


def spikformer() -> Figure:
    """Draw a Spikformer: the stem, a block, and the returned maps."""
    figure, ax = canvas(47, 69)
    x = 16
    box(ax, x, 66, "images [N, 3, H, W]", 27)
    arrow(ax, (x, 64), (x, 61.3))
    box(
        ax,
        x,
        56.5,
        "stem: 4 stages of 3x3 conv,\nBN and MixedLIF,\nsome with pooling",
        27,
        9.2,
    )
    arrow(ax, (x, 51.9), (x, 48.4))
    box(ax, x, 45, "position: plus 3x3 conv,\nBN and MixedLIF of it", 27, 6.4)
    ax.plot([x, x], [41.8, 38.4], color=INK, lw=1.5)
    dashed(ax, 0.8, 11.6, 30.4, 28.4)
    ax.text(2, 38.2, "each block", va="center")
    for y, text in (
        (33, "q, k, v: MixedLIF\nq (k\u1d40 v): MixedLIF\nprojection: MixedLIF"),
        (19.6, "hidden layer: MixedLIF\nprojection: MixedLIF"),
    ):
        draw_branch(ax, x, y, text)
    arrow(ax, (x, 12.6), (x, 7.2))
    box(ax, x, 4.4, "residual stream of integers\n[T, N, C, H', W']", 27, 5.6)
    for y, text in ((59, "map 0: C/4"), (54, "map 1: C/2"), (4.4, "map 2: C")):
        arrow(ax, (x + 13.5, y), (33.5, y), color=ANALOG)
        ax.text(34.2, y, text, va="center")
    ax.text(34.2, 1.6, "map 3: pooled", va="center")
    return figure


def draw_branch(ax: Axes, x: float, y: float, text: str) -> None:
    """Draw a residual branch around ``x``, ``y``, with its shortcut and its sum."""
    side, top, bottom = x + 13, y + 5.4, y - 5.6
    arrow(ax, (x, top), (x, y + 4))
    box(ax, x, y, text, 21, 8, SPIKE_LIGHT)
    arrow(ax, (x, top), (side, top), (side, bottom), (x + 1.4, bottom))
    ax.plot([x, x], [y - 4, bottom - 2.4], color=INK, lw=1.5)
    plus(ax, x, bottom)


def shortcuts() -> Figure:
    """Draw the blocks of spiking ResNets: where each kind of shortcut is added."""
    figure, ax = canvas(47, 42)
    orders = {
        "sew": ("conv, BN", "neuron", "conv, BN", "neuron", "+"),
        "spiking": ("conv, BN", "neuron", "conv, BN", "+", "neuron"),
        "ms": ("neuron", "conv, BN", "neuron", "conv, BN", "+"),
    }
    ends = {"sew": "spikes, integers", "spiking": "spikes", "ms": "currents"}
    for index, (name, layers) in enumerate(orders.items()):
        x = 6.3 + 15.8 * index
        ax.text(x, 40.2, name, ha="center", va="center", weight="bold")
        ax.plot([x, x], [38.4, 36], color=INK, lw=1.5)
        for row, layer in enumerate(layers):
            y = 32 - 6.2 * row
            if layer == "+":
                arrow(ax, (x, 37), (x + 7, 37), (x + 7, y), (x + 1.4, y))
                ax.plot([x, x], [y + 4.2, y], color=INK, lw=1.5)
                plus(ax, x, y)
            else:
                start = 5 if row and layers[row - 1] == "+" else 4.3
                arrow(ax, (x, y + start), (x, y + 2))
                color = SPIKE_LIGHT if layer == "neuron" else SHARED
                box(ax, x, y, layer, 11, 3.8, color)
        arrow(ax, (x, 32 - 6.2 * 4 - (1.2 if layers[-1] == "+" else 1.9)), (x, 2.6))
        ax.text(x, 1.2, ends[name], ha="center", va="center", size=9.5)
    return figure


def evaluation() -> Figure:
    """Draw how a frozen backbone is evaluated."""
    figure, ax = canvas(47, 40)
    x = 23.5
    box(ax, x, 37.4, "pretrained backbone, weights frozen", 38)
    arrow(ax, (x, 35.4), (x, 32.3))
    box(
        ax,
        x,
        29,
        "training images, spiking path:\nre-estimate BatchNorm statistics",
        38,
        6.4,
        SPIKE_LIGHT,
    )
    arrow(ax, (x, 25.8), (x, 22.3))
    box(
        ax,
        x,
        19,
        "all images, spiking path: last map,\nmean over time and space [n, C]",
        38,
        6.4,
        SPIKE_LIGHT,
    )
    for column, text in ((8.5, "k-NN"), (x, "linear\nprobe")):
        arrow(ax, (column, 15.8), (column, 10.5))
        box(ax, column, 7.2, text, 13, 6.2)
    arrow(ax, (42.5, 29), (45.4, 29), (45.4, 13), (38.5, 13), (38.5, 10.5))
    box(ax, 38.5, 7.2, "trained, with\nfew or all labels", 15, 6.2)
    ax.text(x, 2, "top-1 on images that training never saw", ha="center", va="center")
    return figure


PICTURES: dict[str, Callable[[], Figure]] = {
    "mixed_lif_traces": traces,
    "surrogates": surrogates,
    "pairs": pairs,
    "dual_path": dual_path,
    "spikformer": spikformer,
    "shortcuts": shortcuts,
    "evaluation": evaluation,
}


def shortened(svg: str) -> str:
    """Round coordinates to hundredths of a point; leave comments and indents out."""
    svg = re.sub(r"([1-9]\d*\.\d\d)\d+", r"\1", svg)
    svg = re.sub(r"<!-- .*? -->", "", svg)
    return re.sub(r">\s+<", "><", svg).replace("\n", " ") + "\n"


def write_pictures(
    pictures: Mapping[str, Callable[[], Figure]], folder: Path, names: list[str]
) -> None:
    """Write the pictures of these names into the folder, or all."""
    mpl.use("svg")
    settings: Any = STYLE
    with plt.rc_context(settings):
        for name in names or pictures:
            figure = pictures[name]()
            if figure.axes[0].axison:
                figure.tight_layout(pad=1.2)
            text = io.StringIO()
            figure.savefig(text, format="svg", metadata={"Date": None})
            plt.close(figure)
            (folder / f"{name}.svg").write_text(shortened(text.getvalue()))


if __name__ == "__main__":
    write_pictures(PICTURES, HERE, sys.argv[1:])

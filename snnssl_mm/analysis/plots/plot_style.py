"""Common style of all figures: width, text sizes, colour-blind-safe colours.

Figures are made without pyplot, so drawing changes no global setting of matplotlib.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.figure import Figure

WIDTH = 9.0
"""Width in inches. Shown 900 pixels wide, a point of text is 1.4 pixels."""
SMALL, NORMAL, LARGE = 8.0, 9.5, 11.0  # points

BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, GREY, QUIET = "#56B4E9", "#CC79A7", "#8C8C8C", "#595959"
"""Okabe & Ito's colour-blind-safe colours, and two greys."""
CLASSES = (
    *("#332288", "#88CCEE", "#44AA99", "#117733", "#999933"),
    *("#DDCC77", "#CC6677", "#882255", "#AA4499", "#666666"),
)
"""Paul Tol's muted scheme, for up to ten classes."""

STYLE: Any = {
    "font.size": NORMAL,
    "axes.titlesize": LARGE,
    "axes.titlelocation": "left",
    "axes.labelsize": NORMAL,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "axes.prop_cycle": cycler(color=[BLUE, ORANGE, GREEN, RED, PURPLE, SKY]),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "lines.markersize": 4.5,
    "savefig.dpi": 200,
}
IMAGES: Any = {
    "axes.grid": False,
    "axes.spines.left": False,
    "axes.spines.bottom": False,
    "xtick.bottom": False,
    "xtick.labelbottom": False,
    "ytick.left": False,
    "ytick.labelleft": False,
}
"""Additions to the style for axes that show images."""


@contextmanager
def styled_figure(
    out: Path,
    height: float,
    width: float = WIDTH,
    layout: Any = "constrained",
    images: bool = False,
) -> Iterator[Figure]:
    """Yield a figure in the common style; write it on leaving.

    Args:
        out: Picture to write; its folder is created.
        height: Height of the figure, in inches.
        width: Width of the figure, in inches.
        layout: matplotlib's layout engine; None for a manual layout.
        images: Whether the axes show images, without frames, grids and ticks.
    """
    with mpl.rc_context({**STYLE, **(IMAGES if images else {})}):
        figure = Figure(figsize=(width, height), layout=layout)
        yield figure
        out.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out)

"""The look of all pictures: one width, legible text, colours told apart by everybody.

Figures are made without pyplot, so that drawing changes no setting of matplotlib.
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
"""Inches. At 900 pixels in a page, a point of text is 1.4 pixels."""
SMALL, NORMAL, LARGE = 8.0, 9.5, 11.0  # points

BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, GREY, QUIET = "#56B4E9", "#CC79A7", "#8C8C8C", "#595959"
"""Okabe & Ito's colours, which colour-blind people tell apart, and two greys."""
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
    """Give a figure in the common style to draw on, and write it on leaving.

    Args:
        out: Picture to write; its folder is made.
        height: Of the figure, in inches.
        width: Of the figure, in inches.
        layout: matplotlib's layout engine; None for one that is laid out by hand.
        images: Whether its axes show images: no frames, grids and ticks.
    """
    with mpl.rc_context({**STYLE, **(IMAGES if images else {})}):
        figure = Figure(figsize=(width, height), layout=layout)
        yield figure
        out.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out)

"""Rows of small pictures of one size, with text to their left and above them."""

from __future__ import annotations

from typing import Any

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot as plt

GAP, TITLE = 0.08, 0.2  # inches between columns; above each row, for its titles
TOP = BOTTOM = 0.12


def picture_grid(
    rows: int,
    columns: int,
    shape: tuple[int, int],
    side: float = 1.2,
    left: float = 2.0,
    right: float = 0.1,
) -> tuple[Any, np.ndarray]:
    """Lay out a figure for pictures of one shape; all lengths are in inches.

    Args:
        rows: Number of rows.
        columns: Number of columns.
        shape: Height and width of the pictures, in any unit.
        side: Longer side of a picture in the figure.
        left: Margin for the rows' labels.
        right: Margin for a colour bar.

    Returns:
        The figure, and its axes ``[rows, columns]`` without frames and ticks.
    """
    height, width = (side * length / max(shape) for length in shape)
    total_width = left + columns * (width + GAP) - GAP + right
    total_height = TOP + rows * (height + TITLE) + BOTTOM
    figure, grid = plt.subplots(
        rows,
        columns,
        figsize=(total_width, total_height),
        squeeze=False,
        gridspec_kw=dict(
            left=left / total_width,
            right=1 - right / total_width,
            top=1 - (TOP + TITLE) / total_height,
            bottom=BOTTOM / total_height,
            wspace=GAP / width,
            hspace=TITLE / height,
        ),
    )
    for axis in grid.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    return figure, grid


def label_row(axis: Any, *lines: str, color: str = "0.35") -> None:
    """Write lines to the left of a row, the first of them larger."""
    figure, box = axis.figure, axis.get_position()
    y, x = (box.y0 + box.y1) / 2, box.x0 - 0.1 / axis.figure.get_figwidth()
    step = 0.16 / figure.get_figheight()
    for index, line in enumerate(lines):
        first = index == 0
        figure.text(
            x,
            y + step * ((len(lines) - 1) / 2 - index),
            line,
            ha="right",
            va="center",
            fontsize=9.5 if first else 8,
            color="black" if first else color,
        )

"""Grid of small pictures of equal size, with labels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from snnssl_mm.analysis.plots.plot_style import (
    LARGE,
    NORMAL,
    QUIET,
    SMALL,
    WIDTH,
    styled_figure,
)

GAP, TITLE = 0.08, 0.2  # inches between columns; above each row for its titles
BOTTOM, HEAD = 0.12, 0.3  # inches below all rows; above all rows for the heading
SMALLEST, LARGEST = 0.8, 2.0  # inches of a picture's longer side


@contextmanager
def picture_grid(
    out: Path,
    rows: int,
    columns: int,
    shape: tuple[int, int],
    left: float = 2.0,
    right: float = 0.1,
    heading: str = "",
) -> Iterator[tuple[Any, np.ndarray]]:
    """Lay out a figure for pictures of equal shape; write it on leaving.

    All lengths are in inches. The pictures are as large as the page width allows.

    Args:
        out: Picture to write.
        rows: Number of rows.
        columns: Number of columns.
        shape: Height and width of the pictures, in any unit.
        left: Left margin, for the labels of the rows.
        right: Right margin, for a colour bar.
        heading: Text above the rows; its line breaks are kept.

    Yields:
        The figure and its axes ``[rows, columns]``, without frames and ticks.
    """
    room = (WIDTH - left - right) / columns - GAP
    side = min(max(room * max(shape) / shape[1], SMALLEST), LARGEST)
    height, width = (side * length / max(shape) for length in shape)
    total_width = left + columns * (width + GAP) - GAP + right
    top = 0.08 + (HEAD if heading else 0.0) + 0.17 * heading.count("\n")
    total_height = top + rows * (height + TITLE) + BOTTOM
    with styled_figure(out, total_height, total_width, None, images=True) as figure:
        grid = figure.subplots(
            rows,
            columns,
            squeeze=False,
            gridspec_kw=dict(
                left=left / total_width,
                right=1 - right / total_width,
                top=1 - (top + TITLE) / total_height,
                bottom=BOTTOM / total_height,
                wspace=GAP / width,
                hspace=TITLE / height,
            ),
        )
        first, _, rest = heading.partition("\n")
        place: Any = dict(x=0.1 / total_width, ha="left", va="top")
        figure.text(y=1 - 0.08 / total_height, s=first, fontsize=LARGE, **place)
        if rest:
            y = 1 - 0.29 / total_height
            figure.text(y=y, s=rest, fontsize=SMALL, color=QUIET, **place)
        yield figure, grid


def over_picture(
    axis: Any, mean: np.ndarray, strength: np.ndarray, picture: np.ndarray, **style: Any
) -> None:
    """Draw a map over a grey picture, with opacity by ``strength`` (0 to 1)."""
    axis.imshow(picture.mean(-1), "gray", extent=style["extent"])
    axis.imshow(mean, alpha=0.75 * strength, **style)


def write_title(axis: Any, text: str) -> None:
    """Write a title above a small picture."""
    axis.set_title(text, fontsize=SMALL, pad=2.5, loc="center", color=QUIET)


def label_row(axis: Any, *lines: str, color: str = QUIET) -> None:
    """Write lines to the left of a row; the first one is larger."""
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
            fontsize=NORMAL if first else SMALL,
            color="black" if first else color,
        )


def label_width(names: list[str]) -> float:
    """Return the width in inches of the longest row label."""
    return max(1.3, 0.3 + 0.078 * max(map(len, names)))

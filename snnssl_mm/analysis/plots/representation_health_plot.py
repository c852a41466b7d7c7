"""Figure of representation health: spectrum, spread, cosines of time steps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.layout_engine import ConstrainedLayoutEngine

from snnssl_mm.analysis.plots.plot_style import (
    BLUE,
    LARGE,
    NORMAL,
    QUIET,
    SMALL,
    styled_figure,
)
from snnssl_mm.recording.health_features import FEATURES

STYLES: dict[str, dict[str, Any]] = {
    "pretrained": dict(color=BLUE, lw=1.8),
    "random": dict(color=QUIET, lw=1.4, ls="--"),
}
FLOOR = 1e-4  # smallest drawn singular value relative to the largest; below is rounding


def plot_health(row: Mapping[str, Any], out: Path) -> Path:
    """Draw one row for the backbone's features and one for the embeddings.

    Args:
        row: A row of the results file of ``snnssl measure health``.
        out: Picture to write.
    """
    layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.08)
    with styled_figure(out, 5.4, layout=layout) as figure:
        grid = figure.add_gridspec(2, 4, width_ratios=[1.2, 1.2, 0.95, 0.95])
        for line, kind in enumerate(FEATURES):
            axes = [figure.add_subplot(grid[line, column]) for column in range(4)]
            draw_spectrum(axes[0], row, kind)
            draw_spread(axes[1], row, kind)
            drawn = [
                draw_steps(axis, row[start][f"{kind}/temporal_consistency"], start)
                for axis, start in zip(axes[2:], STYLES, strict=True)
            ]
            bar = figure.colorbar(drawn[-1], ax=axes[2:], fraction=0.05, shrink=0.6)
            bar.outline.set_visible(False)
        figure.suptitle(
            f"Health of the representation: {Path(row['config']).stem}, "
            f"{Path(row['checkpoint']).name}, two views of {row['images_used']} "
            f"{row['data']} images",
            x=0.01,
            ha="left",
            fontsize=LARGE,
        )
    return out


def draw_spectrum(axis: Any, row: Mapping[str, Any], kind: str) -> None:
    """Draw singular values relative to the largest, on a logarithmic scale."""
    for start, style in STYLES.items():
        values = np.array(row[start][f"{kind}/singular_values"])
        relative = values / (values.max() or 1.0)
        shown = np.where(relative >= FLOOR, relative, np.nan)
        axis.plot(1 + np.arange(len(values)), shown, label=start, **style)
    axis.set(yscale="log", ylim=(FLOOR, 1.5), xlabel="index")
    axis.set_title("Singular values / largest", fontsize=NORMAL)
    size = row["pretrained"][f"{kind}/dimensions"]
    axis.set_ylabel(f"{kind}, {size} dimensions")
    axis.legend()


def draw_spread(axis: Any, row: Mapping[str, Any], kind: str) -> None:
    """Draw the standard deviations of the dimensions in descending order."""
    for start, style in STYLES.items():
        values = sorted(row[start][f"{kind}/std_per_dimension"], reverse=True)
        axis.plot(1 + np.arange(len(values)), values, label=start, **style)
    axis.axhline(1, color="0.7", lw=1, zorder=0)
    axis.set(ylim=(0, None), xlabel="dimension, sorted")
    axis.set_title("Std per dimension (1: spread)", fontsize=NORMAL)


def draw_steps(axis: Any, cosines: list[list[float]], start: str) -> Any:
    """Draw the mean cosine between every two time steps; return the image."""
    steps = len(cosines)
    drawn = axis.imshow(cosines, "viridis", vmin=0, vmax=1)
    if steps <= 6:
        for first in range(steps):
            for second in range(steps):
                value = cosines[first][second]
                colour = "black" if value > 0.6 else "white"
                place = dict(ha="center", va="center", fontsize=SMALL, color=colour)
                text = f"{value:.2f}".replace("0.", ".")
                axis.text(second, first, text, **place)
    if steps <= 8:
        axis.set_xticks(range(steps), range(1, steps + 1))
        axis.set_yticks(range(steps), range(1, steps + 1))
    axis.set_title(f"Cosine of steps,\n{start}", fontsize=NORMAL)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.grid(visible=False)
    return drawn

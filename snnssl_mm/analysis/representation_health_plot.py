"""Draw the health of a representation: spectrum, spread, likeness of time steps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot as plt

from snnssl_mm.analysis.health_features import FEATURES

STYLES: dict[str, dict[str, Any]] = {
    "pretrained": dict(color="tab:blue", lw=1.8),
    "random": dict(color="0.45", lw=1.4, ls="--"),
}
SHORT = {
    "std": "std per dimension",
    "rankme": "RankMe",
    "alignment": "alignment",
    "uniformity": "uniformity",
    "path_cosine": "path cosine",
    "path_cka": "path CKA",
    "step_cosine": "step cosine",
}
"""Measures as they are called in a column of numbers."""
FLOOR = 1e-4  # of singular values, relative to the largest; below is rounding


def plot_health(row: Mapping[str, Any], out: Path) -> Path:
    """Draw a line for the backbone's features and one for the embeddings.

    Args:
        row: Of the results file of tools/analysis/representation_health.py.
        out: Picture to write.
    """
    figure = plt.figure(figsize=(13.5, 6.2))
    figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1)
    grid = figure.add_gridspec(2, 5, width_ratios=[1.25, 1.25, 0.85, 0.85, 1.0])
    for line, kind in enumerate(FEATURES):
        axes = [figure.add_subplot(grid[line, column]) for column in range(5)]
        draw_spectrum(axes[0], row, kind)
        draw_spread(axes[1], row, kind)
        drawn = [
            draw_steps(axis, row[start][f"{kind}/temporal_consistency"], start)
            for axis, start in zip(axes[2:4], STYLES, strict=True)
        ]
        bar = figure.colorbar(drawn[-1], ax=axes[2:4], fraction=0.05, shrink=0.72)
        bar.ax.tick_params(labelsize=8)
        write_numbers(axes[4], row, kind)
    figure.suptitle(
        f"{Path(row['config']).stem}, {Path(row['checkpoint']).name}: two views of "
        f"{row['images_used']} {row['data']} images",
        x=0.01,
        ha="left",
        fontsize=11,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=150)
    plt.close(figure)
    return out


def draw_spectrum(axis: Any, row: Mapping[str, Any], kind: str) -> None:
    """Draw singular values relative to the largest, on a logarithmic scale."""
    for start, style in STYLES.items():
        values = np.array(row[start][f"{kind}/singular_values"])
        relative = values / (values.max() or 1.0)
        shown = np.where(relative >= FLOOR, relative, np.nan)
        axis.plot(1 + np.arange(len(values)), shown, label=start, **style)
    axis.set(yscale="log", ylim=(FLOOR, 1.5), xlabel="index")
    axis.set_title("singular values / largest", fontsize=10)
    size = row["pretrained"][f"{kind}/dimensions"]
    axis.set_ylabel(f"{kind}, {size} dimensions", fontsize=10)
    axis.legend(frameon=False, fontsize=8)
    finish(axis)


def draw_spread(axis: Any, row: Mapping[str, Any], kind: str) -> None:
    """Draw the standard deviation of the dimensions, the largest first."""
    for start, style in STYLES.items():
        values = sorted(row[start][f"{kind}/std_per_dimension"], reverse=True)
        axis.plot(1 + np.arange(len(values)), values, label=start, **style)
    axis.axhline(1, color="0.7", lw=1, zorder=0)
    axis.set(ylim=(0, None), xlabel="dimension, sorted")
    axis.set_title("std per dimension (1: spread out)", fontsize=10)
    finish(axis)


def finish(axis: Any) -> None:
    """Give a curve's axes the look of the other figures."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(alpha=0.3)
    axis.tick_params(labelsize=8)


def draw_steps(axis: Any, cosines: list[list[float]], start: str) -> Any:
    """Draw mean cosines between every two time steps; return the image."""
    steps = len(cosines)
    drawn = axis.imshow(cosines, "viridis", vmin=0, vmax=1)
    if steps <= 8:
        for first in range(steps):
            for second in range(steps):
                value = cosines[first][second]
                colour = "black" if value > 0.6 else "white"
                place = dict(ha="center", va="center", fontsize=7, color=colour)
                axis.text(second, first, f"{value:.2f}", **place)
        axis.set_xticks(range(steps), range(1, steps + 1))
        axis.set_yticks(range(steps), range(1, steps + 1))
    axis.set_title(f"cosine of steps, {start}", fontsize=9)
    axis.tick_params(labelsize=8, length=0)
    return drawn


def write_numbers(axis: Any, row: Mapping[str, Any], kind: str) -> None:
    """Write the measures that are one number, as a small table."""
    axis.set_axis_off()
    columns = [0.62, 0.98]
    for x, start in zip(columns, STYLES, strict=True):
        axis.text(x, 0.95, start, ha="right", fontsize=9, fontweight="bold")
    for line, (name, text) in enumerate(SHORT.items(), start=1):
        y = 0.95 - 0.125 * line
        axis.text(-0.35, y, text, fontsize=9)
        for x, start in zip(columns, STYLES, strict=True):
            value = row[start][f"{kind}/{name}"]
            axis.text(x, y, f"{value:.3g}", ha="right", fontsize=9)

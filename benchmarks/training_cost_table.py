"""Table and plot of the cost of each loss in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from snnssl_mm.analysis.plots.plot_style import SMALL, styled_figure
from snnssl_mm.recording.table import Table

Row = Mapping[str, Any]
"""A row of benchmarks/training_cost.py: one network with every loss."""


def row_title(row: Row) -> str:
    """Name the network and the batch of a row."""
    network = Path(row["config"]).stem
    sizes = {"B": row["batch_size"], "T": row["time_steps"], "D": row["dims"]}
    return ", ".join([network, *(f"{name} = {size}" for name, size in sizes.items())])


def training_cost_table(rows: Sequence[Row]) -> Table:
    """Make the table of time and memory of a training step, one line per loss."""
    lines = []
    for row in rows:
        for name, side in row["losses"].items():
            ratio = side["times_flattened"]
            low, high = ratio["quartiles"]
            lines.append(
                [
                    row_title(row),
                    name,
                    f"{side['seconds']['median']:.3g} s",
                    f"{ratio['median']:.2f} ({low:.2f} to {high:.2f})",
                    f"{side['peak_mib']:,} MiB",
                ]
            )
    head = [
        "network and batch",
        "loss",
        "a step",
        "times time-flattened",
        "peak memory",
    ]
    return Table(head, lines, "training cost by loss", words=2)


def plot_training_cost(rows: Sequence[Row], out: Path) -> Path:
    """Draw time (left) and memory (right) relative to the time-flattened loss."""
    names = list(rows[0]["losses"])
    with styled_figure(out, 3.6) as figure:
        axes = figure.subplots(1, 2, sharey=True)
        width = 0.8 / len(rows)
        for index, row in enumerate(rows):
            places = [
                i + (index - (len(rows) - 1) / 2) * width for i in range(len(names))
            ]
            found = [row["losses"][name] for name in names]
            base = found[0]["peak_mib"]
            ratios = [side["times_flattened"] for side in found]
            medians = [ratio["median"] for ratio in ratios]
            whiskers = [
                [ratio["median"] - ratio["quartiles"][0] for ratio in ratios],
                [ratio["quartiles"][1] - ratio["median"] for ratio in ratios],
            ]
            memory = [side["peak_mib"] / base for side in found]
            for axis, values, error in (
                (axes[0], medians, whiskers),
                (axes[1], memory, None),
            ):
                bars = axis.bar(
                    places,
                    values,
                    0.92 * width,
                    yerr=error,
                    capsize=2,
                    label=row_title(row),
                )
                axis.bar_label(bars, fmt="%.2f", fontsize=SMALL, padding=2)
        texts = ("Time of a training step", "Peak memory")
        for axis, text in zip(axes, texts, strict=True):
            axis.set(title=f"{text}, time-flattened = 1", xticks=range(len(names)))
            axis.set_xticklabels(names)
            axis.axhline(1, color="0.5", lw=0.8, zorder=0)
            axis.grid(visible=False, axis="x")
        axes[0].set_ylim(0, 1.15 * axes[0].get_ylim()[1])
        handles = axes[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center")
    return out

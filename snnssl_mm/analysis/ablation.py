"""Results of an ablation over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from snnssl_mm.analysis.ablation_cells import CHOICES, Cell, cell_labels, cell_of
from snnssl_mm.analysis.plots.plot_style import BLUE, ORANGE, styled_figure
from snnssl_mm.analysis.seed_statistics import Summary
from snnssl_mm.recording.probe_names import FROZEN, probe_title
from snnssl_mm.recording.table import Table

STATISTICS = ("recalibrated", "trained")
"""BatchNorm statistics: averages over the spiking path, or those of training."""


def summarise_cell(
    rows: Sequence[Mapping[str, Any]], cell: Cell, probe: str, statistics: str
) -> Summary:
    """Summarise the accuracy of a cell, which must have been run.

    Args:
        rows: Rows of the results file.
        cell: The cell.
        probe: ``'knn'`` or ``'linear'``.
        statistics: One of :data:`STATISTICS`.
    """
    values = [100 * row[statistics][probe] for row in rows if cell_of(row) == cell]
    return Summary.of(values)


def cells_in(rows: Iterable[Mapping[str, Any]]) -> list[Cell]:
    """Return the cells of a results file, the default one first, then by axis."""
    return sorted({cell_of(row) for row in rows}, key=sort_key)


def sort_key(cell: Cell) -> tuple[Any, ...]:
    """Sort the default first, then other losses and neurons, then the other axes."""
    varied = [getattr(cell, axis) != getattr(Cell(), axis) for axis in Cell._fields]
    ranks = [
        1 + ([*CHOICES[axis], value].index(value)) if differs else 0
        for (axis, value), differs in zip(cell._asdict().items(), varied, strict=True)
    ]
    return (varied[2:], ranks, str(cell))


def ablation_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Make the table of means and deviations (with trained statistics in brackets)."""
    lines = []
    for cell in cells_in(rows):
        texts = []
        for probe in FROZEN:
            recalibrated, trained = (
                summarise_cell(rows, cell, probe, kind) for kind in STATISTICS
            )
            texts.append(f"{recalibrated} ({trained})")
        number = summarise_cell(rows, cell, "knn", STATISTICS[0]).number
        lines.append([", ".join(cell_labels(cell)), *texts, str(number)])
    caption = "top-1 on unseen images, %: BN statistics recalibrated (as trained)"
    return Table(["cell", *FROZEN.values(), "seeds"], lines, caption)


def plot_ablation(rows: Sequence[Mapping[str, Any]], out: Path) -> Path:
    """Draw the accuracies of every cell with their deviation over the seeds."""
    cells = cells_in(rows)
    with styled_figure(out, 0.34 * len(cells) + 1.3) as figure:
        axes = figure.subplots(1, 2, sharey=True)
        styles: dict[str, dict[str, Any]] = {
            "recalibrated": dict(color=BLUE, marker="o", offset=-0.13),
            "trained": dict(color=ORANGE, marker="s", offset=0.13),
        }
        for axis, probe in zip(axes, FROZEN, strict=True):
            for kind, style in styles.items():
                found = [summarise_cell(rows, cell, probe, kind) for cell in cells]
                axis.errorbar(
                    [s.mean for s in found],
                    [y + style["offset"] for y in range(len(cells))],
                    xerr=[s.deviation for s in found],
                    color=style["color"],
                    marker=style["marker"],
                    linestyle="none",
                    markersize=4,
                    capsize=2,
                    label=f"BN statistics {kind}",
                )
            axis.set(title=probe_title(probe), xlabel="top-1 on unseen images, %")
            axis.grid(visible=False, axis="y")
        axes[0].set_yticks(
            range(len(cells)), [", ".join(cell_labels(c)) for c in cells]
        )
        axes[0].invert_yaxis()
        if Cell() in cells:
            axes[0].get_yticklabels()[cells.index(Cell())].set_fontweight("bold")
        handles = axes[1].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower right", ncols=2)
    return out

"""Results of an ablation over seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from snnssl_mm.ablation.cells import CHOICES, Cell, cell_of
from snnssl_mm.ablation.labels import (
    FURTHER,
    NEURON_TITLES,
    cell_labels,
    further_labels,
)
from snnssl_mm.ablation.objectives import (
    OBJECTIVES,
    REDUNDANCY,
    SLICES,
    TITLES,
)
from snnssl_mm.analysis.plots.plot_style import BLUE, ORANGE, styled_figure
from snnssl_mm.analysis.seed_statistics import Summary
from snnssl_mm.recording.probe_names import FROZEN, probe_title
from snnssl_mm.recording.table import Table

COSTS = {"step_ms": "step, ms", "memory": "memory, MiB"}
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
    """Return the cells of a results file.

    The default one comes first, then the others by axis; in a comparison of objectives
    each objective's cells stand together.
    """
    cells = sorted({cell_of(row) for row in rows}, key=sort_key)
    if compares_objectives(cells):
        cells.sort(key=by_objective)
    return cells


def compares_objectives(cells: Iterable[Cell]) -> bool:
    """Whether there are other objectives than those of the method."""
    return any(cell.loss not in REDUNDANCY for cell in cells)


def by_objective(cell: Cell) -> tuple[int, int, int]:
    """Sort by objective, time structure and neuron."""
    return (
        [*OBJECTIVES].index(cell.loss),
        SLICES.index(cell.structure),
        [*NEURON_TITLES].index(cell.neuron),
    )


def sort_key(cell: Cell) -> tuple[Any, ...]:
    """Sort the default first, then other losses and neurons, then the other axes."""
    varied = [getattr(cell, axis) != getattr(Cell(), axis) for axis in Cell._fields]
    ranks = [
        1 + ([*CHOICES[axis], value].index(value)) if differs else 0
        for (axis, value), differs in zip(cell._asdict().items(), varied, strict=True)
    ]
    return (varied[2:], ranks, str(cell))


def ablation_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Make the table of means and deviations (with trained statistics in brackets).

    If objectives are compared, objective, time structure and neuron have columns of
    their own. Time and memory of a training step are means over the seeds.
    """
    cells, lines = cells_in(rows), []
    names, label = columns_of_names(cells)
    costs = {
        title: key for key, title in COSTS.items() if any(row.get(key) for row in rows)
    }
    for cell in cells:
        texts = []
        for probe in FROZEN:
            recalibrated, trained = (
                summarise_cell(rows, cell, probe, kind) for kind in STATISTICS
            )
            texts.append(f"{recalibrated} ({trained})")
        of_cell = [row for row in rows if cell_of(row) == cell]
        texts += [mean_cost(of_cell, key) for key in costs.values()]
        lines.append([*label(cell), *texts, str(len(of_cell))])
    caption = "top-1 on unseen images, %: BN statistics recalibrated (as trained)"
    head = [*names, *FROZEN.values(), *costs, "seeds"]
    return Table(head, lines, caption, words=len(names))


def columns_of_names(
    cells: Sequence[Cell],
) -> tuple[list[str], Callable[[Cell], list[str]]]:
    """Return the heads of the columns that name a cell, and a function of their texts.

    Example:
        >>> names, texts = columns_of_names([Cell(), Cell(loss="vicreg")])
        >>> names
        ['objective', 'time', 'neuron']
        >>> texts(Cell(loss="vicreg", time="step"))
        ['VICReg', 'step', 'MixedLIF']
    """
    if not compares_objectives(cells):
        return ["cell"], lambda cell: [", ".join(cell_labels(cell))]
    axes = [axis for axis in FURTHER if axis != "time"]

    def texts(cell: Cell) -> list[str]:
        title = TITLES.get(cell.loss, "Barlow Twins")
        named = [title, cell.structure, NEURON_TITLES[cell.neuron]]
        return [*named, ", ".join(further_labels(cell, axes))][: len(names)]

    names = ["objective", "time", "neuron"]
    if any(further_labels(cell, axes) for cell in cells):
        names.append("further")
    return names, texts


def mean_cost(rows: Iterable[Mapping[str, Any]], key: str) -> str:
    """Average a cost over the rows that have it; ``'-'`` if none has."""
    values = [row[key] for row in rows if row.get(key)]
    return f"{fmean(values):.0f}" if values else "-"


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

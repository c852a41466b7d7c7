"""Grid of an ablation, and its results over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

from snnssl_mm.analysis.plots.plot_style import BLUE, ORANGE, styled_figure
from snnssl_mm.recording.probe_names import FROZEN, probe_title
from snnssl_mm.recording.table import Table

LOSSES = {
    "flat": "snnssl_mm.TimeFlattenedLoss",
    "btl": "snnssl_mm.BoundaryTemporalLoss",
    "ctl": "snnssl_mm.CrossTemporalLoss",
}
NEURONS = {"lif": "spike", "mixed": "dual", "analog": "analog"}
"""Neuron in training -> ``train_path``: spikes for both views (LIF), one path per view
(MixedLIF), or the analog path for both. Evaluation always uses spikes."""
PAIRS = {"all": True, "cross-view": False}
BATCH_NORMS = ("pooled", "split")
STATISTICS = ("recalibrated", "trained")
"""BatchNorm statistics: averages over the spiking path, or over both paths."""


class Cell(NamedTuple):
    """One choice on every axis; the defaults are those of the method.

    Attributes:
        loss: ``'flat'``, ``'btl'`` or ``'ctl'``.
        neuron: ``'lif'``, ``'mixed'`` or ``'analog'``.
        bn: ``'pooled'`` or ``'split'`` batch statistics of the two paths.
        pairs: ``'all'`` pairs of slices, or ``'cross-view'`` without those of two
            time steps of one view.
        steps: Time steps T.
    """

    loss: str = "ctl"
    neuron: str = "mixed"
    bn: str = "pooled"
    pairs: str = "all"
    steps: int = 4

    @property
    def possible(self) -> bool:
        """Whether the cell is defined and not equivalent to another one."""
        one_step = self.steps == 1 and (self.loss == "btl" or self.pairs != "all")
        no_pairs = self.loss == "flat" and self.pairs != "all"
        one_path = self.neuron != "mixed" and self.bn == "split"
        return not (one_step or no_pairs or one_path)

    def config_options(self) -> dict[str, Any]:
        """Return the settings that turn the main config into this cell's."""
        options: dict[str, Any] = {
            "model.head.loss.type": LOSSES[self.loss],
            "model.train_path": NEURONS[self.neuron],
            "model.backbone.bn": self.bn,
            "model.backbone.time_steps": self.steps,
        }
        if self.loss != "flat":
            options["model.head.loss.within_view"] = PAIRS[self.pairs]
        return options

    def __str__(self) -> str:
        """Return the name of the cell, usable as a folder name."""
        return f"{self.loss}_{self.neuron}_{self.bn}_{self.pairs}_T{self.steps}"


CHOICES: dict[str, tuple[Any, ...]] = {
    "loss": tuple(LOSSES),
    "neuron": tuple(NEURONS),
    "bn": BATCH_NORMS,
    "pairs": tuple(PAIRS),
    "steps": (1, 2, 4),
}
DEFAULT_GRIDS = ("loss neuron", "bn", "pairs", "steps")
"""Loss and neuron are crossed; the other axes are varied one at a time."""


def parse_grid(text: str) -> dict[str, tuple[Any, ...]]:
    """Parse a grid such as ``'loss=ctl,btl neuron'``: axes with or without choices.

    Raises:
        ValueError: If an axis or a choice is unknown.
    """
    grid: dict[str, tuple[Any, ...]] = {}
    for part in text.split():
        axis, _, values = part.partition("=")
        if axis not in CHOICES:
            raise ValueError(f"unknown axis {axis!r}; expected one of {list(CHOICES)}")
        chosen: list[Any] = values.split(",") if values else list(CHOICES[axis])
        if axis == "steps":
            wrong = [v for v in chosen if not str(v).isdigit() or int(v) < 1]
            chosen = chosen if wrong else [int(value) for value in chosen]
        else:
            wrong = [value for value in chosen if value not in CHOICES[axis]]
        if wrong:
            expected = "integers >= 1" if axis == "steps" else CHOICES[axis]
            raise ValueError(f"{axis} cannot be {wrong[0]!r}; expected {expected}")
        grid[axis] = tuple(chosen)
    return grid


def cells_of(grids: Iterable[str]) -> list[Cell]:
    """Return the cells of all grids, each a cross product around the default cell."""
    cells: dict[Cell, None] = {}
    for grid in map(parse_grid, grids):
        for values in product(*grid.values()):
            cell = Cell()._replace(**dict(zip(grid, values, strict=True)))
            if cell.possible:
                cells[cell] = None
    return list(cells)


class Summary(NamedTuple):
    """Accuracy of a cell over its seeds, in percent; the deviation of one seed is 0."""

    mean: float
    deviation: float
    number: int

    def __str__(self) -> str:
        """Format mean and deviation."""
        return f"{self.mean:.1f} ± {self.deviation:.1f}"


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
    wanted = cell._asdict()
    values = [
        100 * row[statistics][probe]
        for row in rows
        if all(row[axis] == value for axis, value in wanted.items())
    ]
    return Summary(mean(values), stdev(values) if len(values) > 1 else 0.0, len(values))


def cells_in(rows: Iterable[Mapping[str, Any]]) -> list[Cell]:
    """Return the cells of a results file, the default one first, then by axis."""
    found = {Cell(*(row[axis] for axis in Cell._fields)) for row in rows}
    return sorted(found, key=sort_key)


def sort_key(cell: Cell) -> tuple[Any, ...]:
    """Sort the default first, then other losses and neurons, then the other axes."""
    varied = [getattr(cell, axis) != getattr(Cell(), axis) for axis in Cell._fields]
    ranks = [
        1 + CHOICES[axis].index(getattr(cell, axis)) if differs else 0
        for axis, differs in zip(Cell._fields[:4], varied, strict=False)
    ]
    return (varied[2:], ranks, cell.steps)


def cell_labels(cell: Cell) -> list[str]:
    """Name a cell by its loss, its neuron and what differs from the default."""
    names = {"lif": "LIF, both views", "mixed": "MixedLIF", "analog": "analog, both"}
    labels = [cell.loss.upper() if cell.loss != "flat" else "flat", names[cell.neuron]]
    if cell.bn != Cell().bn:
        labels.append(f"{cell.bn} BN")
    if cell.pairs != Cell().pairs:
        labels.append("cross-view pairs only")
    if cell.steps != Cell().steps:
        labels.append(f"T = {cell.steps}")
    return labels


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

"""Statistics of a transfer suite: scores over seeds, and gains over random weights."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from math import isfinite
from statistics import median_low
from typing import Any, NamedTuple

from snnssl_mm.analysis.seed_statistics import Gain, Summary, gain_over
from snnssl_mm.recording.probe_names import (
    STARTS,
    label_order,
    labels_title,
    probe_title,
)

Row = Mapping[str, Any]
"""A row of the results file of ``snnssl transfer``."""
BASELINES = tuple(start for start in STARTS if start != "pretrained")


class Measure(NamedTuple):
    """Metric of a task."""

    task: str
    metric: str

    def __str__(self) -> str:
        """Return the titles of both."""
        return ", ".join(map(probe_title, self))


class Cell(NamedTuple):
    """Scores of one entry on one metric, at one share of the labelled images.

    Attributes:
        measure: Task and metric.
        fraction: Share of the labelled training images, or labels a class (> 1).
        entry: ``'random'``, ``'pixels'``, or the name of a checkpoint.
        labelled_images: Number of labelled training images.
        scores: Score in percent, by seed.
    """

    measure: Measure
    fraction: float
    entry: str
    labelled_images: int
    scores: Mapping[int, float]

    @property
    def summary(self) -> Summary:
        """Mean and standard deviation over the seeds, in percent."""
        return Summary.of(list(self.scores.values()))


class Comparison(NamedTuple):
    """A checkpoint and its baselines on one metric; None for what was not measured.

    Attributes:
        measure: Task and metric.
        fraction: Share of the labelled training images, or labels a class (> 1).
        entry: Name of the checkpoint.
        checkpoint: Its scores.
        random: Scores of random weights.
        pixels: Scores of raw pixels.
    """

    measure: Measure
    fraction: float
    entry: str
    checkpoint: Cell | None
    random: Cell | None
    pixels: Cell | None

    @property
    def gain(self) -> Gain | None:
        """Gain of the checkpoint over random weights, in points."""
        if self.checkpoint is None or self.random is None:
            return None
        return gain_over(self.checkpoint.scores, self.random.scores)

    @property
    def labelled_images(self) -> int:
        """Number of labelled training images."""
        cells = (self.checkpoint, self.random, self.pixels)
        return next(cell.labelled_images for cell in cells if cell)


def unique_rows(rows: Iterable[Row]) -> list[Row]:
    """Keep the last of equal rows, and prefix tasks of several suites by the suite.

    Rows are equal if suite, task, entry, seed and fraction are.
    """
    rows = list(rows)
    several = len({row["suite"] for row in rows}) > 1
    found: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        task = row["task"]
        if several and not task.startswith(prefix := f"{row['suite']}: "):
            task = prefix + probe_title(task)
        key = (task, row["entry"], row["seed"], row["fraction"])
        found[key] = {**row, "task": task}
    return list(found.values())


def entries_of(rows: Iterable[Row]) -> list[str]:
    """Return the checkpoints in the order of the rows, then the baselines."""
    found = list(dict.fromkeys(row["entry"] for row in rows))
    baselines = [name for name in BASELINES if name in found]
    return [name for name in found if name not in BASELINES] + baselines


def transfer_cells(rows: Iterable[Row]) -> list[Cell]:
    """Collect the scores of every cell over its seeds.

    Args:
        rows: Rows of the results file; metrics that are not finite are left out.

    Returns:
        Cells by task and metric in the order of the rows, then from all labelled
        images to the smallest share, then by entry.
    """
    rows = unique_rows(rows)
    entries, tasks = entries_of(rows), list(dict.fromkeys(r["task"] for r in rows))
    scores: dict[tuple[Measure, float, str], dict[int, float]] = {}
    images: dict[tuple[str, float], list[int]] = {}
    for row in rows:
        task, fraction = row["task"], row["fraction"]
        images.setdefault((task, fraction), []).append(row["labelled_images"])
        for metric, value in row["metrics"].items():
            if value is not None and isfinite(value):
                key = (Measure(task, metric), fraction, row["entry"])
                scores.setdefault(key, {})[row["seed"]] = 100 * value
    measures = list(dict.fromkeys(key[0] for key in scores))
    order = sorted(
        scores,
        key=lambda key: (
            *(tasks.index(key[0].task), measures.index(key[0])),
            *map(operator.neg, label_order(key[1])),
            entries.index(key[2]),
        ),
    )
    return [
        Cell(*key, median_low(images[key[0].task, key[1]]), scores[key])
        for key in order
    ]


def compare(cells: Sequence[Cell]) -> list[Comparison]:
    """Compare every checkpoint with the baselines, on every metric.

    Without rows of any checkpoint, there is one entry ``'none yet'``.
    """
    found = {(cell.measure, cell.fraction, cell.entry): cell for cell in cells}
    places = dict.fromkeys((cell.measure, cell.fraction) for cell in cells)
    checkpoints = dict.fromkeys(c.entry for c in cells if c.entry not in BASELINES)
    return [
        Comparison(
            measure,
            fraction,
            entry,
            found.get((measure, fraction, entry)),
            random=found.get((measure, fraction, "random")),
            pixels=found.get((measure, fraction, "pixels")),
        )
        for (measure, fraction), entry in product(places, checkpoints or ("none yet",))
    ]


def at_all_labels(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Keep the largest share of labelled images of every task."""
    largest = most_labels((one.measure.task, one.fraction) for one in comparisons)
    return [one for one in comparisons if one.fraction == largest[one.measure.task]]


def most_labels(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Return the largest share of the labels of each task, from pairs of both."""
    return dict(sorted(pairs, key=lambda pair: label_order(pair[1])))


class Missing(NamedTuple):
    """Rows that a complete grid of tasks, entries and seeds would have."""

    task: str
    fraction: float
    entry: str
    seeds: list[int]

    def __str__(self) -> str:
        """Describe the rows in words."""
        share = "" if self.fraction == 1 else f", labels: {labels_title(self.fraction)}"
        word = "seed" if len(self.seeds) == 1 else "seeds"
        seeds = ", ".join(map(str, self.seeds))
        names = (probe_title(self.task) + share, probe_title(self.entry))
        return f"{': '.join(names)}, {word} {seeds}"


def missing_rows(rows: Iterable[Row]) -> list[Missing]:
    """List what is missing between the rows: every entry needs every task and seed.

    Raw pixels are not expected, since only frozen probes have them. Tasks, entries and
    seeds that have no row at all cannot be known from the rows.
    """
    rows = unique_rows(rows)
    seeds = sorted({row["seed"] for row in rows})
    places = dict.fromkeys((row["task"], row["fraction"]) for row in rows)
    entries = [name for name in entries_of(rows) if name not in BASELINES]
    done = {(row["task"], row["fraction"], row["entry"], row["seed"]) for row in rows}
    found = []
    for (task, fraction), entry in product(places, [*entries, "random"]):
        left = [s for s in seeds if (task, fraction, entry, s) not in done]
        if left:
            found.append(Missing(task, fraction, entry, left))
    return found


def mixed_checkpoints(rows: Iterable[Row]) -> list[str]:
    """Name entries whose tasks were run with different checkpoints at one seed."""
    digests: dict[tuple[str, int], set[str]] = {}
    for row in rows:
        if digest := row.get("sha256"):
            digests.setdefault((row["entry"], row["seed"]), set()).add(digest)
    return [
        f"{entry}, seed {seed}: {', '.join(sorted(found))}"
        for (entry, seed), found in sorted(digests.items())
        if len(found) > 1
    ]

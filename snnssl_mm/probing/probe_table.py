"""Table and course of probe results for the terminal, the README and the report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from snnssl_mm.recording.probe_names import STARTS
from snnssl_mm.recording.table import Table

Row = Mapping[str, Any]
"""A row of the results file of ``snnssl probe``."""
SHOWN = ("k", "temperature", "iterations", "lr")
"""Settings that the table shows."""


def probe_settings_text(settings: Row) -> str:
    """Describe the settings of a probe that tell its rows apart."""
    texts = [f"{name} {settings[name]:g}" for name in SHOWN if name in settings]
    if not settings["recalibrated"]:
        texts.append("not recalibrated")
    return ", ".join(texts)


def grouped(rows: Sequence[Row]) -> list[dict[str, Row]]:
    """Group rows of the same probe and setting, each group by starting point."""
    groups: list[tuple[Any, dict[str, Row]]] = []
    for row in rows:
        key = (row["probe"], row["settings"], row["train_images"])
        found = next((g for k, g in groups if k == key and row["start"] not in g), None)
        if found is None:
            groups.append((key, {row["start"]: row}))
        else:
            found[row["start"]] = row
    return [group for _, group in groups]


class Course(NamedTuple):
    """Accuracy of a probe over the epochs of a training.

    Attributes:
        epochs: Epochs at which the pretrained features were evaluated, in order.
        accuracies: Their accuracies, from 0 to 1.
        random: Accuracy of the network with random weights.
        pixels: Accuracy of raw pixels.
    """

    epochs: list[int]
    accuracies: list[float]
    random: float
    pixels: float


def course_of(rows: Iterable[Row], probe: str) -> Course:
    """Collect the rows that a monitor wrote, ordered by epoch; ignore other rows."""
    of_probe = [row for row in rows if row["probe"] == probe and "epoch" in row]
    found = {
        start: sorted(
            (row["epoch"], row["top1"]) for row in of_probe if row["start"] == start
        )
        for start in STARTS
    }
    pretrained = found.pop("pretrained")
    baselines = (values[-1][1] if values else 0.0 for values in found.values())
    epochs, accuracies = ([pair[i] for pair in pretrained] for i in (0, 1))
    return Course(epochs, accuracies, *baselines)


def probe_table(rows: Sequence[Row]) -> Table:
    """Make the table of accuracies in percent: one line per probe, with baselines."""
    starts = [start for start in STARTS if any(row["start"] == start for row in rows)]
    top5 = any("top5" in row for row in rows)
    lines = []
    uncounted = {
        features_of(row): row["feature_seconds"]
        for row in rows
        if "feature_seconds" in row
    }
    for group in grouped(rows):
        first = next(iter(group.values()))
        seconds = sum(row.get("seconds", 0) for row in group.values())
        for row in group.values():
            if "feature_seconds" in row:  # the first of the rows that share them
                seconds += uncounted.pop(features_of(row), 0)
        lines.append(
            [
                first["probe"],
                probe_settings_text(first["settings"]),
                *(percent(group.get(start), "top1") for start in starts),
                f"{100 / first['classes']:.1f}",
                *([percent(first, "top5")] if top5 else []),
                f"{first['train_images']:,}",
                f"{seconds:.0f}" if "seconds" in first else "-",  # monitors: no time
            ]
        )
    names = [f"{STARTS[start]}, %" for start in starts]
    extra = [f"top-5, {STARTS[starts[0]]}, %"] if top5 else []
    head = ["probe", "settings", *names, "chance, %", *extra, "images", "time, s"]
    caption = f"Top-1 on {rows[0]['test_images']:,} unseen images, {rows[0]['data']}"
    return Table(head, lines, caption, words=2)


def features_of(row: Row) -> tuple[Any, ...]:
    """Identify the features of a row, which several frozen probes share."""
    settings = row["settings"]
    same = (row["train_images"], row["data"], row.get("epoch"))
    return row["start"], settings["recalibrated"], *same


def percent(row: Row | None, name: str) -> str:
    """Format an accuracy of a row in percent; a dash if there is none."""
    return f"{100 * row[name]:.1f}" if row and name in row else "-"

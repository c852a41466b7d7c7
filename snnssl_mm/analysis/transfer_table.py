"""Tables of a transfer suite for the terminal, README and docs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from snnssl_mm.analysis.seed_statistics import Gain
from snnssl_mm.analysis.transfer_statistics import (
    Cell,
    Comparison,
    Row,
    at_all_labels,
    compare,
    transfer_cells,
)
from snnssl_mm.recording.probe_names import labels_title, probe_title
from snnssl_mm.recording.table import Table

WELCH_MARK = "†"


def transfer_tables(rows: Iterable[Row]) -> list[Table]:
    """Make the table at all labelled images, and that of label efficiency.

    A line compares one checkpoint with random weights (and raw pixels) on one metric.

    Args:
        rows: Rows of the results file; the tables show what is there.

    Returns:
        No table without rows, and the second one only if a task was run with several
        numbers of labelled images.
    """
    rows = list(rows)
    compared = compare(transfer_cells(rows))
    if not compared:
        return []
    full = at_all_labels(compared)
    suites = ", ".join(dict.fromkeys(row["suite"] for row in rows))
    tables = [comparison_table(full, f"Suite {suites}, %")]
    if several := [one for one in compared if has_several_fractions(one, compared)]:
        tables.append(comparison_table(several, f"Label efficiency, suite {suites}, %"))
    return tables


def comparison_table(compared: Sequence[Comparison], title: str) -> Table:
    """Make a table with one line per comparison; its caption explains the numbers.

    Columns of images, checkpoint or seeds with one value only move to the caption.
    """
    words = {
        "task": [probe_title(one.measure.task) for one in compared],
        "metric": [probe_title(one.measure.metric) for one in compared],
        "checkpoint": [one.entry for one in compared],
    }
    numbers = {
        "labels": [images_text(one) for one in compared],
        "pretrained": [score_text(one.checkpoint) for one in compared],
        "random": [score_text(one.random) for one in compared],
        "raw pixels": [score_text(one.pixels) for one in compared],
        "gain [95 % CI]": [gain_text(one.gain) for one in compared],
        "seeds": [seeds_text(one) for one in compared],
    }
    columns = {**words, **numbers}
    constant = {
        name: columns[name][0]
        for name in ("checkpoint", "labels", "seeds")
        if len(set(columns[name])) == 1
    }
    dropped = set(constant)
    if not any(one.pixels for one in compared):
        dropped.add("raw pixels")
    if not any(one.random for one in compared):
        dropped |= {"random", "gain [95 % CI]"}
    columns = {k: v for k, v in columns.items() if k not in dropped}
    settings = ", ".join(f"{name} {value}" for name, value in constant.items())
    caption = ", ".join(filter(None, [title, settings]))
    return Table(
        list(columns),
        [list(line) for line in zip(*columns.values(), strict=True)],
        ". ".join(filter(None, [caption, explanation(compared)])),
        words=len(words.keys() - dropped),
    )


def has_several_fractions(one: Comparison, compared: Sequence[Comparison]) -> bool:
    """Tell whether the metric was measured with several numbers of labelled images."""
    return any(
        other.measure == one.measure and other.fraction != one.fraction
        for other in compared
    )


def explanation(compared: Sequence[Comparison]) -> str:
    """Explain spread, gain and interval of the comparisons."""
    methods = {one.gain.method for one in compared if one.gain}
    several = any(len(one.checkpoint.scores) > 1 for one in compared if one.checkpoint)
    parts = ["Mean ± standard deviation over seeds"] if several else []
    if methods:
        parts.append("gain over random weights in points")
    if "paired" in methods:
        parts.append("interval: Student t over differences of equal seeds")
    if "Welch" in methods:
        parts.append(f"{WELCH_MARK} Welch's t, since seeds do not pair")
    if "no spread" in methods:
        parts.append("no interval without spread over seeds")
    return "; ".join(parts)


def score_text(cell: Cell | None) -> str:
    """Format the mean and standard deviation of a cell; a dash if there is none."""
    return str(cell.summary) if cell else "-"


def gain_text(gain: Gain | None) -> str:
    """Format a gain with its interval; Welch's are marked."""
    if gain is None:
        return "-"
    return f"{gain}{WELCH_MARK if gain.method == 'Welch' else ''}"


def images_text(one: Comparison) -> str:
    """Format the number of labelled images, and its share unless it is all."""
    share = "" if one.fraction == 1 else f" ({labels_title(one.fraction)})"
    return f"{one.labelled_images:,}{share}"


def seeds_text(one: Comparison) -> str:
    """Format the numbers of seeds of checkpoint and random weights, if they differ."""
    cells = filter(None, (one.checkpoint, one.random))
    numbers = [len(cell.scores) for cell in cells]
    return " and ".join(dict.fromkeys(map(str, numbers)))

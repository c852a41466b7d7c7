"""Tables of results of benchmarks/gpu_anatomy.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gpu_parts.predictions import compared

from snnssl_mm.recording.table import Table

Rows = Sequence[Mapping[str, Any]]


def prediction_table(rows: Rows) -> Table:
    """Make the table of predictions and measurements."""
    cells = [
        [
            f"{found['part']}: {found['job']}: {found['entry']}",
            shown(found["expected"]),
            shown(found["measured"]),
            found["reason"],
        ]
        for found in compared(rows)
    ]
    heads = ["number", "expected of an H100", "measured", "reason"]
    return Table(heads, cells, "Predictions")


def shown(value: Any) -> str:
    """Format a number or a text; ``-`` if there is none."""
    if value is None:
        return "-"
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)


def part_table(row: Mapping[str, Any]) -> Table:
    """Make a part's table: its measurements, and the numbers and texts of each."""
    results: dict[str, dict[str, Any]] = {
        job: {k: v for k, v in found.items() if not isinstance(v, (dict, list))}
        for job, found in row["results"].items()
    }
    heads = list(dict.fromkeys(name for found in results.values() for name in found))
    cells = [
        [job, *(shown(found.get(name)) for name in heads)]
        for job, found in results.items()
    ]
    left = len(row.get("left_out", ()))
    caption = row["part"] + (f" ({left} left out, for lack of time)" if left else "")
    return Table(["measurement", *heads], cells, caption)


def anatomy_tables(rows: Rows) -> list[Table]:
    """Make the table of predictions, then one for every part."""
    parts = [row for row in rows if row["part"] != "predictions" and row["results"]]
    return [prediction_table(rows), *map(part_table, parts)]

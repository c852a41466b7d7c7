"""What happened to trainings that were killed, and to properties that were fuzzed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from snnssl_mm.recording.table import Table

Row = Mapping[str, Any]
ROOT = Path(__file__).resolve().parents[1]


def kills_table(rows: Sequence[Row]) -> Table:
    """Show the kills of benchmarks/kills.py, a line for every phase."""
    phases: dict[str, list[Row]] = {}
    for row in rows:
        phases.setdefault(row["class"], []).append(row)
    lines = []
    for phase, kills in phases.items():
        earlier = [row for row in kills if row["resumed_from"] != "the beginning"]
        unfinished = sum(bool(row["bytes_of_unfinished"]) for row in kills)
        numbers = (len(kills), unfinished, len(earlier), len(kills) - len(earlier))
        equal = sum(row["equal"] for row in kills)
        lines.append([phase, *map(str, numbers), f"{equal} of {len(kills)}"])
    head = [
        *("killed in", "times", "with a file half-written"),
        *("went on from a checkpoint", "from the beginning", "equal to the bit"),
    ]
    return Table(head, lines, "kill -9, then `--resume`")


def present_place(file: str) -> str:
    """Path of a test file that may have been moved since a result was recorded."""
    found = sorted((ROOT / "tests").rglob(Path(file).name))
    return found[0].relative_to(ROOT).as_posix() if found else file


def fuzz_table(rows: Sequence[Row]) -> Table:
    """Show the properties of benchmarks/fuzz.py, a line for every file of tests."""
    lines = []
    for row in rows:
        tests = row["tests"]
        lines.append(
            [
                row["what"],
                f"`{present_place(row['file'])}`",
                f"{sum(tests.values()):,}",
                f"{row['inputs']:,}",
                str(tests.get("failed", 0)),
                f"{row['seconds'] / 60:.1f}",
            ]
        )
    head = ["fuzzed", "tests", "of them", "random inputs", "failed", "minutes"]
    return Table(head, lines, "fuzzing", words=2)

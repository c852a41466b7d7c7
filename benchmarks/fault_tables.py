"""Tables of killed trainings and fuzzed properties."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from snnssl_mm.recording.table import Table

Row = Mapping[str, Any]
ROOT = Path(__file__).resolve().parents[1]


def kills_table(rows: Sequence[Row]) -> Table:
    """Make the table of benchmarks/kills.py, one line per phase."""
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


def current_path(file: str) -> str:
    """Return the current path of a test file that may have been moved."""
    found = sorted((ROOT / "tests").rglob(Path(file).name))
    return found[0].relative_to(ROOT).as_posix() if found else file


def fuzz_table(rows: Sequence[Row]) -> Table:
    """Make the table of benchmarks/fuzz.py, one line per test file."""
    lines = []
    for row in rows:
        tests = row["tests"]
        lines.append(
            [
                row["what"],
                f"`{current_path(row['file'])}`",
                f"{sum(tests.values()):,}",
                f"{row['inputs']:,}",
                str(tests.get("failed", 0)),
                f"{row['seconds'] / 60:.1f}",
            ]
        )
    head = ["fuzzed", "tests", "of them", "random inputs", "failed", "minutes"]
    return Table(head, lines, "fuzzing", words=2)

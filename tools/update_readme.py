#!/usr/bin/env python3
"""Write the README's tables from the results files that they name.

usage: python tools/update_readme.py [--check]

A table stands between ``<!-- table: FILE.json -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TABLE = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def device(report: dict[str, Any]) -> str:
    """Name the machine of a results file."""
    machine = report["machine"]
    if machine["gpu"] != "none":
        return machine["gpu"]
    return f"{machine['cores']} cores ({machine['processor']})"


def table(heads: list[str], rows: list[list[str]]) -> list[str]:
    """Lines of a table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def demo(report: dict[str, Any]) -> list[str]:
    """Results of tools/demo.py, and how they came about."""
    summary, runs = report["summary"], report["runs"]
    measures = list(next(iter(summary.values())))
    rows = [
        [features, *(row.get(measure, "-") for measure in measures)]
        for features, row in summary.items()
    ]
    seeds = ", ".join(str(run["seed"]) for run in runs)
    what = f"Seeds {seeds}, mean ± standard deviation" if len(runs) > 1 else "One seed"
    parts = {"train_seconds": "pretraining", "transfer_seconds": "transfer"}
    times = {part: [run.get(key) for run in runs] for key, part in parts.items()}
    took = " and ".join(
        f"{max(seconds) / 60:.1f} minutes of {part}"
        for part, seconds in times.items()
        if all(seconds)  # an interrupted run has no time
    )
    where = f"at most {took} a seed on {device(report)}"
    lines = table(["on unseen images, %", *measures], rows)
    return [*lines, "", f"{what}; {where}: `{report['command']}`."]


def memory(report: dict[str, Any]) -> list[str]:
    """Results of benchmarks/backbone_memory.py."""
    names = {"False": "without", "True": "with"}
    rows = [
        [f"{names[key]} `with_cp`", f"{row['peak_mib']:,} MiB"]
        for key, row in report["backbone"].items()
    ]
    lines = table([report["task"], "peak memory"], rows)
    gflop: dict[str, list[float]] = {}
    for row in report["attention"]:
        gflop.setdefault(row["order"], []).append(row["gflop"])
    tokens = sorted({row["tokens"] for row in report["attention"]})
    growth = ", ".join(
        f"{values[-1] / values[0]:.0f} times in the order {order}"
        for order, values in gflop.items()
    )
    text = (
        f"On {device(report)}: `{report['command']}`. From {tokens[0]:,} to "
        f"{tokens[-1]:,} tokens ({tokens[-1]:,} at 1344x800) the operations of "
        f"attention grow {growth}."
    )
    return [*lines, "", text]


def blood_cells(report: dict[str, Any]) -> list[str]:
    """Results of benchmarks/blood_cells.py: AP50 over epochs."""
    epochs = list(report["runs"][0]["results"]["pretrained"])
    rows = [
        [start, str(run["seed"]), *(f"{100 * row[e]['AP50']:.1f}" for e in epochs)]
        for run in report["runs"]
        for start, row in run["results"].items()
    ]
    lines = table(["AP50, %", "seed", *(f"epoch {e}" for e in epochs)], rows)
    return [*lines, "", f"On {device(report)}: `{report['command']}`."]


RENDERERS = {"backbone_memory": memory, "blood_cells": blood_cells}
"""Results file -> how to show it; the others are the demo's."""


def markdown(file: Path) -> str:
    """Render a results file, with the note that it may have."""
    report = json.loads(file.read_text())
    lines = RENDERERS.get(file.stem, demo)(report)
    return "\n".join([*lines, report.get("note", "")]).rstrip()


def updated(text: str) -> str:
    """Replace every table of a text."""

    def rendered(match: re.Match[str]) -> str:
        return f"{match[1]}{markdown(ROOT / match[2])}\n{match[3]}"

    return TABLE.sub(rendered, text)


def main() -> None:
    """Update the README, or say that it is out of date."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="only compare")
    args = parser.parse_args()
    readme = ROOT / "README.md"
    text = updated(readme.read_text())
    if args.check:
        if text != readme.read_text():
            raise SystemExit("README.md is out of date: run tools/update_readme.py")
    else:
        readme.write_text(text)


if __name__ == "__main__":
    main()

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


def markdown(report: dict[str, Any]) -> str:
    """Render the results of tools/demo.py as a table and a line on how they came."""
    summary, runs, machine = report["summary"], report["runs"], report["machine"]
    probes = list(next(iter(summary.values())))
    lines = [
        f"| on unseen images, % | {' | '.join(probes)} |",
        "|---" * (len(probes) + 1) + "|",
    ]
    lines += [
        f"| {features} | {' | '.join(row.get(probe, '-') for probe in probes)} |"
        for features, row in summary.items()
    ]
    seeds = ", ".join(str(run["seed"]) for run in runs)
    what = f"Seeds {seeds}, mean ± standard deviation" if len(runs) > 1 else "One seed"
    minutes = max(run["train_seconds"] for run in runs) / 60
    device = machine["gpu"]
    if device == "none":
        device = f"{machine['cores']} cores ({machine['processor']})"
    took = f"training took {minutes:.1f} minutes a seed at most on {device}"
    lines += ["", f"{what}; {took}: `{report['command']}`.", report.get("note", "")]
    return "\n".join(lines).rstrip()


def updated(text: str) -> str:
    """Replace every table of a text."""

    def table(match: re.Match[str]) -> str:
        report = json.loads((ROOT / match[2]).read_text())
        return f"{match[1]}{markdown(report)}\n{match[3]}"

    return TABLE.sub(table, text)


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

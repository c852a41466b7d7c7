#!/usr/bin/env python3
"""Write the tables of the README from the results files that they name.

usage: python benchmarks/update_readme.py [--check]

Tables are between ``<!-- table: FILE.json -->`` and ``<!-- end -->``. The site's tables
are rendered when it is built.
"""

from __future__ import annotations

import argparse
import re

from results_tables import ROOT, markdown

from snnssl_mm.cli.shared.user_errors import run_tool

TABLE = re.compile(r"(<!-- table: (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)


def updated(text: str) -> str:
    """Replace every table of a text."""

    def rendered(match: re.Match[str]) -> str:
        return f"{match[1]}{markdown(ROOT / match[2])}\n{match[3]}"

    return TABLE.sub(rendered, text)


def main() -> None:
    """Update the README, or check that it is up to date."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="only compare")
    args = parser.parse_args()
    readme = ROOT / "README.md"
    before = readme.read_text()
    text = updated(before)
    if not args.check:
        readme.write_text(text)
    elif text != before:
        raise SystemExit("README.md is out of date: run benchmarks/update_readme.py")


if __name__ == "__main__":
    run_tool(main)

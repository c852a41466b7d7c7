#!/usr/bin/env python3
"""Run the tests that hypothesis feeds with many more inputs than the suite does.

usage: python benchmarks/fuzz.py [--profile soak] [--out FILE.json]

The suite takes the same few inputs every time; here they are new ones, 600 a property.
Every file of tests is a row of the results. Ends non-zero if a property does not hold;
pytest's output has the smallest input that breaks it.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from snnssl_mm.checkpoints.writable import require_writable
from snnssl_mm.recording.command import command_line
from snnssl_mm.recording.results_file import ResultsFile

ROOT = Path(__file__).resolve().parents[1]
FUZZED = {
    "tests/models/test_sweep.py": "backbones, every option",
    "tests/neurons/test_any_input.py": "MixedLIF",
    "tests/losses/test_any_views.py": "losses",
    "tests/checkpoints/test_damaged_checkpoints.py": "damaged checkpoints",
    "tests/datasets/test_damaged_images.py": "damaged images",
    "tests/checks/test_malformed_coco.py": "malformed COCO files",
}
INPUTS = re.compile(r"(\d+) passing, (\d+)\s+failing")
KEY = ("what", "profile")


class Counting:
    """A pytest plugin that counts tests, and the inputs of those with hypothesis."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Counter[str]] = defaultdict(Counter)
        self.examples: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Count a test when it is over."""
        if report.when == "call" or report.outcome != "passed":
            self.outcomes[report.location[0]][report.outcome] += 1

    def pytest_runtest_makereport(self, item: Any, call: Any) -> None:
        """Count the inputs of a property: hypothesis leaves a text with the test."""
        if call.when == "call":
            text = getattr(item, "hypothesis_statistics", "")
            for numbers in INPUTS.findall(text):
                self.examples[item.location[0]] += sum(map(int, numbers))


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--profile", default="soak", help="of hypothesis, in tests/conftest.py (soak)"
    )
    parser.add_argument("--out", type=Path, default=Path("work_dirs", "fuzz.json"))
    return parser.parse_args()


def main() -> None:
    """Run, count, write."""
    args = parse_args()
    require_writable(args.out)
    results = ResultsFile(args.out, "fuzz", KEY)
    failed = False
    for file, what in FUZZED.items():
        counting, began = Counting(), time.monotonic()
        options = ["-q", f"--hypothesis-profile={args.profile}", str(ROOT / file)]
        status = pytest.main([f"--rootdir={ROOT}", *options], plugins=[counting])
        failed |= status != 0
        row = {
            "what": what,
            "file": file,
            "profile": args.profile,
            "tests": dict(sum(counting.outcomes.values(), Counter())),
            "inputs": sum(counting.examples.values()),
            "hypothesis": hypothesis.__version__,
            "seconds": round(time.monotonic() - began),
            "command": command_line(),
        }
        print({key: row[key] for key in ("what", "tests", "inputs", "seconds")})
        results.append(row)
    sys.exit(failed)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Run the hypothesis tests with many more inputs than the test suite.

usage: python benchmarks/fuzz.py [--profile soak] [--out FILE.json]

The suite uses the same few inputs every time; here they are random, 600 per property.
Each test file is a row of the results. The exit status is non-zero if a property is
violated; pytest's output has the smallest input that violates it.
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
    """Pytest plugin that counts tests and the inputs of hypothesis."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Counter[str]] = defaultdict(Counter)
        self.examples: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Count a finished test."""
        if report.when == "call" or report.outcome != "passed":
            self.outcomes[report.location[0]][report.outcome] += 1

    def pytest_runtest_makereport(self, item: Any, call: Any) -> None:
        """Count the inputs of a property from hypothesis's statistics."""
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
    """Run the tests, count, and write the results."""
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

#!/usr/bin/env python3
"""Pretrain by several configs with equal seeds, and compare their features.

usage: python benchmarks/pretrainings.py NAME=CONFIG ... --out FILE
           [--seeds 0 1 2] [--jobs N] [--work-dir DIR] [--amp]

The features are those that the configs' own monitors evaluate after the last epoch,
k-NN and a linear probe, next to random weights and raw pixels. A run is continued from
the last checkpoint in DIR/NAME/seedN; rows that the file contains are not run again.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from snnssl_mm.analysis.seed_statistics import Summary
from snnssl_mm.checkpoints.writable import require_writable
from snnssl_mm.cli.shared.arguments import positive, seed_number
from snnssl_mm.cli.shared.config_files import read_config
from snnssl_mm.cli.shared.parallel import (
    Place,
    RunsBar,
    cores,
    places,
    run_parallel,
    start_child,
)
from snnssl_mm.cli.shared.user_errors import run_tool
from snnssl_mm.recording.command import command_line
from snnssl_mm.recording.probe_names import FROZEN, STARTS
from snnssl_mm.recording.results_file import ResultsFile, Row, read_report
from snnssl_mm.recording.table import Table

WHAT = "pretrainings"
KEY = ("name", "seed")
Run = tuple[str, str, int]
"""Name, config and seed of a pretraining."""


def named(text: str) -> tuple[str, str]:
    """Split ``NAME=CONFIG``."""
    name, found, config = text.partition("=")
    if not (name and found and config):
        raise argparse.ArgumentTypeError(f"expected NAME=CONFIG, got {text!r}")
    return name, config


def accuracies(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Return the last accuracy of every probe by its start, from a run's probes."""
    found: dict[str, dict[str, float]] = {probe: {} for probe in FROZEN}
    for row in sorted(rows, key=lambda row: row["epoch"]):
        found[row["probe"]][row["start"]] = row["top1"]
    return found


def pretrain(args: argparse.Namespace, run: Run, place: Place) -> Row:
    """Train one config with one seed; return its row."""
    name, config, seed = run
    folder = args.work_dir / name / f"seed{seed}"
    command = ["train", config, "--work-dir", str(folder), "--resume"]
    command += ["--amp"] * args.amp
    command += ["--cfg-options", f"randomness.seed={seed}"]
    start_child(command, folder / "output.txt", place)
    rows = read_report(folder / "probes.json", "probes")["rows"]
    return {
        "name": name,
        "config": config,
        "seed": seed,
        **accuracies(rows),
        "train_images": rows[0]["train_images"],
        "test_images": rows[0]["test_images"],
        "command": command_line(),
    }


def pretrainings_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Make the table: one line per pretraining and start, means over the seeds."""
    lines: dict[tuple[str, str], dict[int, Mapping[str, Any]]] = {}
    for row in rows:
        for start in STARTS:  # raw pixels are the same for all
            name = "" if start == "pixels" else row["name"]
            lines.setdefault((start, name), {})[row["seed"]] = row
    shown = [
        [
            ", ".join(filter(None, [name, "" if start == "pretrained" else title])),
            *(
                str(Summary.of([100 * row[probe][start] for row in found.values()]))
                for probe in FROZEN
            ),
            str(len(found)),
        ]
        for start, title in STARTS.items()
        for (at, name), found in lines.items()
        if at == start
    ]
    images = f"{rows[0]['train_images']:,} labelled images"
    return Table(
        ["pretraining", *(f"{title}, %" for title in FROZEN.values()), "seeds"],
        shown,
        f"Top-1 on {rows[0]['test_images']:,} unseen images, {images}",
    )


def main() -> None:
    """Run what the file lacks, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("configs", type=named, nargs="+", metavar="NAME=CONFIG")
    parser.add_argument("--seeds", type=seed_number, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=positive(int), default=cores())
    parser.add_argument("--amp", action="store_true", help="train in mixed precision")
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/pretrainings"))
    parser.add_argument("--out", type=Path, required=True, help="results as JSON")
    args = parser.parse_args()
    require_writable(args.out, args.work_dir / "any")
    for _, config in args.configs:
        read_config(config)
    file = ResultsFile(args.out, WHAT, KEY)
    runs = [(*one, seed) for seed in args.seeds for one in args.configs]
    missing = [run for run in runs if not file.find(name=run[0], seed=run[2])]

    def report(run: Run, row: Row) -> str:
        file.append(row)
        accuracy = 100 * row["linear"]["pretrained"]
        return f"{run[0]}, seed {run[2]}: linear {accuracy:.1f} %"

    with RunsBar(len(runs), len(runs) - len(missing), missing) as bar:
        run_parallel(missing, partial(pretrain, args), report, places(args.jobs), bar)
    pretrainings_table(file.rows).print()


if __name__ == "__main__":
    run_tool(main)

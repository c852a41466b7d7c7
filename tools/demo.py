#!/usr/bin/env python3
"""Run the main job from end to end on the embedded data and say what came out.

usage: python tools/demo.py [--seeds 0] [--work-dir work_dirs/demo] [--out FILE.json]

For every seed: pretrain a small Spikformer without labels, evaluate the checkpoint
(k-NN and linear probe on unseen digits, beside a random network and raw pixels),
draw the training curves and the nearest neighbours. An interrupted demo goes on where
it stopped.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from snnssl_mm.analysis.machine import describe_machine

CONFIG = "configs/selfsup/spikformer_ctl.py"
TOOLS = Path(__file__).resolve().parent
console = Console()


def run(tool: str, *arguments: str) -> float:
    """Run one of the project's tools; return the seconds that it took."""
    console.rule(f"tools/{tool}")
    start = time.monotonic()
    subprocess.run([sys.executable, str(TOOLS / tool), *arguments], check=True)
    return time.monotonic() - start


def last_checkpoint(work_dir: Path) -> Path:
    """Checkpoint that the run ended with, by mmengine's own record."""
    return Path(Path(work_dir, "last_checkpoint").read_text().strip())


def pretrain_and_evaluate(config: str, seed: int, work_dir: Path) -> dict[str, Any]:
    """Do the job for one seed; return its results.

    ``train_seconds`` is the whole of tools/train.py, start-up, k-NN monitor and linear
    probe included; None if this run continued an earlier one.
    """
    options = ("--cfg-options", f"randomness.seed={seed}")
    resumed = Path(work_dir, "last_checkpoint").exists()
    seconds = run("train.py", config, "--work-dir", str(work_dir), "--resume", *options)
    checkpoint = str(last_checkpoint(work_dir))
    results = work_dir / "results.json"
    run("test.py", config, checkpoint, "--out", str(results), *options)
    run("analysis/plot_training.py", str(work_dir))
    neighbours = str(work_dir / "neighbours.png")
    run("visualization/nearest_neighbours.py", config, checkpoint, "--out", neighbours)
    return {
        "seed": seed,
        "train_seconds": None if resumed else round(seconds),
        "results": json.loads(results.read_text()),
    }


def summarise(rows: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    """Mean and standard deviation over the seeds, in percent."""
    first = rows[0]["results"]
    summary: dict[str, dict[str, str]] = {}
    for features in first:
        summary[features] = {}
        for probe in first[features]:
            values = [100 * row["results"][features][probe] for row in rows]
            text = f"{statistics.mean(values):.1f}"
            if len(values) > 1:
                text += f" ± {statistics.stdev(values):.1f}"
            summary[features][probe] = text
    return summary


def print_summary(summary: dict[str, dict[str, str]], seeds: int) -> None:
    """Print the table of all seeds."""
    title = "unseen digits, top-1 accuracy, %" + f" ({seeds} seeds)" * (seeds > 1)
    table = Table("features", *next(iter(summary.values())), title=title)
    for features, row in summary.items():
        table.add_row(features, *row.values())
    console.print(table)


def print_paths(work_dir: Path) -> None:
    """Say where everything lies."""
    log = max(work_dir.glob("*/*.log"))
    for what, path in (
        ("checkpoint", last_checkpoint(work_dir)),
        ("log", log),
        ("training curves", work_dir / "curves.png"),
        ("nearest neighbours", work_dir / "neighbours.png"),
    ):
        console.print(f"{what + ':':20}{path}", soft_wrap=True, highlight=False)


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--config", default=CONFIG)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs", "demo"))
    parser.add_argument("--out", type=Path, help="results of all seeds, as JSON")
    args = parser.parse_args()

    rows = [
        pretrain_and_evaluate(args.config, seed, args.work_dir / f"seed{seed}")
        for seed in args.seeds
    ]
    summary = summarise(rows)
    console.rule("results")
    print_summary(summary, len(rows))
    for seed in args.seeds:
        print_paths(args.work_dir / f"seed{seed}")
    if args.out:
        report = {
            "command": " ".join(["python", *sys.argv]),
            "config": args.config,
            "machine": describe_machine(),
            "summary": summary,
            "runs": rows,
        }
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Train for an hour and watch memory, open files, threads and disk use.

usage: python benchmarks/long_run.py --minutes 60 --out benchmarks/results/long_run.json

The main job runs by snnssl train in a separate process, with more epochs, with
DataLoader workers, and with a linear probe whenever k-NN is measured. Time starts with
the first logged iteration. The exit status is non-zero if memory is not flat.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
from mmengine.config import Config
from process_watch import downsampled, last_iteration, sample
from steadiness import (
    FLAT_WITHIN,
    long_run_table,
    plot_long_run,
    steadiness,
    warm_up_end,
)

from snnssl_mm.checkpoints.writable import require_writable
from snnssl_mm.cli.shared.user_errors import errors_as_messages
from snnssl_mm.recording.command import command_line
from snnssl_mm.recording.results_file import ResultsFile

ROOT = Path(__file__).resolve().parents[1]
CONFIG = "configs/selfsup/spikformer_ctl.py"
ENDLESS = "train_cfg.max_epochs=1000000"
# The main job's evaluations, after every fourth epoch, need more memory than training,
# and the allocator keeps more of it until the fifth evaluation.
FIRST_EVALUATIONS = 21 * 62
MIN_SAMPLES = 10  # even if --iterations are done before
KEY = ("config", "options", "workers", "command")


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--config", default=CONFIG)
    parser.add_argument("--minutes", type=float, default=60, help="at most so long")
    parser.add_argument("--iterations", type=int, help="stop after so many")
    parser.add_argument("--workers", type=int, default=2, help="of the DataLoader")
    parser.add_argument("--every", type=float, default=5, help="seconds to a sample")
    parser.add_argument(
        "--warm-up", type=float, default=0.1, help="share of the time left out first"
    )
    parser.add_argument(
        "--warm-up-iterations",
        type=int,
        default=FIRST_EVALUATIONS,
        help="left out at least; by default until everything was evaluated five times",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE")
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/long_run"))
    parser.add_argument("--out", type=Path, default=Path("work_dirs/long_run.json"))
    return parser.parse_args(arguments)


def probed_often(config: str) -> list[str]:
    """Return options for linear probes every four epochs, if the job has probes."""
    cfg = Config.fromfile(config, import_custom_modules=False)
    if not (cfg.get("default_hooks") or {}).get("linear_probe"):
        return []
    return ["default_hooks.linear_probe.interval=4"]


def train_command(args: argparse.Namespace) -> list[str]:
    """Return the training's command line."""
    options = [
        ENDLESS,
        *probed_often(args.config),
        f"train_dataloader.num_workers={args.workers}",
        f"randomness.seed={args.seed}",
        *args.cfg_options,
    ]
    program = [sys.executable, str(ROOT / "tools" / "train.py"), args.config]
    return [*program, "--work-dir", str(args.work_dir), "--cfg-options", *options]


def watch(
    process: psutil.Popen, args: argparse.Namespace
) -> tuple[list[dict[str, float]], int]:
    """Sample a training until its time is over; return samples and iterations.

    Raises:
        ValueError: If the training ends before.
    """
    samples: list[dict[str, float]] = []
    start = done = 0
    while process.poll() is None:
        done = last_iteration(args.work_dir)
        if done:
            now = time.monotonic()
            start = start or now
            try:
                found = sample(process, args.work_dir)
            except psutil.NoSuchProcess:  # the training has just ended
                continue
            samples.append({"seconds": now - start, "iterations": done, **found})
            if now - start >= 60 * args.minutes or done >= (
                args.iterations or done + 1
            ):
                return samples, done
        time.sleep(args.every)
    raise ValueError(
        f"the training ended with status {process.returncode} after {done} iterations, "
        f"before its time was over; see {args.work_dir}.log"
    )


def train_and_watch(args: argparse.Namespace) -> dict[str, Any]:
    """Train, sample and stop; return the row of the results file."""
    args.work_dir.mkdir(parents=True, exist_ok=True)
    if last_iteration(args.work_dir):
        raise ValueError(f"{args.work_dir} contains an earlier run; remove it")
    with Path(f"{args.work_dir}.log").open("w") as log:
        process = psutil.Popen(
            train_command(args), stdout=log, stderr=subprocess.STDOUT
        )
    try:
        samples, iterations = watch(process, args)
    finally:
        if process.is_running():
            process.terminate()
        process.wait()
    series = {name: [one[name] for one in samples] for name in samples[0]}
    start = warm_up_end(series, args.warm_up, args.warm_up_iterations)
    return {
        "config": args.config,
        "options": train_command(args)[6:],
        "workers": args.workers,
        "seed": args.seed,
        "minutes": round(series["seconds"][-1] / 60, 3),
        "iterations": iterations,
        "samples": len(samples),
        "warm_up_minutes": round(start / 60, 3),
        **steadiness(series, start),
        "flat_within": FLAT_WITHIN,
        "series": downsampled(samples),
        "command": command_line(),
    }


def main() -> None:
    """Measure, write the results, plot them, and check flatness."""
    args = parse_args()
    # The training must not outlive this program.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with errors_as_messages():
        picture = args.out.with_suffix(".png")
        require_writable(args.out, picture)
        results = ResultsFile(args.out, "long_run", KEY)
        row = results.append(train_and_watch(args))
    long_run_table([row]).print()
    plot_long_run(row, picture)
    print(f"wrote {args.out} and {picture}")
    if not row["flat"]:
        raise SystemExit(
            f"error: resident memory moved by {100 * row['flatness']:.1f} %, expected "
            f"at most {100 * FLAT_WITHIN:g} %; see {picture}"
        )


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Measure in some minutes of one GPU where a training step's time goes.

usage: python benchmarks/gpu_anatomy.py [--minutes 12] [--parts ceilings steps ...]
           [--images CIFAR10] [--out FOLDER] [--dry]

Parts, in order: correctness (the tests that need a GPU; a captured step's loss),
ceilings (copying, matrix products), host (time of single calls), steps (launches, busy
and idle time, kernels), variants (one optimisation off at a time; a CUDA graph),
kernels (layers by graph replay, as share of a copy), convolutions, small batches, and
with what is left of the minutes CIFAR-10 pretraining, whose backbone and probes are
kept. FOLDER/gpu_anatomy.json is written after every measurement: the same command
continues, and repeats what failed. It begins with predictions, which the end compares.
Needs no network. --dry tries everything on a CPU, with tiny sizes.
"""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from gpu_anatomy_tables import prediction_table
from gpu_parts.context import Context, Jobs, free_memory
from gpu_parts.predictions import PREDICTIONS

from snnssl_mm import compat
from snnssl_mm.checkpoints.writable import require_writable
from snnssl_mm.recording.command import command_line
from snnssl_mm.recording.machine import describe_machine, machine_text
from snnssl_mm.recording.results_file import ResultsFile, Row

WHAT = "gpu_anatomy"


class Part(NamedTuple):
    """A part of the script.

    Attributes:
        module: In the folder ``gpu_parts``.
        share: Of the minutes; None for what is left.
    """

    module: str
    share: float | None


PARTS = {
    "correctness": Part("correctness", 0.11),
    "ceilings": Part("ceilings", 0.02),
    "host": Part("host_costs", 0.03),
    "steps": Part("steps", 0.09),
    "variants": Part("variants", 0.15),
    "kernels": Part("kernels", 0.06),
    "convolutions": Part("convolutions", 0.06),
    "small batches": Part("small_batches", 0.04),
    "pretraining": Part("pretraining", None),
}


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--minutes", type=float, default=12, help="for all parts")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument(
        "--images",
        type=Path,
        help="CIFAR-10 as JPEGs: a folder with {train,test}/<class>/*.jpg, or a tar "
        "file of it; without, nothing is pretrained",
    )
    parser.add_argument("--out", type=Path, default=Path("work_dirs/gpu_anatomy"))
    parser.add_argument("--dry", action="store_true", help="tiny sizes on a CPU")
    return parser.parse_args()


def failed(value: Any) -> bool:
    """Whether a measurement raised an error."""
    return isinstance(value, dict) and "error" in value


def run_part(
    name: str,
    jobs: Jobs,
    results: ResultsFile,
    until: float,
    clock: Callable[[], float] = time.monotonic,
) -> Row:
    """Run the missing measurements of a part; write the file after each.

    Those that would begin after ``until`` are left out, and those that fail are
    recorded with their error: another call runs both.
    """
    row = results.find(part=name) or {"part": name, "seconds": 0.0, "results": {}}
    row["command"], row["left_out"] = command_line(), []
    for job, measure in jobs:
        before = row["results"].get(job)
        if before is not None and not failed(before):
            continue
        if clock() >= until:
            row["left_out"].append(job)
            continue
        start = clock()
        try:
            value = measure()
        except Exception as error:  # the other measurements are worth their time
            value = {"error": f"{type(error).__name__}: {error}"[-2000:]}
        row["seconds"] = round(row["seconds"] + clock() - start, 2)
        row["results"][job] = value
        row = results.append(row)
        free_memory()
        print(f"{name}: {job}: {str(value)[:300]}", flush=True)
    return results.append(row)


def predict(results: ResultsFile) -> None:
    """Write the predictions, unless the file has some: they precede measurements."""
    if results.find(part="predictions") is None:
        found = {str(i): p._asdict() for i, p in enumerate(PREDICTIONS)}
        row = {"part": "predictions", "seconds": 0.0, "results": found}
        results.append({**row, "command": command_line()})


def jobs_of(part: str, context: Context) -> Jobs:
    """Import a part and list its measurements."""
    module = importlib.import_module(f"gpu_parts.{PARTS[part].module}")
    found: Jobs = module.jobs(context)
    return found


def main() -> None:
    """Predict, measure, compare."""
    args = parse_args()
    end = time.monotonic() + 60 * args.minutes
    if not (args.dry or torch.cuda.is_available()):
        raise SystemExit("there is no CUDA device; --dry tries the script on a CPU")
    compat.apply()
    torch.backends.cudnn.benchmark = True  # as in the configs
    name = WHAT + ("_dry" if args.dry else "")
    file = args.out / f"{name}.json"
    require_writable(file)
    results = ResultsFile(file, WHAT, ("part",))
    if results.machine != describe_machine():
        raise SystemExit(
            f"{file} has results of another machine, {machine_text(results.machine)}; "
            "choose another folder by --out"
        )
    predict(results)
    device = "cpu" if args.dry else "cuda"
    context = Context(device, args.dry, args.out, args.images)
    for part in (part for part in PARTS if part in args.parts):
        share = PARTS[part].share
        own = 60 * args.minutes * share if share else end - time.monotonic()
        context.until = min(end, time.monotonic() + own)
        run_part(part, jobs_of(part, context), results, context.until)
    if not args.dry:
        prediction_table(results.rows).print()
    print(f"wrote {file}")


if __name__ == "__main__":
    main()

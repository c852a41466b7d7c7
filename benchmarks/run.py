#!/usr/bin/env python3
"""Compare the project with other implementations on this machine.

usage: python benchmarks/run.py [--rows a b ...] [--quick] [--no-memory] [--out FILE]

Rows: a neuron, b losses, c attention, d training step, e inference, f data, g start, h
parts with and without an optimisation, i anatomy of a training step, j training step
inside mmengine's loop, with both projectors of the configs and with --amp, k training
step of SDT-V1 and MaxFormer, l objectives over time steps. Every case first compares
the results of its sides (d, e and k those of a small network, in float64) and stops if
they differ. Then the sides run in one process in turn, A B A B, after a warm-up;
medians, quartiles and ratios within rounds are printed. Peak memory comes from one
process per side. On a CPU, freed memory is kept for the next tensor, for all sides, as
in training with KeepMemoryHook, since fresh pages would dominate; the processes that
measure memory do not keep it. With a CUDA device everything except f and g runs there.
A GPU's times are of queued work, without the host's latency; the time until a call
returns is a column of its own. benchmarks/results/<machine>.json is written after every
case; rows that are not run again are kept.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from harness import Skipped, measure, peak_of
from memory import run_child

from snnssl_mm import compat
from snnssl_mm.engine.hooks.keep_memory_hook import keep_freed_memory
from snnssl_mm.recording.machine import describe_machine
from snnssl_mm.recording.table import Table

RESULTS = Path(__file__).parent / "results"
ROWS = {
    "a": "neuron",
    "b": "loss",
    "c": "attention",
    "d": "training_step",
    "e": "inference",
    "f": "data_pipeline",
    "g": "start_up",
    "h": "parts",
    "i": "step_anatomy",
    "j": "training_loop",
    "k": "transformers",
    "l": "objectives",
}
ON_CPU = ("f", "g")


def machine_name(machine: dict[str, Any]) -> str:
    """Name of a machine for a file: its GPU, or the processor's maker and cores."""
    if machine["gpu"] != "none":
        return slug(machine["gpu"])
    words = slug(machine["processor"]).split("-")[:2]
    return f"{'-'.join(words)}-{machine['cores']}-cores"


def slug(text: str) -> str:
    """Lower-case words joined by hyphens."""
    return "-".join(re.findall(r"[a-z0-9]+", text.lower()))


def module_of(row: str) -> ModuleType:
    """Import a row's module."""
    return importlib.import_module(f"rows.{ROWS[row]}")


def device_of(row: str) -> str:
    """Where a row runs."""
    return "cuda" if torch.cuda.is_available() and row not in ON_CPU else "cpu"


def child(row: str, name: str, side: str, quick: bool) -> None:
    """Print the peak memory of a side, in the process that was started for it."""
    device = device_of(row)
    (case,) = (c for c in module_of(row).cases(device, quick) if c.name == name)
    print(json.dumps({"peak_mib": peak_of(case, side, device)}))


def run_row(
    row: str, quick: bool, memory: bool, record: dict[str, Any], save: Any
) -> None:
    """Measure all cases of a row into ``record``, saving after each."""
    device = device_of(row)
    for index, case in enumerate(module_of(row).cases(device, quick)):
        if isinstance(case, Skipped):
            record["skipped"].append({"case": case.name, "reason": case.reason})
            print(f"not measured: {case.name}: {case.reason}")
            continue

        def peak(side: str, name: str = case.name) -> float:
            options = ["--quick"] if quick else []
            child = run_child(__file__, *options, "--child", row, name, side)
            return float(child["peak_mib"])

        skipped = not memory or (quick and index > 0)
        result = measure(case, device, None if skipped else peak)
        record["cases"].append(result)
        save()
        show(result)


def add_data_share(report: dict[str, Any]) -> None:
    """Add to row d the share of its time that one core needs for its data, in percent.

    Above 100 the training would wait for that core.
    """
    rates = {
        case["case"].partition(",")[0]: case["sides"]["ours"]["per_second"]
        for case in cases_of(report, "f")
    }
    for case in cases_of(report, "d"):
        size = re.search(r"\d+x\d+", case["case"])
        for side in case["sides"].values():
            if size and size[0] in rates:
                share = 100 * side["per_second"] / rates[size[0]]
                side["data_percent_of_one_core"] = round(share, 1)


def cases_of(report: dict[str, Any], row: str) -> list[dict[str, Any]]:
    """Return the cases of a row; empty if it was not run."""
    return [c for r in report["rows"] if r["row"] == row for c in r["cases"]]


def show(result: dict[str, Any]) -> None:
    """Print a case."""
    heads = ["", "seconds", "quartiles", "host seconds"]
    heads += ["times ours", "quartiles", "peak MiB", ""]
    rows = []
    for name, side in result["sides"].items():
        seconds, ratio = side["seconds"], side.get("times_ours")
        host = side.get("host_seconds")
        more = {k: v for k, v in side.items() if k not in SHOWN}
        rows.append(
            [
                name,
                f"{seconds['median']:.4g}",
                quartiles(seconds, ".4g"),
                f"{host['median']:.4g}" if host else "",
                f"{ratio['median']:.3g}" if ratio else "",
                quartiles(ratio, ".3g") if ratio else "",
                f"{side['peak_mib']:,.0f}" if "peak_mib" in side else "",
                ", ".join(details_of(more)),
            ]
        )
    Table(heads, rows, f"{result['case']}: {result['compared']}").print()


def details_of(entries: dict[str, Any]) -> Iterator[str]:
    """Yield what else was measured of a side as texts; its parts without braces."""
    for key, value in entries.items():
        if isinstance(value, dict):
            yield from details_of(value)
        else:
            yield f"{key.replace('_', ' ')} {value:g}"


def quartiles(values: dict[str, Any], digits: str) -> str:
    """Show the quartiles of repeated measurements."""
    return " - ".join(f"{value:{digits}}" for value in values["quartiles"])


SHOWN = ("seconds", "host_seconds", "rounds", "times_ours", "peak_mib")


def new_report(out: Path) -> dict[str, Any]:
    """Make a report with the rows that the file has for this machine."""
    machine = describe_machine()
    report: dict[str, Any] = {
        "what": "speed",
        "machine": machine,
        "gpu": "",
        "rows": [],
    }
    if torch.cuda.is_available():
        torch.backends.cudnn.benchmark = True  # as in the configs
        tf32 = torch.backends.cudnn.allow_tf32
        report["gpu"] = f"cudnn.benchmark, float32 convolutions in TF32: {tf32}"
    else:
        report["gpu"] = "not measured yet: this machine has no CUDA device"
        print(f"GPU: {report['gpu']}")
    if out.exists():
        before = json.loads(out.read_text())
        if before["machine"] == machine:
            report["rows"] = before["rows"]
    return report


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes, to try it out"
    )
    parser.add_argument(
        "--no-memory",
        action="store_true",
        help="do not measure peak memory, which takes a process per side",
    )
    parser.add_argument("--out", type=Path, help="results as JSON")
    parser.add_argument("--note", default="", help="what a reader should know")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    compat.apply()
    if args.child:
        child(*args.child, args.quick)
        return
    name = machine_name(describe_machine()) + ("-quick" if args.quick else "")
    out = args.out or RESULTS / f"{name}.json"
    if not torch.cuda.is_available():
        keep_freed_memory()
    report = new_report(out)

    def save() -> None:
        add_data_share(report)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(report, indent=1) + "\n")

    for row in args.rows:
        record: dict[str, Any] = {
            "row": row,
            "title": module_of(row).TITLE,
            "device": device_of(row),
            "threads": torch.get_num_threads(),
            "command": shlex.join(["python", "benchmarks/run.py", *sys.argv[1:]]),
            "note": args.note,
            "cases": [],
            "skipped": [],
        }
        others = [r for r in report["rows"] if r["row"] != row]
        report["rows"] = sorted([*others, record], key=lambda r: str(r["row"]))
        print(f"\n{row}. {record['title']}")
        run_row(row, args.quick, not args.no_memory, record, save)
    print(f"wrote {out}")


if __name__ == "__main__":
    main()

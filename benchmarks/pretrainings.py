#!/usr/bin/env python3
"""Pretrain by several configs with equal seeds, and compare their features.

usage: python benchmarks/pretrainings.py NAME=CONFIG ... --out FILE
           [--seeds 0 1 2] [--jobs N] [--work-dir DIR] [--amp] [--energy]

The features are those that the configs' own monitors evaluate after the last epoch,
k-NN and a linear probe, next to random weights and raw pixels. A run is continued from
the last checkpoint of its settings below DIR/NAME/seedN, and has no duration then; rows
of these settings that the file contains are not run again.
--energy adds the operations and the energy of each backbone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from mmengine.config import Config

from snnssl_mm.analysis.seed_statistics import Summary
from snnssl_mm.checkpoints.resuming import recorded_checkpoint
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
from snnssl_mm.probing.digests import settings_digest
from snnssl_mm.probing.labelled_images import has_labelled_images
from snnssl_mm.recording.command import command_line
from snnssl_mm.recording.energy import ACCOUNTINGS, MICROJOULE
from snnssl_mm.recording.probe_names import FROZEN, STARTS
from snnssl_mm.recording.results_file import ResultsFile, Row, read_report
from snnssl_mm.recording.table import Table

WHAT = "pretrainings"
KEY = ("name", "seed")
MONITORS = ("knn", "linear_probe")
"""Hooks that evaluate the features."""
E_MAC = 4.6
"""Energy of a MAC in pJ of the energies in a row; that of an addition is 0.9."""


class Run(NamedTuple):
    """A pretraining.

    Attributes:
        name: Its name.
        config: Its config.
        seed: Its seed.
        digest: Digest of its settings.
    """

    name: str
    config: str
    seed: int
    digest: str


def named(text: str) -> tuple[str, str]:
    """Split ``NAME=CONFIG``."""
    name, found, config = text.partition("=")
    if not (name and found and config):
        raise argparse.ArgumentTypeError(f"expected NAME=CONFIG, got {text!r}")
    return name, config


def probed_config(file: str) -> Config:
    """Read a config that evaluates its features itself.

    Raises:
        ValueError: If it has no labelled images, or lacks a monitor.
    """
    cfg = read_config(file)
    hooks = cfg.get("default_hooks", {})
    absent = [name for name in MONITORS if not hooks.get(name)]
    if absent or not has_labelled_images(cfg):
        lacks = f"default_hooks lacks {absent}" if absent else "no labelled images"
        raise ValueError(
            f"{file}: {lacks}; expected a config that evaluates its features by "
            f"{' and '.join(MONITORS)}, such as configs/selfsup/spikformer_ctl.py"
        )
    return cfg


def has_row(rows: Sequence[Mapping[str, Any]], run: Run, energy: bool) -> bool:
    """Whether there is a row of these settings, with energy if that is asked for.

    Older rows have no digest.
    """
    return any(
        (row["name"], row["config"], row["seed"]) == run[:3]
        and row.get("digest", run.digest) == run.digest
        and ("energy_pj" in row or not energy)
        for row in rows
    )


def accuracies(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Return the last accuracy of every probe by its start, from a run's probes."""
    found: dict[str, dict[str, float]] = {probe: {} for probe in FROZEN}
    for row in sorted(rows, key=lambda row: row["epoch"]):
        found[row["probe"]][row["start"]] = row["top1"]
    return found


def pretrain(args: argparse.Namespace, run: Run, place: Place) -> Row:
    """Train one config with one seed; return its row."""
    name, config, seed, digest = run
    folder = args.work_dir / name / f"seed{seed}" / digest
    command = ["train", config, "--work-dir", str(folder), "--resume"]
    command += ["--amp"] * args.amp
    command += ["--cfg-options", f"randomness.seed={seed}"]
    resumed = any(folder.glob("*.pth"))
    start = time.monotonic()
    start_child(command, folder / "output.txt", place)
    seconds = None if resumed else round(time.monotonic() - start)
    rows = read_report(folder / "probes.json", "probes")["rows"]
    return {
        "name": name,
        "config": config,
        "seed": seed,
        "digest": digest,
        **accuracies(rows),
        "train_images": rows[0]["train_images"],
        "test_images": rows[0]["test_images"],
        "seconds": seconds,
        "threads": place.threads,
        **(energy(folder, config, place) if args.energy else {}),
        "command": command_line(),
    }


def energy(folder: Path, config: str, place: Place) -> Row:
    """Measure the energy of a run's last checkpoint, in pJ by accounting."""
    out = folder / "energy.json"
    command = ["measure", "energy", config, str(recorded_checkpoint(folder))]
    start_child([*command, "--out", str(out)], folder / "output.txt", place)
    row = read_report(out, "energy")["rows"][-1]
    totals = [total for total in row["totals"] if total["e_mac"] == E_MAC]
    return {
        "parameters": row["parameters"],
        "time_steps": row["time_steps"],
        "non_spiking_pj": totals[0]["non_spiking_pj"],
        "energy_pj": {total["accounting"]: total["energy_pj"] for total in totals},
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
    title = f"Top-1 on {rows[0]['test_images']:,} unseen images, {images}"
    return Table(
        ["pretraining", *(f"{title}, %" for title in FROZEN.values()), "seeds"],
        shown,
        title,
    )


def minutes(rows: Sequence[Mapping[str, Any]]) -> str:
    """Summarise the durations of the runs that were not continued."""
    known = [row["seconds"] / 60 for row in rows if row["seconds"] is not None]
    return str(Summary.of(known)) if known else "-"


def costs_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Make the table of sizes, durations and energies, means over the seeds."""
    names: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        names.setdefault(row["name"], []).append(row)
    lines = [
        [
            name,
            f"{found[0]['parameters'] / 1e6:.3f}",
            str(found[0]["time_steps"]),
            minutes(found),
            *(
                f"{mean(row['energy_pj'][way] for row in found) / MICROJOULE:.1f}"
                for way in ACCOUNTINGS
            ),
            f"{mean(row['non_spiking_pj'] for row in found) / MICROJOULE:.1f}",
        ]
        for name, found in names.items()
    ]
    heads = ["pretraining", "parameters, M", "T", "minutes"]
    energies = [f"µJ, {way}" for way in (*ACCOUNTINGS, "non-spiking")]
    return Table(
        [*heads, *energies],
        lines,
        f"Backbones and their energy per image ({E_MAC} pJ a MAC); minutes of one "
        f"pretraining with its monitors, threads: {rows[0]['threads']}",
    )


def tables(rows: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Make the tables of a results file."""
    costs = [costs_table(rows)] if all("energy_pj" in row for row in rows) else []
    return [pretrainings_table(rows), *costs]


def main() -> None:
    """Run what the file lacks, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("configs", type=named, nargs="+", metavar="NAME=CONFIG")
    parser.add_argument("--seeds", type=seed_number, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=positive(int), default=cores())
    parser.add_argument("--amp", action="store_true", help="train in mixed precision")
    parser.add_argument("--energy", action="store_true", help="measure it, too")
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/pretrainings"))
    parser.add_argument("--out", type=Path, required=True, help="results as JSON")
    args = parser.parse_args()
    require_writable(args.out, args.work_dir / "any")
    file = ResultsFile(args.out, WHAT, KEY)
    runs = [
        Run(*one, seed, settings_digest(probed_config(one[1]).to_dict(), args.amp))
        for seed in args.seeds
        for one in args.configs
    ]
    missing = [run for run in runs if not has_row(file.rows, run, args.energy)]

    def report(run: Run, row: Row) -> str:
        old = file.find(name=run.name, seed=run.seed, digest=run.digest)
        if old and row["seconds"] is None:  # its energy was missing
            row["seconds"] = old["seconds"]
        file.append(row)
        accuracy = 100 * row["linear"]["pretrained"]
        return f"{run.name}, seed {run.seed}: linear {accuracy:.1f} %"

    with RunsBar(len(runs), len(runs) - len(missing), missing) as bar:
        run_parallel(missing, partial(pretrain, args), report, places(args.jobs), bar)
    for table in tables(file.rows):
        table.print()


if __name__ == "__main__":
    run_tool(main)

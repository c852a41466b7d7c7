"""Ablation study: a grid of small pretraining runs on digit scenes.

Axes and their choices:

    loss       flat, btl, ctl, or another objective, with all that its config in
               configs/selfsup/spikformer_NAME.py changes in the main job: vicreg,
               simclr, lejepa, simsiam, byol, predict, mae, and distill (train its
               teacher before)
    neuron     path of the two views in training: lif, mixed, analog, or one after the
               other: analog-mixed, analog-lif, lif-mixed
    bn         joint, per_view: batch statistics of the backbone
    pairs      all, cross-view: pairs of slices in the loss
    steps      T, or 2-4 (two time steps first, four later)
    switch     share of the training before neuron or steps change (0.5)
    projector  joint, per_view: batch statistics of the projector
    views      2, 4, "2+2 small", of digit scenes only
    width      D of the embeddings, at constant lambda D, from a projector of 512
    jitter     none, frames: other brightness and contrast in each time step, of digit
               scenes only
    attention  fixed, auto: scale of the attention
    threshold  1.0, 0.5: firing threshold
    surrogate  1.0, 2.0: width of the rectangle, beyond which there is no gradient
    time       all, boundary, step, flat, mean: slices that the loss compares, instead
               of those of its config; of ctl, boundary is btl and flat is flat
    windows    config, none, same, window, halves, jitter, drop: views in time, of
               recordings of events only; none has no view in time, same one window for
               both views, halves a different half for each; window, jitter and drop
               add to the config's

A --grid crosses its axes with each other and leaves the others at the method's
defaults; without --grid, loss=flat,btl,ctl x neuron is crossed, the other axes are
varied one by one if they fit the config, and the neuron once more in the recipe of the
digits. On events, T is that of the frames. Every run is evaluated twice, with BatchNorm
statistics as trained and recalibrated on the spiking path.

Runs are executed in parallel, one per core. Results are appended to the file when a
run ends; run the same command again to continue an interrupted grid.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from snnssl_mm.checkpoints.writable import require_writable
from snnssl_mm.cli.shared.arguments import positive, seed_number
from snnssl_mm.cli.shared.config_files import find_config, read_config
from snnssl_mm.cli.shared.parallel import (
    Place,
    RunsBar,
    cores,
    places,
    run_parallel,
    start_child,
)
from snnssl_mm.cli.shared.user_errors import errors_as_messages
from snnssl_mm.recording.command import command_line

if TYPE_CHECKING:
    from snnssl_mm.ablation.cells import Cell
    from snnssl_mm.recording.results_file import ResultsFile, Row

RESUME_OPTION = ""
CONFIG = "configs/selfsup/spikformer_ctl_5e.py"
KEY = ("config", "seed")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--config", default=CONFIG, help=f"config of the pretraining ({CONFIG})"
    )
    parser.add_argument(
        "--grid",
        action="append",
        metavar="AXES",
        help="axes to cross, such as 'loss=ctl,btl neuron'",
    )
    parser.add_argument("--seeds", type=seed_number, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--jobs",
        type=positive(int),
        default=cores(),
        help="number of parallel runs (number of cores)",
    )
    parser.add_argument("--amp", action="store_true", help="train in mixed precision")
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/ablation"))
    parser.add_argument(
        "--out",
        type=Path,
        help="JSON file to append to, with a picture next to it; "
        "WORK_DIR/ablation.json by default",
    )
    parser.add_argument("--evaluate", type=Path, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> None:
    """Run the grid, or evaluate one of its runs."""
    from snnssl_mm.ablation.cells import Cell
    from snnssl_mm.ablation.data_axes import default_grids_for, require_axes
    from snnssl_mm.ablation.grids import DEFAULT_GRIDS, cells_of
    from snnssl_mm.ablation.results import ablation_table, plot_ablation
    from snnssl_mm.ablation.runs import evaluate
    from snnssl_mm.recording.results_file import ResultsFile

    if args.evaluate:  # in a child process of the grid
        evaluate(args.evaluate)
        return
    out = args.out or args.work_dir / "ablation.json"
    with errors_as_messages():
        require_writable(out, args.work_dir / "any")
        cfg = read_config(args.config)
        cells = cells_of(args.grid or default_grids_for(cfg, DEFAULT_GRIDS))
        require_axes(cfg, cells)
        results = ResultsFile(out, "ablation", (*KEY, *Cell._fields))
    tasks = [(cell, seed) for seed in args.seeds for cell in cells]
    run_all(args, tasks, results)
    rows = [row for row in results.rows if row["config"] == args.config]
    ablation_table(rows).print()
    print(f"wrote {out} and {plot_ablation(rows, out.with_suffix('.png'))}")


def run_all(
    args: argparse.Namespace, tasks: list[tuple[Cell, int]], results: ResultsFile
) -> None:
    """Compute the missing rows, ``args.jobs`` at a time."""
    from snnssl_mm.ablation.cells import cell_of
    from snnssl_mm.ablation.labels import cell_labels

    done = {
        (row["seed"], cell_of(row))
        for row in results.rows
        if row["config"] == args.config
    }
    missing = [(cell, seed) for cell, seed in tasks if (seed, cell) not in done]
    bar = RunsBar(len(tasks), len(tasks) - len(missing), missing)

    def report(task: tuple[Cell, int], row: Row) -> str:
        results.append(row)
        name = ", ".join(cell_labels(task[0]))
        accuracy = 100 * row["recalibrated"]["linear"]
        return f"{name}, seed {task[1]}: linear {accuracy:.1f} % in {row['seconds']} s"

    def compute_at(task: tuple[Cell, int], place: Place) -> Row:
        return compute(args, *task, place)

    with bar:
        run_parallel(missing, compute_at, report, places(args.jobs), bar)


def compute(args: argparse.Namespace, cell: Cell, seed: int, place: Place) -> Row:
    """Pretrain and evaluate one cell with one seed; return its row."""
    from snnssl_mm.ablation.runs import row_of, write_config

    folder = args.work_dir / Path(args.config).stem / f"{cell}_seed{seed}"
    start = time.monotonic()
    config = write_config(args.config, cell, seed, folder, find_config)
    log = folder / "output.txt"
    command = ["train", str(config), "--work-dir", str(folder), "--resume"]
    start_child(command + ["--amp"] * args.amp, log, place)
    start_child(["ablate", "--evaluate", str(folder)], log, place)
    return {
        "config": args.config,
        "seed": seed,
        **cell._asdict(),
        **row_of(folder),
        "seconds": round(time.monotonic() - start),
        "threads": place.threads,
        "command": command_line(),
    }

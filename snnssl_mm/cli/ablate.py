"""Ablation study: a grid of small pretraining runs on digit scenes.

Axes and their choices:

    loss       flat, btl, ctl
    neuron     path of the two views in training: lif, mixed, analog, or one after the
               other: analog-mixed, analog-lif, lif-mixed
    bn         joint, per_view: batch statistics of the backbone
    pairs      all, cross-view: pairs of slices in the loss
    steps      T, or 1-4 (one time step first, four later)
    switch     share of the training before neuron or steps change (0.5)
    projector  joint, per_view: batch statistics of the projector
    views      2, 4, "2+2 small"
    width      D of the embeddings, at constant lambda D
    jitter     none, frames: other brightness and contrast in each time step
    attention  fixed, auto: scale of the attention

A --grid crosses its axes with each other and leaves the others at the method's
defaults; without --grid, loss x neuron is crossed and the other axes are varied one by
one. Every run is evaluated twice, with BatchNorm statistics as trained and recalibrated
on the spiking path.

Runs are executed in parallel, one per core. Results are appended to the file when a
run ends; run the same command again to continue an interrupted grid.
"""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING

from snnssl_mm.checkpoints.writable import require_writable
from snnssl_mm.cli.shared import children
from snnssl_mm.cli.shared.arguments import positive, seed_number
from snnssl_mm.cli.shared.config_files import read_config
from snnssl_mm.cli.shared.user_errors import errors_as_messages
from snnssl_mm.recording.command import command_line

if TYPE_CHECKING:
    from rich.progress import Progress

    from snnssl_mm.analysis.ablation_cells import Cell
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
        default=os.cpu_count() or 1,
        help="number of parallel runs (number of cores)",
    )
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
    from snnssl_mm.analysis.ablation import ablation_table, plot_ablation
    from snnssl_mm.analysis.ablation_cells import DEFAULT_GRIDS, Cell, cells_of
    from snnssl_mm.analysis.ablation_runs import evaluate
    from snnssl_mm.recording.results_file import ResultsFile

    if args.evaluate:  # in a child process of the grid
        evaluate(args.evaluate)
        return
    out = args.out or args.work_dir / "ablation.json"
    with errors_as_messages():
        require_writable(out, args.work_dir / "any")
        cells = cells_of(args.grid or DEFAULT_GRIDS)
        results = ResultsFile(out, "ablation", (*KEY, *Cell._fields))
        read_config(args.config)
    tasks = [(cell, seed) for seed in args.seeds for cell in cells]
    run_all(args, tasks, results)
    rows = [row for row in results.rows if row["config"] == args.config]
    ablation_table(rows).print()
    print(f"wrote {out} and {plot_ablation(rows, out.with_suffix('.png'))}")


def run_all(
    args: argparse.Namespace, tasks: list[tuple[Cell, int]], results: ResultsFile
) -> None:
    """Compute the missing rows, ``args.jobs`` at a time."""
    from snnssl_mm.analysis.ablation_cells import cell_labels, cell_of

    missing = [
        (cell, seed)
        for cell, seed in tasks
        if results.find(config=args.config, seed=seed, **cell._asdict()) is None
    ]
    with bar_of_runs() as progress, ThreadPoolExecutor(args.jobs) as pool:
        done = len(tasks) - len(missing)
        bar = progress.add_task("runs", total=len(tasks), completed=done)
        pending = [pool.submit(compute, args, *task) for task in missing]
        try:
            for finished in as_completed(pending):
                row = finished.result()
                results.append(row)
                name = ", ".join(cell_labels(cell_of(row)))
                accuracy = 100 * row["recalibrated"]["linear"]
                progress.console.print(
                    f"{name}, seed {row['seed']}: linear {accuracy:.1f} % "
                    f"in {row['seconds']} s",
                    highlight=False,
                )
                progress.advance(bar)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            children.stop_children()
            raise


def compute(args: argparse.Namespace, cell: Cell, seed: int) -> Row:
    """Pretrain and evaluate one cell with one seed; return its row."""
    from snnssl_mm.analysis.ablation_runs import row_of, write_config

    folder = args.work_dir / Path(args.config).stem / f"{cell}_seed{seed}"
    threads = max(1, (os.cpu_count() or 1) // args.jobs)
    start = time.monotonic()
    config = write_config(args.config, cell, seed, folder)
    log = folder / "output.txt"
    start_child(
        ["train", str(config), "--work-dir", str(folder), "--resume"], log, threads
    )
    start_child(["ablate", "--evaluate", str(folder)], log, threads)
    return {
        "config": args.config,
        "seed": seed,
        **cell._asdict(),
        **row_of(folder),
        "seconds": round(time.monotonic() - start),
        "threads": threads,
        "command": command_line(),
    }


def start_child(command: list[str], log: Path, threads: int) -> None:
    """Run a command and write its output to a file.

    Raises:
        ChildError: If it fails; with the last lines of its output.
    """
    env = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    with log.open("a") as out:
        try:
            children.run_child(command, log, stdout=out, stderr=out, env=env)
        except children.ChildError as error:
            lines = "\n".join(log.read_text().splitlines()[-5:])
            raise children.ChildError(f"{error}:\n{lines}") from None


def bar_of_runs() -> Progress:
    """Make a progress bar that estimates the remaining time from the last hour."""
    from rich import progress

    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
        progress.TextColumn("left"),
        progress.TimeRemainingColumn(elapsed_when_finished=True),
        speed_estimate_period=3600,
    )

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
run ends; run the same command again to continue an interrupted grid. Runs whose
settings changed are repeated.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

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
    from mmengine.config import Config

    from snnssl_mm.ablation.cells import Cell
    from snnssl_mm.recording.results_file import ResultsFile, Row

RESUME_OPTION = ""
CONFIG = "configs/selfsup/spikformer_ctl_5e.py"
KEY = ("config", "amp", "seed")


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
    from snnssl_mm.ablation.runs import evaluate, run_config
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
        tasks = [
            Task(
                args.config,
                args.amp,
                cell,
                seed,
                run_config(cfg, cell, seed, find_config),
            )
            for seed in args.seeds
            for cell in cells
        ]
    run_all(args, tasks, results)
    rows = [row for row in results.rows if is_of(row, args.config, args.amp)]
    ablation_table(rows).print()
    print(f"wrote {out} and {plot_ablation(rows, out.with_suffix('.png'))}")


class Task(NamedTuple):
    """A cell to pretrain and evaluate with a seed.

    Attributes:
        config: Config of the grid, as given.
        amp: Whether it trains in mixed precision.
        cell: The cell.
        seed: The seed.
        cfg: Config of this run.
    """

    config: str
    amp: bool
    cell: Cell
    seed: int
    cfg: Config

    @property
    def digest(self) -> str:
        """Digest of all settings."""
        from snnssl_mm.probing.digests import settings_digest

        return settings_digest(self.cfg.to_dict(), self.amp)

    def accepts(self, row: Row) -> bool:
        """Whether a row is of this task and these settings; old rows have no digest."""
        from snnssl_mm.ablation.cells import cell_of

        return (
            is_of(row, self.config, self.amp)
            and (row["seed"], cell_of(row)) == (self.seed, self.cell)
            and row.get("digest", self.digest) == self.digest
        )


def is_of(row: Row, config: str, amp: bool) -> bool:
    """Whether a row is of this config and precision."""
    return (row["config"], row.get("amp", False)) == (config, amp)


def run_all(args: argparse.Namespace, tasks: list[Task], results: ResultsFile) -> None:
    """Compute the missing rows, ``args.jobs`` at a time."""
    from snnssl_mm.ablation.labels import cell_labels

    missing = [task for task in tasks if not any(map(task.accepts, results.rows))]
    bar = RunsBar(len(tasks), len(tasks) - len(missing), missing)

    def report(task: Task, row: Row) -> str:
        results.append(row)
        name = ", ".join(cell_labels(task.cell))
        accuracy = 100 * row["recalibrated"]["linear"]
        duration = f" in {row['seconds']} s" if row["seconds"] else ""
        return f"{name}, seed {task.seed}: linear {accuracy:.1f} %{duration}"

    with bar:
        run_parallel(
            missing, partial(compute, args.work_dir), report, places(args.jobs), bar
        )


def compute(work_dir: Path, task: Task, place: Place) -> Row:
    """Pretrain and evaluate one cell with one seed; return its row.

    The folder contains the digest, so that other settings do not resume its training.
    """
    from snnssl_mm.ablation.runs import row_of

    name = f"{task.cell}_seed{task.seed}"
    folder = work_dir / Path(task.config).stem / name / task.digest
    folder.mkdir(parents=True, exist_ok=True)
    continued = any(folder.glob("*.pth"))
    start = time.monotonic()
    config, log = folder / "config.py", folder / "output.txt"
    task.cfg.dump(config)
    command = ["train", str(config), "--work-dir", str(folder), "--resume"]
    start_child(command + ["--amp"] * task.amp, log, place)
    start_child(["ablate", "--evaluate", str(folder)], log, place)
    return {
        "config": task.config,
        "amp": task.amp,
        "seed": task.seed,
        "digest": task.digest,
        **task.cell._asdict(),
        **row_of(folder),
        "seconds": None if continued else round(time.monotonic() - start),
        "threads": place.threads,
        "command": command_line(),
    }

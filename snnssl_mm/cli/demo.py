"""Run the main job end to end on the embedded data and print the results.

For every seed: pretrain a small Spikformer without labels, draw the training curves and
the nearest neighbours, then run tasks of the transfer suite ``digits`` from the
pretrained and from a random backbone: k-NN and linear probe on unseen digits (compared
with raw pixels), Mask R-CNN and semantic FPN on scenes with several digits. Then train
a RetinaNet that spikes up to its last layers, from the pretrained backbone. Draw all
predictions. Run the same command again to continue an interrupted demo.
"""

from __future__ import annotations

import argparse
import time
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

from snnssl_mm.cli.shared import children
from snnssl_mm.cli.shared.arguments import results_file, seed_number
from snnssl_mm.cli.shared.config_files import find_config

if TYPE_CHECKING:
    from snnssl_mm.recording.results_file import Row

RESUME_OPTION = ""
CONFIG = "configs/selfsup/spikformer_ctl.py"
SUITE = "digits"
TASKS = ("knn", "linear", "detection", "segmentation")
SPIKING_SUITE = "digits_spiking"
SPIKING = "RetinaNet, spiking"
TRAINED = {
    "detection": "configs/detection/mask-rcnn_spikformer_fpn_digits.py",
    SPIKING: "configs/detection/retinanet_spikformer_spiking-fpn_digits.py",
    "segmentation": "configs/segmentation/semantic-fpn_spikformer_digits.py",
}
"""Tasks that train a network, and their configs."""
REST = 1.5  # minutes: start of processes, monitors, probes, evaluation, drawing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--seeds", type=seed_number, nargs="+", default=[0], help="one run per seed"
    )
    parser.add_argument(
        "--work-dir",
        type=Path,
        default=Path("work_dirs", "demo"),
        help="folder for runs and pictures; work_dirs/demo by default",
    )
    parser.add_argument(
        "--out",
        type=results_file,
        help="JSON file for the results of all seeds; WORK_DIR/digits.json by default",
    )


def run(args: argparse.Namespace) -> None:
    """Run the demo."""
    out = args.out or args.work_dir / f"{SUITE}.json"
    began = time.monotonic()
    announce(len(args.seeds))
    for seed in args.seeds:
        folder = args.work_dir / f"seed{seed}"
        checkpoint = pretrain(seed, folder)
        transfer(seed, checkpoint, args.work_dir, out)
        draw(checkpoint, folder, rows_of(out, seed), args.work_dir)
        print_paths(folder, checkpoint)
    if len(args.seeds) > 1:
        show_tables(out)
    print(f"the demo took {(time.monotonic() - began) / 60:.1f} minutes")


def announce(seeds: int) -> None:
    """Measure some training steps, and say how long the demo will take."""
    from snnssl_mm.projects.measure import training_seconds

    seconds = training_seconds(find_config(CONFIG))
    # From both backbones at the same time: two processes with half of the cores each
    backbones = {SPIKING: 1.0}
    for task, config in TRAINED.items():
        seconds += backbones.get(task, 2 * 0.8) * training_seconds(find_config(config))
    minutes = REST + seconds / 60
    print(
        f"about {seeds * minutes:.0f} minutes on this machine, by a few measured steps"
    )


def start(*command: str) -> None:
    """Run a subcommand."""
    from rich.console import Console

    Console().rule(f"snnssl {command[0]}")
    log = None
    if "--work-dir" in command:
        log = Path(command[command.index("--work-dir") + 1])
    children.run_child(command, log)


def pretrain(seed: int, folder: Path) -> Path:
    """Pretrain with one seed, or continue; return the checkpoint."""
    command = ["train", CONFIG, "--work-dir", str(folder)]
    if any(folder.glob("*.pth")):
        command.append("--resume")
    start(*command, "--cfg-options", f"randomness.seed={seed}")
    return last_checkpoint(folder)


def transfer(seed: int, checkpoint: Path, work_dir: Path, out: Path) -> None:
    """Run the tasks of the suites with the seed and its checkpoint."""
    for suite, tasks in ((SUITE, TASKS), (SPIKING_SUITE, (SPIKING,))):
        command = ["transfer", f"pretrained={checkpoint}", "--suite", suite]
        command += ["--tasks", *tasks, "--fractions", "1", "--seeds", str(seed)]
        command += ["--work-dir", str(work_dir / "transfer"), "--out", str(out)]
        start(*command)


def draw(checkpoint: Path, folder: Path, rows: list[Row], work_dir: Path) -> None:
    """Draw training curves, nearest neighbours and predictions."""
    start("draw", "training", str(folder), "--out", str(folder / "curves.png"))
    neighbours = str(folder / "neighbours.png")
    start("draw", "neighbours", CONFIG, str(checkpoint), "--out", neighbours)
    models = []
    for task, config in TRAINED.items():
        for row in sorted(rows, key=itemgetter("entry")):
            if row["task"] == task:
                run = linked(folder, row, work_dir)
                model = f"{config},{last_checkpoint(run)}"
                models.append(f"{task}, {row['entry']}={model}")
    pictures = str(folder / "predictions.png")
    start("draw", "predictions", *models, "--out", pictures)


def linked(folder: Path, row: Row, work_dir: Path) -> Path:
    """Link the training that gave a row into a folder; return the link."""
    from snnssl_mm.transfer.jobs import folder_name

    link = folder / folder_name(f"{row['task']}_{row['entry']}")
    names = (row["suite"], row["task"], f"{row['fraction']:g}", row["entry"])
    seed = f"seed{row['seed']}-{row['digest']}"
    link.unlink(missing_ok=True)
    link.symlink_to(
        Path(work_dir, "transfer", *map(folder_name, names), seed).absolute()
    )
    return link


def rows_of(out: Path, seed: int | None = None) -> list[Row]:
    """Read the rows of a seed, or of all."""
    from snnssl_mm.recording.results_file import read_report

    rows: list[Row] = read_report(out, "transfer")["rows"]
    return [row for row in rows if seed in (None, row["seed"])]


def last_checkpoint(folder: Path) -> Path:
    """Return the last checkpoint of a run, as recorded by mmengine."""
    from snnssl_mm.checkpoints.resuming import recorded_checkpoint

    return folder / Path(recorded_checkpoint(folder)).name


def show_tables(out: Path) -> None:
    """Print the tables over all seeds."""
    from snnssl_mm.analysis.transfer_table import transfer_tables

    for table in transfer_tables(rows_of(out)):
        table.print()


def print_paths(folder: Path, checkpoint: Path) -> None:
    """Print the paths of checkpoint, log and pictures."""
    for what, path in (
        ("checkpoint", checkpoint),
        ("log", max(folder.glob("*/*.log"))),
        ("training curves", folder / "curves.png"),
        ("nearest neighbours", folder / "neighbours.png"),
        ("predictions", folder / "predictions.png"),
    ):
        print(f"{what + ':':20}{path}")

"""Run the main job end to end on the embedded data and print the results.

For every seed: pretrain a small Spikformer without labels, evaluate the checkpoint
(k-NN and linear probe on unseen digits, compared with a random network and raw
pixels), draw the training curves and the nearest neighbours. Then train stock mmdet
and mmseg models on scenes with several digits, from the pretrained and from a random
backbone, and draw their predictions. Run the same command again to continue an
interrupted demo.
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import chain
from pathlib import Path
from typing import Any

from snnssl_mm.cli.shared import children
from snnssl_mm.cli.shared.arguments import results_file, seed_number
from snnssl_mm.cli.shared.config_files import find_config
from snnssl_mm.recording.command import command_line

RESUME_OPTION = ""
CONFIG = "configs/selfsup/spikformer_ctl.py"
TRANSFER = {
    "mask-rcnn": "configs/detection/mask-rcnn_spikformer_fpn_digits.py",
    "semantic-fpn": "configs/segmentation/semantic-fpn_spikformer_digits.py",
}
METRICS = {
    "box AP": ("coco/bbox_mAP", 1.0),
    "box AP50": ("coco/bbox_mAP_50", 1.0),
    "mask AP": ("coco/segm_mAP", 1.0),
    "mIoU": ("mIoU", 0.01),
}
"""Column of the table -> name in the log, and factor that scales it to 1."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--config", default=CONFIG, help=f"config of the pretraining ({CONFIG})"
    )
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
        help="JSON file for the results of all seeds; none by default",
    )


def start(*command: str) -> float:
    """Run a subcommand; return its duration in seconds."""
    from rich.console import Console

    Console().rule(f"snnssl {command[0]}")
    begin = time.monotonic()
    log = None
    if "--work-dir" in command:
        log = Path(command[command.index("--work-dir") + 1])
    children.run_child(command, log)
    return time.monotonic() - begin


def run_arguments(work_dir: Path) -> tuple[tuple[str, ...], bool]:
    """Return arguments of ``snnssl train`` for a folder, and whether it resumes."""
    where, resumed = ("--work-dir", str(work_dir)), any(work_dir.glob("*.pth"))
    return (*where, "--resume") if resumed else where, resumed


def last_checkpoint(work_dir: Path) -> Path:
    """Return the last checkpoint of a run, as recorded by mmengine."""
    from snnssl_mm.checkpoints.resuming import recorded_checkpoint

    return Path(recorded_checkpoint(work_dir))


def pretrain_and_evaluate(config: str, seed: int, work_dir: Path) -> dict[str, Any]:
    """Pretrain, evaluate and draw with one seed; return the results.

    ``train_seconds`` is the time of ``snnssl train`` including start-up, k-NN monitor
    and linear probe; None if this run resumed an earlier one.
    """
    options = ("--cfg-options", f"randomness.seed={seed}")
    where, resumed = run_arguments(work_dir)
    seconds = start("train", config, *where, *options)
    checkpoint = str(last_checkpoint(work_dir))
    results = work_dir / "results.json"
    start("test", config, checkpoint, "--out", str(results), *options)
    curves = str(work_dir / "curves.png")
    start("draw", "training", str(work_dir), "--out", curves)
    neighbours = str(work_dir / "neighbours.png")
    start("draw", "neighbours", config, checkpoint, "--out", neighbours)
    return {
        "seed": seed,
        "train_seconds": None if resumed else round(seconds),
        "results": json.loads(results.read_text()),
    }


def last_metrics(work_dir: Path) -> dict[str, float]:
    """Read the metrics of a run's last evaluation from its log, from 0 to 1."""
    from snnssl_mm.recording.run_log import read_scalars

    found: dict[str, float] = {}
    for row in chain(*read_scalars(work_dir)):
        found |= {
            name: round(scale * row[key], 4)
            for name, (key, scale) in METRICS.items()
            if key in row
        }
    return found


def transfer(seed: int, checkpoint: Path, work_dir: Path) -> dict[str, Any]:
    """Train detection and segmentation, each from both backbones; draw predictions.

    ``transfer_seconds`` is the time of the four trainings with their evaluations.
    """
    results: dict[str, dict[str, float]] = {"pretrained": {}, "random": {}}
    starts = {"pretrained": ("--pretrained", str(checkpoint)), "random": ()}
    options = ("--cfg-options", f"randomness.seed={seed}")
    models, seconds, resumed = [], 0.0, False
    for task, config in TRANSFER.items():
        for backbone, arguments in starts.items():
            folder = work_dir / f"{task}_{backbone}"
            where, before = run_arguments(folder)
            resumed |= before
            seconds += start("train", config, *where, *arguments, *options)
            results[backbone] |= last_metrics(folder)
            models.append(f"{task}, {backbone}={config},{last_checkpoint(folder)}")
    start("draw", "predictions", *models, "--out", str(work_dir / "predictions.png"))
    taken = None if resumed else round(seconds)
    return {"transfer_seconds": taken, "results": results}


def summarise(rows: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    """Compute mean and standard deviation over the seeds, in percent."""
    from snnssl_mm.analysis.seed_statistics import Summary

    first = rows[0]["results"]
    summary: dict[str, dict[str, str]] = {}
    for features in first:
        summary[features] = {}
        for measure in first[features]:
            values = [100 * row["results"][features][measure] for row in rows]
            summary[features][measure] = str(Summary.of(values))
    return summary


def print_summary(summary: dict[str, dict[str, str]], seeds: int) -> None:
    """Print the table over all seeds."""
    from snnssl_mm.recording.probe_names import probe_title
    from snnssl_mm.recording.table import Table

    measures = list(next(iter(summary.values())))
    rows = [
        [probe_title(features), *(row.get(measure, "-") for measure in measures)]
        for features, row in summary.items()
    ]
    caption = "unseen images, %" + (f" ({seeds} seeds)" if seeds > 1 else "")
    Table(["backbone", *map(probe_title, measures)], rows, caption).print()


def print_paths(work_dir: Path) -> None:
    """Print the paths of checkpoint, log and pictures."""
    log = max(work_dir.glob("*/*.log"))
    for what, path in (
        ("checkpoint", last_checkpoint(work_dir)),
        ("log", log),
        ("training curves", work_dir / "curves.png"),
        ("nearest neighbours", work_dir / "neighbours.png"),
        ("predictions", work_dir / "predictions.png"),
    ):
        if path.exists():
            print(f"{what + ':':20}{path}")


def run(args: argparse.Namespace) -> None:
    """Run the demo."""
    from rich.console import Console

    from snnssl_mm.recording.machine import describe_machine

    rows = []
    for seed in args.seeds:
        work_dir = args.work_dir / f"seed{seed}"
        row = pretrain_and_evaluate(args.config, seed, work_dir)
        if Path(args.config).samefile(find_config(CONFIG)):  # they use its backbone
            moved = transfer(seed, last_checkpoint(work_dir), work_dir)
            for backbone, measures in moved.pop("results").items():
                row["results"][backbone] |= measures
            row |= moved
        rows.append(row)
    summary = summarise(rows)
    Console().rule("results")
    print_summary(summary, len(rows))
    for seed in args.seeds:
        print_paths(args.work_dir / f"seed{seed}")
    if args.out:
        report = {
            "command": command_line(),
            "config": args.config,
            "machine": describe_machine(),
            "summary": summary,
            "runs": rows,
        }
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")

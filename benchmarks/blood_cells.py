#!/usr/bin/env python3
"""Compare detection of blood cells from pretrained and random backbones.

usage: python benchmarks/blood_cells.py DATA_ROOT [--seeds 0] [--out FILE.json]

DATA_ROOT contains BCCD's photographs and boxes in COCO format: images/*.jpg and
annotations/{train,val}.json. For every seed, a backbone is pretrained on the training
photographs without labels; then RetinaNet is trained from it and from a random one,
with the same schedule and seed. AP50 on the validation photographs is recorded over
epochs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from snnssl_mm.checkpoints.resuming import recorded_checkpoint
from snnssl_mm.recording.machine import describe_machine
from snnssl_mm.recording.probe_names import probe_title
from snnssl_mm.recording.run_log import read_scalars
from snnssl_mm.recording.table import Table

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "benchmarks" / "configs"
DETECTOR = str(ROOT / "configs/detection/retinanet_spikformer_fpn_cells.py")


def train(config: str, work_dir: Path, *arguments: str) -> float:
    """Run tools/train.py; return the seconds that it took."""
    start = time.monotonic()
    command = [sys.executable, str(ROOT / "tools" / "train.py"), str(CONFIGS / config)]
    subprocess.run([*command, "--work-dir", str(work_dir), *arguments], check=True)
    return round(time.monotonic() - start)


def link_training_images(data_root: Path, folder: Path) -> None:
    """Link the training photographs into a folder, for pretraining on only these."""
    folder.mkdir(parents=True, exist_ok=True)
    images = json.loads((data_root / "annotations/train.json").read_text())["images"]
    for image in images:
        link = folder / image["file_name"]
        if not link.exists():
            link.symlink_to((data_root / "images" / image["file_name"]).resolve())


def average_precision(work_dir: Path) -> dict[int, dict[str, float]]:
    """Read AP and AP50 of every evaluation of a run, by epoch."""
    names = {"AP": "coco/bbox_mAP", "AP50": "coco/bbox_mAP_50"}
    return {
        row["step"]: {name: row[key] for name, key in names.items()}
        for row in read_scalars(work_dir)[-1]
        if "coco/bbox_mAP" in row
    }


def run_seed(seed: int, data_root: Path, work_dir: Path) -> dict[str, Any]:
    """Pretrain a backbone and train both detectors."""
    link_training_images(data_root, work_dir / "images" / "train")
    options = ["--cfg-options", f"randomness.seed={seed}"]
    root = f"train_dataloader.dataset.data_root={work_dir / 'images'}"
    pretraining = work_dir / f"seed{seed}" / "pretraining"
    seconds = {"pretraining": train("blood_cells_ctl.py", pretraining, *options, root)}
    checkpoint = recorded_checkpoint(pretraining)
    for loader in ("train", "val", "test"):
        options.append(f"{loader}_dataloader.dataset.data_root={data_root}")
    for evaluator in ("val", "test"):
        file = data_root / "annotations" / "val.json"
        options.append(f"{evaluator}_evaluator.ann_file={file}")
    results = {}
    for start in ("pretrained", "random"):
        folder = work_dir / f"seed{seed}" / start
        arguments = ["--pretrained", checkpoint] if start == "pretrained" else []
        seconds[start] = train(DETECTOR, folder, *arguments, *options)
        results[start] = average_precision(folder)
    return {"seed": seed, "seconds": seconds, "results": results}


def print_results(runs: list[dict[str, Any]]) -> None:
    """Print AP50 over epochs."""
    epochs = list(runs[0]["results"]["pretrained"])
    rows = [
        [
            probe_title(start),
            str(run["seed"]),
            *(f"{100 * values[epoch]['AP50']:.1f}" for epoch in epochs),
        ]
        for run in runs
        for start, values in run["results"].items()
    ]
    heads = ["AP50, %", "seed", *(f"epoch {epoch}" for epoch in epochs)]
    Table(heads, rows, "RetinaNet on blood cells").print()


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data_root", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/blood_cells"))
    parser.add_argument("--out", type=Path, help="results as JSON")
    args = parser.parse_args()
    runs = [run_seed(seed, args.data_root, args.work_dir) for seed in args.seeds]
    print_results(runs)
    if args.out:
        command = f"python benchmarks/blood_cells.py DATA_ROOT --seeds {args.seeds[0]}"
        command += "".join(f" {seed}" for seed in args.seeds[1:])
        report = {"command": command, "machine": describe_machine(), "runs": runs}
        args.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()

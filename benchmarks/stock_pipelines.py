#!/usr/bin/env python3
"""Train and evaluate the unmodified COCO and ADE20K configs on a few real images.

usage: python benchmarks/stock_pipelines.py COCO_ROOT ADE_ROOT [--out FILE.json]

Only the data folders, the number of images or iterations, the batch size and the log
interval are overridden, on the command line of tools/train.py. The accuracy after a few
iterations from random weights is meaningless, and COCO's metric counts omitted images
as misses; the purpose is to show that the recipes run on real files at full size, how
long a training step takes and how much memory the process needs.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from memory import MIB

from snnssl_mm.recording.machine import describe_machine
from snnssl_mm.recording.run_log import read_scalars
from snnssl_mm.recording.table import Table

ROOT = Path(__file__).resolve().parents[1]
DETECTORS = (
    "mask-rcnn_spikformer-4-384_fpn_1x_coco",
    "retinanet_spikformer-8-512_spiking-fpn_1x_coco",
    "fcos_spikformer-8-512_spiking-fpn_1x_coco",
    "mask-rcnn_spikformer-8-512_spiking-fpn_1x_coco",
)
SEGMENTORS = (
    "semantic-fpn_spikformer-4-384_80k_ade20k-512x512",
    "semantic-fpn_spikformer-8-512_spiking-fpn_80k_ade20k-512x512",
    "upernet_spikformer-8-512_spiking_160k_ade20k-512x512",
)


def overrides(room: str, root: Path, images: int) -> list[str]:
    """Return ``--cfg-options`` for a few images below ``root``."""
    names = ("train", "val", "test")
    options = [f"{name}_dataloader.dataset.data_root={root}/" for name in names]
    options += [f"{name}_dataloader.dataset.indices={images}" for name in names[1:]]
    options += ["train_dataloader.batch_size=1", "default_hooks.logger.interval=1"]
    if room == "detection":
        file = f"{root}/annotations/instances_val2017.json"
        options += [f"{name}_evaluator.ann_file={file}" for name in names[1:]]
        options += [f"train_dataloader.dataset.indices={images}"]
        return [*options, "train_cfg.max_epochs=1"]
    return [
        *options,
        f"train_cfg.max_iters={images}",
        f"train_cfg.val_interval={images}",
    ]


def run(
    room: str, name: str, root: Path, images: int, work_dir: Path
) -> dict[str, Any]:
    """Train and evaluate; return losses, seconds a step and peak memory."""
    config = f"configs/{room}/{name}.py"
    options = overrides(room, root, images)
    command = [sys.executable, str(ROOT / "tools" / "train.py"), str(ROOT / config)]
    command += ["--work-dir", str(work_dir), "--cfg-options", *options]
    child = subprocess.Popen(command)
    # Its peak begins at the size of this process, which is far smaller.
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{shlex.join(command)} failed")
    rows = read_scalars(work_dir)[-1]
    steps = [row for row in rows if "loss" in row]
    evaluation = [row["time"] for row in rows if "time" in row and "loss" not in row]
    return {
        "config": config,
        "options": [option.replace(str(root), "ROOT") for option in options],
        "images": images,
        "loss": [round(row["loss"], 3) for row in steps],
        "seconds_a_step": round(statistics.mean(row["time"] for row in steps), 1),
        "seconds_an_image": round(evaluation[-1], 1),
        "peak_mib": round(usage.ru_maxrss * 1024 / MIB),
    }


def main() -> None:
    """Run all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("coco_root", type=Path, help="COCO 2017's layout")
    parser.add_argument("ade_root", type=Path, help="ADEChallengeData2016's layout")
    parser.add_argument("--images", type=int, default=2, help="to train and to test on")
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/stock"))
    parser.add_argument("--out", type=Path, help="results as JSON")
    parser.add_argument("--note", default="", help="what a reader should know")
    args = parser.parse_args()
    jobs = [("detection", name, args.coco_root) for name in DETECTORS]
    jobs += [("segmentation", name, args.ade_root) for name in SEGMENTORS]
    report = {
        "command": "python benchmarks/stock_pipelines.py COCO_ROOT ADE_ROOT",
        "machine": describe_machine(),
        "threads": torch.get_num_threads(),
        "note": args.note,
        "runs": [],
    }
    for room, name, root in jobs:
        folder = args.work_dir / name
        report["runs"].append(run(room, name, root.resolve(), args.images, folder))
        if args.out:
            args.out.write_text(json.dumps(report, indent=1) + "\n")
    rows = [
        [
            Path(row["config"]).stem,
            ", ".join(f"{loss:.2f}" for loss in row["loss"]),
            f"{row['seconds_a_step']}",
            f"{row['peak_mib']:,}",
        ]
        for row in report["runs"]
    ]
    Table(["config", "losses", "s a step", "peak MiB"], rows, "stock pipelines").print()


if __name__ == "__main__":
    main()

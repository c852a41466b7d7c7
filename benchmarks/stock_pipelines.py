#!/usr/bin/env python3
"""Train and evaluate the unmodified COCO and ADE20K configs on a few real images.

usage: python benchmarks/stock_pipelines.py COCO_ROOT ADE_ROOT [--out FILE.json]

Only the data folders, the number of images or iterations, the batch size and the log
interval are overridden, on the command line of tools/train.py. The accuracy after a few
iterations from random weights is meaningless, and COCO's metric counts omitted images
as misses; the purpose is to show that the recipes run on real files at full size.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from snnssl_mm.recording.machine import describe_machine
from snnssl_mm.recording.run_log import read_scalars
from snnssl_mm.recording.table import Table

ROOT = Path(__file__).resolve().parents[1]
MASK_RCNN = "configs/detection/mask-rcnn_spikformer-4-384_fpn_1x_coco.py"
SEMANTIC_FPN = (
    "configs/segmentation/semantic-fpn_spikformer-4-384_80k_ade20k-512x512.py"
)


def overrides(config: str, root: Path, images: int) -> list[str]:
    """Return ``--cfg-options`` for a few images below ``root``."""
    names = ("train", "val", "test")
    options = [f"{name}_dataloader.dataset.data_root={root}/" for name in names]
    options += [f"{name}_dataloader.dataset.indices={images}" for name in names[1:]]
    options += ["train_dataloader.batch_size=1"]
    if config == MASK_RCNN:
        file = f"{root}/annotations/instances_val2017.json"
        options += [f"{name}_evaluator.ann_file={file}" for name in names[1:]]
        options += [f"train_dataloader.dataset.indices={images}"]
        return [*options, "train_cfg.max_epochs=1", "default_hooks.logger.interval=1"]
    options += [f"train_cfg.max_iters={images}", f"train_cfg.val_interval={images}"]
    return [*options, "default_hooks.logger.interval=1"]


def run(config: str, root: Path, images: int, work_dir: Path) -> dict[str, Any]:
    """Train and evaluate; return the losses and metrics of the log."""
    options = overrides(config, root, images)
    start = time.monotonic()
    subprocess.run(
        [
            *(sys.executable, str(ROOT / "tools" / "train.py"), str(ROOT / config)),
            *("--work-dir", str(work_dir), "--cfg-options", *options),
        ],
        check=True,
    )
    seconds = round(time.monotonic() - start)
    rows = read_scalars(work_dir)[-1]
    return {
        "config": config,
        "options": [option.replace(str(root), "ROOT") for option in options],
        "images": images,
        "seconds": seconds,
        "loss": [round(row["loss"], 3) for row in rows if "loss" in row],
        "metrics": {k: v for k, v in rows[-1].items() if "time" not in k},
    }


def main() -> None:
    """Run both."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("coco_root", type=Path, help="COCO 2017's layout")
    parser.add_argument("ade_root", type=Path, help="ADEChallengeData2016's layout")
    parser.add_argument("--images", type=int, default=4, help="to train and to test on")
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/stock"))
    parser.add_argument("--out", type=Path, help="results as JSON")
    args = parser.parse_args()
    runs = [
        run(config, root.resolve(), args.images, args.work_dir / name)
        for name, config, root in (
            ("coco", MASK_RCNN, args.coco_root),
            ("ade20k", SEMANTIC_FPN, args.ade_root),
        )
    ]
    rows = [
        [row["config"], str(row["images"]), str(row["seconds"]), f"{row['loss']}"]
        for row in runs
    ]
    Table(["config", "images", "seconds", "loss"], rows, "stock pipelines").print()
    if args.out:
        command = "python benchmarks/stock_pipelines.py COCO_ROOT ADE_ROOT"
        report = {"command": command, "machine": describe_machine(), "runs": runs}
        args.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()

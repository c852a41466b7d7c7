#!/usr/bin/env python3
"""Measure a training step of detectors with ordinary and with spiking heads.

usage: python benchmarks/detector_memory.py [--height 800] [--width 1344] [--out FILE]

Peak memory of one forward and backward pass of Mask R-CNN and RetinaNet on
Spikformer-4-384 at T = 4, one image in float32, each in its own process. The backbone
recomputes its activations in every row; neck and heads do it where the row says so.
"""

from __future__ import annotations

import argparse
import json
import logging
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from memory import PeakMemory, run_child
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData

import snnssl_mm.models  # noqa: F401  (registers)
from snnssl_mm.recording.machine import describe_machine
from snnssl_mm.recording.table import Table

ROOT = Path(__file__).parents[1]
OUT = Path(__file__).parent / "results" / "detector_memory.json"
CHANNELS = [96, 192, 384, 384]  # of Spikformer-4-384
BOXES = 8
DETECTORS = {"RetinaNet": "retinanet", "Mask R-CNN": "mask-rcnn"}
HEADS = {
    "ordinary": ("fpn", False),
    "spiking, stored": ("spiking-fpn", False),
    "spiking, recomputed": ("spiking-fpn", True),
}
"""Rows: part of the config's name, and with_cp of neck and heads."""


def build(detector: str, heads: str) -> Any:
    """Build a detector on Spikformer-4-384."""
    part, with_cp = HEADS[heads]
    name = f"{DETECTORS[detector]}_spikformer-8-512_{part}_1x_coco.py"
    cfg = Config.fromfile(ROOT / "configs" / "detection" / name)
    init_default_scope("mmdet")
    model = cfg.model
    model.backbone.update(arch="4-384", norm_eval=False)
    neck = model.neck.get("neck", model.neck)
    neck.in_channels = CHANNELS
    for module in (model.neck, *all_heads(model)):
        if "with_cp" in module:
            module.with_cp = with_cp
        if "norm" in module:
            module.norm = {"type": "BN"}  # one process
    logging.disable(logging.INFO)
    built = MODELS.build(model)
    built.init_weights()
    return built.train()


def all_heads(model: Any) -> list[Any]:
    """Return the configs of a detector's heads and extractors."""
    roi = model.get("roi_head", {})
    parts = ("bbox_roi_extractor", "bbox_head", "mask_roi_extractor", "mask_head")
    heads = [model.get("rpn_head"), model.get("bbox_head"), *map(roi.get, parts)]
    return [head for head in heads if head]


def batch(height: int, width: int, device: str) -> dict[str, Any]:
    """Return one image of noise with boxes and masks."""
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 0.7, (BOXES, 2)) * (width, height)
    boxes = np.hstack([corners, corners + 0.2 * height]).astype(np.float32)
    masks = np.zeros((BOXES, height, width), np.uint8)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes.astype(int), strict=True):
        mask[y0:y1, x0:x1] = 1
    sample = DetDataSample(
        metainfo=dict(
            img_shape=(height, width),
            ori_shape=(height, width),
            pad_shape=(height, width),
            batch_input_shape=(height, width),
            scale_factor=(1.0, 1.0),
        ),
        gt_instances=InstanceData(
            bboxes=torch.from_numpy(boxes),
            labels=torch.from_numpy(rng.integers(0, 80, BOXES)),
            masks=BitmapMasks(masks, height, width),
        ),
    )
    image = torch.from_numpy(rng.standard_normal((1, 3, height, width), np.float32))
    return dict(inputs=image.to(device), data_samples=[sample.to(device)])


def measure(detector: str, heads: str, height: int, width: int) -> dict[str, float]:
    """Measure one forward and backward pass, after a small pass that loads kernels."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    model = build(detector, heads).to(device)

    def passes(data: dict[str, Any]) -> None:
        total, _ = model.parse_losses(model(**data, mode="loss"))
        total.backward()
        model.zero_grad()

    passes(batch(64, 64, device))
    data = batch(height, width, device)
    with PeakMemory(device) as memory:
        passes(data)
    return {"peak_mib": round(memory.mib)}


def print_table(report: dict[str, Any]) -> None:
    """Print the rows."""
    rows = [
        [row["detector"], row["heads"], f"{row['peak_mib']:,}"]
        for row in report["rows"]
    ]
    head = ["detector", "neck and heads", "peak MiB"]
    Table(head, rows, report["task"], words=2).print()


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--height", type=int, default=800)
    parser.add_argument("--width", type=int, default=1344, help="1333, padded to 32")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--note", default="", help="what a reader should know")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(measure(*args.child, args.height, args.width)))
        return
    size = ["--height", str(args.height), "--width", str(args.width)]
    rows = []
    for detector in DETECTORS:
        for heads in HEADS:
            found = run_child(__file__, "--child", detector, heads, *size)
            rows.append({"detector": detector, "heads": heads, **found})
    report = {
        "what": "detector_memory",
        "command": shlex.join(["python", *sys.argv]),
        "machine": describe_machine(),
        "note": args.note,
        "task": "Spikformer-4-384, T=4, forward and backward, "
        f"1 x 3 x {args.height} x {args.width}, float32",
        "rows": rows,
    }
    print_table(report)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()

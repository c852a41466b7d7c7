#!/usr/bin/env python3
"""Measure how well the gradient predicts the change of the loss, by path and T.

usage: python benchmarks/gradient_faithfulness.py [CHECKPOINT ...] [--out FILE]

A step against the gradient g of the backbone, so long that a linear loss L would fall
by one percent; how much does it fall on the same batch? ::

    w' = w - 0.01 L(w) g / |g|^2,   faithfulness = (L(w) - L(w')) / (0.01 L(w))

1 is a gradient that predicts the change exactly; surrogate gradients of spikes are not
gradients of the function that is computed. Networks are the random one and those of the
checkpoints, with the main job's config. Rows that the file contains already are not
computed again.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Mapping, Sequence
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, load_checkpoint
from mmpretrain.registry import MODELS

from snnssl_mm import compat
from snnssl_mm.checkpoints.writable import require_writable
from snnssl_mm.cli.shared.user_errors import run_tool
from snnssl_mm.recording.command import command_line
from snnssl_mm.recording.results_file import ResultsFile
from snnssl_mm.recording.table import Table

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "benchmarks" / "results" / "gradient_faithfulness.json"
CONFIG = "configs/selfsup/spikformer_ctl.py"
RANDOM = "random weights"
PATHS = {"analog": "analog, both views", "dual": "MixedLIF", "spike": "LIF, both views"}
TIME_STEPS = (1, 2, 4)
KEY = ("weights", "path", "time_steps")
SHARE = 0.01
BATCHES = 24


def loss_of(model: Any, batch: Any) -> torch.Tensor:
    """Return the loss of a batch."""
    data = model.data_preprocessor(copy.deepcopy(batch), training=True)
    loss: torch.Tensor = model.parse_losses(model(**data, mode="loss"))[0]
    return loss


def faithfulness(model: Any, batch: Any) -> float:
    """Return the actual over the predicted fall of the loss; the weights stay."""
    weights = [p for p in model.backbone.parameters() if p.requires_grad]
    model.zero_grad()
    before = loss_of(model, batch)
    before.backward()
    squares = sum(float(p.grad.square().sum()) for p in weights if p.grad is not None)
    predicted = SHARE * float(before)
    kept = [p.detach().clone() for p in weights]
    with torch.no_grad():
        for p in weights:
            p -= predicted / squares * p.grad
        after = loss_of(model, batch)
        for p, old in zip(weights, kept, strict=True):
            p.copy_(old)
    return (float(before) - float(after)) / predicted


def gradient_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Make the table: one line per network and path, one column per T."""
    lines: dict[tuple[str, str], list[str]] = {}
    for row in sorted(rows, key=lambda row: row["time_steps"]):
        low, middle, high = np.percentile(row["faithfulness"], [25, 50, 75])
        cells = lines.setdefault((row["weights"], PATHS[row["path"]]), [])
        cells.append(f"{middle:.2f} ({low:.2f} to {high:.2f})")
    return Table(
        ["weights", "path", *(f"T = {number}" for number in TIME_STEPS)],
        [[*line, *cells] for line, cells in lines.items()],
        "Actual over predicted fall of the loss after a small step: median and "
        f"quartiles of {BATCHES} batches",
        words=2,
    )


def main() -> None:
    """Measure what the file lacks, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("checkpoints", nargs="*", metavar="CHECKPOINT")
    parser.add_argument("--out", type=Path, default=OUT, help="results as JSON")
    args = parser.parse_args()
    require_writable(args.out)
    compat.apply()
    cfg = Config.fromfile(ROOT / CONFIG)
    init_default_scope(cfg.default_scope)
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
    batches = list(islice(loader, BATCHES))
    file = ResultsFile(args.out, "gradient_faithfulness", KEY)
    for weights in (RANDOM, *args.checkpoints):
        torch.manual_seed(0)
        model = MODELS.build(cfg.model)
        if weights != RANDOM:
            load_checkpoint(model, weights, map_location="cpu")
        for cell in product([weights], PATHS, TIME_STEPS):
            named = dict(zip(KEY, cell, strict=True))
            if file.find(**named):
                continue
            _, model.train_path, model.train_time_steps = cell
            model.train()
            found = [round(faithfulness(model, batch), 3) for batch in batches]
            file.append({**named, "faithfulness": found, "command": command_line()})
    gradient_table(file.rows).print()


if __name__ == "__main__":
    run_tool(main)

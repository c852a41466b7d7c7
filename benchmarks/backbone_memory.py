#!/usr/bin/env python3
"""Measure the cost of a Spikformer at detection size, with and without with_cp.

usage: python benchmarks/backbone_memory.py [--height 800] [--width 1344] [--out FILE]

Peak memory and time of one forward and backward pass of the pyramid (strides 4 to 32)
on one image in float32, with and without gradient checkpointing, each in its own
process; and the operations of the blocks' attention over the number of tokens, in both
orders of the products.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from memory import PeakMemory, run_child
from rows.attention import quadratic_attention
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from snnssl_mm.models import Spikformer
from snnssl_mm.models.attention import spiking_attention
from snnssl_mm.recording.machine import describe_machine
from snnssl_mm.recording.table import Table

OUT = Path(__file__).parent / "results" / "backbone_memory.json"
HEADS, HEAD_CHANNELS = 12, 32  # of Spikformer-4-384


def measure(with_cp: bool, height: int, width: int) -> dict[str, float]:
    """Measure one forward and backward pass, after a small pass that loads kernels."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    model = Spikformer("4-384", out_indices=(0, 1, 2, 3), with_cp=with_cp)
    model.to(device).train()

    def passes(image: Tensor) -> None:
        sum(m.mean() for m in model(image)).backward()
        model.zero_grad()

    passes(torch.rand(1, 3, 64, 64, device=device))  # compiles the neurons' kernels
    image = torch.rand(1, 3, height, width, device=device)
    with PeakMemory(device) as memory:
        start = time.perf_counter()
        passes(image)
        if device == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
    return {"peak_mib": round(memory.mib), "seconds": round(seconds, 2)}


def in_own_process(with_cp: bool, height: int, width: int) -> dict[str, float]:
    """Call :func:`measure` in a fresh process."""
    options = ["--height", str(height), "--width", str(width)]
    return run_child(__file__, "--child", str(int(with_cp)), *options)


def attention_cost(
    attention: Callable[[Tensor, Tensor, Tensor], Tensor], tokens: int
) -> dict[str, float]:
    """Measure operations (10^9; a product and a sum are two) and seconds of a step."""
    q, k, v = torch.ones(3, 1, HEADS, tokens, HEAD_CHANNELS)
    with FlopCounterMode(display=False) as counter:
        attention(q, k, v)
    seconds = min(timeit.repeat(lambda: attention(q, k, v), number=1, repeat=5))
    return {
        "gflop": round(counter.get_total_flops() / 1e9, 3),
        "seconds": round(seconds, 4),
    }


def print_tables(report: dict[str, Any]) -> None:
    """Print both tables."""
    rows = [
        [name, f"{row['peak_mib']:,}", f"{row['seconds']}"]
        for name, row in report["backbone"].items()
    ]
    Table(["with_cp", "peak MiB", "seconds"], rows, report["task"]).print()
    rows = [[*map(str, row.values())] for row in report["attention"]]
    Table(["tokens", "order", "10^9 operations", "seconds"], rows, "attention").print()


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--height", type=int, default=800)
    parser.add_argument("--width", type=int, default=1344, help="1333, padded to 32")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--note", default="", help="what a reader should know")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    size = (args.height, args.width)
    if args.child is not None:
        print(json.dumps(measure(bool(args.child), *size)))
        return
    tokens = args.height * args.width // 256
    report = {
        "command": shlex.join(["python", *sys.argv]),
        "machine": describe_machine(),
        "note": args.note,
        "task": "Spikformer-4-384, T=4, strides 4 to 32, forward and backward, "
        f"1 x 3 x {args.height} x {args.width}, float32",
        "backbone": {
            str(with_cp): in_own_process(with_cp, *size) for with_cp in (False, True)
        },
        "attention": [
            {"tokens": n, "order": order, **attention_cost(function, n)}
            for n in (tokens // 4, tokens)
            for order, function in (
                ("q (k^T v), chosen", spiking_attention),
                ("(q k^T) v", quadratic_attention),
            )
        ],
    }
    print_tables(report)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()

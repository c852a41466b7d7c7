#!/usr/bin/env python3
"""Measure the most that fusing attention's product with its neuron could save.

usage: python benchmarks/attention_fusion.py [--small] [--rounds N] [--out FILE]

A fused kernel would not write the product, which the neuron reads, nor its gradient in
the backward pass. So per block of Spikformer it saves at most two copies of a tensor of
that size, into new memory. Steps and copies are timed in turn, so that other load on
the machine meets both.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from harness import Run, digits, interleave, seconds_of, spread
from learners import Size
from rows.training_step import TINY, step
from torch import Tensor

from snnssl_mm.checkpoints.writable import require_writable
from snnssl_mm.models import attention
from snnssl_mm.recording.command import command_line
from snnssl_mm.recording.results_file import ResultsFile

KEY = ("network", "precision")
SMALL = {"tiny": Size(TINY, "cifar", 32, 2, "cpu", projector=32)}
SIZES = {
    "4-384": Size("4-384", "cifar", 32, 16, "cpu"),
    "8-512": Size("8-512", "imagenet", 224, 2, "cpu"),
}
COPIES = 20
"""Copies of a sample, which is then long enough for the clock."""


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--small", action="store_true", help="tiny network, for tests")
    parser.add_argument("--rounds", type=int, default=3)
    default = Path("work_dirs/attention_fusion.json")
    parser.add_argument("--out", type=Path, default=default)
    return parser.parse_args()


def products_of(run: Run) -> list[Tensor]:
    """Return what the attention neurons get in a training step, a tensor a block."""
    found: list[Tensor] = []
    product = attention.spiking_attention

    def recorded(*inputs: Any) -> Tensor:
        found.append(product(*inputs))
        return found[-1]

    with mock.patch.object(attention, "spiking_attention", recorded):
        run()
    return [out.detach() for out in found]


def measure(name: str, precision: str, size: Size, rounds: int) -> dict[str, Any]:
    """Time a step and the copies; return the row."""
    run = step("dual", size)
    products = products_of(run)
    copy = products[0].clone
    numbers = {"step": 1, "copy": COPIES}
    times = interleave(
        {"step": run, "copy": copy},
        lambda side, call: seconds_of(call, numbers[side], size.device),
        0,
        (rounds, rounds),
    )
    copies = 2 * len(products)
    percent = [
        100 * copies * copy / step
        for copy, step in zip(times["copy"], times["step"], strict=True)
    ]
    return {
        "network": name,
        "precision": precision,
        "images": size.images,
        "pixels": size.pixels,
        "blocks": len(products),
        "product_mib": digits(products[0].nbytes / 2**20),
        "step_s": spread(times["step"]),
        "copy_s": spread(times["copy"]),
        "percent_of_step": spread(percent),
        "rounds": rounds,
        "threads": torch.get_num_threads(),
        "command": command_line(),
    }


def main() -> None:
    """Measure, write."""
    args = parse_args()
    require_writable(args.out)
    results = ResultsFile(args.out, "attention_fusion", KEY)
    for name, size in (SMALL if args.small else SIZES).items():
        for precision, dtype in (("float32", None), ("bf16", torch.bfloat16)):
            sized = size._replace(autocast=dtype)
            row = results.append(measure(name, precision, sized, args.rounds))
            print(name, precision, f"{row['percent_of_step']['median']} % of a step")
    print(f"wrote {args.out}")


if __name__ == "__main__":
    main()

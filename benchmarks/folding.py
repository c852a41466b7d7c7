#!/usr/bin/env python3
"""Measure inference of backbones with their batch norms folded into convolutions.

usage: python benchmarks/folding.py [--names MaxFormer ...] [--out FILE]

For each backbone with random weights and statistics: the largest difference in float64,
which must be rounding; then seconds of one forward pass in float32, as it is, folded
(``snnssl infer --fold``), and with RepConvs merged too (``snnssl export --fold``).
All sides run in turn, so that other load on the machine meets each of them.
"""

from __future__ import annotations

import argparse
import copy
from functools import partial
from pathlib import Path
from typing import Any

import torch
from harness import digits, interleave, seconds_of, spread, warm_up
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from snnssl_mm import models
from snnssl_mm.checkpoints.writable import require_writable
from snnssl_mm.export.folding import fold_norms
from snnssl_mm.recording.command import command_line
from snnssl_mm.recording.results_file import ResultsFile
from snnssl_mm.testing import randomize_norms

KEY = ("backbone", "arch", "image_size", "batch_size")
ARCHS = {
    "Spikformer": "4-384",
    "SpikeDrivenTransformer": "8-384",
    "MetaSpikeFormer": "15M",
    "ESpikeFormer": "5M",
    "MaxFormer": "10-384",
    "Spikingformer": "8-384",
}
SMALL = 64
"""Side of the image for the comparison in float64."""
TOLERANCE = 1e-9


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--names", nargs="+", choices=ARCHS, default=list(ARCHS))
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("work_dirs/folding.json"))
    return parser.parse_args()


def changed(network: Any, images: Tensor, merge: bool) -> tuple[Any, int]:
    """Copy a network and fold it; return the copy and how many norms are gone."""
    copied = copy.deepcopy(network)
    if merge:
        copied.switch_to_deploy()
    fold_norms(copied, lambda: copied(images[:1, :, :SMALL, :SMALL]))
    return copied, count_norms(network) - count_norms(copied)


def count_norms(network: nn.Module) -> int:
    """Count the batch norms of a network."""
    return sum(isinstance(module, _NormBase) for module in network.modules())


@torch.no_grad()
def measure(name: str, arch: Any, args: argparse.Namespace) -> dict[str, Any]:
    """Compare and time one backbone; return the row."""
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = randomize_norms(getattr(models, name)(arch)).eval().to(device)
    images = torch.rand(args.batch_size, 3, args.image_size, args.image_size)
    images = images.to(device)
    ways = {"folded": False}
    if hasattr(network, "switch_to_deploy"):
        ways["folded and merged"] = True
    exact, small = copy.deepcopy(network).double(), images[..., :SMALL, :SMALL].double()
    differs = {
        way: max_difference(exact, changed(exact, small, merge)[0], small)
        for way, merge in ways.items()
    }
    assert max(differs.values()) < TOLERANCE, f"{name}: {differs}"
    copies = {way: changed(network, images, merge) for way, merge in ways.items()}
    sides = {"as it is": network} | {way: side for way, (side, _) in copies.items()}
    runs = {way: partial(side, images) for way, side in sides.items()}
    numbers = {way: warm_up(run, device)[1] for way, run in runs.items()}
    times = interleave(
        runs,
        lambda way, run: seconds_of(run, numbers[way], device),
        0,
        (args.rounds,) * 2,
    )
    plain = times["as it is"]
    return {
        "backbone": name,
        "arch": arch,
        "image_size": args.image_size,
        "batch_size": args.batch_size,
        "time_steps": network.time_steps,
        "norms": count_norms(network),
        "folded_norms": {way: gone for way, (_, gone) in copies.items()},
        "largest_difference_in_float64": {w: digits(d, 2) for w, d in differs.items()},
        "seconds": {way: spread(values) for way, values in times.items()},
        "times_as_it_is": {
            way: spread([a / b for a, b in zip(times[way], plain, strict=True)])
            for way in ways
        },
        "rounds": args.rounds,
        "command": command_line(),
    }


def max_difference(network: nn.Module, other: nn.Module, images: Tensor) -> float:
    """Return the largest difference between the maps of two networks."""
    maps = zip(network(images), other(images), strict=True)
    return max(float((a - b).abs().max()) for a, b in maps)


def main() -> None:
    """Measure, write."""
    args = parse_args()
    require_writable(args.out)
    results = ResultsFile(args.out, "folding", KEY)
    for name in args.names:
        row = results.append(measure(name, ARCHS[name], args))
        print(name, {way: s["median"] for way, s in row["seconds"].items()})
    print(f"wrote {args.out}")


if __name__ == "__main__":
    main()

"""Anatomy of a training step: launches, busy and idle time, host, synchronisations."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from anatomy import anatomy
from harness import Case, Run, Side
from learners import Size

from rows.training_step import TINY, step

TITLE = "anatomy of a training step on both paths: two views, CTL, fused AdamW"


def details(
    device: str, steps: int, runs: dict[str, Run], medians: dict[str, float]
) -> dict[str, Any]:
    """Anatomies of all sides, whose runs have a number of ``steps`` each."""
    return {
        name: {"anatomy": anatomy(run, device, steps, medians[name])}
        for name, run in runs.items()
    }


def case(name: str, size: Size) -> Case:
    """Our learner at one size."""
    precision = "" if size.autocast is None else ", bf16 autocast"
    return Case(
        f"{name}, {size.images} images, {size.pixels}x{size.pixels}{precision}",
        {"ours, dual path": Side(partial(step, "dual", fused=True), memory=False)},
        size,
        budget_s=3,
        rounds=(1, 10),
        items=(size.images, "images"),
        details=partial(details, size.device, 1),
    )


def cases(device: str, quick: bool) -> list[Case]:
    """The sizes of row d, and on CUDA a batch that leaves the GPU waiting."""
    if quick:
        return [case("tiny Spikformer", Size(TINY, "cifar", 32, 2, device))]
    if device == "cpu":
        return [
            case("Spikformer-4-384", Size("4-384", "cifar", 32, 16, device)),
            case("Spikformer-8-512", Size("8-512", "imagenet", 224, 2, device)),
        ]
    sizes = {
        "Spikformer-4-384": Size("4-384", "cifar", 32, 256, device),
        "Spikformer-8-512": Size("8-512", "imagenet", 224, 32, device),
        "Spikformer-16-512": Size("16-512", "imagenet", 224, 8, device),
    }
    precisions = (None, torch.bfloat16)
    return [
        case(name, size._replace(autocast=precision))
        for name, size in sizes.items()
        for precision in precisions
    ]

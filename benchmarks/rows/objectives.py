"""Objectives over time steps, each compared with its time-flattened form.

The flat form is another function of the same embeddings, T B samples as one batch: what
training costs without a temporal structure.
"""

from __future__ import annotations

from functools import partial

import torch
from harness import Case, Run, Side
from torch import Tensor

from rows.loss import Size, projections
from snnssl_mm.losses import (
    LeJEPALoss,
    NegativeCosineLoss,
    NextStepLoss,
    NTXentLoss,
    SliceLoss,
    VICRegLoss,
)

TITLE = "objectives over time, forward and backward"
OBJECTIVES: dict[str, type[SliceLoss]] = {
    "VICReg": VICRegLoss,
    "NT-Xent": NTXentLoss,
    "negative cosine": NegativeCosineLoss,
    "next step": NextStepLoss,
    "LeJEPA": LeJEPALoss,
}
TIMES = ("all", "boundary", "step")


def run_of(objective: type[SliceLoss], time: str, size: Size) -> Run:
    """Value, and gradient with respect to the projections."""
    views = [z.clone().requires_grad_() for z in projections(size)]
    module = objective(time=time)

    def run() -> list[Tensor]:
        value = module(*views)
        return [value.detach(), *torch.autograd.grad(value, views)]

    return run


def cases(device: str, quick: bool) -> list[Case]:
    """Every objective and structure at T = 4, B = 256, D = 2048."""
    size = Size(4, 256, 2048, True, device)
    small = size._replace(batch=4, dims=16)
    return [
        Case(
            f"{name}, {time!r}, T=4, B=256, D=2048",
            {
                "ours": Side(partial(run_of, objective, time)),
                "flat": Side(partial(run_of, objective, "flat"), compared=False),
            },
            small if quick else size,
            small,
            budget_s=3,
            rounds=(3, 20),
        )
        for name, objective in OBJECTIVES.items()
        for time in TIMES
    ]

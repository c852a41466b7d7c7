"""Temporal losses, compared with mmpretrain's Barlow Twins loss pair by pair.

CTL is also compared with time-flattened Barlow Twins (one pair of slices of T B
samples) as mmpretrain computes it, which is the cost of training without a temporal
loss.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import torch
from harness import Case, Run, Side
from rivals.loss import PairwiseLoss
from torch import Tensor

from snnssl_mm.losses import (
    BoundaryTemporalLoss,
    CrossTemporalLoss,
    TemporalLoss,
    TimeFlattenedLoss,
)

TITLE = "temporal losses"
LOSSES: dict[str, type[TemporalLoss]] = {
    "CTL": CrossTemporalLoss,
    "BTL": BoundaryTemporalLoss,
    "time-flattened": TimeFlattenedLoss,
}
LAMBDA = 5e-3


class Size(NamedTuple):
    """Projections of two views, and what is computed of them."""

    steps: int
    batch: int
    dims: int
    backward: bool
    device: str
    dtype: torch.dtype = torch.float32


def projections(size: Size) -> Tensor:
    """Make embeddings ``[2, T, B, D]`` that share a part over views and steps."""
    options: Any = dict(device=size.device, dtype=size.dtype)
    options["generator"] = torch.Generator(size.device).manual_seed(0)
    shared = torch.randn(size.batch, size.dims, **options)
    noise = torch.randn(2, size.steps, size.batch, size.dims, **options)
    return shared + noise


def ours(loss: type[TemporalLoss], size: Size) -> Run:
    """Value, and gradient with respect to the projections."""
    views = [z.clone().requires_grad_(size.backward) for z in projections(size)]
    module = loss(LAMBDA)

    def run() -> list[Tensor]:
        value = module(*views)
        return [
            value.detach(),
            *(torch.autograd.grad(value, views) if size.backward else ()),
        ]

    return run


def pairwise(loss: type[TemporalLoss], size: Size) -> Run:
    """Compute the same by mmpretrain's loss of all pairs of the loss's slices."""
    z = projections(size)
    module = PairwiseLoss(size.dims, LAMBDA).to(size.device, size.dtype)
    chosen = [0, -1] if loss is BoundaryTemporalLoss else slice(None)

    def run() -> list[Tensor]:
        if loss is TimeFlattenedLoss:
            slices = z.flatten(1, 2)
        else:
            slices = z[:, chosen].flatten(0, 1)
        if not size.backward:
            with torch.no_grad():
                return [module(slices)]
        value, grad = module.with_gradient(slices)
        if loss is BoundaryTemporalLoss:  # the steps between have no gradient
            whole = torch.zeros_like(z)
            whole[:, chosen] = grad.unflatten(0, (2, -1))
            return [value, *whole]
        return [value, *grad.view_as(z)]

    return run


def case(name: str, size: Size, headline: bool, rival: bool = True) -> Case:
    """One loss at one size: ours, pair by pair, and CTL beside time-flattened."""
    memory = size.backward and (headline or name == "CTL")
    sides = {"ours": Side(partial(ours, LOSSES[name]), memory=memory)}
    if rival:
        sides["mmpretrain, pairwise"] = Side(
            partial(pairwise, LOSSES[name]), memory=memory
        )
    if name == "CTL" and rival:
        flat = partial(pairwise, TimeFlattenedLoss)
        sides["mmpretrain, time-flattened"] = Side(flat, False, memory)
    what = "forward and backward" if size.backward else "forward"
    return Case(
        f"{name}, T={size.steps}, B={size.batch}, D={size.dims}, {what}",
        sides,
        size,
        size._replace(batch=4, dims=16),
        tolerance=(1e-3, 1e-3),
        budget_s=3,
        rounds=(2, 20),
        headline=headline,
    )


def cases(device: str, quick: bool) -> list[Case]:
    """All losses at D = 1024; CTL at the projector's usual 8192 and beyond."""
    if quick:
        sizes = [Size(2, 8, 32, backward, device) for backward in (False, True)]
        return [case(name, size, True) for name in LOSSES for size in sizes]
    found = []
    for steps, batch in ((2, 64), (4, 256), (16, 256), (4, 1024)):
        for backward in (False, True):
            size = Size(steps, batch, 1024, backward, device)
            names = LOSSES if (steps, batch) == (4, 256) else ["CTL"]
            found += [case(name, size, False) for name in names]
    size = Size(4, 256, 8192, True, device)
    found += [case("CTL", size._replace(backward=False), True), case("CTL", size, True)]
    # 496 pairs at T = 16 take a CPU minutes, 28 pairs of 1,024 samples most of one.
    on_cuda = device == "cuda"
    found += [
        case("CTL", size._replace(steps=16), False, rival=on_cuda),
        case("CTL", size._replace(batch=1024), False, rival=on_cuda),
    ]
    return found

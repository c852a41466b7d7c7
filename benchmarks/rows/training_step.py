"""A complete self-supervised training step, compared with a spikingjelly network."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from harness import Case, Run, Side
from learners import Size, learner, random_views
from shares import profile_shares
from torch import Tensor

TITLE = "training step: two views, CTL, forward, backward, AdamW; T = 4"
TINY = dict(embed_dims=32, depth=1, num_heads=2)
KINDS = {
    "ours": "spike",
    "spikingjelly, assembled": "assembled",
    "spikingjelly's own Spikformer (another function)": "own",
    "ours, dual path": "dual",
}


MAY_DIFFER = 0.01
"""Share of the features in float32: a flipped spike changes some after it."""


def step(
    kind: str,
    size: Size,
    grouped: bool = True,
    cache_enabled: bool = True,
    **adamw: Any,
) -> Run:
    """Forward, backward, and the step of the optimizer.

    Args:
        kind: Of the learner.
        size: Of the step.
        grouped: Whether the optimizer has one group, not one for each parameter.
        cache_enabled: Whether autocast keeps the cast weights of a step.
        **adamw: Options of AdamW.
    """
    model, views = learner(kind, size), random_views(size)
    parameters = list(model.parameters())
    groups = parameters if grouped else [{"params": [p]} for p in parameters]
    optimizer = torch.optim.AdamW(groups, lr=1e-4, **adamw)

    def run() -> Tensor:
        optimizer.zero_grad()
        enabled = size.autocast is not None
        with torch.autocast(size.device, size.autocast, enabled, cache_enabled):
            z_a, z_b = model.project(torch.cat(views)).chunk(2, dim=1)
            with torch.profiler.record_function("benchmark::loss"):
                loss = model.head.loss(z_a, z_b)["loss"]
        loss.backward()
        optimizer.step()
        return loss.detach()

    return run


def same_network(size: Size) -> str:
    """Compare features, loss and the images' gradient of both networks.

    In float64, small, in training mode. In float32 a membrane may reach the threshold
    on one side only, up to rounding; the share of features that then differ is told.

    Raises:
        AssertionError: If they differ in float64.
    """
    differ = 0.0
    for dtype in (torch.float64, torch.float32):
        small = size._replace(images=2, dtype=dtype, autocast=None, projector=32)
        small = small._replace(pixels=32, arch={**TINY, "depth": 2})
        results = []
        for kind in ("spike", "assembled"):
            model, views = learner(kind, small), random_views(small)
            for view in views:
                view.requires_grad_()
            (features,) = model.backbone(torch.cat(views))
            loss = model.loss(views)["loss"]
            results.append((features, loss, *torch.autograd.grad(loss, views)))
        if dtype == torch.float64:
            for ours, theirs in zip(*results, strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)
        else:
            (ours, *_), (theirs, *_) = results
            differ = (ours != theirs).double().mean().item()
            if differ > MAY_DIFFER:
                raise AssertionError(f"{differ:.2%} of the features differ in float32")
    return (
        "small network, training mode: features, loss and gradient equal within 1e-6 "
        f"in float64; {differ:.2g} of the features differ in float32"
    )


def time_shares(
    size: Size, runs: dict[str, Run], medians: dict[str, float]
) -> dict[str, Any]:
    """Shares of a step of the networks that compute the same, and of the dual path."""
    return {
        name: {"percent_of_time": profile_shares(run, size.device)}
        for name, run in runs.items()
        if KINDS[name] != "own"
    }


def case(name: str, size: Size) -> Case:
    """All learners at one size."""
    precision = "" if size.autocast is None else ", bf16 autocast"
    return Case(
        f"{name}, {size.images} images, {size.pixels}x{size.pixels}{precision}",
        {
            label: Side(partial(step, kind), compared=kind == "assembled")
            for label, kind in KINDS.items()
        },
        size,
        size._replace(arch=TINY, images=2, pixels=32, projector=32),
        check=partial(same_network, size),
        budget_s=25,
        rounds=(2, 20),
        items=(size.images, "images"),
        details=partial(time_shares, size),
        headline=True,
    )


def cases(device: str, quick: bool) -> list[Case]:
    """Spikformer-4-384 at 32x32 and 8-512 at 224x224; batches that fit a device."""
    if quick:
        tiny = Size(TINY, "cifar", 32, 2, device, projector=32)
        return [case("tiny Spikformer", tiny)]
    on_cuda = device == "cuda"
    images = (256, 32) if on_cuda else (16, 2)
    sizes = {
        "Spikformer-4-384": Size("4-384", "cifar", 32, images[0], device),
        "Spikformer-8-512": Size("8-512", "imagenet", 224, images[1], device),
    }
    found = [case(name, size) for name, size in sizes.items()]
    if on_cuda:
        found += [
            case(name, size._replace(autocast=torch.bfloat16))
            for name, size in sizes.items()
        ]
    return found

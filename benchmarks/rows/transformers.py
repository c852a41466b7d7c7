"""A training step of published transformers, compared with spikingjelly's own."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
from harness import Case, Run, Side
from rivals.transformers import NETWORKS, pair
from torch import Tensor

TITLE = "training step of a backbone: forward, mean square, backward, AdamW; T = 4"
TIME_STEPS = 4


class Size(NamedTuple):
    """A training step: network, images, precision and device."""

    name: str
    small: bool
    images: int
    pixels: int
    device: str
    dtype: torch.dtype = torch.float32


def images_of(size: Size) -> Tensor:
    """Random normalised images [N, 3, H, W]."""
    generator = torch.Generator().manual_seed(0)
    shape = (size.images, 3, size.pixels, size.pixels)
    images = torch.randn(shape, generator=generator, dtype=torch.float64)
    return images.to(size.device, size.dtype)


def step(side: str, size: Size) -> Run:
    """Forward, backward, and the step of the optimizer."""
    torch.manual_seed(0)
    model = pair(size.name, size.small, TIME_STEPS)[side]()
    model = model.to(size.device, size.dtype).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    images = images_of(size)

    def run() -> Tensor:
        optimizer.zero_grad()
        (features,) = model(images)
        loss = features.square().mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return run


def same_network(size: Size) -> str:
    """Compare maps and the images' gradient of both small networks, in training mode.

    Raises:
        AssertionError: If they differ in float64.
    """
    results = []
    small = size._replace(small=True, images=2, pixels=32, dtype=torch.float64)
    for side in ("ours", "spikingjelly"):
        torch.manual_seed(0)
        model = pair(size.name, True, TIME_STEPS)[side]()
        model = model.to(size.device, torch.float64).train()
        images = images_of(small).requires_grad_()
        (features,) = model(images)
        (grad,) = torch.autograd.grad(features.square().mean(), images)
        results.append((features.detach(), grad))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)
    return (
        "small network, training mode: maps and gradient equal within 1e-6 in float64"
    )


def cases(device: str, quick: bool) -> list[Case]:
    """SDT-V1 8-384 and MaxFormer 10-384; batches that fit a device."""
    images, pixels = (2, 32) if quick else (64, 224) if device == "cuda" else (2, 160)
    found = []
    for name in NETWORKS:
        size = Size(name, quick, images, pixels, device)
        sides = {side: Side(partial(step, side)) for side in ("ours", "spikingjelly")}
        found.append(
            Case(
                f"{name}, {images} images, {pixels}x{pixels}",
                sides,
                size,
                size._replace(small=True, images=2, pixels=32),
                check=partial(same_network, size),
                budget_s=25,
                rounds=(2, 20),
                items=(images, "images"),
            )
        )
    return found

"""Backbone inference, at the size of classification and at that of detection."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import torch
from harness import Case, Run, Side
from rivals.network import assembled
from rivals.neuron import OUR_NEURON
from torch import Tensor

from snnssl_mm.models import Spikformer

TITLE = "backbone inference, T = 4, float32"
TINY = dict(embed_dims=32, depth=2, num_heads=2)
MAY_DIFFER = 0.01  # of the features in float32: a flipped spike changes some after it


class Size(NamedTuple):
    """Network and images."""

    arch: Any
    images: int
    height: int
    width: int
    device: str
    dtype: torch.dtype = torch.float32


def features(rival: bool, size: Size) -> Run:
    """Compute the last map [T, N, C, h, w] in eval mode, from random weights."""
    torch.manual_seed(0)
    model: Any = Spikformer(size.arch, neuron=OUR_NEURON, time_readout="none")
    for norm in model.modules():
        if isinstance(norm, torch.nn.modules.batchnorm._NormBase):
            # Random weights keep silent with the statistics of initialisation.
            torch.nn.init.constant_(norm.weight, 4.0)
    model = (assembled(model) if rival else model).to(size.device, size.dtype).eval()
    generator = torch.Generator().manual_seed(0)
    shape = (size.images, 3, size.height, size.width)
    image = torch.randn(shape, generator=generator).to(size.device, size.dtype)

    @torch.no_grad()
    def run() -> Tensor:
        return model(image)[0]

    return run


def same_features(size: Size) -> str:
    """Compare in float64 at a small size; count what differs in float32.

    Raises:
        AssertionError: If they differ in float64.
    """
    small = size._replace(arch=TINY, images=1, height=64, width=96)
    exact = small._replace(dtype=torch.float64)
    ours, theirs = (features(rival, exact)() for rival in (False, True))
    if not ours.any():
        raise AssertionError("a silent network: comparing it would mean nothing")
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    ours, theirs = (features(rival, small)() for rival in (False, True))
    differ = (ours != theirs).double().mean().item()
    if differ > MAY_DIFFER:
        raise AssertionError(f"{differ:.2%} of the features differ in float32")
    return f"small network: equal in float64, {differ:.2g} differ in float32"


def cases(device: str, quick: bool) -> list[Case]:
    """224x224, and 1333x800 padded to multiples of 32."""
    on_cuda = device == "cuda"
    if quick:
        sizes = {"tiny Spikformer": Size(TINY, 1, 64, 96, device)}
    else:
        sizes = {
            "Spikformer-8-512": Size("8-512", 32 if on_cuda else 1, 224, 224, device),
            "Spikformer-4-384": Size("4-384", 1, 800, 1344, device),
        }
    if on_cuda and not quick:
        sizes["Spikformer-8-512 for detection"] = Size("8-512", 1, 800, 1344, device)
    return [
        Case(
            f"{name}, {size.images} x 3 x {size.height} x {size.width}",
            {
                "ours": Side(partial(features, False)),
                "spikingjelly, assembled": Side(partial(features, True)),
            },
            size,
            size._replace(arch=TINY, images=1, height=32, width=32),
            check=partial(same_features, size),
            budget_s=12,
            rounds=(2, 20),
            items=(size.images, "images"),
            headline=True,
        )
        for name, size in sizes.items()
    ]

"""Effect of single optimisations of the network: each with and without it."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from harness import Case, Run, Side
from torch import Tensor, nn

from snnssl_mm.models.batch_norm import normalize, normalize_and_fire
from snnssl_mm.models.layers import halve, normalize_fire_and_halve
from snnssl_mm.neurons import MixedLIF

TITLE = "parts of the network with and without an optimisation"
STEPS = 4


class Size(NamedTuple):
    """Input ``[T, N, C, H, W]`` of a layer and where it lies."""

    samples: int
    channels: int
    pixels: int
    device: str


def maps(size: Size, steps: int = STEPS, last: bool = True) -> Tensor:
    """Make random maps [T, N, C, H, W], channels last or contiguous."""
    generator = torch.Generator(size.device).manual_seed(0)
    shape = (steps * size.samples, size.channels, size.pixels, size.pixels)
    x = torch.randn(shape, device=size.device, generator=generator)
    order = torch.channels_last if last else torch.contiguous_format
    frames = x.contiguous(memory_format=order)
    return frames.unflatten(0, (steps, size.samples)).requires_grad_()


def run_of(layer: object, x: Tensor) -> Run:
    """Make a run of ``layer`` forward and backward."""

    def run() -> tuple[Tensor, Tensor]:
        out = layer(x)  # type: ignore[operator]
        (grad,) = torch.autograd.grad(out, x, out.detach())
        return out.detach(), grad

    return run


def norm_and_neuron(fused: bool, size: Size) -> Run:
    """Batch norm and neuron, in one operator or as two layers."""
    norm, neuron = nn.BatchNorm2d(size.channels).to(size.device), MixedLIF()

    def layers(x: Tensor) -> Tensor:
        return neuron(normalize(norm, x))

    fused_layer = partial(normalize_and_fire, norm, neuron, time_steps=STEPS)
    return run_of(fused_layer if fused else layers, maps(size))


def first_stage(held: bool, size: Size) -> Run:
    """Batch norm and neuron of a still image: normalised once, or at every step."""
    norm, neuron = nn.BatchNorm2d(size.channels).to(size.device), MixedLIF()

    def layers(x: Tensor) -> Tensor:
        x = x if held else x.expand(STEPS, *x.shape[1:])
        return normalize_and_fire(norm, neuron, x, STEPS)

    return run_of(layers, maps(size, 1))


def pooling(ours: bool, size: Size) -> Run:
    """Max-pooling of spikes."""

    def stock(x: Tensor) -> Tensor:
        return F.max_pool2d(x.flatten(0, 1), 3, 2, 1).unflatten(0, x.shape[:2])

    spikes = (maps(size).detach() > 1).float().requires_grad_()
    return run_of(halve if ours else stock, spikes)


def norm_neuron_and_pooling(fused: bool, size: Size) -> Run:
    """Batch norm, neuron and max-pooling of its spikes, in one operator or in two."""
    norm, neuron = nn.BatchNorm2d(size.channels).to(size.device), MixedLIF()

    def operators(x: Tensor) -> Tensor:
        return halve(normalize_and_fire(norm, neuron, x, STEPS))

    one = partial(normalize_fire_and_halve, norm, neuron, time_steps=STEPS)
    return run_of(one if fused else operators, maps(size))


def convolution(last: bool, size: Size) -> Run:
    """A 3x3 convolution of spikes in either memory order."""
    torch.manual_seed(0)
    conv = nn.Conv2d(size.channels, 2 * size.channels, 3, padding=1, bias=False)
    conv = conv.to(size.device)
    spikes = (maps(size, last=last).detach() > 1).float().requires_grad_()
    return run_of(lambda x: conv(x.flatten(0, 1)), spikes)


PARTS = {
    "batch norm and neuron: one operator, two layers": norm_and_neuron,
    "first stage of a still image: held, repeated": first_stage,
    "max-pooling: a byte per output, F.max_pool2d": pooling,
    "batch norm, neuron and max-pooling: one operator, two": norm_neuron_and_pooling,
    "3x3 convolution: channels last, contiguous": convolution,
}


def cases(device: str, quick: bool) -> list[Case]:
    """Layers of Spikformer-4-384's stem at 32x32."""
    found = []
    for name, part in PARTS.items():
        what, _, ways = name.partition(": ")
        ours, other = ways.split(", ")
        size = Size(2, 8, 8, device) if quick else Size(32, 96, 32, device)
        case = Case(
            f"{what}, T={STEPS}, {size.samples}x{size.channels}x{size.pixels}x"
            f"{size.pixels} ({ours})",
            {ours: Side(partial(part, True)), other: Side(partial(part, False))},
            size,
            size._replace(samples=2, channels=8, pixels=8),
            tolerance=(1e-3, 1e-3),
            may_differ=1e-4,
            budget_s=6,
            headline=False,
        )
        found.append(case)
    return found

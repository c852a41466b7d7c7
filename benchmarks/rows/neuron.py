"""Neuron forward and backward, compared with spikingjelly's LIFNode."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from device_timing import Cuda, QueuedTimer
from harness import Case, Run, Side, digits
from rivals.neuron import OUR_NEURON, lif_multi_step, lif_node
from spikingjelly.activation_based import functional
from torch import Tensor

from snnssl_mm.neurons import MixedLIF

TITLE = "neuron, forward and backward"

# Neurons of one image in Spikformer-8-512 at 224x224: the stem's first layer, and the
# hidden layer of a block's perceptron.
LAYERS = {"stem": (64, 224, 224), "block": (2048, 14, 14)}
BYTES = {torch.float32: 20, torch.bfloat16: 10, torch.float16: 10}
"""A neuron-step's least traffic: input and spike, then input and both gradients."""


class Size(NamedTuple):
    """Input of a neuron."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    device: str


def forward_backward(neuron: Callable[[Tensor], Tensor], size: Size) -> Run:
    """Spikes, and the gradient of the input for a random one of the output."""
    generator = torch.Generator(size.device).manual_seed(0)
    options: Any = dict(device=size.device, dtype=size.dtype, generator=generator)
    x = torch.randn(size.shape, **options).requires_grad_()
    weight = torch.randn(size.shape, **options)

    def run() -> tuple[Tensor, Tensor]:
        spikes = neuron(x)
        (grad,) = torch.autograd.grad(spikes, x, weight)
        return spikes.detach(), grad

    return run


def ours(size: Size) -> Run:
    """MixedLIF."""
    return forward_backward(MixedLIF(**OUR_NEURON), size)


def stock(size: Size) -> Run:
    """LIFNode, which remembers and so has to be reset."""
    node = lif_node()

    def neuron(x: Tensor) -> Tensor:
        functional.reset_net(node)
        return node(x)

    return forward_backward(neuron, size)


def function(size: Size) -> Run:
    """LIFNode's function with a float32 state."""
    return forward_backward(lif_multi_step, size)


def copy_bandwidth(number: int = 2**28) -> float:
    """Bytes a second, read and written, of copying a large tensor on the device."""
    source = torch.empty(number, device="cuda")
    target = torch.empty_like(source)
    target.copy_(source)
    timer = QueuedTimer(lambda: target.copy_(source), Cuda())
    return 2 * 4 * number / min(timer().seconds for _ in range(5))


def share_of_bandwidth(
    size: Size, runs: dict[str, Run], medians: dict[str, float]
) -> dict[str, Any]:
    """How much of the bandwidth of copying the least traffic takes."""
    traffic = BYTES[size.dtype] * torch.Size(size.shape).numel()
    bandwidth = copy_bandwidth()
    return {
        name: {"percent_of_copy_bandwidth": digits(100 * traffic / seconds / bandwidth)}
        for name, seconds in medians.items()
    }


def cases(device: str, quick: bool) -> list[Case]:
    """Both layers, T = 4 and 16; on CUDA tensors of 400 MB and more, and 16 bits."""
    # Images times steps: at T = 16 as many neuron-steps as at 4.
    on_cuda = device == "cuda"
    frames = {"stem": 64, "block": 512} if on_cuda else {"stem": 16, "block": 64}
    dtypes = list(BYTES) if on_cuda else [torch.float32]
    found = []
    for layer, neurons in LAYERS.items():
        for steps in (4, 16):
            number = 1 if quick else frames[layer] // steps
            shape = (steps, number, *((8, 4, 4) if quick else neurons))
            for dtype in dtypes:
                half = dtype != torch.float32
                size = Size(shape, dtype, device)
                sides = {"ours": Side(ours), "spikingjelly": Side(stock)}
                if half:  # the module computes in half precision: other spikes
                    sides = {
                        "ours": Side(ours),
                        "spikingjelly, functional": Side(function),
                        "spikingjelly": Side(stock, compared=False),
                    }
                found.append(
                    Case(
                        f"{layer}, T={steps}, {'x'.join(map(str, shape[1:]))}, "
                        f"{str(dtype).removeprefix('torch.')}",
                        sides,
                        size,
                        size._replace(shape=(steps, 1, 8)),
                        tolerance=(2e-2, 2e-2) if half else (1e-4, 1e-5),
                        may_differ=1e-4 if half else 1e-6,
                        details=partial(share_of_bandwidth, size)
                        if device == "cuda"
                        else None,
                        headline=steps == 4,
                    )
                )
    return found

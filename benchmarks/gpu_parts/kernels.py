"""Layers alone, by replays of a CUDA graph, as share of the bandwidth of a copy.

Neither launches nor, with inputs of hundreds of megabytes, the L2 cache are measured.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from anatomy import kernel_times
from harness import digits
from shares import profiled
from torch import Tensor, nn

from gpu_parts.ceilings import copying
from gpu_parts.context import Context, Jobs, device_ms
from gpu_parts.graphs import captured
from snnssl_mm.models.batch_norm import normalize_and_fire
from snnssl_mm.models.layers import halve
from snnssl_mm.neurons import MixedLIF, set_path

STEPS = 4
SHAPES = (
    *((512, 96, 32), (512, 192, 32), (512, 384, 8), (512, 1536, 8)),
    *((64, 64, 224), (64, 128, 112), (64, 2048, 14)),
)
"""Samples, channels and pixels: both views of the steps' stages."""


class Layer(NamedTuple):
    """A layer's run, forward and backward, and its least traffic.

    Attributes:
        of: Makes the layer for a number of channels.
        passes: Reads and writes of a tensor of the input's size.
    """

    of: Callable[[int, str], Callable[[Tensor], Tensor]]
    passes: float


def fused(channels: int, device: str) -> Callable[[Tensor], Tensor]:
    """Batch norm and neuron in one unit."""
    norm = nn.BatchNorm2d(channels).to(device)
    neuron = MixedLIF()
    set_path(neuron, "dual")
    return partial(_unit, norm, neuron)


def _unit(norm: nn.Module, neuron: nn.Module, x: Tensor) -> Tensor:
    return normalize_and_fire(norm, neuron, x, STEPS)


def alone(channels: int, device: str) -> Callable[[Tensor], Tensor]:
    """The neuron."""
    neuron = MixedLIF()
    set_path(neuron, "dual")
    return neuron


def stock_norm(channels: int, device: str) -> Callable[[Tensor], Tensor]:
    """Torch's batch norm, for comparison."""
    norm = nn.BatchNorm2d(channels).to(device)
    return lambda x: norm(x.flatten(0, 1))


def stock_pool(channels: int, device: str) -> Callable[[Tensor], Tensor]:
    """Torch's max-pooling, for comparison."""
    return lambda x: F.max_pool2d(x.flatten(0, 1), 3, 2, 1)


def pool(channels: int, device: str) -> Callable[[Tensor], Tensor]:
    """Our max-pooling, where there is one."""
    return halve


LAYERS = {
    # Moments 1; forward 2; sums 2, gradient 3.
    "norm and neuron": Layer(fused, 8),
    "neuron": Layer(alone, 5),
    "torch's batch norm": Layer(stock_norm, 8),
    # Input, a quarter of it out; that and an index back, the input's gradient.
    "pooling": Layer(pool, 2.5),
    "torch's pooling": Layer(stock_pool, 2.5),
}


class Bandwidth:
    """Bandwidth of a copy, measured when it is first needed."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.found = 0.0

    def __call__(self) -> float:
        """Terabytes a second."""
        self.found = self.found or copying(self.context)["TB_s"]
        return self.found


def details(
    context: Context,
    layer: Layer,
    shape: tuple[int, int, int],
    dtype: torch.dtype,
    last: bool,
    copy: Bandwidth,
) -> dict[str, Any]:
    """Microseconds forward and backward, share of the copy, and of each kernel."""
    samples, channels, pixels = shape
    size = (STEPS * samples, channels, pixels, pixels)
    order = torch.channels_last if last else torch.contiguous_format
    frames = torch.randn(size, device=context.device).to(dtype, memory_format=order)
    x = frames.unflatten(0, (STEPS, samples)).requires_grad_()
    run = layer.of(channels, context.device)
    grad = torch.randn_like(run(x))

    def both_ways() -> Any:
        return torch.autograd.grad(run(x), x, grad)

    replay = captured(both_ways, context.device)
    ms = device_ms(replay, context.device)
    traffic = layer.passes * x.numel() * x.element_size()
    found: dict[str, Any] = {
        "us": digits(1e3 * ms),
        "of_copy": digits(traffic / ms / 1e9 / copy()),
    }
    if context.device == "cuda":
        largest = kernel_times(profiled(replay, context.device))["largest"]
        found["kernels_us"] = {name: digits(1e3 * ms) for name, ms, _ in largest}
    return found


def jobs(context: Context) -> Jobs:
    """Both data types in both layouts; what the steps use comes first."""
    copy = Bandwidth(context)
    for dtype in (torch.bfloat16, torch.float32):
        for last in (True, False):
            for shape in ((2, 16, 8),) if context.tiny else SHAPES:
                for name, layer in LAYERS.items():
                    where = "channels last" if last else "contiguous"
                    size = "x".join(map(str, (STEPS, *shape, shape[-1])))
                    job = partial(details, context, layer, shape, dtype, last, copy)
                    yield f"{name}, {size}, {str(dtype)[6:]}, {where}", job

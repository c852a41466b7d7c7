"""Time of the host for single calls, nothing waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from device_timing import Cuda, QueuedTimer
from harness import digits, seconds_of
from nvrtc import Nvrtc
from torch import nn

from gpu_parts.context import Context, Jobs
from gpu_parts.graphs import captured
from snnssl_mm.models.batch_norm import normalize, normalize_and_fire
from snnssl_mm.neurons import MixedLIF
from snnssl_mm.neurons.kernels.cuda_source import forward_launch

STEPS, CHANNELS = 4, 96


def host_us(context: Context, run: Callable[[], Any]) -> dict[str, float]:
    """Microseconds until the call returns, the least of some samples."""
    for _ in range(5):
        run()
    if context.device == "cpu":
        return {"us": digits(1e6 * min(seconds_of(run, 5, "cpu") for _ in range(3)))}
    timer = QueuedTimer(run, Cuda())
    return {"us": digits(1e6 * min(timer().host or 0.0 for _ in range(7)))}


def compile_seconds(context: Context) -> dict[str, float]:
    """Seconds of compiling the neuron's kernel, which no cache on the disk has.

    A step needs about ten kernels in each precision, once on a machine. A dry run has
    the compiler's wheel instead of cupy, for one architecture.
    """
    x = torch.empty(STEPS, 2, CHANNELS, 8, 8, device=context.device)
    launch = forward_launch(x, x, MixedLIF().config, "dual")
    options = (*launch.options, f"-DUNUSED_{time.time_ns()}")
    start = time.perf_counter()
    if context.device == "cpu":
        compiler = Nvrtc.find()
        assert compiler is not None
        compiler.compile(launch.name, options, "sm_90")
    else:
        from snnssl_mm.neurons.kernels.cupy import compiled_kernel

        compiled_kernel(launch.name, options)
    return {"s": digits(time.perf_counter() - start)}


def jobs(context: Context) -> Jobs:
    """A small operator, norm and neuron together and apart, a graph, a compilation."""
    device = context.device
    vector = torch.zeros(CHANNELS, device=device)
    norm, neuron = nn.BatchNorm2d(CHANNELS).to(device), MixedLIF()
    x = torch.randn(STEPS, 2, CHANNELS, 8, 8, device=device, requires_grad=True)
    grad = torch.randn_like(x)

    def fused() -> torch.Tensor:
        return normalize_and_fire(norm, neuron, x, STEPS)

    def apart() -> torch.Tensor:
        return neuron(normalize(norm, x))

    def add() -> torch.Tensor:
        return vector.add_(1)

    def both_ways(layer: Callable[[], torch.Tensor]) -> None:
        layer().backward(grad)

    calls: dict[str, Callable[[], Any]] = {
        "add_ of 96 numbers": add,
        "norm and neuron, forward": fused,
        "norm and neuron, forward and backward": partial(both_ways, fused),
        "norm, neuron, forward": apart,
        "norm, neuron, forward and backward": partial(both_ways, apart),
    }
    for name, call in calls.items():
        yield name, partial(host_us, context, call)
    number = 10 if context.tiny else 1000
    yield (
        "graph of 1,000 add_",
        lambda: host_us(context, captured(add, device, number)),
    )
    if device == "cuda" or Nvrtc.find():
        yield "compiling a kernel", partial(compile_seconds, context)

"""MixedLIF on CUDA: the kernels of the ``.cu`` files, compiled at run time by cupy.

cupy only compiles and launches. Memory belongs to torch's allocator, work goes to
torch's current stream on the tensor's device, and nothing waits for the GPU.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snnssl_mm.neurons.kernels.cuda_source import (
    Launch,
    backward_launch,
    forward_launch,
    kernel_source,
)
from snnssl_mm.neurons.kernels.layout import is_dense
from snnssl_mm.neurons.kernels.reference import LIFParameters

THREADS_PER_BLOCK = 256
BLOCKS_PER_MULTIPROCESSOR = 32  # enough to even out; threads then walk the rest


class Stream(NamedTuple):
    """All that cupy reads of a stream.

    Of cupy's own classes ``ExternalStream`` warns since version 14, and what
    ``Stream.from_external`` returns destroys torch's stream when it is collected.
    """

    ptr: int


@functools.cache
def compiled_kernel(name: str, options: tuple[str, ...]) -> Any:
    """Compile a kernel; cupy keeps one binary for each device that calls it.

    Raises:
        RuntimeError: With the compiler's whole output, if it refuses the source.
    """
    import cupy

    kernel = cupy.RawKernel(kernel_source(name), name, options)
    try:
        kernel.compile()
    except cupy.cuda.compiler.CompileException as error:
        raise RuntimeError(
            f"NVRTC could not compile {name} with {' '.join(options)}:\n{error}"
        ) from error
    return kernel


@functools.cache
def _most_blocks(device: torch.device) -> int:
    properties = torch.cuda.get_device_properties(device)
    return properties.multi_processor_count * BLOCKS_PER_MULTIPROCESSOR


def run(launch: Launch, device: torch.device) -> None:
    """Queue a launch on torch's current stream of ``device``."""
    # The guard also undoes what cupy does to the current device (cupy#6569).
    with torch.cuda.device(device):
        kernel = compiled_kernel(launch.name, launch.options)
        blocks = -(-launch.packs // THREADS_PER_BLOCK)
        kernel(
            (min(blocks, _most_blocks(device)),),
            (THREADS_PER_BLOCK,),
            launch.arguments,
            stream=Stream(torch.cuda.current_stream(device).cuda_stream),
        )


def _in_order_of(x: Tensor, grad: Tensor) -> Tensor:
    """``grad`` in the memory order of ``x``: itself if it already is, else a copy."""
    if grad.stride() == x.stride() and grad.dtype == x.dtype:
        return grad
    return torch.empty_like(x).copy_(grad)


def forward(x: Tensor, p: LIFParameters, path: str) -> Tensor:
    """Output of MixedLIF for a CUDA tensor ``x`` [T, N, ...] of at most 32 bits."""
    x = x.detach()
    x = x if is_dense(x) else x.contiguous()
    out = torch.empty_like(x)
    run(forward_launch(x, out, p, path), x.device)
    return out


def backward(grad: Tensor, x: Tensor, p: LIFParameters) -> Tensor:
    """Gradient with respect to ``x``, from that with respect to the output."""
    x = x.detach()
    x = x if is_dense(x) else x.contiguous()
    grad = _in_order_of(x, grad)  # named, because a launch keeps no tensor alive
    grad_x = torch.empty_like(x)
    run(backward_launch(grad, x, grad_x, p), x.device)
    return grad_x

"""MixedLIF and MixedILIF on CUDA: the kernels of the ``.cu`` files, compiled by cupy.

cupy only compiles and launches. Memory comes from torch's allocator, work goes to
torch's current stream on the tensor's device, and nothing synchronises with the GPU.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snnssl_mm.neurons.kernels import norm_source
from snnssl_mm.neurons.kernels.cuda_source import (
    VECTOR_BYTES,
    Launch,
    backward_launch,
    forward_launch,
    input_registers,
    kernel_source,
)
from snnssl_mm.neurons.kernels.layout import (
    channel_major,
    channels_last,
    empty_by_channel,
    empty_channels_last,
    empty_pooled,
    is_dense,
)
from snnssl_mm.neurons.kernels.norm_source import (
    GRADIENT_REGISTERS,
    NORM_REGISTERS,
    POOL_REGISTERS,
    Reduction,
    Walk,
)
from snnssl_mm.neurons.kernels.pooled_statistics import mean_over_processes
from snnssl_mm.neurons.kernels.reference import (
    LIFParameters,
    Normalization,
    RunningStatistics,
)

BLOCKS_PER_MULTIPROCESSOR = 32  # enough to even out; threads then walk the rest
REDUCING_BLOCKS_PER_MULTIPROCESSOR = 8  # fills it, and leaves few partial sums
COUNTERS = 1 << 14  # of blocks, one for each group of columns


class Stream(NamedTuple):
    """A CUDA stream as cupy reads it.

    cupy's own ``ExternalStream`` warns since version 14, and the result of
    ``Stream.from_external`` destroys torch's stream when it is garbage-collected.
    """

    ptr: int


@functools.cache
def compiled_kernel(name: str, options: tuple[str, ...]) -> Any:
    """Compile a kernel; cupy keeps one binary for each device that calls it.

    Raises:
        RuntimeError: If the compiler refuses the source; contains its full output.
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
def multiprocessors(device: torch.device) -> int:
    """Number of multiprocessors of ``device``."""
    return int(torch.cuda.get_device_properties(device).multi_processor_count)


def stream_of(device: torch.device) -> int:
    """Handle of torch's current stream of ``device``."""
    return int(torch.cuda.current_stream(device).cuda_stream)


def is_capturing(device: torch.device) -> bool:
    """Whether what is queued on ``device`` goes into a CUDA graph."""
    with torch.cuda.device(device):
        return bool(torch.cuda.is_current_stream_capturing())


def enqueue(launch: Launch, device: torch.device) -> None:
    """Queue a launch on torch's current stream of ``device``."""
    grid = launch.grid
    if isinstance(grid, int):
        most = multiprocessors(device) * BLOCKS_PER_MULTIPROCESSOR
        grid = (min(-(-grid // launch.threads), most), 1, 1)
    # The guard also undoes what cupy does to the current device (cupy#6569).
    with torch.cuda.device(device):
        kernel = compiled_kernel(launch.name, launch.options)
        kernel(
            grid,
            (launch.threads,),
            launch.arguments,
            stream=Stream(stream_of(device)),
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
    enqueue(forward_launch(x, out, p, path), x.device)
    return out


def backward(grad: Tensor, x: Tensor, p: LIFParameters) -> Tensor:
    """Gradient with respect to ``x``, from that with respect to the output."""
    x = x.detach()
    x = x if is_dense(x) else x.contiguous()
    grad = _in_order_of(x, grad)  # named, because a launch keeps no tensor alive
    grad_x = torch.empty_like(x)
    enqueue(backward_launch(grad, x, grad_x, p), x.device)
    return grad_x


def _reduction(x: Tensor, walk: Walk) -> Reduction:
    """Memory of a reduction over ``x``."""
    most = walk.grid[0]
    return Reduction(walk.sums_for(x), _counters(most, x.device))


_shared_counters: dict[tuple[torch.device, int], Tensor] = {}


def _counters(number: int, device: torch.device) -> Tensor:
    """Return at least ``number`` counters that are zero when the next kernel begins.

    Kernels of one stream follow each other, and each leaves its counters at zero, so
    they share them. A captured graph may run beside a stream and has its own.
    """
    if number > COUNTERS or is_capturing(device):
        return torch.zeros(number, dtype=torch.int32, device=device)
    key = (device, stream_of(device))
    if key not in _shared_counters:
        zeros = torch.zeros(COUNTERS, dtype=torch.int32, device=device)
        _shared_counters[key] = zeros
    return _shared_counters[key]


def batch_moments(
    x: Tensor, groups: int, running: RunningStatistics | None = None
) -> tuple[Tensor, Tensor]:
    """Mean and biased variance [G, C] of ``x`` [T, N, C, ...] in one kernel.

    With ``groups`` = 2 the first half of the samples and the second have their own.
    ``running`` follows the first group.
    """
    x = channel_major(x.detach())
    walk = _walk(x, groups, input_registers(x), x)
    shape = (groups, x.shape[2])
    mean, var = (x.new_empty(shape, dtype=torch.float32) for _ in range(2))
    reduction = _reduction(x, walk)  # named, because a launch keeps no tensor alive
    by_kernel = running if running is None or _is_kernels(running) else None
    launch = norm_source.moments_launch(x, (mean, var), by_kernel, reduction, walk)
    enqueue(launch, x.device)
    if running is not None and by_kernel is None:
        running.update(mean[0], var[0], x.numel() // (groups * x.shape[2]))
    return mean, var


def _is_kernels(running: RunningStatistics) -> bool:
    """Whether the kernel can update ``running``: float32, with a fixed momentum."""
    return running.momentum is not None and all(
        values.dtype == torch.float32 and values.is_contiguous()
        for values in (running.mean, running.var)
    )


def norm_forward(
    x: Tensor,
    norm: Normalization,
    steps: int,
    p: LIFParameters,
    path: str,
    pooled: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Output of a batch norm and MixedLIF, see :mod:`.ops`.

    With ``pooled`` it is max-pooled, and the second result says where the maxima were.
    """
    norm, halves = _as_read(norm), max(len(norm.mean), 2 if path == "dual" else 1)
    most = multiprocessors(x.device) * BLOCKS_PER_MULTIPROCESSOR
    if pooled:
        x = channels_last(x.detach())
        out = empty_pooled(x, steps, x.dtype)
        window = torch.empty_like(out, dtype=torch.uint8)
        registers = input_registers(x) + POOL_REGISTERS * steps
        written = (out, window)
        walk = _walk(out, halves, registers, x, *written, most=most, last=True)
        launch = norm_source.norm_pool_forward_launch(x, *written, norm, walk, p, path)
        enqueue(launch, x.device)
        return written
    x = channel_major(x.detach())
    out = empty_by_channel(x, steps, x.dtype)
    walk = _walk(x, halves, input_registers(out), x, out, most=most)
    enqueue(norm_source.norm_forward_launch(x, out, norm, walk, p, path), x.device)
    return out, None


def norm_backward(
    grad: Tensor,
    x: Tensor,
    norm: Normalization,
    p: LIFParameters,
    over_processes: bool = False,
    window: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the input, the weight and the bias, see :mod:`.ops`.

    Two kernels: ``norm_mixed_lif_sums`` gives S = sum G(y) and P = sum G(y) (x - mean)
    per channel, with G(y) the gradient of the batch norm's output, and G(bias) = S and
    G(weight) = rstd P. ``norm_mixed_lif_backward`` recomputes G(y) and gives G(x).
    Where the output was max-pooled, ``window`` says where the maxima were, and both
    gather the gradient of the full-size output.
    """
    norm, steps, pooled = _as_read(norm), grad.shape[0], window is not None
    if window is None:
        x = channel_major(x.detach())
        ordered = empty_by_channel(x, steps, x.dtype)
        grad_x = empty_by_channel(x, x.shape[0], x.dtype)
    else:
        x, window = channels_last(x.detach()), channels_last(window)
        ordered = empty_pooled(x, steps, x.dtype)
        grad_x = empty_channels_last(x, x.shape[0], x.shape[3:], x.dtype)
    if grad.stride() != ordered.stride() or grad.dtype != x.dtype:
        grad = ordered.copy_(grad)
    registers = 2 * steps  # the membranes, and x and grad
    groups, channels = norm.mean.shape
    read = (grad, x, grad_x, *([] if window is None else [window]))
    kept = GRADIENT_REGISTERS
    walk = _walk(x, groups, registers, *read, of_channel=kept, last=pooled)
    shapes = ((groups, 2, channels), (channels,), (channels,))
    totals, grad_weight, grad_bias = (
        x.new_empty(shape, dtype=torch.float32) for shape in shapes
    )
    results = (totals, grad_weight, grad_bias)
    reduction, common = _reduction(x, walk), (norm, walk, p)
    launch = norm_source.sums_launch(grad, window, x, results, reduction, *common)
    enqueue(launch, x.device)
    count = x.numel() // (channels * groups)
    share = 1 / count if norm.from_batch else 0.0
    if over_processes:
        totals, share = mean_over_processes(totals, count), 1.0
    last = (grad_x, totals, share)
    launch = norm_source.norm_backward_launch(grad, window, x, *last, *common)
    enqueue(launch, x.device)
    return grad_x, grad_weight, grad_bias


def _walk(
    x: Tensor,
    halves: int,
    registers: float,
    *tensors: Tensor,
    most: int | None = None,
    of_channel: int = NORM_REGISTERS,
    last: bool = False,
) -> Walk:
    """Plan a walk over ``x`` by ``most`` blocks; by those of a reduction if None."""
    if most is None:
        most = multiprocessors(x.device) * REDUCING_BLOCKS_PER_MULTIPROCESSOR
    # Of places, a byte each, as aligned as a pack of ``x`` needs them.
    addresses = tuple(
        t.data_ptr() * (x.element_size() if t.dtype == torch.uint8 else 1)
        for t in tensors
    )
    return Walk.over(x, halves, registers, addresses, most, of_channel, last)


def _as_read(norm: Normalization) -> Normalization:
    """``norm`` as the kernels read it: float32, contiguous, aligned for vectors."""

    def ready(values: Tensor) -> Tensor:
        if values.dtype != torch.float32 or not values.is_contiguous():
            values = values.detach().float().contiguous()
        return values.detach().clone() if values.data_ptr() % VECTOR_BYTES else values

    mean, var, weight, bias = map(ready, norm[:4])
    return Normalization(mean, var, weight, bias, norm.eps, norm.from_batch)

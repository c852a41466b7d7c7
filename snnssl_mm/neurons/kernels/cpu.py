"""MixedLIF on the CPU: one fused pass over memory, on all of torch's threads.

A thread takes a stretch of neurons and walks a cache-sized block of it through all
time steps. The membrane lives in the block's scratch memory, always in float32. The
backward pass computes it again from the input instead of reading a saved one: that
costs less than the traffic. A batch norm before the neuron joins the same passes, so
that its output never exists in memory.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

from snnssl_mm.neurons.kernels import cpu_loops as loops
from snnssl_mm.neurons.kernels.cpu_loops import FAMILIES, ZERO, jit
from snnssl_mm.neurons.kernels.layout import (
    channel_major,
    channel_run,
    empty_by_channel,
    empty_step_major,
    step_major,
    steps_by_neurons,
)
from snnssl_mm.neurons.kernels.reference import LIFParameters, Normalization

BLOCK = 1024  # neurons; the scratch of T = 8 steps then fits a 32 KiB L1 cache
CHUNKS_PER_THREAD = 4  # evens out threads that a busy machine slows down

# The compiled kernels stay on disk between processes. numba finds them again only if
# their closures hold plain numbers, not functions; so the surrogate is a number too.
parallel = functools.partial(njit, parallel=True, cache=True, error_model="numpy")


@jit
def of_block(values, low, size, channels, run, buffer):  # type: ignore[no-untyped-def]
    """Per-channel ``values`` for the neurons from ``low`` on, one each.

    ``run`` neighbours share a channel. With run = 1 (channels last) ``values`` holds
    the channels over and over, and this is a view.
    """
    if run == 1:
        first = low % channels
        return values[first : first + size]
    done = 0
    while done < size:
        stretch = min(run - (low + done) % run, size - done)
        buffer[done : done + stretch] = values[(low + done) // run % channels]
        done += stretch
    return buffer[:size]


@jit
def add_by_channel(block, low, norm, sums):  # type: ignore[no-untyped-def]
    """Add what the neurons of a block have gathered to the ``sums`` of their channels."""
    _, _, _, channels, run = norm
    done = 0
    while done < block.size:
        channel = (low + done) // run % channels
        if run == 1:
            stretch = min(channels - channel, block.size - done)
            for i in range(stretch):
                sums[channel + i] += block[done + i]
        else:
            stretch = min(run - (low + done) % run, block.size - done)
            total = ZERO
            for i in range(stretch):
                total += block[done + i]
            sums[channel] += total
        done += stretch


@jit
def norm_of_block(norm, low, size, buffers):  # type: ignore[no-untyped-def]
    """Mean, scale and bias of a batch norm for a block of neurons."""
    mean, scale, bias, channels, run = norm
    return (
        of_block(mean, low, size, channels, run, buffers[0]),
        of_block(scale, low, size, channels, run, buffers[1]),
        of_block(bias, low, size, channels, run, buffers[2]),
    )


@jit
def split(begin, end, chunk, chunks):  # type: ignore[no-untyped-def]
    """Bounds of one of ``chunks`` even parts of the neurons ``begin`` to ``end``."""
    size = end - begin
    return begin + size * chunk // chunks, begin + size * (chunk + 1) // chunks


@functools.cache
def forward_kernel(family: int, analog: bool, normalized: bool) -> Callable[..., None]:
    """Compile the kernel that fills ``out`` for the neurons ``begin`` to ``end``.

    ``x`` and ``out`` are float32 [T, neurons], ``x`` also [1, neurons] for an input
    that stays the same. The arguments here are constants to the compiler.
    """

    @parallel()
    def kernel(x, out, begin, end, chunks, neuron, norm):  # type: ignore[no-untyped-def]
        for chunk in prange(chunks):
            first, last = split(begin, end, chunk, chunks)
            scratch = np.empty((6, BLOCK), np.float32)
            for low in range(first, last, BLOCK):
                size = min(BLOCK, last - low)
                u, v, y = scratch[0, :size], scratch[1, :size], scratch[2, :size]
                if normalized:
                    mean, scale, bias = norm_of_block(norm, low, size, scratch[3:])
                v[:] = neuron[2]
                for t in range(out.shape[0]):
                    if t < x.shape[0]:
                        current = x[t, low : low + size]
                        if normalized:
                            loops.normalize(current, mean, scale, bias, y)
                            current = y
                    loops.integrate(v, current, u, neuron)
                    out_t = out[t, low : low + size]
                    if analog:
                        loops.emit(u, out_t, neuron, family)
                    else:
                        loops.fire(u, out_t, neuron)

    return kernel


@functools.cache
def backward_kernel(
    family: int, detach_reset: bool, normalized: bool
) -> Callable[..., None]:
    """Compile the kernel that fills ``grad_x`` for the neurons ``begin`` to ``end``.

    ``grad`` and ``x`` are float32 [T, neurons]. ``grad_x`` has the shape of ``x``, and
    may be ``grad`` itself; if ``x`` is [1, neurons] it is summed over time.
    With ``normalized`` it is the gradient after the batch norm, and ``sums`` [chunks,
    2, C] in float64 takes its sum over a channel's neurons and that of its products
    with x - mean.
    """

    @parallel()
    def kernel(grad, x, grad_x, begin, end, chunks, neuron, norm, sums):  # type: ignore[no-untyped-def]
        steps, held = grad.shape[0], x.shape[0] < grad.shape[0]
        for chunk in prange(chunks):
            first, last = split(begin, end, chunk, chunks)
            membranes = np.empty((steps, BLOCK), np.float32)
            scratch = np.empty((8, BLOCK), np.float32)
            for low in range(first, last, BLOCK):
                size = min(BLOCK, last - low)
                v, y, total = scratch[0, :size], scratch[1, :size], scratch[2, :size]
                if normalized:
                    mean, scale, bias = norm_of_block(norm, low, size, scratch[3:])
                v[:] = neuron[2]
                for t in range(steps):
                    if t < x.shape[0]:
                        current = x[t, low : low + size]
                        if normalized:
                            loops.normalize(current, mean, scale, bias, y)
                            current = y
                    loops.integrate(v, current, membranes[t, :size], neuron)
                grad_v = v
                grad_v[:] = ZERO
                total[:] = ZERO
                plain, products = scratch[6, :size], scratch[7, :size]
                plain[:] = ZERO
                products[:] = ZERO
                for t in range(steps - 1, -1, -1):
                    target = y if held else grad_x[t, low : low + size]
                    loops.propagate(
                        membranes[t, :size],
                        grad[t, low : low + size],
                        grad_v,
                        target,
                        neuron,
                        family,
                        detach_reset,
                    )
                    if held:
                        loops.add(target, total)
                    elif normalized:
                        x_t = x[t, low : low + size]
                        loops.accumulate(target, x_t, mean, plain, products)
                if held:
                    grad_x[0, low : low + size] = total
                    if normalized:
                        x_t = x[0, low : low + size]
                        loops.accumulate(total, x_t, mean, plain, products)
                if normalized:
                    add_by_channel(plain, low, norm, sums[chunk, 0])
                    add_by_channel(products, low, norm, sums[chunk, 1])

    return kernel


@functools.cache
def statistics_kernel() -> Callable[..., None]:
    """Compile the kernel that adds up x - shift and its square for each channel.

    ``x`` is float32 [T, neurons], ``norm`` holds the shift, one value a channel, in
    the place of the mean; ``sums`` [chunks, 2, C] is float64.
    """

    @parallel()
    def kernel(x, begin, end, chunks, norm, sums):  # type: ignore[no-untyped-def]
        for chunk in prange(chunks):
            first, last = split(begin, end, chunk, chunks)
            scratch = np.empty((5, BLOCK), np.float32)
            for low in range(first, last, BLOCK):
                size = min(BLOCK, last - low)
                shift, _, _ = norm_of_block(norm, low, size, scratch)
                plain, squares = scratch[3, :size], scratch[4, :size]
                plain[:] = ZERO
                squares[:] = ZERO
                for t in range(x.shape[0]):
                    loops.add_moments(x[t, low : low + size], shift, plain, squares)
                add_by_channel(plain, low, norm, sums[chunk, 0])
                add_by_channel(squares, low, norm, sums[chunk, 1])

    return kernel


@functools.cache
def denormalize_kernel() -> Callable[..., None]:
    """Compile the kernel that turns ``grad`` after a batch norm into that before it.

    In place; all float32 [T, neurons]. ``norm`` holds the mean, the scale and, in the
    place of the bias, the factor ``slope`` of x - mean; ``offset`` has its layout too.
    """

    @parallel()
    def kernel(grad, x, begin, end, chunks, norm, offset):  # type: ignore[no-untyped-def]
        _, _, _, channels, run = norm
        for chunk in prange(chunks):
            first, last = split(begin, end, chunk, chunks)
            scratch = np.empty((4, BLOCK), np.float32)
            for low in range(first, last, BLOCK):
                size = min(BLOCK, last - low)
                mean, scale, slope = norm_of_block(norm, low, size, scratch)
                shift = of_block(offset, low, size, channels, run, scratch[3])
                for t in range(x.shape[0]):
                    loops.denormalize(
                        grad[t, low : low + size],
                        x[t, low : low + size],
                        mean,
                        scale,
                        shift,
                        slope,
                    )

    return kernel


def _neuron(p: LIFParameters) -> tuple[Any, ...]:
    rest = 0.0 if p.v_reset is None else p.v_reset
    values = (p.tau, p.v_threshold, rest, p.surrogate.width)
    return (*(np.float32(value) for value in values), p.v_reset is None, p.decay_input)


def _chunks() -> int:
    threads = min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)
    numba.set_num_threads(threads)
    return threads * CHUNKS_PER_THREAD


def _as_float32(x: Tensor) -> Tensor:
    return step_major(x.detach()).float()


def _norm_arguments(x: Tensor, *values: Tensor) -> tuple[Any, ...]:
    """What the kernels take as ``norm``: [C] float32 values, C, neighbours a channel."""
    channels, run = x.shape[2], channel_run(x)
    repeats = 1 + -(-BLOCK // channels) if run == 1 else 1
    arrays = (v.detach().float().repeat(repeats).numpy() for v in values)
    return (*arrays, channels, run)


NO_VALUES = np.zeros(1, np.float32)
NO_NORM = (NO_VALUES, NO_VALUES, NO_VALUES, 1, 1)
NO_SUMS = np.zeros((1, 2, 1))


class Part(NamedTuple):
    """Samples that are treated alike: their neurons, their path, their batch norm."""

    begin: int
    end: int
    analog: bool
    norm: tuple[Any, ...]
    group: int


def _parts(x: Tensor, path: str, norm: Normalization | None) -> Iterator[Part]:
    """Split into halves where the path or the statistics differ between them."""
    neurons = x[0].numel()
    groups = 1 if norm is None else len(norm.mean)
    count = max(groups, 2 if path == "dual" else 1)
    for index in range(count):
        group = index * groups // count
        arguments = NO_NORM
        if norm is not None:
            scale = norm.rstd[group] * norm.weight
            arguments = _norm_arguments(x, norm.mean[group], scale, norm.bias)
        yield Part(
            neurons * index // count,
            neurons * (index + 1) // count,
            path == "analog" or (path == "dual" and index == 1),
            arguments,
            group,
        )


def forward(x: Tensor, p: LIFParameters, path: str) -> Tensor:
    """Output of MixedLIF for a CPU tensor ``x`` [T, N, ...] of at most 32 bits."""
    dense = _as_float32(x)
    out = empty_step_major(dense, torch.float32)
    _fill(out, dense, p, path, None)
    return out.to(x.dtype)


def backward(grad: Tensor, x: Tensor, p: LIFParameters) -> Tensor:
    """Gradient with respect to ``x``, from that with respect to the output."""
    dense = _as_float32(x)
    if grad.stride() == dense.stride() and grad.dtype == torch.float32:
        grad_dense, grad_x = grad, empty_step_major(dense, torch.float32)
    else:  # into a copy's own memory
        grad_dense = grad_x = torch.empty_like(dense).copy_(grad)
    arrays = (steps_by_neurons(a).numpy() for a in (grad_dense, dense, grad_x))
    kernel = backward_kernel(FAMILIES[p.surrogate.name], p.detach_reset, False)
    neurons = dense[0].numel()
    kernel(*arrays, 0, neurons, _chunks(), _neuron(p), NO_NORM, NO_SUMS)
    return grad_x.to(x.dtype)


def batch_moments(x: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Mean and biased variance [G, C] of ``x`` [T, N, C, ...], see :mod:`.ops`."""
    dense = channel_major(x.detach()).float()
    flat = steps_by_neurons(dense).numpy()
    shift = dense.select(1, 0)[0].flatten(1)[:, 0].contiguous()
    norm = _norm_arguments(dense, shift, shift, shift)
    neurons, chunks, channels = flat.shape[1], _chunks(), dense.shape[2]
    moments = []
    for group in range(groups):
        begin, end = neurons * group // groups, neurons * (group + 1) // groups
        sums = np.zeros((chunks, 2, channels))
        statistics_kernel()(flat, begin, end, chunks, norm, sums)
        count = flat.shape[0] * (end - begin) // channels
        mean, square = torch.from_numpy(sums.sum(0) / count)
        moments.append((shift + mean, (square - mean.square()).clamp(min=0)))
    means, variances = zip(*moments, strict=True)
    return torch.stack(means).float(), torch.stack(variances).float()


def norm_forward(
    x: Tensor, norm: Normalization, steps: int, p: LIFParameters, path: str
) -> Tensor:
    """Output of a batch norm and MixedLIF, see :mod:`.ops`."""
    dense = channel_major(x.detach()).float()
    out = empty_by_channel(dense, steps, torch.float32)
    _fill(out, dense, p, path, norm)
    return out.to(x.dtype)


def norm_backward(
    grad: Tensor, x: Tensor, norm: Normalization, p: LIFParameters
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the input, the weight and the bias, see :mod:`.ops`."""
    dense = channel_major(x.detach()).float()
    ordered = empty_by_channel(dense, grad.shape[0], torch.float32)
    if grad.stride() == ordered.stride() and grad.dtype == torch.float32:
        ordered = grad
    else:
        ordered.copy_(grad)
    grad_x = empty_by_channel(dense, dense.shape[0], torch.float32)
    arrays = [steps_by_neurons(a).numpy() for a in (ordered, dense, grad_x)]
    kernel = backward_kernel(FAMILIES[p.surrogate.name], p.detach_reset, True)
    chunks, channels = _chunks(), dense.shape[2]
    grad_weight, grad_bias = torch.zeros(2, channels, dtype=torch.float64)
    for part in _parts(dense, "spike", norm):
        bounds = (part.begin, part.end, chunks)
        sums = np.zeros((chunks, 2, channels))
        kernel(*arrays, *bounds, _neuron(p), part.norm, sums)
        plain, products = torch.from_numpy(sums.sum(0))
        mean, rstd = norm.mean[part.group], norm.rstd[part.group]
        grad_weight += products * rstd
        grad_bias += plain
        # The mean and the variance depend on x too, if they are those of the batch.
        count = dense.shape[0] * (part.end - part.begin) // channels
        share = 1 / count if norm.from_batch else 0.0
        slope = products * rstd.double().square() * share
        values = _norm_arguments(dense, mean, rstd * norm.weight, slope)
        offset = _norm_arguments(dense, plain * share)[0]
        denormalize_kernel()(arrays[2], arrays[1], *bounds, values, offset)
    return grad_x.to(x.dtype), grad_weight.float(), grad_bias.float()


def _fill(
    out: Tensor, x: Tensor, p: LIFParameters, path: str, norm: Normalization | None
) -> None:
    """Compute ``out`` from ``x``, dense and of the same order."""
    arrays = [steps_by_neurons(a).numpy() for a in (x, out)]
    for part in _parts(x, path, norm):
        # A spike is the same with every surrogate.
        family = FAMILIES[p.surrogate.name if part.analog else "rectangle"]
        kernel = forward_kernel(family, part.analog, norm is not None)
        kernel(*arrays, part.begin, part.end, _chunks(), _neuron(p), part.norm)

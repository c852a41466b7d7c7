"""MixedLIF on the CPU: one fused pass over memory, on all of torch's threads.

The membrane lives in cache-sized scratch memory, always in float32. The backward pass
recomputes it from the input instead of reading a saved one: that costs less than the
memory traffic. A batch norm in front of the neuron is fused into the same passes, so
that its output is never written to memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numba
import numpy as np
import torch
from torch import Tensor

from snnssl_mm.neurons.kernels.compile_notice import announce_compilation
from snnssl_mm.neurons.kernels.cpu_kernels import (
    BLOCK,
    FAMILIES,
    ChannelValues,
    NeuronValues,
    backward_kernel,
    denormalize_kernel,
    forward_kernel,
    statistics_kernel,
)
from snnssl_mm.neurons.kernels.layout import (
    channel_major,
    channel_run,
    empty_by_channel,
    empty_step_major,
    step_major,
    steps_by_neurons,
)
from snnssl_mm.neurons.kernels.reference import LIFParameters, Normalization

announce_compilation()
CHUNKS_PER_THREAD = 4  # evens out threads that a busy machine slows down


def _neuron_values(p: LIFParameters) -> NeuronValues:
    rest = 0.0 if p.v_reset is None else p.v_reset
    return NeuronValues(
        tau=np.float32(p.tau),
        theta=np.float32(p.v_threshold),
        rest=np.float32(rest),
        width=np.float32(p.surrogate.width),
        soft_reset=p.v_reset is None,
        decay_input=p.decay_input,
    )


def chunk_count() -> int:
    """Set numba's threads to torch's; return into how many chunks to cut the work."""
    asked = torch.get_num_threads()
    threads = min(asked, numba.config.NUMBA_NUM_THREADS)
    numba.set_num_threads(threads)
    # Starting its threads, numba sets OpenMP's number of them, which is torch's too.
    if torch.get_num_threads() != asked:
        torch.set_num_threads(asked)
    return threads * CHUNKS_PER_THREAD


def _as_float32(x: Tensor) -> Tensor:
    return step_major(x.detach()).float()


def _channel_values(x: Tensor, *values: Tensor) -> ChannelValues:
    """Arrange per-channel ``values`` [C] each for the memory order of ``x``.

    Channels-last kernels work on stretches that end with the period. With few channels
    the period therefore holds several copies of them, about BLOCK values; the rows are
    BLOCK longer than it, so that a block that starts anywhere in it is one copy.
    """
    channels, run = x.shape[2], channel_run(x)
    period, length = channels, channels
    if run == 1:
        period *= max(1, BLOCK // channels)
        length = period + BLOCK
    # Copies: a tensor that NumPy has seen cannot be resized, as FSDP does with weights.
    copies = [v.detach().to(torch.float32, copy=True).numpy() for v in values]
    rows = [np.resize(copy, length) for copy in copies]
    return ChannelValues(np.stack(rows), period, run)


def _by_channel(sums: np.ndarray, channels: int) -> Tensor:
    """Add up ``sums`` [chunks, 2, period] to [2, C]."""
    return torch.from_numpy(sums.sum(0).reshape(2, -1, channels).sum(1))


NO_NORM = ChannelValues(np.zeros((1, 1), np.float32), 1, 1)
NO_SUMS = np.zeros((1, 2, 1))
"""What kernels without a batch norm get, and never read."""


class Part(NamedTuple):
    """Samples that share the path and the statistics of the batch norm.

    Attributes:
        begin: First of their neurons in a time step.
        end: One past the last.
        analog: Whether they take the analog path.
        norm: Values of the batch norm, see :func:`_channel_values`.
        group: Index of their statistics in the Normalization.
    """

    begin: int
    end: int
    analog: bool
    norm: ChannelValues
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
            arguments = _channel_values(x, norm.mean[group], scale, norm.bias)
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
    if grad.stride() != dense.stride() or grad.dtype != torch.float32:
        grad = torch.empty_like(dense).copy_(grad)
    grad_x = empty_step_major(dense, torch.float32)
    arrays = (steps_by_neurons(a).numpy() for a in (grad, dense, grad_x))
    kernel = backward_kernel(FAMILIES[p.surrogate.name], p.detach_reset, False)
    neurons = dense[0].numel()
    kernel(*arrays, 0, neurons, chunk_count(), _neuron_values(p), NO_NORM, NO_SUMS)
    return grad_x.to(x.dtype)


def batch_moments(x: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Mean and biased variance [G, C] of ``x`` [T, N, C, ...], see :mod:`.ops`."""
    dense = channel_major(x.detach()).float()
    flat = steps_by_neurons(dense).numpy()
    # Near the mean: that of one position, over the samples.
    by_group = dense[0].reshape(groups, dense.shape[1] // groups, dense.shape[2], -1)
    shifts = by_group[..., 0].mean(1)
    neurons, chunks, channels = flat.shape[1], chunk_count(), dense.shape[2]
    moments = []
    for group, shift in enumerate(shifts):
        norm = _channel_values(dense, shift)
        begin, end = neurons * group // groups, neurons * (group + 1) // groups
        sums = np.zeros((chunks, 2, norm.period))
        statistics_kernel()(flat, begin, end, chunks, norm, sums)
        count = flat.shape[0] * (end - begin) // channels
        mean, square = _by_channel(sums, channels) / count
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
    """Gradients of the input, the weight and the bias, see :mod:`.ops`.

    Two passes. The first recomputes the membranes, writes G(y), the gradient of the
    batch norm's output, and sums S = sum G(y) and P = sum G(y) (x - mean) per channel;
    then G(bias) = S, G(weight) = rstd P. The second turns G(y) into G(x) in place, see
    :func:`.cpu_kernels.denormalize`. Each group of samples with statistics of its own
    has its own S and P.
    """
    dense = channel_major(x.detach()).float()
    ordered = empty_by_channel(dense, grad.shape[0], torch.float32)
    if grad.stride() == ordered.stride() and grad.dtype == torch.float32:
        ordered = grad
    else:
        ordered.copy_(grad)
    grad_x = empty_by_channel(dense, dense.shape[0], torch.float32)
    arrays = [steps_by_neurons(a).numpy() for a in (ordered, dense, grad_x)]
    kernel = backward_kernel(FAMILIES[p.surrogate.name], p.detach_reset, True)
    chunks, channels = chunk_count(), dense.shape[2]
    grad_weight, grad_bias = torch.zeros(2, channels, dtype=torch.float64)
    for part in _parts(dense, "spike", norm):
        bounds = (part.begin, part.end, chunks)
        sums = np.zeros((chunks, 2, part.norm.period))
        kernel(*arrays, *bounds, _neuron_values(p), part.norm, sums)
        plain, products = _by_channel(sums, channels)
        mean, rstd = norm.mean[part.group], norm.rstd[part.group]
        grad_weight += products * rstd
        grad_bias += plain
        # Mean and variance of the batch depend on x; running ones do not (1 / M = 0).
        count = dense.shape[0] * (part.end - part.begin) // channels
        share = 1 / count if norm.from_batch else 0.0
        slope = products * rstd.double().square() * share
        values = (mean, rstd * norm.weight, slope, plain * share)
        spread = _channel_values(dense, *values)
        denormalize_kernel()(arrays[2], arrays[1], *bounds, spread)
    return grad_x.to(x.dtype), grad_weight.float(), grad_bias.float()


def _fill(
    out: Tensor, x: Tensor, p: LIFParameters, path: str, norm: Normalization | None
) -> None:
    """Compute ``out`` from ``x``; both are dense and in the same memory order."""
    arrays = [steps_by_neurons(a).numpy() for a in (x, out)]
    neuron = _neuron_values(p)
    for part in _parts(x, path, norm):
        # A spike is the same with every surrogate.
        family = FAMILIES[p.surrogate.name if part.analog else "rectangle"]
        kernel = forward_kernel(family, part.analog, norm is not None)
        kernel(*arrays, part.begin, part.end, chunk_count(), neuron, part.norm)

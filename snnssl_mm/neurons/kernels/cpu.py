"""MixedLIF and MixedILIF on the CPU: one fused pass over memory, on torch's threads.

The membrane lives in cache-sized scratch memory, always in float32. The backward pass
recomputes it from the input instead of reading a saved one: that costs less than the
memory traffic. A batch norm in front of the neuron is fused into the same passes, so
that its output is never written to memory.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numba
import numpy as np
import torch
from torch import Tensor

from snnssl_mm.neurons.kernels.compile_notice import announce_compilation
from snnssl_mm.neurons.kernels.cpu_kernels import (
    BLOCK,
    FAMILIES,
    SURROGATES,
    ChannelValues,
    NeuronValues,
    Windows,
    backward_kernel,
    denormalize_kernel,
    forward_kernel,
    pooled_forward_kernel,
    statistics_kernel,
)
from snnssl_mm.neurons.kernels.layout import (
    channel_major,
    channel_run,
    channels_last,
    empty_by_channel,
    empty_channels_last,
    empty_pooled,
    empty_step_major,
    step_major,
    steps_by_neurons,
)
from snnssl_mm.neurons.kernels.pooled_statistics import mean_over_processes
from snnssl_mm.neurons.kernels.reference import (
    LIFParameters,
    Normalization,
    RunningStatistics,
)

announce_compilation()
CHUNKS_PER_THREAD = 4  # evens out threads that a busy machine slows down


@functools.cache
def _neuron_values(p: LIFParameters) -> NeuronValues:
    rest = 0.0 if p.v_reset is None else p.v_reset
    return NeuronValues(
        tau=np.float32(p.tau),
        theta=np.float32(p.v_threshold),
        rest=np.float32(rest),
        width=np.float32(p.surrogate.width),
        by_tau=np.float32(1) / np.float32(p.tau),
        by_theta=np.float32(1) / np.float32(p.v_threshold),
        by_width=np.float32(1) / np.float32(p.surrogate.width),
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


def _channel_values(x: Tensor, parts: int, *values: Tensor) -> ChannelValues:
    """Arrange per-channel ``values`` [C] or [G, C] each, for ``parts`` of the samples.

    They are copied: a tensor that NumPy has seen cannot be resized, as FSDP does with
    weights.
    """
    rows = [value.detach().float().expand(parts, -1) for value in values]
    return ChannelValues(torch.stack(rows, 1).numpy(), channel_run(x))


def _without_norm(parts: int) -> ChannelValues:
    """Return what kernels without a batch norm get, and never read."""
    return ChannelValues(np.zeros((parts, 1, BLOCK), np.float32), 1)


NO_SUMS = np.zeros((1, 1, 2, 1))
NO_WINDOWS = Windows(np.zeros((1, 1), np.uint8), 1, 1)
"""Likewise, without a max-pooling."""


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
    kernel = _backward_kernel(p, normalized=False)
    unused = (_without_norm(1), NO_SUMS, NO_WINDOWS)
    kernel(*arrays, chunk_count(), _neuron_values(p), *unused)
    return grad_x.to(x.dtype)


def batch_moments(
    x: Tensor, groups: int, running: RunningStatistics | None = None
) -> tuple[Tensor, Tensor]:
    """Mean and biased variance [G, C] of ``x`` [T, N, C, ...].

    With ``groups`` = 2 the first half of the samples and the second have their own.
    ``running`` follows the first group.
    """
    dense = channel_major(x.detach()).float()
    flat = steps_by_neurons(dense).numpy()
    # Near the mean: that of one position, over the samples.
    by_group = dense[0].reshape(groups, dense.shape[1] // groups, dense.shape[2], -1)
    shift = _channel_values(dense, groups, by_group[..., 0].mean(1))
    chunks, channels = chunk_count(), dense.shape[2]
    sums = np.zeros((groups, chunks, 2, channels))
    statistics_kernel()(flat, chunks, shift, sums)
    count = flat.size // (groups * channels)
    apart, square = sums.sum(1).swapaxes(0, 1) / count
    variance = np.maximum(square - apart**2, 0)
    values = np.stack([shift.values[:, 0] + apart, variance]).astype(np.float32)
    mean, var = torch.from_numpy(values)
    if running is not None:
        running.update(mean[0], var[0], count)
    return mean.clone(), var.clone()  # operators return tensors of their own


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
    if pooled:
        dense = channels_last(x.detach()).float()
        out = empty_pooled(dense, steps, torch.float32)
        window = torch.empty_like(out, dtype=torch.uint8)
        _fill_pooled(out, window, dense, p, path, norm)
        return out.to(x.dtype), window
    dense = channel_major(x.detach()).float()
    out = empty_by_channel(dense, steps, torch.float32)
    _fill(out, dense, p, path, norm)
    return out.to(x.dtype), None


def norm_backward(
    grad: Tensor,
    x: Tensor,
    norm: Normalization,
    p: LIFParameters,
    over_processes: bool = False,
    window: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the input, the weight and the bias, see :mod:`.ops`.

    Two passes. The first recomputes the membranes, writes G(y), the gradient of the
    batch norm's output, and sums S = sum G(y) and P = sum G(y) (x - mean) per channel;
    then G(bias) = S, G(weight) = rstd P. The second turns G(y) into G(x) in place, see
    :func:`.cpu_kernels.denormalize`. Each group of samples with statistics of its own
    has its own S and P. Where the output was max-pooled, ``window`` says where the
    maxima were, and the first pass gathers the gradient of the full-size output.
    """
    steps, windows = grad.shape[0], NO_WINDOWS
    if window is None:
        dense = channel_major(x.detach()).float()
        ordered = empty_by_channel(dense, steps, torch.float32)
        grad_x = empty_by_channel(dense, dense.shape[0], torch.float32)
    else:
        dense = channels_last(x.detach()).float()
        ordered = empty_pooled(dense, steps, torch.float32)
        sides = dense.shape[3:]
        grad_x = empty_channels_last(dense, dense.shape[0], sides, torch.float32)
        places = steps_by_neurons(channels_last(window)).numpy()
        windows = Windows(places, *sides)
    if grad.stride() == ordered.stride() and grad.dtype == torch.float32:
        ordered = grad
    else:
        ordered.copy_(grad)
    arrays = [steps_by_neurons(a).numpy() for a in (ordered, dense, grad_x)]
    kernel = _backward_kernel(p, normalized=True, pooled=window is not None)
    chunks, (groups, channels) = chunk_count(), norm.mean.shape
    values = _norm_values(dense, groups, norm)
    if window is not None:
        values = values._replace(run=1)
    sums = np.zeros((groups, chunks, 2, channels))
    kernel(*arrays, chunks, _neuron_values(p), values, sums, windows)
    totals = sums.sum(1)
    plain, products = totals.swapaxes(0, 1)
    rstd = norm.rstd.detach().to(torch.float64, copy=True).numpy()
    of_weights = np.stack([(products * rstd).sum(0), plain.sum(0)]).astype(np.float32)
    grad_weight, grad_bias = torch.from_numpy(of_weights)
    # Mean and variance of the batch depend on x; running ones do not (1 / M = 0).
    count = arrays[1].size // (groups * channels)
    if over_processes:
        totals = mean_over_processes(torch.from_numpy(totals), count).numpy()
    else:
        totals = totals * (1 / count if norm.from_batch else 0.0)
    offset, slope = totals.swapaxes(0, 1)
    mean, scale = values.values[:, 0], values.values[:, 1]
    rows = [mean, scale, slope * rstd**2, offset]
    spread = ChannelValues(np.stack(rows, 1).astype(np.float32), values.run)
    denormalize_kernel()(arrays[2], arrays[1], chunks, spread)
    return grad_x.to(x.dtype), grad_weight.clone(), grad_bias.clone()


def _norm_values(x: Tensor, parts: int, norm: Normalization) -> ChannelValues:
    """Return mean, scale and bias of a batch norm."""
    return _channel_values(x, parts, norm.mean, norm.rstd * norm.weight, norm.bias)


def _backward_kernel(
    p: LIFParameters, normalized: bool, pooled: bool = False
) -> Callable[..., None]:
    family = FAMILIES[p.surrogate.name]
    return backward_kernel(family, p.exact_inverses, p.detach_reset, normalized, pooled)


def _analog_from(path: str, parts: int) -> int:
    """The first of the parts of the samples that take the analog path."""
    return {"spike": parts, "analog": 0, "dual": parts // 2}[path]


def _forward_family(p: LIFParameters, path: str) -> int:
    """Family of a forward pass; a spike is the same with every surrogate."""
    name = p.surrogate.name
    return FAMILIES["rectangle" if path == "spike" and name in SURROGATES else name]


def _fill(
    out: Tensor, x: Tensor, p: LIFParameters, path: str, norm: Normalization | None
) -> None:
    """Compute ``out`` from ``x``; both are dense and in the same memory order."""
    arrays = [steps_by_neurons(a).numpy() for a in (x, out)]
    parts = max(2 if path == "dual" else 1, 1 if norm is None else len(norm.mean))
    values = _without_norm(parts) if norm is None else _norm_values(x, parts, norm)
    kernel = forward_kernel(
        _forward_family(p, path), p.exact_inverses, norm is not None
    )
    analog_from = _analog_from(path, parts)
    kernel(*arrays, chunk_count(), _neuron_values(p), values, analog_from)


def _fill_pooled(
    out: Tensor,
    window: Tensor,
    x: Tensor,
    p: LIFParameters,
    path: str,
    norm: Normalization,
) -> None:
    """Compute ``out`` and ``window`` from ``x`` [T, N, C, H, W]; all channels last."""
    flat = steps_by_neurons(x).numpy()
    arrays = [a.movedim(2, -1).flatten(3).numpy() for a in (out, window)]
    neuron = _neuron_values(p)
    parts = max(2 if path == "dual" else 1, len(norm.mean))
    values = _norm_values(x, parts, norm)._replace(run=1)
    kernel = pooled_forward_kernel(_forward_family(p, path), p.exact_inverses)
    analog_from = _analog_from(path, parts)
    kernel(flat, *arrays, x.shape[3], chunk_count(), neuron, values, analog_from)

"""The compiled kernels as torch operators, ``torch.ops.snnssl_mm.*``.

MixedLIF and MixedILIF, alone and with the batch norm in front, and a max-pooling for
their spikes. As registered operators they are opaque to ``torch.compile`` (no graph
break), take whatever type autocast hands them, and save for the backward pass no more
than their input, per-channel values, or a byte per pooled output.
"""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor

from snnssl_mm.neurons.kernels.backends import kernels_for
from snnssl_mm.neurons.kernels.layout import (
    empty_by_channel,
    empty_channels_last,
    empty_pooled,
)
from snnssl_mm.neurons.kernels.operators import Operator
from snnssl_mm.neurons.kernels.pooled_statistics import moments_of_all
from snnssl_mm.neurons.kernels.reference import (
    BatchNormalization,
    LIFParameters,
    Normalization,
    RunningStatistics,
)


def _like(result: Tensor, x: Tensor) -> Tensor:
    """Give ``result`` the strides that the operator promises: those of empty_like."""
    if torch.empty_like(x, device="meta").stride() == result.stride():
        return result
    return torch.empty_like(x).copy_(result)


LIF = (
    "float tau, float v_threshold, float? v_reset, bool decay_input, "
    "bool detach_reset, str surrogate, float width"
)
"""Part of the operators' schemas: a LIFParameters, also that of a MixedILIF."""


def _mixed_lif(x: Tensor, *rest: Any) -> Tensor:
    """MixedLIF of ``x`` [T, N, ...] by the fused kernel of its device."""
    *parameters, path = rest
    p = LIFParameters.unpacked(*parameters)
    return _like(kernels_for(x).forward(x, p, path), x)


def _mixed_lif_backward(grad: Tensor, x: Tensor, *parameters: Any) -> Tensor:
    """Gradient of :func:`_mixed_lif` with respect to ``x``; the same in all paths."""
    p = LIFParameters.unpacked(*parameters)
    return _like(kernels_for(x).backward(grad, x, p), x)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, *parameters, _path = inputs
    ctx.save_for_backward(x)
    ctx.parameters = parameters


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    (x,) = ctx.saved_tensors
    grad_x = mixed_lif_backward_op(grad, x, *ctx.parameters)
    return (grad_x, *([None] * (len(ctx.parameters) + 1)))


mixed_lif_op = Operator(
    f"mixed_lif(Tensor x, {LIF}, str path) -> Tensor",
    _mixed_lif,
    fake=lambda x, *_: torch.empty_like(x),
    save=_save,
    backward=_backward,
)
mixed_lif_backward_op = Operator(
    f"mixed_lif_backward(Tensor grad, Tensor x, {LIF}) -> Tensor",
    _mixed_lif_backward,
    fake=lambda grad, x, *_: torch.empty_like(x),
)


def mixed_lif(x: Tensor, p: LIFParameters, path: str) -> Tensor:
    """Apply the fused operator; see :func:`.reference.mixed_lif` for its definition."""
    *scalars, surrogate = p
    out: Tensor = mixed_lif_op(x, *scalars, *surrogate, path)
    return out


def _norm_mixed_lif(
    x: Tensor,
    mean: Tensor,
    var: Tensor,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    steps: int,
    *rest: Any,
) -> tuple[Tensor, Tensor]:
    """MixedLIF after a batch norm with given statistics, a single pass over memory.

    The output of the batch norm is neither written nor saved. ``x`` is [T, N, C, ...]
    or, held, [1, N, C, ...]: the input of all ``steps`` time steps. With ``pooled`` the
    output is max-pooled as by :data:`halve_op`, and nothing of full size is written;
    the second result, else empty, says where the maxima were.
    """
    *parameters, path, pooled = rest
    p = LIFParameters.unpacked(*parameters)
    norm = Normalization(mean, var, weight, bias, eps)
    return _norm_forward(x, norm, steps, p, path, pooled)


def _norm_forward(x: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    out, window = kernels_for(x).norm_forward(x, *rest)
    return out, _no_window(x) if window is None else window


def _no_window(x: Tensor) -> Tensor:
    return x.new_empty(0, dtype=torch.uint8)


def _batch_norm_mixed_lif(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    tracked: Tensor | None,
    momentum: float | None,
    eps: float,
    groups: int,
    over_processes: bool,
    steps: int,
    *rest: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Likewise, with the statistics of the batch, which it returns and remembers.

    Two passes over memory: moments, then norm and neuron.
    """
    *parameters, path, pooled = rest
    p = LIFParameters.unpacked(*parameters)
    kernels, running = kernels_for(x), None
    if running_mean is not None and running_var is not None and tracked is not None:
        running = RunningStatistics(running_mean, running_var, tracked, momentum)
    if over_processes:
        mean, var = kernels.batch_moments(x, groups)
        count = x.numel() // mean.numel()
        mean, var, total = moments_of_all(mean, var, count)
        if running is not None:
            running.update(mean[0], var[0], total)
    else:
        mean, var = kernels.batch_moments(x, groups, running)
    norm = Normalization(mean, var, weight, bias, eps, from_batch=True)
    return *_norm_forward(x, norm, steps, p, path, pooled), mean, var


def _norm_mixed_lif_backward(
    grad: Tensor,
    x: Tensor,
    mean: Tensor,
    var: Tensor,
    weight: Tensor,
    bias: Tensor,
    window: Tensor | None,
    eps: float,
    from_batch: bool,
    over_processes: bool,
    *parameters: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of both for ``x``, ``weight`` and ``bias``, two passes over memory."""
    p = LIFParameters.unpacked(*parameters)
    norm = Normalization(mean, var, weight, bias, eps, from_batch)
    gradients: tuple[Tensor, Tensor, Tensor]
    options = (over_processes, window)
    gradients = kernels_for(x).norm_backward(grad, x, norm, p, *options)
    return gradients


def _fake_norm(x: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    steps, pooled = rest[5], rest[-1]
    if pooled:
        out = empty_pooled(x, steps, x.dtype)
        return out, torch.empty_like(out, dtype=torch.uint8)
    return empty_by_channel(x, steps, x.dtype), _no_window(x)


def _fake_batch_norm(x: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    groups, _over_processes, steps = rest[7:10]
    moments = x.new_empty((2, groups, x.shape[2]), dtype=torch.float32)
    outputs = _fake_norm(x, *[None] * 5, steps, rest[-1])
    return *outputs, moments[0].clone(), moments[1].clone()


def _fake_norm_backward(
    grad: Tensor, x: Tensor, *rest: Any
) -> tuple[Tensor, Tensor, Tensor]:
    window = rest[4]
    channels = x.new_empty((2, x.shape[2]), dtype=torch.float32)
    if window is None:
        grad_x = empty_by_channel(x, x.shape[0], x.dtype)
    else:
        grad_x = empty_channels_last(x, x.shape[0], x.shape[3:], x.dtype)
    return grad_x, channels[0].clone(), channels[1].clone()


def _norm_save(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    *tensors, eps, _steps = inputs[:7]
    window, pooled = output[1], inputs[-1]
    ctx.mark_non_differentiable(window)
    ctx.save_for_backward(*tensors, window if pooled else None)
    ctx.settings = (eps, False, False, *inputs[7:-2])


def _batch_norm_save(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    x, weight, bias, *_running, _momentum, eps, _groups, shared, _steps = inputs[:11]
    (_out, window, *moments), pooled = output, inputs[-1]
    ctx.mark_non_differentiable(window, *moments)
    tensors = (x, *moments, weight, bias)
    ctx.save_for_backward(*tensors, window if pooled else None)
    ctx.settings = (eps, True, shared, *inputs[11:-2])


def _norm_gradients(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    tensors = ctx.saved_tensors
    grad_x, *rest = norm_mixed_lif_backward_op(grad, *tensors, *ctx.settings)
    weight, bias = (g.to(t) for g, t in zip(rest, tensors[3:5], strict=True))
    return grad_x, weight, bias


def _norm_backward(ctx: Any, grad: Tensor, _window: None) -> tuple[Tensor | None, ...]:
    grad_x, weight, bias = _norm_gradients(ctx, grad)
    return grad_x, None, None, weight, bias, *([None] * 11)


def _batch_norm_backward(
    ctx: Any, grad: Tensor, *_others: None
) -> tuple[Tensor | None, ...]:
    return *_norm_gradients(ctx, grad), *([None] * 17)


norm_mixed_lif_op = Operator(
    f"norm_mixed_lif(Tensor x, Tensor mean, Tensor var, Tensor weight, Tensor bias, "
    f"float eps, int steps, {LIF}, str path, bool pooled) -> (Tensor, Tensor)",
    _norm_mixed_lif,
    fake=_fake_norm,
    save=_norm_save,
    backward=_norm_backward,
)
batch_norm_mixed_lif_op = Operator(
    "batch_norm_mixed_lif(Tensor x, Tensor weight, Tensor bias, "
    "Tensor(a!)? running_mean, Tensor(b!)? running_var, Tensor(c!)? tracked, "
    "float? momentum, float eps, int groups, bool over_processes, int steps, "
    f"{LIF}, str path, bool pooled) -> (Tensor, Tensor, Tensor, Tensor)",
    _batch_norm_mixed_lif,
    fake=_fake_batch_norm,
    save=_batch_norm_save,
    backward=_batch_norm_backward,
    mutated=(3, 4, 5),
)
norm_mixed_lif_backward_op = Operator(
    "norm_mixed_lif_backward(Tensor grad, Tensor x, Tensor mean, Tensor var, "
    "Tensor weight, Tensor bias, Tensor? window, float eps, bool from_batch, "
    "bool over_processes, "
    f"{LIF}) -> (Tensor, Tensor, Tensor)",
    _norm_mixed_lif_backward,
    fake=_fake_norm_backward,
)


def norm_mixed_lif(
    x: Tensor,
    norm: Normalization | BatchNormalization,
    steps: int,
    p: LIFParameters,
    path: str,
    pooled: bool = False,
) -> Tensor:
    """Apply the fused operator of a batch norm, MixedLIF and, if so, max-pooling."""
    *scalars, surrogate = p
    neuron = (steps, *scalars, *surrogate, path, pooled)
    out: Tensor
    if isinstance(norm, Normalization):
        out, _window = norm_mixed_lif_op(x, *norm[:5], *neuron)
        return out
    weight, bias, running, *settings = norm
    remembered = (None, None, None, None) if running is None else running
    out, *_others = batch_norm_mixed_lif_op(
        x, weight, bias, *remembered, *settings, *neuron
    )
    return out


def _pooling() -> Any:
    return importlib.import_module("snnssl_mm.neurons.kernels.cpu_pool")


def _fake_halve(x: Tensor) -> tuple[Tensor, Tensor]:
    shape = (*x.shape[:2], (x.shape[2] + 1) // 2, (x.shape[3] + 1) // 2)
    out = x.new_empty(shape).contiguous(memory_format=torch.channels_last)
    return out, torch.empty_like(out, dtype=torch.uint8)


def _fake_halve_backward(
    grad: Tensor, window: Tensor, height: int, width: int
) -> Tensor:
    grad_x = grad.new_empty((*grad.shape[:2], height, width))
    return grad_x.contiguous(memory_format=torch.channels_last)


def _halve_save(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.size = inputs[0].shape[2:]
    ctx.save_for_backward(output[1])


def _halve_backward(ctx: Any, grad: Tensor, _window: Any) -> Any:
    return halve_backward_op(grad, *ctx.saved_tensors, *ctx.size)


halve_op = Operator(
    "halve(Tensor x) -> (Tensor, Tensor)",
    lambda x: _pooling().pool_forward(x),
    fake=_fake_halve,
    save=_halve_save,
    backward=_halve_backward,
)
"""Max-pool ``x`` [M, C, H, W] with 3x3 windows and stride 2, on a CPU.

Returns the maxima ``[M, C, ceil(H/2), ceil(W/2)]``, channels last, and for the backward
pass where in its window each lay (uint8).
"""
halve_backward_op = Operator(
    "halve_backward(Tensor grad, Tensor window, int height, int width) -> Tensor",
    lambda *args: _pooling().pool_backward(*args),
    fake=_fake_halve_backward,
)
"""Gradient of :data:`halve_op` with respect to its input."""

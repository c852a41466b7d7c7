"""The compiled kernels as torch operators, ``torch.ops.snnssl_mm.*``.

MixedLIF, alone and with the batch norm in front of it, and a max-pooling for its
spikes. As registered operators they are opaque to ``torch.compile`` (no graph break),
take whatever type autocast hands them, and save for the backward pass no more than
their input, per-channel values, or a byte per pooled output. They differentiate once,
in reverse mode: a second derivative and forward mode raise.
"""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import torch
from torch import Tensor
from torch._library.autograd import make_autograd_impl

from snnssl_mm.neurons.kernels.backends import kernels_for
from snnssl_mm.neurons.kernels.layout import empty_by_channel
from snnssl_mm.neurons.kernels.reference import (
    LIFParameters,
    Normalization,
    refuse_tangents,
)


def _like(result: Tensor, x: Tensor) -> Tensor:
    """Give ``result`` the strides that the operator promises: those of empty_like."""
    promised = torch.empty_like(x)
    if promised.stride() == result.stride():
        return result
    return promised.copy_(result)


LIF = (
    "float tau, float v_threshold, float? v_reset, bool decay_input, "
    "bool detach_reset, str surrogate, float width"
)
NORM = "Tensor mean, Tensor rstd, Tensor weight, Tensor bias, bool from_batch"
"""Parts of the operators' schemas: a LIFParameters and a Normalization."""


@torch.library.custom_op(
    "snnssl_mm::mixed_lif",
    mutates_args=(),
    schema=f"(Tensor x, {LIF}, str path) -> Tensor",
)
def mixed_lif_op(x: Tensor, *rest: Any) -> Tensor:
    """MixedLIF of ``x`` [T, N, ...] by the fused kernel of its device."""
    *parameters, path = rest
    p = LIFParameters.unpacked(*parameters)
    return _like(kernels_for(x).forward(x, p, path), x)


@torch.library.custom_op(
    "snnssl_mm::mixed_lif_backward",
    mutates_args=(),
    schema=f"(Tensor grad, Tensor x, {LIF}) -> Tensor",
)
def mixed_lif_backward_op(grad: Tensor, x: Tensor, *parameters: Any) -> Tensor:
    """Gradient of :func:`mixed_lif_op` with respect to ``x``; the same in all paths."""
    p = LIFParameters.unpacked(*parameters)
    return _like(kernels_for(x).backward(grad, x, p), x)


@mixed_lif_op.register_fake
def _(x: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(x)


@mixed_lif_backward_op.register_fake
def _(grad: Tensor, x: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(x)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, *parameters, _path = inputs
    ctx.save_for_backward(x)
    ctx.parameters = parameters


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    (x,) = ctx.saved_tensors
    grad_x = mixed_lif_backward_op(grad, x, *ctx.parameters)
    return (grad_x, *([None] * (len(ctx.parameters) + 1)))


mixed_lif_op.register_autograd(_backward, setup_context=_setup_context)


def mixed_lif(x: Tensor, p: LIFParameters, path: str) -> Tensor:
    """Apply the fused operator; see :func:`.reference.mixed_lif` for its definition."""
    *scalars, surrogate = p
    return mixed_lif_op(x, *scalars, *surrogate, path)


@torch.library.custom_op("snnssl_mm::batch_moments", mutates_args=())
def batch_moments(x: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Mean and biased variance [G, C] of ``x`` [T, N, C, ...], without a gradient.

    With ``groups`` = 2 the first half of the samples and the second have their own.
    """
    moments: tuple[Tensor, Tensor] = kernels_for(x).batch_moments(x, groups)
    return moments


@torch.library.custom_op(
    "snnssl_mm::norm_mixed_lif",
    mutates_args=(),
    schema=f"(Tensor x, {NORM}, int steps, {LIF}, str path) -> Tensor",
)
def norm_mixed_lif_op(
    x: Tensor,
    mean: Tensor,
    rstd: Tensor,
    weight: Tensor,
    bias: Tensor,
    from_batch: bool,
    steps: int,
    *rest: Any,
) -> Tensor:
    """MixedLIF after a batch norm of ``x`` [T, N, C, ...] or, held, [1, N, C, ...].

    One pass over memory forward, two backward; the output of the batch norm is
    neither written nor saved. A held ``x`` is the input of all ``steps`` time steps.
    """
    *parameters, path = rest
    p = LIFParameters.unpacked(*parameters)
    norm = Normalization(mean, rstd, weight, bias, from_batch)
    out: Tensor = kernels_for(x).norm_forward(x, norm, steps, p, path)
    return out


@torch.library.custom_op(
    "snnssl_mm::norm_mixed_lif_backward",
    mutates_args=(),
    schema=f"(Tensor grad, Tensor x, {NORM}, {LIF}) -> (Tensor, Tensor, Tensor)",
)
def norm_mixed_lif_backward_op(
    grad: Tensor,
    x: Tensor,
    mean: Tensor,
    rstd: Tensor,
    weight: Tensor,
    bias: Tensor,
    from_batch: bool,
    *parameters: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of :func:`norm_mixed_lif_op` for ``x``, ``weight`` and ``bias``."""
    p = LIFParameters.unpacked(*parameters)
    norm = Normalization(mean, rstd, weight, bias, from_batch)
    gradients: tuple[Tensor, Tensor, Tensor]
    gradients = kernels_for(x).norm_backward(grad, x, norm, p)
    return gradients


@batch_moments.register_fake
def _(x: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    moments = x.new_empty((2, groups, x.shape[2]), dtype=torch.float32)
    return moments[0].clone(), moments[1].clone()


@norm_mixed_lif_op.register_fake
def _(
    x: Tensor, mean: Tensor, rstd: Tensor, weight: Tensor, bias: Tensor, *rest: Any
) -> Tensor:
    _from_batch, steps = rest[:2]
    return empty_by_channel(x, steps, x.dtype)


@norm_mixed_lif_backward_op.register_fake
def _(
    grad: Tensor, x: Tensor, mean: Tensor, rstd: Tensor, weight: Tensor, *_: Any
) -> tuple[Tensor, Tensor, Tensor]:
    channels = weight.new_empty((2, x.shape[2]), dtype=torch.float32)
    grad_x = empty_by_channel(x, x.shape[0], x.dtype)
    return grad_x, channels[0].clone(), channels[1].clone()


def _norm_setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, from_batch, _steps = inputs[:7]
    ctx.save_for_backward(*tensors)
    ctx.from_batch = from_batch
    ctx.parameters = inputs[7:-1]


def _norm_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, mean, rstd, weight, bias = ctx.saved_tensors
    grad_x, grad_weight, grad_bias = norm_mixed_lif_backward_op(
        grad, x, mean, rstd, weight, bias, ctx.from_batch, *ctx.parameters
    )
    none = [None] * (len(ctx.parameters) + 3)
    return grad_x, None, None, grad_weight.to(weight), grad_bias.to(bias), *none


norm_mixed_lif_op.register_autograd(_norm_backward, setup_context=_norm_setup_context)


def norm_mixed_lif(
    x: Tensor, norm: Normalization, steps: int, p: LIFParameters, path: str
) -> Tensor:
    """Apply the fused operator of a batch norm and MixedLIF."""
    *scalars, surrogate = p
    return norm_mixed_lif_op(x, *norm, steps, *scalars, *surrogate, path)


@torch.library.custom_op("snnssl_mm::halve", mutates_args=())
def halve_op(x: Tensor) -> tuple[Tensor, Tensor]:
    """Max-pool ``x`` [M, C, H, W] with 3x3 windows and stride 2, on a CPU.

    Returns:
        The maxima ``[M, C, ceil(H/2), ceil(W/2)]``, channels last, and for the backward
        pass where in its window each lay (uint8).
    """
    halves: tuple[Tensor, Tensor] = _pooling().pool_forward(x)
    return halves


@torch.library.custom_op("snnssl_mm::halve_backward", mutates_args=())
def halve_backward_op(grad: Tensor, window: Tensor, height: int, width: int) -> Tensor:
    """Gradient of :func:`halve_op` with respect to its input."""
    grad_x: Tensor = _pooling().pool_backward(grad, window, height, width)
    return grad_x


def _pooling() -> Any:
    return importlib.import_module("snnssl_mm.neurons.kernels.cpu_pool")


@halve_op.register_fake
def _(x: Tensor) -> tuple[Tensor, Tensor]:
    shape = (*x.shape[:2], (x.shape[2] + 1) // 2, (x.shape[3] + 1) // 2)
    out = x.new_empty(shape).contiguous(memory_format=torch.channels_last)
    return out, torch.empty_like(out, dtype=torch.uint8)


@halve_backward_op.register_fake
def _(grad: Tensor, window: Tensor, height: int, width: int) -> Tensor:
    grad_x = grad.new_empty((*grad.shape[:2], height, width))
    return grad_x.contiguous(memory_format=torch.channels_last)


def _halve_setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.size = inputs[0].shape[2:]
    ctx.save_for_backward(output[1])


def _halve_backward(ctx: Any, grad: Tensor, _window: Any) -> Tensor:
    return halve_backward_op(grad, *ctx.saved_tensors, *ctx.size)


halve_op.register_autograd(_halve_backward, setup_context=_halve_setup_context)


def reverse_mode_only(op: Any) -> None:
    """Let an operator raise under forward-mode differentiation.

    torch passes over the tangents of custom operators, so that ``torch.func.jvp`` and
    what is built on it would give zeros. The guard stands in the dispatcher, where it
    also meets tensors inside ``torch.func`` transforms and compiled functions.
    """
    differentiate = make_autograd_impl(op._opoverload, op)

    def guarded(keyset: Any, *args: Any, **kwargs: Any) -> Any:
        refuse_tangents(op._qualname, *args)
        return differentiate(keyset, *args, **kwargs)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it takes the place of `differentiate`
        op._lib.impl(op._name, guarded, "Autograd", with_keyset=True)


for _op in (
    mixed_lif_op,
    mixed_lif_backward_op,
    batch_moments,
    norm_mixed_lif_op,
    norm_mixed_lif_backward_op,
    halve_op,
    halve_backward_op,
):
    reverse_mode_only(_op)

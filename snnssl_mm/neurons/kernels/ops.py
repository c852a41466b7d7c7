"""The fused MixedLIF as a torch operator, ``torch.ops.snnssl_mm.mixed_lif``.

As a registered operator it is opaque to ``torch.compile`` (no graph break), takes
whatever type autocast hands it, and saves only its input for the backward pass.
"""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor

from snnssl_mm.neurons.kernels.reference import LIFParameters
from snnssl_mm.neurons.surrogate import Surrogate


def _kernels(device: str) -> Any:
    """Import the kernels of a device type; only then are numba or cupy needed."""
    name = "cupy" if device == "cuda" else "cpu"
    return importlib.import_module(f"snnssl_mm.neurons.kernels.{name}")


def _like(result: Tensor, x: Tensor) -> Tensor:
    """Give ``result`` the strides that the operator promises: those of empty_like."""
    promised = torch.empty_like(x)
    if promised.stride() == result.stride():
        return result
    return promised.copy_(result)


@torch.library.custom_op("snnssl_mm::mixed_lif", mutates_args=())
def mixed_lif_op(
    x: Tensor,
    tau: float,
    v_threshold: float,
    v_reset: float | None,
    decay_input: bool,
    detach_reset: bool,
    surrogate: str,
    width: float,
    path: str,
) -> Tensor:
    """MixedLIF of ``x`` [T, N, ...] by the fused kernel of its device."""
    family = Surrogate(surrogate, width)
    p = LIFParameters(tau, v_threshold, v_reset, decay_input, detach_reset, family)
    return _like(_kernels(x.device.type).forward(x, p, path), x)


@torch.library.custom_op("snnssl_mm::mixed_lif_backward", mutates_args=())
def mixed_lif_backward_op(
    grad: Tensor,
    x: Tensor,
    tau: float,
    v_threshold: float,
    v_reset: float | None,
    decay_input: bool,
    detach_reset: bool,
    surrogate: str,
    width: float,
) -> Tensor:
    """Gradient of :func:`mixed_lif_op` with respect to ``x``; the same in all paths."""
    family = Surrogate(surrogate, width)
    p = LIFParameters(tau, v_threshold, v_reset, decay_input, detach_reset, family)
    return _like(_kernels(x.device.type).backward(grad, x, p), x)


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

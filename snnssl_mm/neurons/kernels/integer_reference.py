"""MixedILIF in plain torch operations: the reference of every kernel."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from snnssl_mm.neurons.kernels.reference import refuse_tangents


class ILIFParameters(NamedTuple):
    """Parameters of a MixedILIF; see :class:`snnssl_mm.neurons.MixedILIF`."""

    levels: int
    normalize: bool
    tau: float
    v_threshold: float
    detach_reset: bool


class IntegerFire(torch.autograd.Function):
    """Integer round(clamp(u, 0, D)), half to even, or analog clamp(u, 0, D).

    The gradient of both is the window 1[0 < u < D], strict at its edges.
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor, levels: int, analog: bool) -> Tensor:
        """Return the output for the membrane ``u`` in units of the threshold."""
        ctx.save_for_backward(u)
        ctx.levels = levels
        clamped = u.clamp(0, levels)
        return clamped if analog else clamped.round()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        """Pass the gradient on inside the window."""
        (u,) = ctx.saved_tensors
        return grads[0] * ((u > 0) & (u < ctx.levels)), None, None


def integrate(x: Tensor, p: ILIFParameters, analog: bool) -> Tensor:
    """Run one path of MixedILIF over the leading time axis of ``x`` [T, ...]."""
    beta = 1 - 1 / p.tau
    v = torch.zeros_like(x[0])
    outputs = []
    for x_t in x:
        u = beta * v + x_t
        scaled = u / p.v_threshold
        count = IntegerFire.apply(scaled, p.levels, False)
        out = IntegerFire.apply(scaled, p.levels, True) if analog else count
        outputs.append(out / p.levels if p.normalize else out)
        v = u - p.v_threshold * (count.detach() if p.detach_reset else count)
    return torch.stack(outputs)


def mixed_ilif(x: Tensor, p: ILIFParameters, path: str) -> Tensor:
    """MixedILIF of ``x`` [T, N, ...]: path ``'spike'``, ``'analog'`` or ``'dual'``.

    Half-precision input is integrated in float32 and rounded at the end.
    """
    refuse_tangents("MixedILIF", x)
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    if path == "dual":
        spiking, analog = wide.chunk(2, dim=1)
        halves = [integrate(spiking, p, False), integrate(analog, p, True)]
        return torch.cat(halves, dim=1).to(x.dtype)
    return integrate(wide, p, path == "analog").to(x.dtype)

"""MixedILIF in plain torch operations: the reference of every kernel."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from snnssl_mm.neurons.kernels.reference import LIFParameters, refuse_tangents
from snnssl_mm.neurons.surrogate import Surrogate


class ILIFParameters(NamedTuple):
    """Parameters of a MixedILIF; see :class:`snnssl_mm.neurons.MixedILIF`."""

    levels: int
    normalize: bool
    tau: float
    v_threshold: float
    detach_reset: bool

    @property
    def for_kernels(self) -> LIFParameters:
        """The parameters in the form that the compiled kernels take."""
        family = Surrogate(
            "fraction" if self.normalize else "integer", float(self.levels)
        )
        neuron = (self.tau, self.v_threshold, None, False, self.detach_reset)
        return LIFParameters(*neuron, family)


class IntegerFire(torch.autograd.Function):
    """Integer round(clamp(u, 0, D)), half to even, or analog clamp(u, 0, D).

    The gradient of both is the window 1[0 < u < D], strict at its edges.
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor, levels: int, spiking: int) -> Tensor:
        """Return the output for the membrane ``u`` [N, ...] in units of the threshold.

        Args:
            ctx: Context of autograd.
            u: Membrane.
            levels: D.
            spiking: Number of the first samples that emit integers.
        """
        ctx.save_for_backward(u)
        ctx.levels = levels
        out = u.clamp(0, levels)
        out[:spiking].round_()
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        """Pass the gradient on inside the window."""
        (u,) = ctx.saved_tensors
        return grads[0] * ((u > 0) & (u < ctx.levels)), None, None


def integrate(x: Tensor, p: ILIFParameters, spiking: int) -> Tensor:
    """Run MixedILIF over the leading time axis of ``x`` [T, N, ...].

    Args:
        x: Input current.
        p: Parameters.
        spiking: Number of the first samples that take the spiking path; the rest takes
            the analog one.
    """
    beta = 1 - 1 / p.tau
    samples = x.shape[1]
    v = torch.zeros_like(x[0])
    outputs = []
    for x_t in x:
        u = beta * v + x_t
        ratio = u / p.v_threshold
        out = IntegerFire.apply(ratio, p.levels, spiking)
        outputs.append(out / p.levels if p.normalize else out)
        every = spiking == samples
        count = out if every else IntegerFire.apply(ratio, p.levels, samples)
        v = u - p.v_threshold * (count.detach() if p.detach_reset else count)
    # Stacking would give up the memory layout of a single step.
    return torch.stack(outputs) if len(outputs) > 1 else outputs[0].unsqueeze(0)


def mixed_ilif(x: Tensor, p: ILIFParameters, path: str) -> Tensor:
    """MixedILIF of ``x`` [T, N, ...]: path ``'spike'``, ``'analog'`` or ``'dual'``.

    Half-precision input is integrated in float32 and rounded at the end.
    """
    refuse_tangents("MixedILIF", x)
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    samples = x.shape[1]
    spiking = {"spike": samples, "analog": 0, "dual": samples // 2}[path]
    return integrate(wide, p, spiking).to(x.dtype)

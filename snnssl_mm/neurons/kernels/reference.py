"""MixedLIF in plain torch operations: the reference of every kernel.

Runs on any device and in any floating type (float64 included); autograd goes through
every time step. Slow and readable on purpose.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad

from snnssl_mm.neurons.surrogate import Surrogate


def has_exact_inverse(value: float) -> bool:
    """Whether ``value`` is a power of two, not near the limits of float32."""
    mantissa, exponent = math.frexp(value)
    return mantissa == 0.5 and abs(exponent) < 64


INTEGER_FAMILIES = ("integer", "fraction")
"""Names of the integer neuron in place of a surrogate, see LIFParameters."""


class LIFParameters(NamedTuple):
    """Parameters of a MixedLIF; see :class:`snnssl_mm.neurons.MixedLIF`.

    The compiled kernels get those of a MixedILIF in the same form: as surrogate the
    family ``'integer'``, or ``'fraction'`` where outputs are divided by D, with D as
    its width. The reset is soft, the charge (1 - 1 / tau) v + x.
    """

    tau: float
    v_threshold: float
    v_reset: float | None
    decay_input: bool
    detach_reset: bool
    surrogate: Surrogate

    @property
    def exact_inverses(self) -> bool:
        """Whether products by inverses give the bits of the neuron's divisions.

        They are by tau, or the threshold of an integer neuron, and by the width.
        """
        integer = self.surrogate.name in INTEGER_FAMILIES
        divisors = (self.v_threshold if integer else self.tau, self.surrogate.width)
        return all(map(has_exact_inverse, divisors))

    @classmethod
    def unpacked(
        cls,
        tau: float,
        v_threshold: float,
        v_reset: float | None,
        decay_input: bool,
        detach_reset: bool,
        surrogate: str,
        width: float,
    ) -> LIFParameters:
        """Build the parameters from plain values, as torch's operators take them."""
        family = Surrogate(surrogate, width)
        return cls(tau, v_threshold, v_reset, decay_input, detach_reset, family)


class Normalization(NamedTuple):
    """A batch norm in front of a neuron: (x - mean) rstd weight + bias, per channel.

    Attributes:
        mean: ``[G, C]``. With G = 2 the first half of the samples has statistics of
            its own.
        var: ``[G, C]``, biased.
        weight: ``[C]``.
        bias: ``[C]``.
        eps: What is added to the variance.
        from_batch: Whether ``mean`` and ``var`` are those of the input itself, so that
            its gradient goes through them too.
    """

    mean: Tensor
    var: Tensor
    weight: Tensor
    bias: Tensor
    eps: float
    from_batch: bool = False

    @property
    def rstd(self) -> Tensor:
        """``[G, C]``, 1 / sqrt(var + eps) in float32."""
        return (self.var.float() + self.eps).rsqrt()


class RunningStatistics(NamedTuple):
    """What a batch norm remembers of its batches.

    Attributes:
        mean: ``[C]``.
        var: ``[C]``, unbiased.
        tracked: Number of batches.
        momentum: Share of a new batch; None for the average of all batches.
    """

    mean: Tensor
    var: Tensor
    tracked: Tensor
    momentum: float | None

    @torch.no_grad()
    def update(self, mean: Tensor, var: Tensor, count: int | Tensor) -> None:
        """Take in the mean and the biased variance [C] of ``count`` values."""
        self.tracked.add_(1)
        share = 1 / self.tracked if self.momentum is None else self.momentum
        unbiased = var * (count / (count - 1))
        for running, value in ((self.mean, mean), (self.var, unbiased)):
            running.add_((value.to(running) - running) * share)


class BatchNormalization(NamedTuple):
    """A batch norm in front of a neuron by the statistics of the batch itself.

    Attributes:
        weight: ``[C]``.
        bias: ``[C]``.
        running: What it updates; None to remember nothing.
        eps: What is added to the variance.
        groups: G; with 2 the first half of the samples and the second have statistics
            of their own, and ``running`` follows the first.
        over_processes: Whether the statistics are those of the batch of all processes.
    """

    weight: Tensor
    bias: Tensor
    running: RunningStatistics | None
    eps: float
    groups: int = 1
    over_processes: bool = False


class Fire(torch.autograd.Function):
    """Spike 1[v >= 0] or analog g(v); the gradient of both is h(v)."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, surrogate: Surrogate, analog: bool) -> Tensor:
        """Return the output for ``v`` = membrane minus threshold."""
        ctx.save_for_backward(v)
        ctx.surrogate = surrogate
        return surrogate.antiderivative(v) if analog else (v >= 0).to(v.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        """Multiply with the surrogate derivative."""
        (v,) = ctx.saved_tensors
        return grads[0] * ctx.surrogate.derivative(v), None, None


def refuse_tangents(name: str, *inputs: Any) -> None:
    """Raise where forward-mode differentiation reaches a function without it.

    torch would ignore the tangents of custom operators, and those of :class:`Fire`
    inside compiled functions, and return zeros.
    """
    for value in inputs:
        if (
            isinstance(value, Tensor)
            and forward_ad.unpack_dual(value).tangent is not None
        ):
            raise NotImplementedError(
                f"{name} has no forward-mode derivative (torch.func.jvp, jacfwd, "
                "torch.autograd.forward_ad); use reverse mode, such as torch.func.vjp"
            )


def integrate(x: Tensor, p: LIFParameters, analog: bool) -> Tensor:
    """Run one path of MixedLIF over the leading time axis of ``x`` [T, ...]."""
    rest = 0.0 if p.v_reset is None else p.v_reset
    v = torch.full_like(x[0], rest)
    outputs = []
    for x_t in x:
        if p.decay_input:
            u = v + (x_t - (v - rest)) / p.tau
        else:
            u = v - (v - rest) / p.tau + x_t
        spike = Fire.apply(u - p.v_threshold, p.surrogate, False)
        outputs.append(
            Fire.apply(u - p.v_threshold, p.surrogate, True) if analog else spike
        )
        gate = spike.detach() if p.detach_reset else spike
        if p.v_reset is None:
            v = u - p.v_threshold * gate
        elif p.detach_reset:
            v = torch.where(spike.bool(), rest, u)  # 0 * inf would be NaN
        else:
            v = u * (1 - gate) + rest * gate
    return torch.stack(outputs)


def mixed_lif(x: Tensor, p: LIFParameters, path: str) -> Tensor:
    """MixedLIF of ``x`` [T, N, ...]: path ``'spike'``, ``'analog'`` or ``'dual'``.

    Half-precision input is integrated in float32 and rounded at the end, as the
    kernels do.
    """
    refuse_tangents("MixedLIF", x)
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    if path == "dual":
        spiking, analog = wide.chunk(2, dim=1)
        halves = [integrate(spiking, p, False), integrate(analog, p, True)]
        return torch.cat(halves, dim=1).to(x.dtype)
    return integrate(wide, p, path == "analog").to(x.dtype)

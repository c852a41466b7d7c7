"""What the tests of the kernels choose from: parameters, types, memory orders."""

from __future__ import annotations

import torch
from torch import Tensor

from snnssl_mm.neurons.kernels.integer_reference import ILIFParameters
from snnssl_mm.neurons.kernels.reference import LIFParameters
from snnssl_mm.neurons.surrogate import DEFAULT_WIDTH, Surrogate

SURROGATES = tuple(DEFAULT_WIDTH)
RESETS = (0.0, 0.1, None)
PATHS = ("spike", "analog", "dual")
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
BOOLS = (False, True)
LAST_BIT = {torch.float32: 1e-6, torch.float16: 2**-10, torch.bfloat16: 2**-7}


def contiguous(x: Tensor) -> Tensor:
    return x.contiguous()


def channels_last(x: Tensor) -> Tensor:
    return x.movedim(2, -1).contiguous().movedim(-1, 2)


def time_second(x: Tensor) -> Tensor:
    return x.transpose(0, 1).contiguous().transpose(0, 1)


def time_innermost(x: Tensor) -> Tensor:
    return x.movedim(0, -1).contiguous().movedim(-1, 0)


def samples_innermost(x: Tensor) -> Tensor:
    return x.movedim(1, -1).contiguous().movedim(-1, 1)


def strided(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, dim=2)[:, :, ::2]


def misaligned(x: Tensor) -> Tensor:
    storage = x.new_empty(x.numel() + 1)[1:]
    return storage.view(x.shape).copy_(x)


def parameters(surrogate="rectangle", v_reset=0.0, decay=False, detach=True, odd=False):
    """Default constants, or odd ones whose divisions round."""
    width = DEFAULT_WIDTH[surrogate] * (0.7 if odd else 1.0)
    tau, theta = (3.0, 0.9) if odd else (2.0, 1.0)
    return LIFParameters(
        tau, theta, v_reset, decay, detach, Surrogate(surrogate, width)
    )


def membrane(x, p):
    """u[t] in float64, written a second time."""
    rest = 0.0 if p.v_reset is None else p.v_reset
    v, steps = torch.full_like(x[0], rest), []
    for x_t in x:
        u = v + (x_t - v + rest) / p.tau if p.decay_input else None
        u = v - (v - rest) / p.tau + x_t if u is None else u
        after = u - p.v_threshold if p.v_reset is None else torch.full_like(u, rest)
        v = torch.where(u >= p.v_threshold, after, u)
        steps.append(u)
    return torch.stack(steps)


def near_a_jump(x, p):
    """Neurons that rounding may push over the threshold or an edge of h."""
    v = membrane(x, p) - p.v_threshold
    edge = p.surrogate.width / 2 if p.surrogate.name == "rectangle" else 0.0
    near = torch.minimum(v.abs(), (v.abs() - edge).abs()) < 1e-5
    return near.any(0).expand_as(x)


def integer_parameters(levels=4, normalize=True, detach=True, odd=False):
    """Default constants of an integer neuron, or odd ones whose divisions round."""
    tau, theta = (3.0, 0.7) if odd else (4 / 3, 1.0)
    return ILIFParameters(levels, normalize, tau, theta, detach)


def near_an_integer_jump(x, p):
    """Neurons that rounding may push to another integer or over an edge of h."""
    v, near = torch.zeros_like(x[0]), torch.zeros_like(x[0], dtype=torch.bool)
    for x_t in x:
        ratio = ((1 - 1 / p.tau) * v + x_t) / p.v_threshold
        count = ratio.clamp(0, p.levels).round()
        near |= (ratio % 1 - 0.5).abs() < 1e-5
        near |= torch.minimum(ratio.abs(), (ratio - p.levels).abs()) < 1e-5
        v = p.v_threshold * (ratio - count)
    return near.expand_as(x)

"""Cases and references of the tests of a batch norm in front of MixedLIF."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from lif_cases import near_a_jump

from snnssl_mm.neurons.kernels import reference

EPS = 1e-5


def normalized(x, weight, bias, groups, statistics):
    """``F.batch_norm`` of each group of samples, by ``statistics`` or its own."""
    outputs = []
    for half in x.chunk(groups, dim=1):
        given = statistics or (None, None)
        flat = half.flatten(0, 1)
        y = F.batch_norm(flat, *given, weight, bias, statistics is None, 0.0, EPS)
        outputs.append(y.unflatten(0, half.shape[:2]))
    return torch.cat(outputs, dim=1)


def exact(x, weight, bias, p, path, groups, statistics, steps, grad, pooled=False):
    """Normalised input, output and gradients in float64 by autograd.

    With ``pooled`` the output is max-pooled.
    """
    leaves = [t.detach().double().contiguous() for t in (x, weight, bias)]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    if statistics is not None:
        statistics = tuple(s.double() for s in statistics)
    y = normalized(*leaves, groups, statistics)
    y = y.expand(steps, *y.shape[1:])
    out = reference.mixed_lif(y, p, path)
    if pooled:
        out = F.max_pool2d(out.flatten(0, 1), 3, 2, 1).unflatten(0, out.shape[:2])
    out.backward(grad.double())
    return y.detach(), out.detach(), [leaf.grad for leaf in leaves]


def case(shape, steps, held, layout, dtype):
    """Input, affine parameters and gradient of the output."""
    x = 1.5 * torch.randn(1 if held else steps, *shape) + 0.5
    channels = shape[1]
    weight, bias = torch.rand(channels) + 0.5, 0.3 * torch.randn(channels)
    grad = torch.randn(steps, *shape)
    return layout(x.to(dtype)), weight, bias, layout(grad.to(dtype))


def calm(y, p, grad, dtype):
    """``grad``, zero where the least rounding of ``y`` may flip a spike or h."""
    wild = near_a_jump(y, p) | near_a_jump(y + 2e-5, p) | near_a_jump(y - 2e-5, p)
    return grad.masked_fill(wild, 0), ~wild

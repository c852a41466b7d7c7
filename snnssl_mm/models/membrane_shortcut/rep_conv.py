"""Reparametrisable convolution of SDT-V2, as it is trained and folded to one 3x3.

Yao et al., "Spike-driven Transformer V2", ICLR 2024, arXiv 2404.03663; idea of Ding et
al., "RepVGG", CVPR 2021, arXiv 2101.03697.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snnssl_mm.models.batch_norm import build_batch_norm, normalize
from snnssl_mm.models.layers import ConvNorm, ConvNormNeuron, convolve


def affine_of(conv: Any, norm: Any) -> tuple[Tensor, Tensor]:
    """Return scale and shift ``[C]`` behind ``conv``'s weights, in float64.

    Those of the norm by its running statistics, or the convolution's bias if the norm
    was folded into it.
    """
    if isinstance(norm, nn.Identity):
        bias = conv.bias.double()
        return torch.ones_like(bias), bias
    mean, var = norm.running_mean.double(), norm.running_var.double()
    scale = norm.weight.double() * (var + norm.eps).rsqrt()
    return scale, norm.bias.double() - mean * scale


class RepConv(nn.Module):
    """1x1 convolution, norm, depthwise 3x3, 1x1, norm: a 3x3 convolution in parts.

    The border of the depthwise convolution is what the first norm makes of zero by its
    running statistics, without a gradient. In eval mode that equals zeros around the
    input, so that one convolution of 3x3 with zero padding computes the same
    (:meth:`folded`). In training it does not, as the norm uses statistics of the batch.

    Args:
        channels: Channels C of the input.
        parts: Outputs of C channels each, such as 3 for query, key and value; each has
            its own layers.
        bn: See :mod:`snnssl_mm.models.batch_norm`.
    """

    def __init__(self, channels: int, parts: int, bn: str) -> None:
        super().__init__()
        wide = parts * channels
        self.parts = parts
        self.expand = nn.Conv2d(channels, wide, 1, bias=False)
        self.expand_bn: Any = build_batch_norm(bn, wide)
        self.depthwise = nn.Conv2d(wide, wide, 3, groups=wide, bias=False)
        self.reduce = nn.Conv2d(wide, wide, 1, groups=parts, bias=False)
        self.reduce_bn: Any = build_batch_norm(bn, wide)

    def forward(self, x: Tensor) -> Tensor:
        """Compute ``[T, N, parts C, H, W]`` for ``x`` [T, N, C, H, W]."""
        inner = normalize(self.expand_bn, convolve(self.expand, x))
        padded = F.pad(inner.flatten(0, 1), (1, 1, 1, 1))
        height, width = padded.shape[-2:]
        ring = padded.new_ones(1, 1, height, width)
        ring[..., 1:-1, 1:-1] = 0
        padded = padded + ring * self.border().to(padded.dtype)
        frames = self.reduce(self.depthwise(padded))
        return normalize(self.reduce_bn, frames.unflatten(0, x.shape[:2]))

    @torch.no_grad()
    def border(self) -> Tensor:
        """Return what the first norm makes of zero, ``[C, 1, 1]``."""
        norm: Any = self.expand_bn
        if isinstance(norm, nn.Identity):  # folded into the convolution
            bias: Any = self.expand.bias
            return bias[:, None, None]
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        return (norm.bias - norm.running_mean * scale)[:, None, None]

    @torch.no_grad()
    def folded(self) -> nn.Conv2d:
        """Return the 3x3 convolution that computes the same in eval mode.

        With scale a and shift b of each norm, W = a2 R (D a1 E) and
        bias = a2 R (b1 sum(D)) + b2, for the layers E (expand), D, R (reduce).
        """
        first_scale, first_shift = affine_of(self.expand, self.expand_bn)
        scale, shift = affine_of(self.reduce, self.reduce_bn)
        depthwise = self.depthwise.weight[:, 0].double()
        wide, inner = len(depthwise), len(depthwise) // self.parts
        # Spread the groups: one matrix from all inner channels to all outputs.
        blocks = self.reduce.weight[:, :, 0, 0].double().split(inner)
        reduce = scale[:, None] * torch.block_diag(*blocks)
        expand = first_scale[:, None] * self.expand.weight[:, :, 0, 0].double()
        weight = torch.einsum("oc,chw,ci->oihw", reduce, depthwise, expand)
        bias = reduce @ (first_shift * depthwise.sum((1, 2))) + shift
        conv = nn.Conv2d(
            self.expand.in_channels, wide, 3, padding=1, device="meta"
        ).to_empty(device=weight.device)
        conv = conv.to(self.expand.weight.dtype)
        conv.weight.copy_(weight)
        conv.bias.copy_(bias)  # type: ignore[union-attr]
        return conv.train(self.training)


class Reparametrised(nn.Module):
    """Mixin of layers whose ``conv`` is a :class:`RepConv`, or folded."""

    conv: Any

    def set_conv(self, channels: int, parts: int, bn: str) -> None:
        """Replace the convolution by a RepConv."""
        self.conv = RepConv(channels, parts, bn)

    def convolved(self, x: Tensor) -> Tensor:
        """Compute what the batch norm gets for ``x`` [T, N, C, H, W]."""
        if isinstance(self.conv, RepConv):
            return self.conv(x)
        found: Tensor = super().convolved(x)  # type: ignore[misc]
        return found

    def switch_to_deploy(self) -> None:
        """Fold the RepConv into one convolution, for inference."""
        if isinstance(self.conv, RepConv):
            self.conv = self.conv.folded()


class RepConvNorm(Reparametrised, ConvNorm):
    """RepConv and batch norm, which give a current."""

    def __init__(self, channels: int, bn: str) -> None:
        super().__init__(channels, channels, 1, False, bn)
        self.set_conv(channels, 1, bn)


class RepConvNormNeuron(Reparametrised, ConvNormNeuron):
    """RepConv, batch norm and neuron, for each of several parts of C channels."""

    def __init__(self, channels: int, parts: int, neuron: Any, bn: str) -> None:
        super().__init__(channels, parts * channels, 1, False, neuron, bn)
        self.set_conv(channels, parts, bn)

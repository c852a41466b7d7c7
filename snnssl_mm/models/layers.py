"""Layers that spiking backbones are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from snnssl_mm.models.batch_norm import build_batch_norm, normalize
from snnssl_mm.registry import MODELS

NeuronConfig = Mapping[str, Any]


def build_neuron(neuron: NeuronConfig, **overrides: Any) -> nn.Module:
    """Build the configured neuron, a MixedLIF unless ``type`` says otherwise."""
    return MODELS.build({"type": "snnssl_mm.MixedLIF", **neuron, **overrides})


class ConvNormNeuron(nn.Module):
    """Convolution, batch norm and neuron: the unit that Spikformer is made of.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: 1 or 3, padded to keep the size.
        bias: Whether the convolution has a bias.
        neuron: Options of the neuron.
        bn: ``'pooled'`` or ``'split'``, see :mod:`snnssl_mm.models.batch_norm`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        bias: bool,
        neuron: NeuronConfig,
        bn: str,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=bias
        )
        self.bn = build_batch_norm(bn, out_channels)
        self.neuron = build_neuron(neuron)

    def current(self, x: Tensor) -> Tensor:
        """Input current of the neuron for ``x`` [T, N, C, H, W]."""
        return normalize(self.bn, self.conv(x.flatten(0, 1)).unflatten(0, x.shape[:2]))

    def forward(self, x: Tensor) -> Tensor:
        """Spikes for ``x`` [T, N, C, H, W]."""
        return self.neuron(self.current(x))


def halve(x: Tensor) -> Tensor:
    """Max-pool ``x`` [T, N, C, H, W] to half its size."""
    return F.max_pool2d(x.flatten(0, 1), 3, 2, 1).unflatten(0, x.shape[:2])

"""Mixers of membrane-shortcut networks: each adds its branch to the current.

A branch begins with a neuron and ends with a batch norm, so that every convolution gets
spikes and the shortcut carries currents from block to block.
"""

from __future__ import annotations

from torch import Tensor, nn

from snnssl_mm.models.layers import (
    ConvNorm,
    ConvNormNeuron,
    NeuronConfig,
    build_neuron,
    convolve,
)


class ChannelMixer(nn.Module):
    """Two convolutions over channels: x + f2(f1(x)), f = norm(conv(neuron)).

    Args:
        dims: Channels C.
        ratio: Hidden channels are ``int(ratio * dims)``.
        neuron: Options of the neurons.
        bn: See :mod:`snnssl_mm.models.batch_norm`.
        kernel_size: 1 for an MLP, 3 for the blocks of the first stages of SDT-V2.
        bias: Whether the convolutions have biases.
        inner_residual: Whether the first half has a shortcut of its own if it keeps
            the number of channels, as in SDT-V1 and MaxFormer: y = x + f1(x), then
            y + f2(y).
    """

    def __init__(
        self,
        dims: int,
        ratio: float,
        neuron: NeuronConfig,
        bn: str,
        kernel_size: int = 1,
        bias: bool = True,
        inner_residual: bool = False,
    ) -> None:
        super().__init__()
        hidden = int(dims * ratio)
        self.inner_residual = inner_residual and hidden == dims
        self.neuron = build_neuron(neuron)
        self.expand = ConvNormNeuron(dims, hidden, kernel_size, bias, neuron, bn)
        self.reduce = ConvNorm(hidden, dims, kernel_size, bias, bn)

    def forward(self, x: Tensor) -> Tensor:
        """Mix the channels of the current ``x`` [T, N, C, H, W]."""
        spikes = self.neuron(x)
        if self.inner_residual:
            x = x + self.expand.current(spikes)
            spikes = self.expand.neuron(x)
        else:
            spikes = self.expand(spikes)
        return x + self.reduce(spikes)


class DepthwiseMixer(nn.Module):
    """Depthwise convolution, x + norm(conv(neuron(x))): MaxFormer's first stages."""

    def __init__(
        self, dims: int, kernel_size: int, neuron: NeuronConfig, bn: str
    ) -> None:
        super().__init__()
        self.neuron = build_neuron(neuron)
        self.depthwise = ConvNorm(dims, dims, kernel_size, True, bn, groups=dims)

    def forward(self, x: Tensor) -> Tensor:
        """Mix the positions of the current ``x`` [T, N, C, H, W]."""
        return x + self.depthwise(self.neuron(x))


class SeparableMixer(nn.Module):
    """Separable convolution: 1x1 to twice the channels, depthwise, 1x1 back.

    Args:
        dims: Channels C.
        kernel_size: Kernel of the depthwise convolution.
        neuron: Options of the neurons.
        bn: See :mod:`snnssl_mm.models.batch_norm`.
        dense: Whether a norm and a neuron follow the depthwise convolution too, as in
            SDT-V3; in SDT-V2 it and the last convolution are one linear map.
    """

    def __init__(
        self, dims: int, kernel_size: int, neuron: NeuronConfig, bn: str, dense: bool
    ) -> None:
        super().__init__()
        wide = 2 * dims
        self.neuron = build_neuron(neuron)
        self.expand = ConvNormNeuron(dims, wide, 1, False, neuron, bn)
        if dense:
            self.depthwise: nn.Module = ConvNormNeuron(
                wide, wide, kernel_size, False, neuron, bn, groups=wide
            )
        else:
            self.depthwise = nn.Conv2d(
                wide, wide, kernel_size, padding=kernel_size // 2, groups=wide,
                bias=False,
            )  # fmt: skip
        self.dense = dense
        self.reduce = ConvNorm(wide, dims, 1, False, bn)

    def forward(self, x: Tensor) -> Tensor:
        """Mix the positions of the current ``x`` [T, N, C, H, W]."""
        spikes = self.expand(self.neuron(x))
        if self.dense:
            mixed = self.depthwise(spikes)
        else:
            mixed = convolve(self.depthwise, spikes)
        return x + self.reduce(mixed)

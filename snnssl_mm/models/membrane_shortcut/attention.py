"""Attention mixers of membrane-shortcut networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from snnssl_mm.models.attention import (
    ATTENTION_SCALE,
    ATTENTION_THRESHOLD,
    SpikingSelfAttention,
)
from snnssl_mm.models.layers import (
    ConvNorm,
    ConvNormNeuron,
    NeuronConfig,
    build_neuron,
)
from snnssl_mm.neurons.expansion import hold_mean


class SpikeDrivenAttention(nn.Module):
    """Spike-driven self-attention of SDT-V1, linear in tokens and channels.

    s = neuron(x); q, k, v = neuron(norm(conv(s))); a = q neuron(sum over tokens of k v)
    with threshold 0.5, all products element by element; x + norm(conv(a)). Heads would
    not change it. Yao et al., "Spike-driven Transformer", NeurIPS 2023, arXiv
    2307.01694.

    Attributes:
        spike_steps: Binary steps that stand for one integer of q, k and v, see
            :func:`snnssl_mm.neurons.expand_to_spikes`.
    """

    spike_steps = 1

    def __init__(self, dims: int, neuron: NeuronConfig, bn: str) -> None:
        super().__init__()
        self.neuron = build_neuron(neuron)
        self.qkv = ConvNormNeuron(dims, 3 * dims, 1, False, neuron, bn)
        self.attention_neuron = build_neuron(neuron, v_threshold=ATTENTION_THRESHOLD)
        self.projection = ConvNorm(dims, dims, 1, True, bn)

    def forward(self, x: Tensor) -> Tensor:
        """Attend within each time step of the current ``x`` [T, N, C, H, W]."""
        qkv = hold_mean(self.qkv(self.neuron(x)), self.spike_steps)
        q, k, v = qkv.chunk(3, dim=2)
        # A sum of spikes is a count: exact in float32, not in half precision.
        wide = torch.promote_types(x.dtype, torch.float32)
        counts = (k * v).sum((-2, -1), keepdim=True, dtype=wide)
        return x + self.projection(q * self.attention_neuron(counts).to(q.dtype))


class MembraneSelfAttention(SpikingSelfAttention):
    """Spikformer's attention with the neuron first and a current as its result.

    Args:
        dims: Channels C.
        num_heads: Number of heads.
        neuron: Options of the neurons.
        bn: See :mod:`snnssl_mm.models.batch_norm`.
        scale: See :func:`snnssl_mm.models.attention.attention_factor`.
    """

    def __init__(
        self,
        dims: int,
        num_heads: int,
        neuron: NeuronConfig,
        bn: str,
        scale: float | str = ATTENTION_SCALE,
    ) -> None:
        super().__init__(dims, num_heads, neuron, bn, scale)
        self.neuron = build_neuron(neuron)

    def build_projection(self, neuron: NeuronConfig, bn: str) -> nn.Module:
        """Build the last layer, without a neuron."""
        return ConvNorm(self.value_channels, self.dims, 1, True, bn)

    def forward(self, x: Tensor) -> Tensor:
        """Attend within each time step of the current ``x`` [T, N, C, H, W]."""
        return x + super().forward(self.neuron(x))

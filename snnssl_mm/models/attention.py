"""Self-attention between spikes, without softmax."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from snnssl_mm.models.layers import ConvNormNeuron, NeuronConfig, build_neuron
from snnssl_mm.models.spike_products import (
    counts_of_counts,
    counts_of_pairs,
    exact_products,
    multiplies_bf16,
)
from snnssl_mm.neurons import MixedLIF
from snnssl_mm.neurons.expansion import hold_steps, mean_of_steps
from snnssl_mm.neurons.kernels.reference import has_exact_inverse

ATTENTION_SCALE = 0.125
"""Factor of the published models."""
ATTENTION_DRIVE = 69.0
"""Chosen so that the attention neuron of every block fires at 10 to 30 % at
initialisation, for every ``arch`` and image size: benchmarks/attention_rates.py."""
ATTENTION_THRESHOLD = 0.5


def spiking_attention(q: Tensor, k: Tensor, v: Tensor, factor: float = 1.0) -> Tensor:
    """Attention without softmax, (q k^T) v = q (k^T v), in the cheaper order.

    Of binary spikes the counts are exact in each type, see
    :mod:`snnssl_mm.models.spike_products`.

    Args:
        q: Spikes ``[..., L, d]``, tokens by head channels.
        k: Likewise.
        v: Spikes ``[..., L, e]``.
        factor: Factor of the result.

    Returns:
        ``[..., L, e]``, in float32 for bfloat16 spikes. Cost 2 d e L operations, or
        (d + e) L^2 if that is less.
    """
    tokens, channels = q.shape[-2:]
    values = v.shape[-1]
    # The smaller matrix is scaled; times a power of two, its counts stay exact.
    early = factor if has_exact_inverse(factor) else 1.0
    if 2 * channels * values < (channels + values) * tokens:
        out = counts_of_counts(q, early * counts_of_pairs(k.mT, v))
    else:
        out = counts_of_counts(early * counts_of_pairs(q, k.mT), v)
    return out if early == factor else factor * out


def checked_scale(scale: float | str) -> float | str:
    """Return ``scale`` if it is ``'auto'`` or a finite number above 0, or raise."""
    number = isinstance(scale, (int, float)) and not isinstance(scale, bool)
    if scale != "auto" and not (number and 0 < float(scale) < math.inf):
        raise ValueError(
            "attention_scale must be 'auto' or a finite number above 0 such as "
            f"{ATTENTION_SCALE}, got {scale!r}"
        )
    return scale


def attention_factor(scale: float | str, channels: int, tokens: int) -> float:
    """Return the factor of q k^T v in front of the attention neuron.

    q k^T v sums L d products of three spikes: at firing rate r it is about L d r^3. A
    constant factor therefore saturates the neuron if the map is large.

    Args:
        scale: The factor itself, or ``'auto'`` for ATTENTION_DRIVE / (L d), with L of
            the given map, so that the drive is that of pretraining on the large images
            of detection too.
        channels: d, channels of a head.
        tokens: L, positions of the map.
    """
    if isinstance(scale, str):
        return ATTENTION_DRIVE / (tokens * channels)
    return scale


class SpikingSelfAttention(nn.Module):
    """Multi-head self-attention over spikes, without softmax.

    out = neuron(scale q (k^T v)) with threshold 0.5, then a projection. q, k and v
    come from one convolution of 3 C channels.

    Args:
        dims: Channels C.
        num_heads: Number of heads, of d = C / num_heads channels each.
        neuron: Options of the neurons.
        bn: See :mod:`snnssl_mm.models.batch_norm`.
        scale: Factor of the counts of spikes, or ``'auto'``: see
            :func:`attention_factor`.

    Attributes:
        value_ratio: Channels of v for each of q and k.
        threshold: Threshold of the attention neuron; None for that of the others.
        spike_steps: Binary steps that stand for one integer of q, k and v, see
            :func:`snnssl_mm.neurons.expand_to_spikes`.

    Raises:
        ValueError: If ``scale`` is neither.
    """

    value_ratio = 1
    threshold: float | None = ATTENTION_THRESHOLD
    spike_steps = 1

    def __init__(
        self,
        dims: int,
        num_heads: int,
        neuron: NeuronConfig,
        bn: str,
        scale: float | str = ATTENTION_SCALE,
    ) -> None:
        super().__init__()
        self.dims = dims
        self.num_heads = num_heads
        self.scale = checked_scale(scale)
        self.qkv = self.build_qkv(neuron, bn)
        other = {} if self.threshold is None else {"v_threshold": self.threshold}
        self.attention_neuron = build_neuron(neuron, **other)
        self.projection = self.build_projection(neuron, bn)

    @property
    def value_channels(self) -> int:
        """Channels of v."""
        return self.value_ratio * self.dims

    def build_qkv(self, neuron: NeuronConfig, bn: str) -> nn.Module:
        """Build the layer that gives q, k and v, next to each other."""
        out = 2 * self.dims + self.value_channels
        return ConvNormNeuron(self.dims, out, 1, False, neuron, bn)

    def build_projection(self, neuron: NeuronConfig, bn: str) -> nn.Module:
        """Build the last layer."""
        return ConvNormNeuron(self.value_channels, self.dims, 1, True, neuron, bn)

    def product_type(self, x: Tensor) -> torch.dtype:
        """Return the type of the products' operands for spikes ``x``.

        That of the spikes if it is bfloat16 and they are binary, else at least float32:
        integers of D levels would fill bfloat16 D^2 times as fast.
        """
        binary = isinstance(self.attention_neuron, MixedLIF)
        if binary and x.dtype == torch.bfloat16 and multiplies_bf16(x.device):
            return x.dtype
        return torch.promote_types(x.dtype, torch.float32)

    def heads_of(self, x: Tensor, parts: int) -> tuple[Tensor, ...]:
        """Divide ``x`` [T, N, parts C, H, W] into parts [T, N, heads, L, d].

        One copy: products would copy strided batches.
        """
        apart = x.reshape(*x.shape[:2], parts, self.num_heads, -1, x[0, 0, 0].numel())
        kind = self.product_type(x)
        return apart.permute(2, 0, 1, 3, 5, 4).contiguous().to(kind).unbind()

    def forward(self, x: Tensor) -> Tensor:
        """Attend within each time step of ``x`` [T, N, C, H, W]."""
        height, width = x.shape[-2:]
        channels = self.dims // self.num_heads
        factor = attention_factor(self.scale, channels, height * width)
        qkv = mean_of_steps(self.qkv(x), self.spike_steps)
        with exact_products(x.device):
            if self.value_ratio == 1:
                q, k, v = self.heads_of(qkv, 3)
            else:
                q, k = self.heads_of(qkv[:, :, : 2 * self.dims], 2)
                (v,) = self.heads_of(qkv[:, :, 2 * self.dims :], 1)
            current = spiking_attention(q, k, v, factor)
        out = self.attention_neuron(hold_steps(current, self.spike_steps)).to(x.dtype)
        maps = out.transpose(2, 3).reshape(*x.shape[:2], height, width, -1)
        maps = maps.permute(0, 1, 4, 2, 3)  # channels last
        return self.projection(maps.contiguous() if x.is_contiguous() else maps)

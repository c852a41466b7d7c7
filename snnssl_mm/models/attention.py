"""Self-attention between spikes, without softmax."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from snnssl_mm.models.layers import ConvNormNeuron, NeuronConfig, build_neuron
from snnssl_mm.neurons.kernels.reference import has_exact_inverse

ATTENTION_SCALE = 0.125
"""Factor of the published models."""
ATTENTION_DRIVE = 69.0
"""Chosen so that the attention neuron of every block fires at 10 to 30 % at
initialisation, for every ``arch`` and image size: benchmarks/attention_rates.py."""
ATTENTION_THRESHOLD = 0.5


@contextmanager
def exact_products(device: torch.device) -> Iterator[None]:
    """Multiply in full float32: no autocast, no TF32.

    Products of spikes are counts. bf16 is exact for integers up to 256, fp16 and TF32
    up to 2048.
    """
    with torch.autocast(device.type, enabled=False):
        if device.type != "cuda" or torch.get_float32_matmul_precision() == "highest":
            yield
            return
        precision = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(precision)


def spiking_attention(q: Tensor, k: Tensor, v: Tensor, factor: float = 1.0) -> Tensor:
    """Attention without softmax, (q k^T) v = q (k^T v), in the cheaper order.

    Args:
        q: Spikes ``[..., L, d]``, tokens by head channels.
        k: Likewise.
        v: Likewise.
        factor: Factor of the result.

    Returns:
        ``[..., L, d]``. Cost 2 d^2 L operations if d < L, else 2 d L^2.
    """
    tokens, channels = q.shape[-2:]
    # The smaller matrix is scaled; times a power of two, its counts stay exact.
    early = factor if has_exact_inverse(factor) else 1.0
    if channels < tokens:
        out = q @ (early * (k.transpose(-2, -1) @ v))
    else:
        out = (early * (q @ k.transpose(-2, -1))) @ v
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

    Raises:
        ValueError: If ``scale`` is neither.
    """

    def __init__(
        self,
        dims: int,
        num_heads: int,
        neuron: NeuronConfig,
        bn: str,
        scale: float | str = ATTENTION_SCALE,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.scale = checked_scale(scale)
        self.qkv = ConvNormNeuron(dims, 3 * dims, 1, False, neuron, bn)
        self.attention_neuron = build_neuron(neuron, v_threshold=ATTENTION_THRESHOLD)
        self.projection = ConvNormNeuron(dims, dims, 1, True, neuron, bn)

    def forward(self, x: Tensor) -> Tensor:
        """Attend within each time step of ``x`` [T, N, C, H, W]."""
        steps, samples, channels, height, width = x.shape
        tokens, heads = height * width, self.num_heads
        factor = attention_factor(self.scale, channels // heads, tokens)
        qkv = self.qkv(x).reshape(steps, samples, 3, heads, -1, tokens)
        with exact_products(x.device):
            # One copy, [3, T, N, heads, L, d]: products would copy strided batches.
            q, k, v = (
                qkv.permute(2, 0, 1, 3, 5, 4)
                .contiguous()
                .to(torch.promote_types(qkv.dtype, torch.float32))
            )
            current = spiking_attention(q, k, v, factor)
        out = self.attention_neuron(current).to(x.dtype)
        maps = out.transpose(2, 3).reshape(steps, samples, height, width, channels)
        maps = maps.permute(0, 1, 4, 2, 3)  # channels last
        return self.projection(maps.contiguous() if x.is_contiguous() else maps)

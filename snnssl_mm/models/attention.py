"""Self-attention between spikes, without softmax."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from snnssl_mm.models.layers import ConvNormNeuron, NeuronConfig, build_neuron

ATTENTION_SCALE = 0.125
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


def spiking_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention without softmax, (q k^T) v = q (k^T v), in the cheaper order.

    Args:
        q: Spikes ``[..., d, L]``, head channels by tokens.
        k: Likewise.
        v: Likewise.

    Returns:
        ``[..., d, L]``. Cost 2 d^2 L operations if d < L, else 2 d L^2.
    """
    channels, tokens = q.shape[-2:]
    if channels < tokens:
        return (v @ k.transpose(-2, -1)) @ q
    return v @ (k.transpose(-2, -1) @ q)


class SpikingSelfAttention(nn.Module):
    """Multi-head self-attention over spikes, without softmax.

    out = neuron(0.125 q (k^T v)) with threshold 0.5, then a projection. q, k and v
    come from one convolution of 3 C channels.
    """

    def __init__(
        self, dims: int, num_heads: int, neuron: NeuronConfig, bn: str
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = ConvNormNeuron(dims, 3 * dims, 1, False, neuron, bn)
        self.attention_neuron = build_neuron(neuron, v_threshold=ATTENTION_THRESHOLD)
        self.projection = ConvNormNeuron(dims, dims, 1, True, neuron, bn)

    def forward(self, x: Tensor) -> Tensor:
        """Attend within each time step of ``x`` [T, N, C, H, W]."""
        steps, samples, _, height, width = x.shape
        qkv = self.qkv(x).reshape(steps, samples, 3, self.num_heads, -1, height * width)
        with exact_products(x.device):
            exact = qkv if qkv.dtype == torch.float64 else qkv.float()
            counts = spiking_attention(*exact.unbind(2))
        out = self.attention_neuron(counts * ATTENTION_SCALE)
        return self.projection(out.reshape(x.shape).to(x.dtype))

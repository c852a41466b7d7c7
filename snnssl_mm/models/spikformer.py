"""Spikformer, a spiking vision transformer without softmax.

Zhou et al., "Spikformer: When Spiking Neural Network Meets Transformer", ICLR 2023,
arXiv 2209.15425; with MixedLIF neurons, biases as in its ImageNet models.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from snnssl_mm.models.batch_norm import build_batch_norm, normalize
from snnssl_mm.registry import MODELS

ARCHS = {
    "4-384": dict(embed_dims=384, depth=4, num_heads=12),
    "8-384": dict(embed_dims=384, depth=8, num_heads=8),
    "8-512": dict(embed_dims=512, depth=8, num_heads=8),
    "8-768": dict(embed_dims=768, depth=8, num_heads=12),
    "16-512": dict(embed_dims=512, depth=16, num_heads=8),
}
POOLED_STAGES = {"imagenet": (0, 1, 2, 3), "cifar": (2, 3)}
ATTENTION_SCALE = 0.125
ATTENTION_THRESHOLD = 0.5

NeuronConfig = Mapping[str, Any]


def build_neuron(neuron: NeuronConfig, **overrides: Any) -> nn.Module:
    """Build the configured neuron, a MixedLIF unless ``type`` says otherwise."""
    return MODELS.build({"type": "snnssl_mm.MixedLIF", **neuron, **overrides})


@contextmanager
def exact_products(device: torch.device) -> Iterator[None]:
    """Multiply in float32 proper: no autocast, no TF32.

    Products of spikes are counts. bf16 loses integers above 256, fp16 and TF32
    above 2048.
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


class SpikingPatchStem(nn.Module):
    """Spiking patch splitting: four convolutions to C channels, then a position code.

    The stages have C/8, C/4, C/2 and C channels. The ImageNet stem halves the size
    after each (stride 16), the CIFAR stem after the last two (stride 4). The
    position code is a 3x3 convolution, so any input size goes.
    """

    def __init__(self, dims: int, kind: str, neuron: NeuronConfig, bn: str) -> None:
        super().__init__()
        channels = [3, dims // 8, dims // 4, dims // 2, dims]
        self.pooled_stages = POOLED_STAGES[kind]
        self.stages = nn.ModuleList(
            ConvNormNeuron(i, o, 3, False, neuron, bn) for i, o in pairwise(channels)
        )
        self.position = ConvNormNeuron(dims, dims, 3, False, neuron, bn)

    def forward(self, x: Tensor, time_steps: int) -> list[Tensor]:
        """Return the maps of C/4, C/2 and C channels for an image or a clip.

        Args:
            x: ``[N, 3, H, W]``, shown at each of ``time_steps`` steps: the first
                convolution and its batch norm then run once, not T times; or
                ``[T, N, 3, H, W]``.
            time_steps: T of a still image.
        """
        maps = []
        for index, stage in enumerate(self.stages):
            assert isinstance(stage, ConvNormNeuron)
            if x.dim() == 4:
                current = stage.current(x.unsqueeze(0))
                x = stage.neuron(current.expand(time_steps, *current.shape[1:]))
            else:
                x = stage(x)
            if index in self.pooled_stages:
                x = halve(x)
            maps.append(x)
        maps[-1] = self.position(x) + x
        return maps[1:]


def halve(x: Tensor) -> Tensor:
    """Max-pool ``x`` [T, N, C, H, W] to half its size."""
    return F.max_pool2d(x.flatten(0, 1), 3, 2, 1).unflatten(0, x.shape[:2])


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
        return self.projection(out.reshape(x.shape))


class SpikingBlock(nn.Module):
    """Transformer block; spikes are added to the trunk, which carries integers."""

    def __init__(
        self, dims: int, num_heads: int, mlp_ratio: float, neuron: NeuronConfig, bn: str
    ) -> None:
        super().__init__()
        hidden = int(dims * mlp_ratio)
        self.attention = SpikingSelfAttention(dims, num_heads, neuron, bn)
        self.mlp = nn.Sequential(
            ConvNormNeuron(dims, hidden, 1, True, neuron, bn),
            ConvNormNeuron(hidden, dims, 1, True, neuron, bn),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Transform ``x`` [T, N, C, H, W]."""
        x = x + self.attention(x)
        return x + self.mlp(x)


@MODELS.register_module()
class Spikformer(BaseModule):
    """Spikformer backbone: stateless, T steps inside, plain maps out.

    Args:
        arch: ``'4-384'``, ``'8-384'``, ``'8-512'``, ``'8-768'``, ``'16-512'``
            (depth-channels), or ``dict(embed_dims=, depth=, num_heads=,
            mlp_ratio=4)``.
        stem: ``'imagenet'`` (stride 16) or ``'cifar'`` (stride 4).
        time_steps: T, how often a still image is shown.
        out_indices: Which maps to return. With the ImageNet stem 0..3 have stride
            4, 8, 16, 32 and C/4, C/2, C, C channels; 2 is the output of the blocks,
            3 its max-pooled copy. With the CIFAR stem the strides are 1, 2, 4, 8.
        time_readout: ``'mean'`` over time, or ``'none'`` to keep the time axis.
        neuron: Options of every MixedLIF; the attention neuron keeps its threshold
            of 0.5.
        bn: ``'pooled'`` batch statistics over both paths, or ``'split'``.
        init_cfg: Initialisation, see mmengine.

    Shape:
        - Input: ``[N, 3, H, W]`` (still images) or ``[T, N, 3, H, W]``; H and W are
          multiples of the largest stride in use.
        - Output: tuple of ``[N, C, H', W']``, or ``[T, N, C, H', W']``.

    Example:
        >>> backbone = Spikformer("4-384", stem="cifar")
        >>> backbone(torch.rand(2, 3, 32, 32))[0].shape
        torch.Size([2, 384, 8, 8])
    """

    def __init__(
        self,
        arch: str | Mapping[str, Any] = "4-384",
        stem: str = "imagenet",
        time_steps: int = 4,
        out_indices: Sequence[int] = (2,),
        time_readout: str = "mean",
        neuron: NeuronConfig | None = None,
        bn: str = "pooled",
        init_cfg: Any = None,
    ) -> None:
        super().__init__(init_cfg)
        if isinstance(arch, str) and arch not in ARCHS:
            raise ValueError(f"unknown arch {arch!r}; expected one of {sorted(ARCHS)}")
        settings = {"mlp_ratio": 4, **(ARCHS[arch] if isinstance(arch, str) else arch)}
        dims, num_heads = settings["embed_dims"], settings["num_heads"]
        if dims % 8 or dims % num_heads:
            raise ValueError(
                f"embed_dims must be a multiple of 8 and of num_heads={num_heads}, "
                f"got {dims}"
            )
        if stem not in POOLED_STAGES:
            raise ValueError(f"stem must be 'imagenet' or 'cifar', got {stem!r}")
        if time_steps < 1:
            raise ValueError(f"Spikformer needs time_steps >= 1, got {time_steps}")
        if not out_indices or not set(out_indices) <= {0, 1, 2, 3}:
            raise ValueError(f"out_indices must be among 0..3, got {out_indices}")
        if time_readout not in ("mean", "none"):
            raise ValueError(
                f"time_readout must be 'mean' or 'none', got {time_readout!r}"
            )
        neuron = dict(neuron or {})
        self.embed_dims = dims
        self.time_steps = time_steps
        self.out_indices = tuple(out_indices)
        self.time_readout = time_readout
        self.stride = 2 ** (len(POOLED_STAGES[stem]) + (3 in out_indices))
        self.stem = SpikingPatchStem(dims, stem, neuron, bn)
        self.blocks = nn.Sequential(
            *(
                SpikingBlock(dims, num_heads, settings["mlp_ratio"], neuron, bn)
                for _ in range(settings["depth"])
            )
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the maps of ``out_indices`` for images or clips."""
        self._check_input(x)
        maps = self.stem(x, self.time_steps)
        maps[-1] = self.blocks(maps[-1])
        if 3 in self.out_indices:
            maps.append(halve(maps[-1]))
        outputs = (maps[i] for i in self.out_indices)
        if self.time_readout == "mean":
            return tuple(m.mean(0) for m in outputs)
        return tuple(outputs)

    def _check_input(self, x: Tensor) -> None:
        if x.dim() not in (4, 5) or x.shape[-3] != 3:
            raise ValueError(
                "Spikformer expects [N, 3, H, W] or [T, N, 3, H, W], "
                f"got {tuple(x.shape)}"
            )
        height, width = x.shape[-2:]
        if height % self.stride or width % self.stride or 0 in (height, width):
            raise ValueError(
                f"Spikformer needs image sides that are multiples of {self.stride}, "
                f"got {height}x{width}; resize, or pad with pad_size_divisor="
                f"{self.stride} in the data preprocessor"
            )

"""Spikformer, a spiking vision transformer without softmax.

Zhou et al., "Spikformer: When Spiking Neural Network Meets Transformer", ICLR 2023,
arXiv 2209.15425; with MixedLIF neurons, biases as in its ImageNet models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from snnssl_mm.models.attention import ATTENTION_SCALE, SpikingSelfAttention
from snnssl_mm.models.backbone import SpikingBackbone, run_plainly
from snnssl_mm.models.batch_norm import normalize
from snnssl_mm.models.layers import ConvNormNeuron, NeuronConfig, convolve, halve
from snnssl_mm.registry import MODELS

ARCHS = {
    "2-256": dict(embed_dims=256, depth=2, num_heads=16),
    "4-384": dict(embed_dims=384, depth=4, num_heads=12),
    "8-384": dict(embed_dims=384, depth=8, num_heads=8),
    "8-512": dict(embed_dims=512, depth=8, num_heads=8),
    "8-768": dict(embed_dims=768, depth=8, num_heads=12),
    "16-512": dict(embed_dims=512, depth=16, num_heads=8),
}
"""The first is that of CIFAR10-DVS, the second of CIFAR, the others of ImageNet."""
POOLED_STAGES = {"imagenet": (0, 1, 2, 3), "cifar": (2, 3)}


class PatchStage(ConvNormNeuron):
    """Stage of the stem, with or without max-pooling of the spikes or the current."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        neuron: NeuronConfig,
        bn: str,
        pooled: str | None,
    ) -> None:
        halved = pooled == "spikes"
        super().__init__(in_channels, out_channels, 3, False, neuron, bn, halved=halved)
        self.pooled = pooled

    def forward(self, x: Tensor, time_steps: int | None = None) -> Tensor:
        """Compute spikes [T, N, C, H, W] for ``x``, see :class:`SpikingPatchStem`."""
        frames = x.unsqueeze(0) if x.dim() == 4 else x
        steps = time_steps if x.dim() == 4 else None
        if self.pooled == "current":
            current = halve(normalize(self.bn, convolve(self.conv, frames)))
            spikes: Tensor = self.neuron(
                current.expand(steps or len(current), *current.shape[1:])
            )
            return spikes
        return super().forward(frames, steps)


class SpikingPatchStem(nn.Module):
    """Spiking patch splitting: four convolutions, then a position embedding.

    The stages have C/8, C/4, C/2 and C channels. The ImageNet stem halves the size
    after each (stride 16), the CIFAR stem after the last two (stride 4). The position
    embedding is a 3x3 convolution, which takes any input size.
    """

    def __init__(
        self,
        in_channels: int,
        dims: int,
        kind: str,
        pooled: str,
        neuron: NeuronConfig,
        bn: str,
    ) -> None:
        super().__init__()
        channels = [in_channels, dims // 8, dims // 4, dims // 2, dims]
        self.stages = nn.ModuleList(
            PatchStage(
                i, o, neuron, bn, pooled if index in POOLED_STAGES[kind] else None
            )
            for index, (i, o) in enumerate(pairwise(channels))
        )
        self.position = ConvNormNeuron(dims, dims, 3, False, neuron, bn)

    def forward(
        self, x: Tensor, time_steps: int, run: Callable[..., Tensor] = run_plainly
    ) -> list[Tensor]:
        """Return the maps of C/4, C/2 and C channels for an image or a clip.

        Args:
            x: ``[N, C, H, W]``, shown at each of ``time_steps`` steps: the first
                convolution and its batch norm then run once, not T times; or
                ``[T, N, C, H, W]``.
            time_steps: T of a still image.
            run: Calls a stage, with or without gradient checkpointing; see
                :mod:`snnssl_mm.models.backbone`.
        """
        maps = []
        for stage in self.stages:
            x = run(stage, x, time_steps)
            maps.append(x)
        maps[-1] = run(self.position, x) + x
        return maps[1:]


class SpikingBlock(nn.Module):
    """Transformer block; its spikes are added to the residual stream of integers.

    Args:
        attention: First branch, whose output are spikes.
        dims: Channels C.
        mlp_ratio: Hidden channels of the second branch, as a multiple of C.
        neuron: Options of the neurons.
        bn: See :mod:`snnssl_mm.models.batch_norm`.
    """

    def __init__(
        self,
        attention: nn.Module,
        dims: int,
        mlp_ratio: float,
        neuron: NeuronConfig,
        bn: str,
    ) -> None:
        super().__init__()
        hidden = int(dims * mlp_ratio)
        self.attention = attention
        self.mlp = nn.Sequential(
            ConvNormNeuron(dims, hidden, 1, True, neuron, bn),
            ConvNormNeuron(hidden, dims, 1, True, neuron, bn),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block to ``x`` [T, N, C, H, W]."""
        x = x + self.attention(x)
        return x + self.mlp(x)


@MODELS.register_module()
class Spikformer(SpikingBackbone):
    """Spikformer backbone: stateless, T steps inside, plain maps out.

    The network for event recordings, as published for CIFAR10-DVS, is
    ``Spikformer('2-256', in_channels=2, attention_scale=0.25)`` on clips of 16 frames
    with 128x128 pixels.

    Args:
        arch: ``'2-256'``, ``'4-384'``, ``'8-384'``, ``'8-512'``, ``'8-768'``,
            ``'16-512'`` (depth-channels), or ``dict(embed_dims=, depth=, num_heads=,
            mlp_ratio=4)``.
        stem: ``'imagenet'`` (stride 16, for events too) or ``'cifar'`` (stride 4).
        time_steps: T, number of time steps for which a still image is shown.
        out_indices: Indices of the maps to return. With the ImageNet stem 0..3 have
            stride 4, 8, 16, 32 and C/4, C/2, C, C channels; 2 is the output of the
            blocks, 3 its max-pooled copy. With the CIFAR stem: stride 1, 2, 4, 8.
        time_readout: ``'mean'`` over time, or ``'none'`` to keep the time axis.
        neuron: Options of every MixedLIF; the attention neuron keeps its threshold
            of 0.5. ``dict(type='snnssl_mm.ReLUNeuron')`` is a reference without spikes.
        bn: ``'joint'`` batch statistics of both views in pretraining, or
            ``'per_view'``: each its own.
        pooled: What the stem max-pools: ``'spikes'``, as the published models do, or
            the ``'current'`` before the neuron, as SpikingJelly's Spikformer does.
        attention_scale: Factor of q k^T v in front of the attention neuron: a number
            above 0 (0.125 in the published models, 0.25 in that for events), or
            ``'auto'``, which keeps the neuron from saturating at any size of head and
            image; see
            :func:`snnssl_mm.models.attention.attention_factor`.
        in_channels: Channels of an image: 3 for colours, 2 for events.
        frozen_stages: -1 for none, 0 for the stem, k for the stem and the first k
            blocks: no gradient, and eval mode whatever the model's mode.
        norm_eval: Whether batch norms stay in eval mode while training.
        with_cp: Whether each stage of the stem and each block stores its input only
            and recomputes the rest in the backward pass: less memory, more time.
        init_cfg: Initialisation, see mmengine.

    Shape:
        - Input: ``[N, C, H, W]`` (still images) or ``[T, N, C, H, W]``; H and W are
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
        bn: str = "joint",
        pooled: str = "spikes",
        attention_scale: float | str = ATTENTION_SCALE,
        in_channels: int = 3,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(
            time_steps,
            out_indices,
            time_readout,
            norm_eval,
            with_cp,
            init_cfg,
            in_channels=in_channels,
        )
        if isinstance(arch, str) and arch not in ARCHS:
            raise ValueError(f"unknown arch {arch!r}; expected one of {sorted(ARCHS)}")
        settings = {"mlp_ratio": 4, **(ARCHS[arch] if isinstance(arch, str) else arch)}
        dims, num_heads = settings["embed_dims"], settings["num_heads"]
        if num_heads < 1 or dims % 8 or dims % num_heads:
            raise ValueError(
                f"embed_dims must be a multiple of 8 and of num_heads={num_heads}, "
                f"got {dims}"
            )
        if stem not in POOLED_STAGES:
            raise ValueError(f"stem must be 'imagenet' or 'cifar', got {stem!r}")
        if pooled not in ("spikes", "current"):
            raise ValueError(f"pooled must be 'spikes' or 'current', got {pooled!r}")
        neuron = dict(neuron or {})
        self.embed_dims = dims
        self.channels = (dims // 4, dims // 2, dims, dims)
        self.stride = 2 ** (len(POOLED_STAGES[stem]) + (3 in out_indices))
        self.stem = SpikingPatchStem(in_channels, dims, stem, pooled, neuron, bn)
        self.blocks = nn.Sequential(
            *(
                SpikingBlock(
                    SpikingSelfAttention(dims, num_heads, neuron, bn, attention_scale),
                    dims,
                    settings["mlp_ratio"],
                    neuron,
                    bn,
                )
                for _ in range(settings["depth"])
            )
        )
        # Without T, which may change between pretraining and use.
        self.structure = {
            "stem": stem,
            "pooled": pooled,
            "num_heads": num_heads,
            "attention_scale": attention_scale,
            "neuron": getattr(self.stem.position.neuron, "config", neuron),
        }
        blocks = ((f"blocks.{index}",) for index in range(settings["depth"]))
        self.layer_names = (("stem",), *blocks)
        self.freeze(frozen_stages)

    def extract_maps(self, x: Tensor) -> list[Tensor]:
        """Compute the stem's maps, the last of them transformed by the blocks."""
        maps = self.stem(x, self.time_steps, self.run)
        for block in self.blocks:
            maps[-1] = self.run(block, maps[-1])
        if 3 in self.out_indices:
            maps.append(halve(maps[-1]))
        return maps

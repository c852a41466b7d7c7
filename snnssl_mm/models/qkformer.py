"""QKFormer, a pyramid whose first stages choose tokens instead of comparing them.

Zhou et al., "QKFormer: Hierarchical Spiking Transformer using Q-K Attention", NeurIPS
2024, arXiv 2403.16552.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from snnssl_mm.models.attention import (
    ATTENTION_SCALE,
    ATTENTION_THRESHOLD,
    SpikingSelfAttention,
)
from snnssl_mm.models.backbone import SpikingBackbone
from snnssl_mm.models.layers import ConvNormNeuron, NeuronConfig, build_neuron, halve
from snnssl_mm.models.membrane_shortcut.base import (
    chosen_arch,
    require_heads,
    run_blocks,
)
from snnssl_mm.models.spikformer import PatchStage, SpikingBlock
from snnssl_mm.registry import MODELS

QKFORMER_ARCHS = {
    "10-384": dict(embed_dims=384),
    "10-512": dict(embed_dims=512),
    "10-768": dict(embed_dims=768),
}
HEAD_CHANNELS = 64
"""Channels of a head in stage 3; all stages have the same number of heads."""
TOKEN_STAGES = 2
"""Number of stages, from the first on, with token attention."""


class TokenAttention(nn.Module):
    """Q-K token attention, linear in tokens and channels.

    q and k are spikes of one convolution. In each head a neuron with threshold 0.5
    fires for a token if enough channels of its q do, and lets the token's k pass:
    out = projection(neuron(sum over channels of q) k).

    Args:
        dims: Channels C.
        num_heads: Number of heads.
        neuron: Options of the neurons.
        bn: See :mod:`snnssl_mm.models.batch_norm`.
    """

    def __init__(
        self, dims: int, num_heads: int, neuron: NeuronConfig, bn: str
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qk = ConvNormNeuron(dims, 2 * dims, 1, False, neuron, bn)
        self.attention_neuron = build_neuron(neuron, v_threshold=ATTENTION_THRESHOLD)
        self.projection = ConvNormNeuron(dims, dims, 1, True, neuron, bn)

    def forward(self, x: Tensor) -> Tensor:
        """Attend within each time step of ``x`` [T, N, C, H, W]."""
        q, k = (
            part.unflatten(2, (self.num_heads, -1)) for part in self.qk(x).chunk(2, 2)
        )
        # A sum of spikes is a count: exact in float32, not in half precision.
        wide = torch.promote_types(x.dtype, torch.float32)
        chosen = self.attention_neuron(q.sum(3, dtype=wide)).to(k.dtype)
        return self.projection((chosen.unsqueeze(3) * k).flatten(2, 3))


class QKEmbedding(nn.Module):
    """Halving between stages: a branch of two convolutions and a strided shortcut.

    The branch's first current is max-pooled; spikes of both are added.
    """

    def __init__(
        self, in_channels: int, out_channels: int, neuron: NeuronConfig, bn: str
    ) -> None:
        super().__init__()
        self.first = PatchStage(in_channels, out_channels, neuron, bn, "current")
        self.second = ConvNormNeuron(out_channels, out_channels, 3, False, neuron, bn)
        self.shortcut = ConvNormNeuron(
            in_channels, out_channels, 1, False, neuron, bn, stride=2
        )

    def forward(self, x: Tensor) -> Tensor:
        """Compute integers [T, N, C', H/2, W/2] for ``x`` [T, N, C, H, W]."""
        out: Tensor = self.second(self.first(x)) + self.shortcut(x)
        return out


@MODELS.register_module()
class QKFormer(SpikingBackbone):
    """QKFormer backbone: stateless, T steps inside, plain maps out.

    Three stages: one block and two blocks with token attention, seven with Spikformer's
    self-attention. Blocks add spikes to the residual stream of integers, as
    :class:`Spikformer`'s do. A sample's maps do not depend on the others in its batch,
    unlike in the official code.

    Args:
        arch: ``'10-384'``, ``'10-512'``, ``'10-768'`` (blocks-channels), or
            ``dict(embed_dims=, depths=(1, 2, 7), num_heads=, mlp_ratio=4)``.
        in_channels: Channels of an image: 3 for colours, 2 for events.
        time_steps: T, number of time steps for which a still image is shown.
        out_indices: Indices of the maps to return: 0..3 have stride 4, 8, 16, 32 and
            C/4, C/2, C, C channels; 0..2 are those after the stages, 3 the max-pooled
            copy of the last.
        time_readout: ``'mean'`` over time, or ``'none'`` to keep the time axis.
        neuron: Options of every MixedLIF; attention neurons keep their threshold of
            0.5.
        bn: ``'joint'`` batch statistics of both views in pretraining, or
            ``'per_view'``: each its own.
        attention_scale: Factor of q k^T v in stage 3, 0.125 in the published models, or
            ``'auto'``; see :func:`snnssl_mm.models.attention.attention_factor`.
        frozen_stages: -1 for none, 0 for the first embedding, k for it and the first
            k stages, of which the second and third begin with their embedding: no
            gradient, and eval mode whatever the model's mode.
        norm_eval: Whether batch norms stay in eval mode while training.
        with_cp: Whether each embedding and each block stores its input only and
            recomputes the rest in the backward pass: less memory, more time.
        init_cfg: Initialisation, see mmengine.

    Shape:
        - Input: ``[N, C, H, W]`` (still images) or ``[T, N, C, H, W]``; H and W are
          multiples of the largest stride in use: pad in the data preprocessor.
        - Output: tuple of ``[N, C, H', W']``, or ``[T, N, C, H', W']``.

    Example:
        >>> backbone = QKFormer(dict(embed_dims=64, depths=(1, 1, 1)))
        >>> backbone(torch.rand(2, 3, 32, 32))[0].shape
        torch.Size([2, 64, 2, 2])
    """

    def __init__(
        self,
        arch: str | Mapping[str, Any] = "10-384",
        in_channels: int = 3,
        time_steps: int = 4,
        out_indices: Sequence[int] = (2,),
        time_readout: str = "mean",
        neuron: NeuronConfig | None = None,
        bn: str = "joint",
        attention_scale: float | str = ATTENTION_SCALE,
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
        neuron = dict(neuron or {})
        defaults = {"depths": (1, 2, 7), "num_heads": None, "mlp_ratio": 4}
        sizes = chosen_arch(arch, QKFORMER_ARCHS, defaults)
        dims, depths = sizes["embed_dims"], sizes["depths"]
        heads = sizes["num_heads"] or max(1, dims // HEAD_CHANNELS)
        require_heads(dims, heads, 8)
        require_heads(dims // 4, heads, 1)
        if len(depths) != 3:
            raise ValueError(f"depths must be three numbers of blocks, got {depths}")
        self.channels = (dims // 4, dims // 2, dims, dims)
        self.stride = 32 if 3 in out_indices else 16

        def block(stage: int) -> nn.Module:
            width = self.channels[stage]
            if stage < TOKEN_STAGES:
                attention: nn.Module = TokenAttention(width, heads, neuron, bn)
            else:
                attention = SpikingSelfAttention(
                    width, heads, neuron, bn, attention_scale
                )
            return SpikingBlock(attention, width, sizes["mlp_ratio"], neuron, bn)

        self.entry = PatchStage(in_channels, dims // 8, neuron, bn, "current")
        widths = (dims // 8, *self.channels[:3])
        self.embeddings = nn.ModuleList(
            QKEmbedding(i, o, neuron, bn) for i, o in pairwise(widths)
        )
        self.stages = nn.ModuleList(
            nn.Sequential(*(block(stage) for _ in range(depth)))
            for stage, depth in enumerate(depths)
        )
        # Without T, which may change between pretraining and use.
        self.structure = {
            "num_heads": heads,
            "attention_scale": attention_scale,
            "neuron": getattr(build_neuron(neuron), "config", neuron),
        }
        self.layer_names = (
            ("entry", "embeddings.0"),
            ("stages.0",),
            ("embeddings.1", "stages.1"),
            ("embeddings.2", "stages.2"),
        )
        self.freeze(frozen_stages)

    def extract_maps(self, x: Tensor) -> list[Tensor]:
        """Compute the map after each stage, and the max-pooled last one."""
        x = self.run(self.entry, x, self.time_steps)
        maps = []
        for embedding, stage in zip(self.embeddings, self.stages, strict=True):
            x = run_blocks(stage, self.run(embedding, x), self.run)
            maps.append(x)
        return [*maps, halve(x)] if 3 in self.out_indices else maps

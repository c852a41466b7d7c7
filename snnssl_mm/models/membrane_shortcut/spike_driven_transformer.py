"""Spike-driven Transformer (SDT-V1), whose attention is linear in the image's size.

Yao et al., "Spike-driven Transformer", NeurIPS 2023, arXiv 2307.01694.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from snnssl_mm.models.backbone import run_plainly
from snnssl_mm.models.layers import ConvNorm, NeuronConfig, build_neuron, halve
from snnssl_mm.models.membrane_shortcut.attention import SpikeDrivenAttention
from snnssl_mm.models.membrane_shortcut.base import (
    MembraneBackbone,
    Run,
    chosen_arch,
    require_heads,
    run_blocks,
)
from snnssl_mm.models.membrane_shortcut.mixers import ChannelMixer
from snnssl_mm.models.spikformer import POOLED_STAGES, PatchStage
from snnssl_mm.neurons.expansion import hold_mean
from snnssl_mm.registry import MODELS

SDT_ARCHS = {
    "8-384": dict(embed_dims=384, depth=8),
    "6-512": dict(embed_dims=512, depth=6),
    "8-512": dict(embed_dims=512, depth=8),
    "10-512": dict(embed_dims=512, depth=10),
    "8-768": dict(embed_dims=768, depth=8),
}


class MembranePatchStem(nn.Module):
    """Spikformer's stem, whose last stage and position embedding give currents.

    Stages of C/8, C/4 and C/2 channels emit spikes. The last one is pooled as a
    current, and the position embedding is a membrane shortcut around
    neuron-convolution-norm.

    Attributes:
        spike_steps: Binary steps that stand for one integer, see
            :func:`snnssl_mm.neurons.expand_to_spikes`.
    """

    spike_steps = 1

    def __init__(
        self, in_channels: int, dims: int, kind: str, neuron: NeuronConfig, bn: str
    ) -> None:
        super().__init__()
        channels = [in_channels, dims // 8, dims // 4, dims // 2]
        pooled = POOLED_STAGES[kind]
        self.stages = nn.ModuleList(
            PatchStage(i, o, neuron, bn, "spikes" if index in pooled else None)
            for index, (i, o) in enumerate(pairwise(channels))
        )
        self.last = ConvNorm(channels[-1], dims, 3, False, bn)
        self.neuron = build_neuron(neuron)
        self.position = ConvNorm(dims, dims, 3, False, bn)

    def embed(self, x: Tensor) -> Tensor:
        """Compute the current after the last stage and the position embedding."""
        x = halve(hold_mean(self.last(x), self.spike_steps))
        return x + self.position(self.neuron(x))

    def forward(self, x: Tensor, steps: int, run: Run = run_plainly) -> list[Tensor]:
        """Return the maps of C/4 and C/2 channels (spikes) and of C (a current).

        Args:
            x: ``[T, N, C, H, W]``, or ``[1, N, C, H, W]`` for a still image: the first
                convolution and its batch norm then run once, not T times.
            steps: T.
            run: Calls a stage, with or without gradient checkpointing.
        """
        maps = []
        x = x.squeeze(0) if len(x) != steps else x
        for stage in self.stages:
            x = run(stage, x, steps)
            maps.append(x)
        return [*maps[1:], run(self, x, function=self.embed)]


@MODELS.register_module()
class SpikeDrivenTransformer(MembraneBackbone):
    """Spike-driven Transformer (SDT-V1): stateless, T steps inside, plain maps out.

    Attention multiplies spikes with spikes element by element, so it needs neither a
    softmax nor matrix products. Heads do not change its result, so there are none.

    Args:
        arch: ``'8-384'``, ``'6-512'``, ``'8-512'``, ``'10-512'``, ``'8-768'``
            (depth-channels), or ``dict(embed_dims=, depth=, mlp_ratio=4)``.
        stem: ``'imagenet'`` (stride 16) or ``'cifar'`` (stride 4).
        in_channels: Channels of an image: 3 for colours, 2 for events.
        time_steps: T, number of time steps for which a still image is shown.
        out_indices: Indices of the maps to return. With the ImageNet stem 0..3 have
            stride 4, 8, 16, 32 and C/4, C/2, C, C channels; 0 and 1 are the stem's
            spikes, 2 the current after the blocks, 3 its max-pooled copy. With the
            CIFAR stem: stride 1, 2, 4, 8.
        time_readout: ``'mean'`` over time, or ``'none'`` to keep the time axis.
        output: ``'membrane'``: maps 2 and 3 are currents, as its own code has them, or
            ``'spikes'``: each returned map passes one more neuron.
        neuron: Options of every MixedLIF; the attention neuron keeps its threshold of
            0.5.
        bn: ``'joint'`` batch statistics of both views in pretraining, or
            ``'per_view'``: each its own.
        frozen_stages: -1 for none, 0 for the stem, k for the stem and the first k
            blocks: no gradient, and eval mode whatever the model's mode.
        norm_eval: Whether batch norms stay in eval mode while training.
        with_cp: Whether each stage of the stem and each block stores its input only
            and recomputes the rest in the backward pass: less memory, more time.
        init_cfg: Initialisation, see mmengine; None for :class:`.ZeroResidualInit`,
            every block begins as its shortcut.

    Shape:
        - Input: ``[N, C, H, W]`` (still images) or ``[T, N, C, H, W]``; H and W are
          multiples of the largest stride in use: pad in the data preprocessor.
        - Output: tuple of ``[N, C, H', W']``, or ``[T, N, C, H', W']``.

    Example:
        >>> backbone = SpikeDrivenTransformer(dict(embed_dims=64, depth=1))
        >>> backbone(torch.rand(2, 3, 32, 32))[0].shape
        torch.Size([2, 64, 2, 2])
    """

    def __init__(
        self,
        arch: str | Mapping[str, Any] = "8-384",
        stem: str = "imagenet",
        in_channels: int = 3,
        time_steps: int = 4,
        out_indices: Sequence[int] = (2,),
        time_readout: str = "mean",
        output: str = "membrane",
        neuron: NeuronConfig | None = None,
        bn: str = "joint",
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: Any = None,
    ) -> None:
        neuron = dict(neuron or {})
        super().__init__(
            output,
            neuron,
            in_channels=in_channels,
            time_steps=time_steps,
            out_indices=out_indices,
            time_readout=time_readout,
            norm_eval=norm_eval,
            with_cp=with_cp,
            init_cfg=init_cfg,
        )
        sizes = chosen_arch(arch, SDT_ARCHS, {"mlp_ratio": 4})
        dims, depth = sizes["embed_dims"], sizes["depth"]
        require_heads(dims, 1, 8)
        if stem not in POOLED_STAGES:
            raise ValueError(f"stem must be 'imagenet' or 'cifar', got {stem!r}")
        self.channels = (dims // 4, dims // 2, dims, dims)
        self.stride = 2 ** (len(POOLED_STAGES[stem]) + (3 in out_indices))
        self.stem = MembranePatchStem(in_channels, dims, stem, neuron, bn)
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(
                    OrderedDict(
                        attention=SpikeDrivenAttention(dims, neuron, bn),
                        mlp=ChannelMixer(
                            dims, sizes["mlp_ratio"], neuron, bn, inner_residual=True
                        ),
                    )
                )
                for _ in range(depth)
            )
        )
        names = (("stem",), *((f"blocks.{index}",) for index in range(depth)))
        self.finish(names, neuron, frozen_stages, stem=stem)

    def extract_currents(self, frames: Tensor, steps: int) -> list[Tensor]:
        """Compute the stem's maps, the last of them transformed by the blocks."""
        *maps, x = self.stem(frames, steps, self.run)
        x = run_blocks(self.blocks, x, self.run)
        return [*maps, x, self.pooled(x, 3)]
